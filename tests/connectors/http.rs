//! HTTP out: a real server that writes down what it took, and is killed, stopped and told to refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use connectors::http::{Http, HttpOut, Request};
use connectors::{Retry, Secret, Tls};
use tests::servers::{Receiver, RedisServer};
use tests::{Cluster, Outcome, Signal, program, signal, until};
use topology_api::prelude::{NoOutput, Text, Tuple};
use topology_api::testing::{BoltDriver, Setup};

#[derive(Clone, Debug, Tuple)]
struct Number {
    path: Text,
    number: u64,
}

fn number(number: u64) -> Number {
    Number { path: "".into(), number }
}

fn http(address: &str) -> Http {
    let retry = Retry::new(Duration::from_millis(5), Duration::from_millis(50));
    Http::to(format!("http://{address}/in")).retry(retry)
}

fn sends(http: &Http) -> BoltDriver<Number, NoOutput> {
    let http = http.clone();
    BoltDriver::asynchronous(Setup::new(), move |cx| {
        let request = |it: &Number| match it.path.as_str() {
            path if path.starts_with("http") => Request::json(&it.number).url(path),
            path => Request::json(&it.number).path(path),
        };
        HttpOut::open(&http, request, cx)
    })
    .unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn turn(bolt: &mut BoltDriver<Number, NoOutput>) {
    bolt.advance(Duration::from_millis(1));
}

fn settled(bolt: &mut BoltDriver<Number, NoOutput>) -> (usize, Vec<(u32, String)>) {
    until("all tuples are settled", || {
        turn(bolt);
        bolt.held().is_empty()
    });
    (bolt.acked().len(), bolt.failed())
}

fn until_told(bolt: &mut BoltDriver<Number, NoOutput>, words: &[&str]) {
    until(&format!("the error says {words:?}"), || {
        turn(bolt);
        bolt.errors().iter().any(|error| words.iter().all(|word| error.contains(word)))
    });
}

#[test]
fn each_tuple_is_one_request_with_its_headers_and_a_key_of_its_own() {
    let receiver = Receiver::start();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let runtime = runtime();
    let _entered = runtime.enter();
    let http = http(&receiver.address()).method("PUT").header("X-From", "squall");
    let mut bolt = sends(&http.secret_header("Authorization", Secret::File(token.clone())));
    for n in 0..100 {
        bolt.execute(number(n));
    }
    bolt.execute(Number { path: "users/7?new=1".into(), number: 100 });
    assert_eq!(settled(&mut bolt), (101, vec![]));
    let received = receiver.received();
    let bodies: BTreeSet<u64> = received.iter().map(|it| it.body.parse().unwrap()).collect();
    assert_eq!((received.len(), bodies), (101, (0..101).collect()));
    let keys: BTreeSet<&str> = received.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys.len(), 101, "each has a key of its own");
    let others = ["application/json".to_owned(), "squall".to_owned()];
    assert!(received.iter().all(|it| it.authorization == "hunter2" && it.others == others));
    assert_eq!(received.iter().filter(|it| it.what == "PUT /in").count(), 100);
    assert!(received.iter().any(|it| it.what == "PUT /in/users/7?new=1"));

    // A new token needs no new submission.
    receiver.answers(Some("401\n\nwho are you"));
    std::fs::write(&token, "hunter3\n").unwrap();
    bolt.execute(number(0));
    let (acked, failed) = settled(&mut bolt);
    assert_eq!(acked, 0);
    assert!(
        failed[0].1.contains("401: who are you") && !failed[0].1.contains("hunter"),
        "{failed:?}"
    );
    let last: Vec<_> = receiver.received().into_iter().rev().take(2).collect();
    assert_eq!(last[0].authorization, "hunter3", "it was read again and tried once more");
    assert_eq!(last[1].authorization, "hunter2");
}

#[test]
fn what_passes_is_tried_again_with_the_same_key_and_what_does_not_fails_with_the_status() {
    let receiver = Receiver::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut bolt = sends(&http(&receiver.address()));
    receiver.answers(Some("503\n\nlater"));
    bolt.execute(number(1));
    until("it was tried three times", || {
        turn(&mut bolt);
        receiver.received().len() >= 3
    });
    receiver.answers(None);
    assert_eq!(settled(&mut bolt), (1, vec![]));
    let keys: BTreeSet<String> = receiver.received().into_iter().map(|it| it.key).collect();
    assert_eq!(keys.len(), 1, "all tries have one key");
    assert!(bolt.errors()[0].contains("503: later"), "{:?}", bolt.errors());

    let before = receiver.received().len();
    receiver.answers(Some("429\nRetry-After: 30\n\nslow down"));
    bolt.execute(number(2));
    until("it was asked to wait", || {
        turn(&mut bolt);
        receiver.received().len() > before
    });
    until("the answer was read", || {
        turn(&mut bolt);
        bolt.errors().iter().any(|it| it.contains("slow down"))
    });
    receiver.answers(None);
    for n in 3..50 {
        bolt.execute(number(n));
    }
    // The driver gives verdicts in the order of the tuples, so the receiver has to say it.
    until("others go on", || {
        turn(&mut bolt);
        let taken = receiver.received().into_iter().filter_map(|it| it.body.parse::<u64>().ok());
        taken.filter(|n| (3..50).contains(n)).collect::<BTreeSet<_>>().len() == 47
    });
    assert_eq!(receiver.received().iter().filter(|it| it.body == "2").count(), 1, "it waits");
    drop(bolt);

    let base = format!("http://{}/status", receiver.address());
    let mut bolt = sends(&Http::to(base));
    for status in ["200", "400", "302", "204", "404"] {
        bolt.execute(Number { path: status.into(), number: 0 });
    }
    bolt.execute(Number { path: "http://169.254.169.254/latest".into(), number: 0 });
    bolt.execute(Number { path: "../out".into(), number: 0 });
    let (acked, mut failed) = settled(&mut bolt);
    failed.sort_unstable();
    assert_eq!(acked, 2);
    let told = ["400: by path", "302", "404: by path", "option `hosts`", "leads out"];
    assert_eq!(failed.len(), told.len(), "{failed:?}");
    for ((_, text), word) in failed.iter().zip(told) {
        assert!(text.contains(word), "`{text}` says `{word}`");
    }
}

