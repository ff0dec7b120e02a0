//! Kafka in and out against a real broker; kcat, which others wrote, says what is in the topics.

mod cluster;
mod member;
mod trouble;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use connectors::kafka::{
    Brokers, Compression, Headers, KafkaIn, KafkaOut, KafkaRecord, Scram, Start,
};
use tests::{Kafka, alone, kcat, until};
use topology_api::testing::SpoutDriver;
use topology_api::{Args, DeadLetter, Error, Replays, Topology, TopologyBuilder};
use worker::run_here;

/// A spout that reads a topic to its end.
fn reads(brokers: &Brokers, topic: &str) -> KafkaIn {
    KafkaIn::new(brokers.clone(), "copiers").topics([topic]).to_the_end()
}

/// A bolt that writes records as they were read.
fn writes(brokers: &Brokers, topic: &str) -> KafkaOut<KafkaRecord> {
    KafkaOut::new(brokers.clone(), topic, |it: &KafkaRecord| it.value.clone().unwrap_or_default())
        .key(|it| it.key.clone().unwrap_or_default())
        .headers(|it| {
            let place = format!("{}-{}", it.partition, it.offset);
            Headers::default().with("place", place)
        })
}

/// Reads, and writes what it reads.
fn copy(input: KafkaIn, output: KafkaOut<KafkaRecord>) -> Topology {
    let mut t = TopologyBuilder::new("copy");
    let (records, _dead) = input.declare(&mut t, "in", Replays::default()).unwrap();
    let records = records.parallelism(2).stream();
    output.declare(&mut t, "out").unwrap().local_or_shuffle(&records);
    t.build().unwrap()
}

/// A thousand orders of ten users, in the order of each user.
fn orders() -> String {
    (0..1_000).map(|at| format!("user-{}|{at}\n", at % 10)).collect()
}

/// The values of each key, in order.
fn by_key(lines: &[String]) -> BTreeMap<&str, Vec<u32>> {
    let mut values = BTreeMap::<&str, Vec<u32>>::new();
    for line in lines {
        let (key, value) = line.split_once('|').unwrap();
        values.entry(key).or_default().push(value.parse().unwrap());
    }
    values
}

#[test]
fn records_come_through_with_key_order_and_headers_whatever_the_compression_also_over_tls() {
    let _alone = alone();
    let kafka = Kafka::start();
    kafka.topics(&[("in", 3)]);
    kafka.produce("in", &orders());
    let plain = Brokers::new(kafka.address());
    let secret = kafka.certificate().with_file_name("password");
    let (user, password) = kafka.user();
    std::fs::write(&secret, format!("{password}\n")).unwrap();
    let secure = |hash| {
        let secret = format!("file:{}", secret.display()).parse().unwrap();
        Brokers::new(kafka.secure_address())
            .tls()
            .trust(kafka.certificate())
            .scram(hash, user, secret)
    };
    let ways = [
        ("none", plain.clone(), Compression::None),
        ("gzip", plain.clone(), Compression::Gzip),
        ("snappy", secure(Scram::Sha256), Compression::Snappy),
        ("lz4", secure(Scram::Sha512), Compression::Lz4),
        ("zstd", plain.clone(), Compression::Zstd),
    ];
    let sent = kafka.consume("in");
    for (name, brokers, compression) in ways {
        kafka.topics(&[(name, 3)]);
        let input = reads(&brokers, "in").start(Start::Earliest);
        let topology = copy(input, writes(&brokers, name).compression(compression));
        let finished = run_here(topology, Args::default()).unwrap();
        assert!(finished.complete, "{name}: {:?}", finished.snapshot);
        assert_eq!(by_key(&kafka.consume(name)), by_key(&sent), "{name}");
    }
    let places = kcat(&kafka.address(), &["-C", "-e", "-q", "-t", "zstd", "-f", "%h\n"]);
    assert!(places.lines().any(|line| line == "place=2-0"), "headers: {places:.200}");

    // The last one of these has committed all of it: nothing is left for the group.
    kafka.topics(&[("again", 1), ("late", 1)]);
    let topology = copy(reads(&plain, "in"), writes(&plain, "again"));
    assert!(run_here(topology, Args::default()).unwrap().complete);
    assert!(kafka.consume("again").is_empty(), "what was committed was read again");
    kafka.produce("in", "user-1|1000\n");
    let topology = copy(reads(&plain, "in"), writes(&plain, "again"));
    assert!(run_here(topology, Args::default()).unwrap().complete);
    assert_eq!(kafka.consume("again"), ["user-1|1000"], "what is new is read");

    let hour = Duration::from_secs(3_600);
    #[expect(clippy::disallowed_methods, reason = "the timestamps of kcat are the system's")]
    let now = SystemTime::now();
    for (time, count) in [(now - hour, 1_001), (now + hour, 0)] {
        let finished = {
            let input = reads(&plain, "in").start(Start::Time(time));
            run_here(copy(input, writes(&plain, "late")), Args::default()).unwrap()
        };
        assert!(finished.complete);
        let late = kafka.consume("late").len();
        assert_eq!(late, 1_001, "{count} of them begin at {time:?}");
    }
}

