//! Redis: a real server, and `redis-cli` to look at what is there.

mod cluster;
mod commands;
mod lookup;
mod streams;
mod trouble;

use std::time::Duration;

use connectors::Retry;
use connectors::redis::{Command, Redis, RedisCommands};
use tests::until;
use topology_api::prelude::{NoOutput, Text, Tuple};
use topology_api::testing::{BoltDriver, Setup};

/// What a tuple of these tests is: a key, and what to do with it.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Change {
    key: Text,
    value: Vec<u8>,
}

fn change(key: &str, value: impl ToString) -> Change {
    Change { key: key.into(), value: value.to_string().into_bytes() }
}

/// A tokio runtime, as a worker has one.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A server that is tried again soon.
fn redis_at(address: impl Into<String>) -> Redis {
    Redis::at(address).retry(Retry::new(Duration::from_millis(5), Duration::from_millis(50)))
}

/// A bolt that appends values to lists.
fn appends(redis: &Redis) -> BoltDriver<Change, NoOutput> {
    let redis = redis.clone();
    let append =
        |change: &Change| [Command::new("RPUSH").arg(&change.key).arg(change.value.as_slice())];
    BoltDriver::asynchronous(Setup::new(), move |cx| RedisCommands::open(&redis, append, cx))
        .unwrap()
}

/// Lets a little time pass for a bolt, and looks.
fn turn<O: Tuple>(bolt: &mut BoltDriver<Change, O>) {
    bolt.advance(Duration::from_millis(1));
}

/// Waits until a bolt has settled all its tuples; gives the acked and the failed.
fn settled<O: Tuple>(bolt: &mut BoltDriver<Change, O>) -> (Vec<u32>, Vec<(u32, String)>) {
    until("all tuples are settled", || {
        turn(bolt);
        bolt.held().is_empty()
    });
    (bolt.acked(), bolt.failed())
}

/// Waits until a bolt has shown an error with all these words.
fn until_told<O: Tuple>(bolt: &mut BoltDriver<Change, O>, words: &[&str]) {
    until(&format!("the error says {words:?}"), || {
        turn(bolt);
        bolt.errors().iter().any(|error| words.iter().all(|word| error.contains(word)))
    });
}
