//! From a topic to a topic: values that are numbers are copied, others become dead letters.
//!
//! Arguments: `--brokers=ADDRESSES --in=TOPIC --out=TOPIC --dead=TOPIC --group=NAME [--member]`.

use std::time::Duration;

use connectors::kafka::{Brokers, KafkaIn, KafkaOut, KafkaRecord};
use topology_api::prelude::{Args, BuildError, Topology, TopologyBuilder};
use topology_api::{DeadLetter, Error, Replays};

/// The value as text, if it is a number.
fn number(record: &KafkaRecord) -> Result<(), Error> {
    record.text()?.parse::<u64>()?;
    Ok(())
}

pub(crate) fn copy(args: &Args) -> Result<Topology, BuildError> {
    let given = |name| args.value(name).unwrap_or_default();
    let brokers = Brokers::new(given("brokers"));
    let mut t = TopologyBuilder::new("copy");
    let mut input = KafkaIn::new(brokers.clone(), given("group"))
        .topics([given("in")])
        .commit_every(Duration::from_millis(200));
    if args.flag("member") {
        input = input.member();
    }
    let pause = Duration::from_millis(50);
    let replays = Replays::default().attempts(20).pauses(pause, Duration::from_secs(2));
    let (records, dead) = input.declare(&mut t, "in", replays)?;
    let records = records.parallelism(2).stream();
    let numbers = t
        .try_map("parse", |record: KafkaRecord| number(&record).map(|()| record))
        .parallelism(2)
        .shuffle(&records)
        .stream();
    KafkaOut::new(brokers.clone(), given("out"), |it: &KafkaRecord| {
        it.value.clone().unwrap_or_default()
    })
    .declare(&mut t, "out")?
    .parallelism(2)
    .shuffle(&numbers);
    KafkaOut::new(brokers, given("dead"), |it: &DeadLetter<KafkaRecord>| {
        it.tuple.value.clone().unwrap_or_default()
    })
    .declare(&mut t, "bury")?
    .shuffle(&dead);
    t.build()
}
