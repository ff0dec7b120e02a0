//! From Kafka to Kafka: how often each value of a topic came so far, to another topic.
//!
//! `cargo run --release -p examples --features kafka --bin kafka_count -- --brokers=127.0.0.1:9092`
//!
//! Each record of the topic `words` gives one record of the topic `counts`: its value as the key, and how
//! often it came. Nothing else happens, so what it takes is what Kafka in and Kafka out take, and
//! `bench/measure kafka` measures it. `--in=TOPIC` and `--out=TOPIC` name other topics, `--group=NAME`
//! another group; with `--to-the-end` it ends when it has read what there is. Counts are kept in memory:
//! after the death of a worker they begin again.

use std::process::ExitCode;

use connectors::kafka::{Blob, Brokers, KafkaIn, KafkaOut, KafkaRecord};
use topology_api::Replays;
use topology_api::prelude::*;

/// How often a value came so far.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Count {
    value: Blob,
    count: u64,
}

fn counts(args: &Args) -> Result<Topology, BuildError> {
    let brokers = Brokers::new(args.value("brokers").unwrap_or("127.0.0.1:9092"));
    let (from, to) = (args.value("in").unwrap_or("words"), args.value("out").unwrap_or("counts"));
    let mut t = TopologyBuilder::new("kafka-count");

    let group = args.value("group").unwrap_or("kafka-count");
    let mut input = KafkaIn::new(brokers.clone(), group).topics([from]);
    if args.flag("to-the-end") {
        input = input.to_the_end();
    }
    // Who looks for dead letters finds them with `squall dead-letters`: nothing here fails by itself.
    let (records, _) = input.declare(&mut t, "words", Replays::default())?;
    let records = records.stream();

    let add = |count: &mut u64, record: KafkaRecord| {
        *count += 1;
        Count { value: record.value.unwrap_or_default(), count: *count }
    };
    let by_value = records.by(|record| &record.value);
    let counts = t.fold("count", by_value, || 0, add).stream();

    KafkaOut::new(brokers, to, |it: &Count| it.count.to_string())
        .key(|it| it.value.clone())
        .declare(&mut t, "counts")?
        .shuffle(&counts);
    t.build()
}

fn main() -> ExitCode {
    worker::main(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::BoltDriver;

    #[test]
    fn each_record_gives_how_often_its_value_came() {
        let topology = counts(&Args::default()).unwrap();
        let mut count = BoltDriver::<KafkaRecord, Count>::of(&topology, "count").unwrap();
        for word in ["a", "b", "a"] {
            count.execute(KafkaRecord::new("words", word));
        }
        let of = |value: &str, count| Count { value: value.into(), count };
        assert_eq!(count.emitted(), [of("a", 1), of("b", 1), of("a", 2)]);
    }
}
