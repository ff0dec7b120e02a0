//! The client library alone: what a topology from Kafka to Kafka is held against by `bench/measure kafka`.
//!
//! `kafka_loop fill --brokers=HOST:PORT --topic=T --records=N`, `kafka_loop copy --brokers=HOST:PORT --in=T
//! --out=T --records=N`, `kafka_loop check --brokers=HOST:PORT --topic=T --records=N`
//!
//! `fill` writes words, of which few are most frequent, to a topic that it makes. `copy` does what
//! `examples/kafka_count.rs` does, in one loop on one thread: it reads the words, counts them, and writes the
//! newest count of each, with the settings that the connectors have. It keeps no offsets and replays
//! nothing. `check` fails unless a topic has exactly so many records.

#![expect(clippy::print_stdout, reason = "who runs it wants to know")]

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use connectors::kafka::Topics;
use krafka::consumer::{AutoOffsetReset, Consumer};
use krafka::producer::{Acks, DeliveryHandle, Producer};
use krafka::{Kafka, Record};
use topology_api::Args;

type Failure = Box<dyn Error + Send + Sync>;

/// Partitions of the topics.
const PARTITIONS: u32 = 4;

/// Different words.
const WORDS: u64 = 10_000;

/// Records on their way at most, as for a task of Kafka out.
const UNDER_WAY: usize = 8_192;

async fn producer(kafka: &Kafka) -> Result<Producer, Failure> {
    let building = kafka
        .producer()
        .acks(Acks::All)
        .idempotent(true)
        .batch_size(128 << 10)
        .linger(Duration::from_millis(5))
        .metrics_push(false)
        .build();
    Ok(building.await?)
}

async fn consumer(kafka: &Kafka, topic: &str) -> Result<Consumer, Failure> {
    let building = kafka
        .consumer_without_group()
        .enable_auto_commit(false)
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .fetch_max_bytes(1 << 20)
        .max_partition_fetch_bytes(1 << 20)
        .max_poll_records(65_536)
        .max_buffered_records(65_536)
        .metrics_push(false)
        .build();
    let consumer = building.await?;
    consumer.assign(topic, (0..i32::try_from(PARTITIONS)?).collect()).await?;
    Ok(consumer)
}

/// Waits until no more than so many are under way.
async fn settle(under_way: &mut VecDeque<DeliveryHandle>, most: usize) -> Result<(), Failure> {
    while under_way.len() > most {
        let Some(oldest) = under_way.pop_front() else { break };
        drop(oldest.await?);
    }
    Ok(())
}

async fn fill(kafka: &Kafka, topic: &str, records: u64) -> Result<(), Failure> {
    let producer = producer(kafka).await?;
    let mut under_way = VecDeque::new();
    let mut chance = 1_u64;
    for _ in 0..records {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Twice by chance below: small numbers are frequent.
        let below = (chance >> 33) % WORDS + 1;
        let word = (chance >> 13) % below;
        let record = Record::new(topic, format!("word-{word}"));
        under_way.push_back(producer.enqueue(record).await?);
        settle(&mut under_way, UNDER_WAY).await?;
    }
    settle(&mut under_way, 0).await?;
    producer.close().await?;
    Ok(())
}

async fn copy(kafka: &Kafka, (from, to): (&str, &str), records: u64) -> Result<(), Failure> {
    let (consumer, producer) = (consumer(kafka, from).await?, producer(kafka).await?);
    let mut counts: HashMap<Bytes, u64> = HashMap::new();
    let mut under_way = VecDeque::new();
    let mut read = 0;
    while read < records {
        for record in consumer.poll(Duration::from_millis(250)).await? {
            let word = record.value.unwrap_or_default();
            let count = counts.entry(word.clone()).or_default();
            *count += 1;
            let counted = Record::new(to, count.to_string()).key(word);
            under_way.push_back(producer.enqueue(counted).await?);
            settle(&mut under_way, UNDER_WAY).await?;
            read += 1;
        }
    }
    settle(&mut under_way, 0).await?;
    producer.close().await?;
    consumer.close().await?;
    Ok(())
}

async fn check(kafka: &Kafka, topic: &str, records: u64) -> Result<(), Failure> {
    let consumer = consumer(kafka, topic).await?;
    let mut found = 0;
    for partition in 0..i32::try_from(PARTITIONS)? {
        let (begin, end) = consumer.fetch_watermarks(topic, partition).await?;
        found += u64::try_from(end - begin)?;
    }
    consumer.close().await?;
    match found == records {
        true => Ok(()),
        false => Err(format!("`{topic}` has {found} records, not {records}").into()),
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let value = |name: &str| args.value(name).ok_or_else(|| format!("say --{name}=..."));
    let (brokers, records) = (value("brokers")?, value("records")?.parse()?);
    let command = args.files().first().map(|it| it.display().to_string()).unwrap_or_default();
    let made = match &*command {
        "fill" => Some(value("topic")?),
        "copy" => Some(value("out")?),
        _ => None,
    };
    made.map_or(Ok(()), |topic| Topics::new(brokers).make(topic, PARTITIONS))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let kafka = Kafka::builder(brokers).connect().await?;
        match &*command {
            "fill" => fill(&kafka, value("topic")?, records).await,
            "copy" => copy(&kafka, (value("in")?, value("out")?), records).await,
            "check" => check(&kafka, value("topic")?, records).await,
            other => Err(format!("`{other}` is not known: say fill, copy or check").into()),
        }
    })
}

fn main() -> ExitCode {
    match run(&Args::new(std::env::args().skip(1))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
