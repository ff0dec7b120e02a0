//! Commands out: what is acked, what fails, what waits.

use std::time::Duration;

use connectors::redis::{Command, RedisCommands};
use connectors::{Secret, Tls};
use tests::servers::RedisServer;
use tests::{Outcome, Signal, until};
use topology_api::testing::{BoltDriver, Setup};

use super::{Change, appends, change, redis_at, runtime, settled, turn, until_told};

#[test]
fn what_is_acked_was_done_in_the_order_of_the_tuples_and_in_few_round_trips() {
    let server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut bolt = appends(&redis_at(server.address()));
    for number in 0..1_000 {
        bolt.execute(change(&format!("list-{}", number % 3), number));
    }
    let (acked, failed) = settled(&mut bolt);
    assert_eq!((acked.len(), failed), (1_000, Vec::new()));
    for list in 0..3 {
        let there = server.list(&["lrange", &format!("list-{list}"), "0", "-1"]);
        let expected: Vec<String> =
            (0..1_000).filter(|it| it % 3 == list).map(|it| it.to_string()).collect();
        assert_eq!(there, expected, "list-{list}");
    }
    let stats = server.cli(&["info", "commandstats"]);
    let calls = |name: &str| {
        let line = stats.lines().find_map(|it| it.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|it| it.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    assert_eq!(calls("rpush"), 1_000, "nothing was done twice: {stats}");
    // The driver has 64 tuples under way at most.
    assert!(calls("exec") <= 250, "batches, not tuples: {stats}");
}

#[test]
fn what_the_server_refuses_fails_its_own_tuple_with_the_servers_words() {
    let server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    assert_eq!(server.cli(&["set", "text", "x"]), "OK");
    let redis = redis_at(server.address());
    let mut bolt = BoltDriver::asynchronous(Setup::new(), move |cx| {
        let run = |change: &Change| match change.key.as_str() {
            "nothing" => Vec::new(),
            "SELECT" => vec![Command::new("select").arg(1)],
            "NOSUCH" => vec![Command::new("NOSUCH").arg("x")],
            "HALF" => vec![Command::new("RPUSH").arg("list")],
            key => vec![Command::new("RPUSH").arg(key).arg(change.value.as_slice())],
        };
        RedisCommands::open(&redis, run, cx)
    })
    .unwrap();
    let bytes = Change { key: "list".into(), value: b"\r\n\0$5\r\n\xff".to_vec() };
    let tuples = [
        change("list", "before"),
        change("text", 1),
        change("NOSUCH", 2),
        change("HALF", 3),
        change("SELECT", 4),
        change("nothing", 5),
        bytes,
        change("list", "after"),
    ];
    let numbers: Vec<u32> = tuples.into_iter().map(|tuple| bolt.execute(tuple)).collect();
    let (mut acked, mut failed) = settled(&mut bolt);
    acked.sort_unstable();
    failed.sort_unstable();
    assert_eq!(acked, [numbers[0], numbers[5], numbers[6], numbers[7]]);
    let words = ["WRONGTYPE", "unknown command", "wrong number of arguments", "the connection"];
    assert_eq!(failed.len(), words.len(), "{failed:?}");
    for ((_, told), word) in failed.iter().zip(words) {
        assert!(told.contains(word), "`{told}` says `{word}`");
    }
    let list = server.list(&["--no-raw", "lrange", "list", "0", "-1"]);
    assert_eq!(list, ["1) \"before\"", "2) \"\\r\\n\\x00$5\\r\\n\\xff\"", "3) \"after\""]);
}

#[test]
fn what_the_server_cannot_do_now_waits_and_is_done_in_its_order() {
    let server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut bolt = appends(&redis_at(server.address()));
    let troubles = [
        ("OOM", ["config", "set", "maxmemory", "1"], ["config", "set", "maxmemory", "0"]),
        ("READONLY", ["replicaof", "127.0.0.1", "1", ""], ["replicaof", "no", "one", ""]),
    ];
    for (code, begin, end) in troubles {
        let run = |words: [&str; 4]| {
            let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
            assert_eq!(server.cli(&words), "OK", "{words:?}");
        };
        run(begin);
        for number in 0..50 {
            bolt.execute(change(code, number));
        }
        until_told(&mut bolt, &[code, "tried again"]);
        assert_eq!(bolt.held().len(), 50, "{code} fails nothing");
        run(end);
        assert_eq!(settled(&mut bolt), ((0..50).map(|it| it + bolt_base(code)).collect(), vec![]));
        let there = server.list(&["lrange", code, "0", "-1"]);
        assert_eq!(there, (0..50).map(|it| it.to_string()).collect::<Vec<_>>(), "{code}");
        let told = bolt.errors().iter().filter(|error| error.contains(code)).count();
        assert_eq!(told, 1, "{code} is told once");
    }
}

/// The number of the first tuple of a trouble.
fn bolt_base(code: &str) -> u32 {
    if code == "OOM" { 0 } else { 50 }
}

#[test]
fn a_server_that_hangs_or_is_killed_loses_nothing_and_keeps_the_order_of_each_key() {
    let mut server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let redis = redis_at(server.address()).response_timeout(Duration::from_millis(500));
    let mut bolt = appends(&redis);
    let mut given = 0;
    let mut give = |bolt: &mut BoltDriver<_, _>| {
        for _ in 0..40 {
            bolt.execute(change(&format!("key-{}", given % 4), given));
            given += 1;
        }
    };
    give(&mut bolt);
    settled(&mut bolt);
    for _ in 0..3 {
        give(&mut bolt);
        turn(&mut bolt);
        server.kill();
        until("the circuit sees it", || {
            turn(&mut bolt);
            bolt.counter("connection-failures") > 0
        });
        server.restart();
        assert!(settled(&mut bolt).1.is_empty(), "nothing fails for it");
        server.signal(Signal::SIGSTOP);
        give(&mut bolt);
        let failures = bolt.counter("connection-failures");
        until("what does not answer is taken for dead", || {
            turn(&mut bolt);
            bolt.counter("connection-failures") > failures
        });
        server.signal(Signal::SIGCONT);
        assert!(settled(&mut bolt).1.is_empty(), "nothing fails for it");
    }
    for key in 0..4_u64 {
        let there = server.list(&["lrange", &format!("key-{key}"), "0", "-1"]);
        assert_in_order(&there, (0..given as u64).filter(|it| it % 4 == key));
    }
    let told = bolt.errors().iter().filter(|it| it.contains("cannot be reached")).count() as u64;
    let tuples_in_trouble = 6 * 40;
    assert!(told >= 1 && told < tuples_in_trouble / 4, "not once a tuple: {:?}", bolt.errors());
}

/// Everything is there, and for the first time in order: what was done twice came back as a whole.
pub(super) fn assert_in_order(there: &[String], expected: impl Iterator<Item = u64>) {
    let mut firsts: Vec<u64> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for number in there.iter().map(|it| it.parse::<u64>().unwrap()) {
        if seen.insert(number) {
            firsts.push(number);
        }
    }
    assert_eq!(firsts, expected.collect::<Vec<_>>(), "the set, in the order of the tuples");
}

#[test]
fn over_tls_with_a_password_by_reference_in_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca");
    let ca = ca.to_str().unwrap();
    assert_eq!(Outcome::of(&["certs", "init", ca]).code, 0);
    assert_eq!(Outcome::of(&["certs", "issue", ca, "redis", "--host", "127.0.0.1"]).code, 0);
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong\n").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = |name: &str| format!("{ca}/{name}");
    let server = RedisServer::start_with(&[
        "--requirepass",
        "hunter2",
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &file("redis.pem"),
        "--tls-key-file",
        &file("redis-key.pem"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
    ]);
    let runtime = runtime();
    let _entered = runtime.enter();
    let at = format!("127.0.0.1:{port}");
    let redis = redis_at(&at).database(3).tls(Tls::authority(file("ca.pem")));
    let mut stranger = appends(&redis_at(&at).tls(Tls::system()));
    stranger.execute(change("list", 0));
    until_told(&mut stranger, &["option `tls`"]);

    let mut nobody = appends(&redis);
    nobody.execute(change("list", 0));
    until_told(&mut nobody, &["option `password`", "NOAUTH"]);

    let mut bolt = appends(&redis.password(Secret::File(password.clone())));
    bolt.execute(change("list", 1));
    until_told(&mut bolt, &["option `password`", "WRONGPASS"]);
    assert_eq!(bolt.held().len(), 1, "it waits for the right one");
    std::fs::write(&password, "hunter2\n").unwrap();
    assert_eq!(settled(&mut bolt), (vec![0], vec![]), "no new submission is needed");
    let asked = ["-a", "hunter2", "--no-auth-warning", "-n", "3", "lrange", "list", "0", "-1"];
    until("it is in the database", || server.list(&asked) == ["1"]);
    assert!(!format!("{:?}", bolt.errors()).contains("hunter2"), "{:?}", bolt.errors());
}
