//! Topologies around Redis.
//!
//! `redis-out COUNT KEYS ADDRESS...`: each address has a spout of its own, which counts to COUNT over
//! KEYS keys, and a bolt that appends each number to the list of its key. `redis-through ADDRESS`: the
//! stream `in` to the set `out`, one number an entry; entries without one are dead letters, whose ids
//! end up in the set `dead`.

use std::time::Duration;

use connectors::Retry;
use connectors::redis::{Command, Redis, RedisCommands, RedisStreams, StreamEntry, StreamOptions};
use topology_api::prelude::{
    Args, BuildError, FailReason, Next, Spout, SpoutOutput, SpoutResult, Text, Topology,
    TopologyBuilder, Tuple,
};
use topology_api::{DeadLetter, Replays};

/// A number that belongs to a key.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Change {
    key: Text,
    pub(crate) number: u64,
}

/// Counts, over some keys in turn; what fails comes again.
pub(crate) struct Changes {
    next: u64,
    count: u64,
    keys: u64,
    again: Vec<u64>,
}

impl Changes {
    pub(crate) fn new(count: u64, keys: u64) -> Self {
        Self { next: 0, count, keys, again: Vec::new() }
    }
}

impl Spout for Changes {
    type Output = Change;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Change, u64>) -> SpoutResult {
        let number = match self.again.pop() {
            Some(number) => number,
            None if self.next == self.count => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(number, Change { key: format!("key-{}", number % self.keys).into(), number });
        Ok(Next::Emitted)
    }

    fn fail(&mut self, number: u64, _: FailReason) {
        self.again.push(number);
    }
}

pub(crate) fn wrong(error: impl ToString) -> BuildError {
    BuildError::new("piped", error.to_string())
}

fn redis(address: &str) -> Redis {
    let retry = Retry::new(Duration::from_millis(20), Duration::from_millis(200));
    Redis::at(address).retry(retry)
}

/// Lists of numbers by key.
pub(crate) fn out(args: &Args) -> Result<Topology, BuildError> {
    let words: Vec<&str> = args.iter().skip(1).collect();
    let [count, keys, addresses @ ..] = words.as_slice() else {
        return Err(wrong("say how many, of how many keys, and to which servers"));
    };
    let count: u64 = count.parse().map_err(wrong)?;
    let keys: u64 = keys.parse().map_err(wrong)?;
    let mut t = TopologyBuilder::new("redis-out");
    t.config("message_timeout", "120s").map_err(wrong)?;
    for (at, address) in addresses.iter().enumerate() {
        let spout = move |_: &_| Changes::new(count, keys);
        let changes = t.spout(&format!("changes-{at}"), spout).stream();
        let append = |change: &Change| [Command::new("RPUSH").arg(&change.key).arg(change.number)];
        RedisCommands::declare(&mut t, &format!("append-{at}"), &redis(address), append)
            .map_err(wrong)?
            .parallelism(2)
            .fields(&changes, |change| &change.key);
    }
    t.build()
}

/// A stream to a set.
pub(crate) fn through(args: &Args) -> Result<Topology, BuildError> {
    let address = args.iter().nth(1).ok_or_else(|| wrong("say where the server is"))?;
    let redis = redis(address);
    let mut t = TopologyBuilder::new("redis-through");
    t.config("message_timeout", "20s").map_err(wrong)?;
    let options = StreamOptions::new(["in"], "squall").claim_after(Duration::from_secs(25));
    let replays = Replays::default().attempts(2);
    let (entries, dead) =
        RedisStreams::declare(&mut t, "in", &redis, &options, replays).map_err(wrong)?;
    let entries = entries.parallelism(2).stream();
    let numbers = t
        .try_map("parse", |entry: StreamEntry| match entry.text("number") {
            Some(text) => text.parse().map(|number| Change { key: "out".into(), number }),
            None => "no number".parse::<u64>().map(|number| Change { key: "out".into(), number }),
        })
        .shuffle(&entries)
        .stream();
    let keep = |change: &Change| [Command::new("SADD").arg(&change.key).arg(change.number)];
    RedisCommands::declare(&mut t, "out", &redis, keep).map_err(wrong)?.shuffle(&numbers);
    let bury =
        |letter: &DeadLetter<StreamEntry>| [Command::new("SADD").arg("dead").arg(&letter.tuple.id)];
    RedisCommands::declare(&mut t, "bury", &redis, bury).map_err(wrong)?.shuffle(&dead);
    t.build()
}