#[test]
fn what_cannot_be_parsed_becomes_a_dead_letter_with_its_bytes_and_holds_up_nothing() {
    let _alone = alone();
    let kafka = Kafka::start();
    kafka.topics(&[("in", 1), ("out", 1), ("dead", 1)]);
    kafka.produce("in", "a|1\na|two\na|3\na|\u{fc}\na|5\n");
    let brokers = Brokers::new(kafka.address());
    let mut t = TopologyBuilder::new("parse");
    let replays = Replays::default().attempts(2).pauses(Duration::ZERO, Duration::ZERO);
    let (records, dead) = reads(&brokers, "in").declare(&mut t, "in", replays).unwrap();
    let parse = |record: KafkaRecord| -> Result<KafkaRecord, Error> {
        record.text()?.parse::<u64>()?;
        Ok(record)
    };
    let parsed = t.try_map("parse", parse).shuffle(&records.stream()).stream();
    writes(&brokers, "out").declare(&mut t, "out").unwrap().shuffle(&parsed);
    let value = |it: &DeadLetter<KafkaRecord>| it.tuple.value.clone().unwrap_or_default();
    KafkaOut::new(brokers.clone(), "dead", value)
        .key(|it: &DeadLetter<KafkaRecord>| format!("{} {}", it.tuple.offset, it.attempts))
        .declare(&mut t, "bury")
        .unwrap()
        .shuffle(&dead);
    assert!(run_here(t.build().unwrap(), Args::default()).unwrap().complete);
    assert_eq!(by_key(&kafka.consume("out"))["a"], [1, 3, 5]);
    let mut dead = kafka.consume("dead");
    dead.sort();
    assert_eq!(dead, ["1 2|two", "3 2|\u{fc}"], "with its place and attempts");

    let topology = copy(reads(&brokers, "in"), writes(&brokers, "out"));
    assert!(run_here(topology, Args::default()).unwrap().complete);
    assert_eq!(kafka.consume("out").len(), 3, "dead letters are done: they were read again");
}

#[test]
fn new_partitions_and_new_topics_of_a_pattern_are_read_from_their_start() {
    let _alone = alone();
    let kafka = Kafka::start();
    kafka.topics(&[("eu-orders", 1), ("other", 1)]);
    kafka.produce("eu-orders", "1\n2\n");
    let mut t = TopologyBuilder::new("pattern");
    let look = Duration::from_secs(60);
    let input = KafkaIn::new(Brokers::new(kafka.address()), "pattern")
        .pattern(".*-orders")
        .start(Start::Latest)
        .look_every(look);
    let (_records, _dead) = input.declare(&mut t, "in", Replays::default()).unwrap();
    let topology = t.build().unwrap();
    let mut spout = SpoutDriver::<KafkaRecord>::of(&topology, "in").unwrap();
    let mut read = Vec::new();
    let mut reads = |spout: &mut SpoutDriver<KafkaRecord>, what: &str, count: usize| {
        until(what, || {
            read.extend(spout.run().unwrap().iter().map(|it| it.text().unwrap().to_owned()));
            spout.ack_all();
            read.len() >= count
        });
        read.clone()
    };
    // Written again and again: when it looks, and finds the end, is not known.
    until("what comes after the start is read", || {
        kafka.produce("eu-orders", "3\n");
        reads(&mut spout, "it goes on", 0).len() > 2
    });
    let begun = reads(&mut spout, "it goes on", 0);
    assert!(begun.iter().all(|value| value == "3"), "what was there before the start: {begun:?}");

    kafka.topics(&[("eu-orders", 3), ("us-orders", 1)]);
    kcat_to(&kafka, "eu-orders", "2", "new partition\n");
    kafka.produce("us-orders", "new topic\n");
    kafka.produce("other", "not asked for\n");
    until("it finds what is new", || {
        spout.advance(look);
        let read = reads(&mut spout, "it goes on", 0);
        ["new partition", "new topic"].iter().all(|new| read.iter().any(|it| it == new))
    });
    let read = reads(&mut spout, "it goes on", 0);
    assert!(!read.iter().any(|it| it == "not asked for"), "{read:?}");
    spout.close();
}

/// Writes lines to one partition.
fn kcat_to(kafka: &Kafka, topic: &str, partition: &str, lines: &str) {
    let file = kafka.certificate().with_file_name("lines");
    std::fs::write(&file, lines).unwrap();
    let file = file.display().to_string();
    kcat(&kafka.address(), &["-P", "-t", topic, "-p", partition, "-l", &file]);
}
