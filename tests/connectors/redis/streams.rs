//! Streams in: consumers, what they leave, and what becomes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use connectors::redis::{Redis, RedisStreams, StreamEntry, StreamOptions};
use tests::servers::RedisServer;
use tests::until;
use topology_api::testing::{Setup, SpoutDriver};
use topology_api::{FailReason, TopologyConfig};

use super::redis_at;

fn options() -> StreamOptions {
    StreamOptions::new(["in"], "squall").claim_after(Duration::from_millis(200))
}

fn open(redis: &Redis, options: &StreamOptions) -> SpoutDriver<StreamEntry> {
    let mut config = TopologyConfig::default();
    config.set("message_timeout", "100ms").unwrap();
    let (redis, options) = (redis.clone(), options.clone());
    let setup = Setup::new().config(config);
    SpoutDriver::with(setup, move |cx| RedisStreams::open(&redis, &options, cx)).unwrap()
}

/// Waits until a spout has emitted so many entries; gives their numbers.
fn taken(spout: &mut SpoutDriver<StreamEntry>, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    until(&format!("{count} entries come"), || {
        spout.advance(Duration::from_millis(20));
        let entries = spout.run().unwrap().into_iter();
        numbers.extend(entries.map(|it| it.text("number").unwrap().parse::<u64>().unwrap()));
        numbers.len() >= count
    });
    numbers
}

fn add(server: &RedisServer, numbers: std::ops::Range<u64>) {
    let script = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do redis.call('XADD', 'in', '*', 'number', i) end return 'OK'";
    let (first, last) = (numbers.start.to_string(), (numbers.end - 1).to_string());
    assert_eq!(server.cli(&["eval", script, "0", &first, &last]), "OK");
}

fn pending(server: &RedisServer) -> u64 {
    let said = server.list(&["xpending", "in", "squall"]);
    said.first().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn all(numbers: &[u64]) -> BTreeSet<u64> {
    numbers.iter().copied().collect()
}

#[test]
fn an_entry_is_acked_on_the_server_when_its_tuple_was_and_not_before() {
    let server = RedisServer::start();
    add(&server, 0..1_000);
    let mut spout =
        open(&redis_at(server.address()), &options().claim_after(Duration::from_secs(60)));
    let numbers = taken(&mut spout, 1_000);
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>(), "in the order of the stream");
    assert_eq!(pending(&server), 1_000);
    for number in 0..10 {
        spout.ack(number);
    }
    until("the server knows of ten", || pending(&server) == 990);
    spout.ack_all();
    until("the server knows of all", || pending(&server) == 0);
    assert_eq!(server.cli(&["xlen", "in"]), "1000", "entries stay until they are trimmed");
    until("it is counted", || spout.counter("xacked") == 1_000);
    assert!(spout.run().unwrap().is_empty(), "and none comes again");
}

#[test]
fn what_a_dead_consumer_left_is_claimed_and_who_comes_back_gets_its_own_again() {
    let server = RedisServer::start();
    add(&server, 0..30);
    assert_eq!(server.cli(&["xgroup", "create", "in", "squall", "0"]), "OK");
    // A client of others takes ten and is never heard of again.
    let dead = ["xreadgroup", "group", "squall", "dead", "count", "10", "streams", "in", ">"];
    assert!(server.cli(&dead).contains("number"));
    let redis = redis_at(server.address());
    let mut spout = open(&redis, &options());
    assert_eq!(all(&taken(&mut spout, 30)), (0..30).collect(), "the ten of the dead among them");
    assert_eq!(spout.counter("claimed"), 10);
    for number in 0..5 {
        spout.ack(number);
    }
    until("five are done", || pending(&server) == 25);
    drop(spout);

    let mut again = open(&redis, &options().claim_after(Duration::from_secs(60)));
    assert_eq!(taken(&mut again, 25).len(), 25, "at once, without waiting for a claim");
    assert_eq!(again.counter("come-again"), 25);
    again.ack_all();
    until("all are done", || pending(&server) == 0);
}

#[test]
fn an_entry_that_fails_for_good_or_was_deleted_does_not_stay_for_ever() {
    let server = RedisServer::start();
    add(&server, 0..3);
    let mut spout = open(&redis_at(server.address()), &options());
    taken(&mut spout, 3);
    spout.ack(0);
    spout.fail(1, FailReason::new("error", true));
    assert_eq!(taken(&mut spout, 1), [1], "it is claimed again");
    assert_eq!(server.cli(&["xtrim", "in", "maxlen", "0"]), "3");
    drop(spout);
    let mut again = open(&redis_at(server.address()), &options());
    until("what is gone is acked", || {
        again.run().unwrap();
        pending(&server) == 0
    });
    assert_eq!(again.counter("deleted-entries"), 2);
}

#[test]
fn a_server_that_is_killed_comes_back_without_loss_and_without_entries_that_stay() {
    let mut server = RedisServer::start();
    let mut spout =
        open(&redis_at(server.address()), &options().claim_after(Duration::from_secs(60)));
    let mut numbers = Vec::new();
    for round in 0..3_u64 {
        add(&server, round * 100..round * 100 + 100);
        numbers.extend(taken(&mut spout, 100));
        server.kill();
        // What was processed while nobody could be told is told later.
        spout.ack_all();
        server.restart();
    }
    add(&server, 300..301);
    numbers.extend(taken(&mut spout, 1));
    spout.ack_all();
    until("all are acked there", || {
        // The circuit of whoever tells the server may be open, and closes by the clock of the driver.
        spout.advance(Duration::from_millis(20));
        pending(&server) == 0
    });
    assert_eq!(numbers, (0..301).collect::<Vec<_>>(), "each once: the spout has lived");
}

#[test]
fn what_cannot_be_read_is_told_by_the_option_streams_and_a_group_that_goes_is_made_again() {
    let server = RedisServer::start();
    assert_eq!(server.cli(&["set", "in", "text"]), "OK");
    let mut spout = open(&redis_at(server.address()), &options());
    until("it is told", || {
        spout.run().unwrap();
        spout.errors().iter().any(|it| it.contains("option `streams`") && it.contains("`in`"))
    });
    assert_eq!(server.cli(&["del", "in"]), "1");
    add(&server, 0..5);
    taken(&mut spout, 5);
    spout.ack_all();
    until("five are done", || pending(&server) == 0);
    assert_eq!(server.cli(&["xgroup", "destroy", "in", "squall"]), "1");
    assert_eq!(all(&taken(&mut spout, 5)), (0..5).collect(), "from the beginning, as it was told");
    assert!(spout.errors().iter().any(|it| it.contains("NOGROUP")), "{:?}", spout.errors());
}