#[test]
fn batches_are_arrays_and_a_server_that_is_killed_or_hangs_loses_nothing() {
    let mut receiver = Receiver::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let quick = http(&receiver.address()).timeout(Duration::from_millis(300));
    let mut one = sends(&quick);
    let mut many = sends(&quick.clone().batch(20));
    let mut given = 0;
    for round in 0..4 {
        for _ in 0..30 {
            one.execute(number(given));
            many.execute(number(10_000 + given));
            given += 1;
        }
        turn(&mut one);
        if round % 2 == 0 {
            receiver.kill();
        } else {
            receiver.signal(Signal::SIGSTOP);
        }
        one.execute(number(given));
        many.execute(number(10_000 + given));
        given += 1;
        let before = (one.counter("tried-again"), many.counter("tried-again"));
        until("it is seen", || {
            turn(&mut one);
            turn(&mut many);
            one.counter("tried-again") > before.0 && many.counter("tried-again") > before.1
        });
        if round % 2 == 0 {
            receiver.restart();
        } else {
            receiver.signal(Signal::SIGCONT);
        }
        assert!(settled(&mut one).1.is_empty() && settled(&mut many).1.is_empty(), "round {round}");
    }
    let mut by_key: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut alone, mut in_arrays) = (BTreeSet::new(), Vec::new());
    for request in receiver.received() {
        by_key.entry(request.key).or_default().insert(request.body.clone());
        match request.body.parse::<u64>() {
            Ok(number) => drop(alone.insert(number)),
            Err(_) => {
                let array: Vec<u64> = serde_json::from_str(&request.body).unwrap();
                assert!(array.len() <= 20, "{array:?}");
                in_arrays.push(array);
            }
        }
    }
    assert_eq!(alone, (0..given).collect(), "each by itself");
    assert!(by_key.values().all(|bodies| bodies.len() == 1), "a key has one body: {by_key:?}");
    in_arrays.dedup();
    let flat: Vec<u64> = in_arrays.concat();
    assert_eq!(flat, (10_000..10_000 + given).collect::<Vec<_>>(), "batches follow each other");
    assert!(in_arrays.len() < 60, "many tuples a request: {}", in_arrays.len());
}

#[test]
fn over_tls_and_to_servers_of_another_kind() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    let ca = ca.to_str().unwrap();
    assert_eq!(Outcome::of(&["certs", "init", ca]).code, 0);
    assert_eq!(Outcome::of(&["certs", "issue", ca, "hook", "--host", "127.0.0.1"]).code, 0);
    let file = |name: &str| format!("{ca}/{name}");
    let receiver = Receiver::start_with(&[&file("hook.pem"), &file("hook-key.pem")]);
    let runtime = runtime();
    let _entered = runtime.enter();
    let https = Http::to(format!("https://{}/in", receiver.address()));
    let mut bolt = sends(&https.clone().tls(Tls::authority(file("ca.pem"))));
    bolt.execute(number(7));
    assert_eq!(settled(&mut bolt), (1, vec![]));
    assert_eq!(receiver.received()[0].body, "7");

    let mut stranger = sends(&https);
    stranger.execute(number(8));
    until_told(&mut stranger, &["no answer", &receiver.address(), "UnknownIssuer"]);
    assert_eq!(stranger.held().len(), 1, "it waits for a server that is known");

    let redis = RedisServer::start();
    let mut other = sends(&http(&redis.address()));
    other.execute(number(9));
    until_told(&mut other, &["no answer", &redis.address()]);
}

#[test]
fn a_worker_and_a_server_killed_during_load_lose_no_request_and_replays_have_their_keys() {
    const COUNT: u64 = 20_000;
    let mut receiver = Receiver::start();
    let cluster = Cluster::start(1, 2);
    let binary = program("piped");
    let address = format!("http://{}/in", receiver.address());
    let submit = ["submit", binary.to_str().unwrap(), "--workers", "2", "--", "http-out"];
    cluster.does(&[&submit[..], &[&address, &COUNT.to_string()]].concat());
    until("there is a load", || receiver.received().len() > 1_000);
    receiver.kill();
    receiver.restart();
    let (seen, before) = (receiver.received().len(), cluster.workers("http-out"));
    until("it goes on", || receiver.received().len() > seen);
    assert!(signal(before[0].0, Signal::SIGKILL), "the worker was there");
    cluster.until_finished("http-out");
    let received = receiver.received();
    let numbers: BTreeSet<u64> = received.iter().map(|it| it.body.parse().unwrap()).collect();
    assert_eq!(numbers, (0..COUNT).collect(), "each number was sent");
    let of_number = |it: &tests::servers::Received| it.key == format!("number-{}", it.body);
    assert!(received.iter().all(of_number), "by its key a server knows a replay again");
}
