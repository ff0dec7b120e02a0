//! What is wrong is told by the name of its option, and nothing hangs.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use connectors::Retry;
use connectors::kafka::{Brokers, KafkaIn, KafkaOut, Scram};
use tests::{Kafka, alone, until};
use topology_api::testing::{BoltDriver, SpoutDriver};
use topology_api::{Line, NoOutput, Replays, Topology, TopologyBuilder};

use super::KafkaRecord;

const SECOND: Duration = Duration::from_secs(1);

/// The first error that a spout reports.
fn told_by_spout(input: KafkaIn) -> String {
    let mut t = TopologyBuilder::new("in");
    let (_records, _dead) = input.declare(&mut t, "in", Replays::default()).unwrap();
    let mut spout = SpoutDriver::<KafkaRecord>::of(&t.build().unwrap(), "in").unwrap();
    until("the spout says what is wrong", || {
        assert!(spout.run().unwrap().is_empty(), "it reads something");
        !spout.errors().is_empty()
    });
    let told = spout.errors().remove(0);
    spout.close();
    told
}

/// A bolt that writes lines, and a spout that never emits any.
fn lines_to(output: KafkaOut<Line>) -> Topology {
    let mut t = TopologyBuilder::new("out");
    let lines = t.spout("lines", |_| topology_api::IterSpout::new(std::iter::empty::<Line>()));
    output.declare(&mut t, "out").unwrap().shuffle(&lines.stream());
    t.build().unwrap()
}

/// Why a bolt fails this text.
fn told_by_bolt(output: KafkaOut<Line>, text: String) -> String {
    let topology = lines_to(output);
    // A worker enters one around every call.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut bolt = BoltDriver::<Line, NoOutput>::of(&topology, "out").unwrap();
    bolt.execute(Line { text: text.into() });
    let mut failed = Vec::new();
    until("the bolt fails its input", || {
        bolt.wait();
        failed.extend(bolt.failed());
        assert!(bolt.acked().is_empty(), "it was written");
        !failed.is_empty()
    });
    failed.remove(0).1
}

fn output(brokers: Brokers, topic: &str) -> KafkaOut<Line> {
    KafkaOut::new(brokers, topic, |line: &Line| line.text.to_string())
        .delivery(2 * SECOND)
        .retry(Retry::new(SECOND / 10, SECOND).attempts(1))
}

fn input(brokers: Brokers, topic: &str) -> KafkaIn {
    KafkaIn::new(brokers, "nobody").topics([topic])
}

/// Each wrong thing, by what is told of it in both directions.
fn assert_told(brokers: Brokers, topic: &str, words: &[&str]) {
    let spout = told_by_spout(input(brokers.clone(), topic));
    let bolt = told_by_bolt(output(brokers, topic), "one".to_owned());
    for told in [spout, bolt] {
        assert!(words.iter().all(|word| told.contains(word)), "{words:?} in: {told}");
    }
}

#[test]
fn wrong_servers_passwords_topics_and_sizes_are_told_by_the_name_of_their_option() {
    let _alone = alone();
    let kafka = Kafka::start();
    kafka.topics(&[("lines", 1)]);
    let brokers = |address: &str| Brokers::new(address).timeout(SECOND);

    assert_told(
        brokers(&kafka.address()),
        "missing",
        &["option `topic", "`missing`", "make the topic"],
    );

    let secret = kafka.certificate().with_file_name("wrong");
    std::fs::write(&secret, "not-the-password").unwrap();
    let secret: connectors::Secret = format!("file:{}", secret.display()).parse().unwrap();
    let secure = Brokers::new(kafka.secure_address()).timeout(5 * SECOND).tls();
    let secure = secure.trust(kafka.certificate());
    let wrong = secure.clone().scram(Scram::Sha512, "alice", secret);
    let spout = told_by_spout(input(wrong, "lines"));
    assert!(spout.contains("option `scram`"), "{spout}");
    assert!(!spout.contains("not-the-password"), "{spout}");
    let nowhere =
        secure.scram(Scram::Sha512, "alice", "env:SQUALL_NO_SUCH_VARIABLE".parse().unwrap());
    let spout = told_by_spout(input(nowhere, "lines"));
    assert!(spout.contains("SQUALL_NO_SUCH_VARIABLE"), "{spout}");

    // Somebody who speaks another language, and nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    assert_told(brokers(&other), "lines", &["option `brokers`", &other]);
    assert_told(brokers("127.0.0.1:1"), "lines", &["option `brokers`", "127.0.0.1:1"]);
    // TLS without TLS.
    assert_told(brokers(&kafka.secure_address()), "lines", &["option `brokers`"]);

    // Too large for the bolt, and for the broker.
    let large = "x".repeat(2 << 20);
    let told = told_by_bolt(output(brokers(&kafka.address()), "lines"), large.clone());
    assert!(told.contains("2097216 bytes") && told.contains("`record_bytes_max`"), "{told}");
    let most = output(brokers(&kafka.address()), "lines").record_bytes_max(4 << 20);
    let told = told_by_bolt(most, large);
    assert!(told.contains("2097216 bytes") && told.contains("`max.message.bytes`"), "{told}");
    assert!(kafka.consume("lines").is_empty());
}
