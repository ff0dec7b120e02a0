//! Look-ups: what is asked, what is kept, and for how long.

use std::time::Duration;

use connectors::redis::{LookupOptions, Redis, RedisLookup};
use tests::servers::RedisServer;
use topology_api::testing::{BoltDriver, Setup};

use super::{Change, change, redis_at, runtime, settled, until_told};

fn looks_up(redis: &Redis, options: LookupOptions) -> BoltDriver<Change, Change> {
    let redis = redis.clone();
    BoltDriver::asynchronous(Setup::new(), move |cx| {
        let key = |change: &Change| change.key.as_bytes().to_vec();
        let join = |change: Change, found: Option<&[u8]>| {
            Some(Change { value: found.unwrap_or(b"nothing").to_vec(), ..change })
        };
        RedisLookup::open(&redis, &options, key, join, cx)
    })
    .unwrap()
}

fn asked(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["info", "commandstats"]);
    let line = stats.lines().find_map(|it| it.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|it| it.split(',').next()?.parse().ok()).unwrap_or(0)
}

#[test]
fn equal_questions_are_asked_once_until_the_answer_is_too_old() {
    let server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    assert_eq!(server.cli(&["hset", "colours", "sky", "blue", "sea", "green"]), "2");
    let options = LookupOptions::default().hash("colours").keep_for(Duration::from_secs(60));
    let mut bolt = looks_up(&redis_at(server.address()), options);
    for number in 0..300 {
        bolt.execute(change(["sky", "sea", "tree"][number % 3], number));
    }
    assert!(settled(&mut bolt).1.is_empty());
    let values: Vec<Change> = bolt.emitted();
    let expected =
        |at: usize| change(["sky", "sea", "tree"][at % 3], ["blue", "green", "nothing"][at % 3]);
    assert_eq!(values, (0..300).map(expected).collect::<Vec<_>>(), "in the order of the tuples");
    assert_eq!(asked(&server, "hget"), 3, "that there is nothing is an answer too");
    assert_eq!((bolt.counter("looked-up"), bolt.counter("found-in-cache")), (3, 297));

    assert_eq!(server.cli(&["hset", "colours", "sky", "grey"]), "0");
    bolt.execute(change("sky", 0));
    settled(&mut bolt);
    assert_eq!(bolt.emitted(), [change("sky", "blue")], "it is still good");
    bolt.advance(Duration::from_secs(60));
    bolt.execute(change("sky", 0));
    settled(&mut bolt);
    assert_eq!(bolt.emitted(), [change("sky", "grey")]);
}

#[test]
fn a_question_that_fails_fails_those_that_asked_and_an_absent_server_makes_them_wait() {
    let mut server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    assert_eq!(server.cli(&["rpush", "list", "1"]), "1");
    assert_eq!(server.cli(&["set", "text", "x"]), "OK");
    let mut bolt = looks_up(&redis_at(server.address()), LookupOptions::default().keep(0));
    for _ in 0..3 {
        bolt.execute(change("list", 0));
    }
    let (_, failed) = settled(&mut bolt);
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|(_, told)| told.contains("WRONGTYPE")), "{failed:?}");

    server.kill();
    for _ in 0..3 {
        bolt.execute(change("text", 0));
    }
    until_told(&mut bolt, &["cannot be reached"]);
    assert_eq!(bolt.held().len(), 3);
    server.restart();
    assert!(settled(&mut bolt).1.is_empty());
    assert_eq!(bolt.emitted(), vec![change("text", "x"); 3]);
}
