//! The analysis of the web log: what was viewed, by how many, and what is not as usual, while it happens.
//!
//! `squall submit .../weblog_analyse -- --kafka=HOST:PORT --redis=HOST:PORT --out=DIR`
//!
//! Lines of the topic `weblog` are read as hits. Sums of them go to Redis (`store.rs`), alerts to Redis
//! and the topic `weblog-alerts`, hits to rolling files below `--out`. A line that is none of a log becomes
//! a dead letter, which is counted and written to a file.

mod alerts;
mod gather;
mod hit;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use connectors::files::{FileFormat, FilesOut};
use connectors::kafka::{Brokers, KafkaIn, KafkaOut, KafkaRecord};
use connectors::redis::{Redis, RedisCommands};
use topology_api::prelude::*;
use topology_api::{DeadLetter, Replays, Stream};

use crate::alerts::{Alert, Alerts, Errors};
use crate::gather::{Gather, Seen, Views};
use crate::hit::Hit;

/// How often sums are passed on: what a hit waits for at most before it is stored.
const GATHER: Duration = Duration::from_millis(10);

/// How long a file is written before it is complete and seen.
const ROLL: Duration = Duration::from_secs(5);

/// What stands behind `--name=`.
fn value<'a>(args: &'a Args, name: &str) -> Result<&'a str, BuildError> {
    args.value(name).ok_or_else(|| {
        BuildError::new("weblog-analyse", format!("say --{name}=...: see the head of analyse.rs"))
    })
}

/// Sums of hits to Redis.
fn sums(t: &mut TopologyBuilder, redis: &Redis, hits: &Stream<Hit>) -> Result<(), BuildError> {
    let pages = t
        .explicit_bolt("pages", |_| Ok(Gather::<Views>::default()))
        .tick_every(GATHER)
        .fields(hits, |hit| &hit.page)
        .stream();
    RedisCommands::declare(t, "store-pages", redis, store::views)?.shuffle(&pages);
    let clients = t
        .explicit_bolt("clients", |_| Ok(Gather::<Seen>::default()))
        .tick_every(GATHER)
        .fields(hits, |hit| &hit.client)
        .stream();
    RedisCommands::declare(t, "store-sessions", redis, store::seen)?.shuffle(&clients);
    Ok(())
}

/// What is not as usual, to Redis and Kafka.
fn abnormal(
    t: &mut TopologyBuilder,
    (redis, brokers): (&Redis, &Brokers),
    hits: &Stream<Hit>,
) -> Result<(), BuildError> {
    let clients = t.bolt("clients-watch", |_| Alerts::default()).fields(hits, |hit| &hit.client);
    let pages = t.bolt("errors-watch", |_| Errors::default()).fields(hits, |hit| &hit.page);
    let alerts = [clients.stream(), pages.stream()];
    let [some, others] = &alerts;
    RedisCommands::declare(t, "store-alerts", redis, store::alert)?.shuffle(some).shuffle(others);
    KafkaOut::new(brokers.clone(), "weblog-alerts", Alert::to_json)
        .key(|alert| alert.who.as_str().to_owned())
        .declare(t, "tell-alerts")?
        .shuffle(some)
        .shuffle(others);
    Ok(())
}

fn analyse(args: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("weblog-analyse");
    let brokers = Brokers::new(value(args, "kafka")?);
    let redis = Redis::at(value(args, "redis")?);
    let out = std::path::PathBuf::from(value(args, "out")?);

    // A line that is none of a log will not become one: it fails twice and is a dead letter.
    let replays = Replays::default().attempts(2);
    let source = KafkaIn::new(brokers.clone(), "weblog-analyse").topics(["weblog"]);
    let (records, dead) = source.declare(&mut t, "kafka", replays)?;
    let records = records.parallelism(2).stream();
    let parse = |record: KafkaRecord| Ok::<_, topology_api::Error>(Hit::parse(record.text()?)?);
    let hits = t.try_map("parse", parse).local_or_shuffle(&records).stream();

    sums(&mut t, &redis, &hits)?;
    abnormal(&mut t, (&redis, &brokers), &hits)?;
    let line = |hit: &Hit, out: &mut Vec<u8>| {
        out.extend(format!("{} {} {} {}", hit.time, hit.client, hit.status, hit.page).bytes());
    };
    let files = FilesOut::new(out.join("hits"), FileFormat::lines(line)).max_age(ROLL);
    files.declare(&mut t, "files").shuffle(&hits);

    let count = |letter: &DeadLetter<KafkaRecord>| store::invalid(&letter.error);
    RedisCommands::declare(&mut t, "count-invalid", &redis, count)?.shuffle(&dead);
    let text = |letter: &DeadLetter<KafkaRecord>, out: &mut Vec<u8>| {
        out.extend_from_slice(letter.tuple.value.as_deref().unwrap_or_default());
    };
    let invalid = FilesOut::new(out.join("invalid"), FileFormat::lines(text)).max_age(ROLL);
    invalid.declare(&mut t, "invalid").shuffle(&dead);
    t.build()
}

fn main() -> ExitCode {
    worker::main(analyse)
}
