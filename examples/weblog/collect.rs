//! The collector of the web log: follows the files of web servers and writes their lines to Kafka.
//!
//! `squall submit .../weblog_collect -- --logs=DIR --state=DIR --kafka=HOST:PORT`
//!
//! A line counts as read when Kafka has it: the position of its file moves then, so a collector that is
//! killed goes on from there.

use std::process::ExitCode;

use connectors::files::FilesIn;
use connectors::kafka::{Brokers, KafkaOut};
use topology_api::prelude::*;

/// What stands behind `--name=`.
fn value<'a>(args: &'a Args, name: &str) -> Result<&'a str, BuildError> {
    args.value(name).ok_or_else(|| {
        BuildError::new("weblog-collect", format!("say --{name}=...: see the head of collect.rs"))
    })
}

fn collect(args: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("weblog-collect");
    let logs =
        FilesIn::<Line>::new(value(args, "logs")?, "*.access.log*").state(value(args, "state")?);
    logs.check()?;
    let lines = t.spout("files", move |cx| logs.open(cx)).stream();
    let brokers = Brokers::new(value(args, "kafka")?);
    KafkaOut::new(brokers, "weblog", |line: &Line| line.text.as_str().to_owned())
        .declare(&mut t, "kafka")?
        .shuffle(&lines);
    t.build()
}

fn main() -> ExitCode {
    worker::main(collect)
}
