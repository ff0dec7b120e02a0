//! Makes the topics of the pipeline: brokers mostly make none by themselves.
//!
//! `weblog_topics --kafka=HOST:PORT [--partitions=4] [--wait=60]`; waits so many seconds for the brokers.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use connectors::kafka::Topics;
use topology_api::{Args, Error};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);

fn make(args: &Args) -> Result<(), Error> {
    let topics = Topics::new(args.value("kafka").ok_or("say --kafka=HOST:PORT")?);
    let partitions = args.value("partitions").map_or(Ok(4), str::parse)?;
    let seconds: u32 = args.value("wait").map_or(Ok(60), str::parse)?;
    let made = || ["weblog", "weblog-alerts"].iter().try_for_each(|it| topics.make(it, partitions));
    let mut result = made();
    for _ in 0..seconds * 4 {
        if result.is_ok() {
            break;
        }
        std::thread::sleep(PAUSE);
        result = made();
    }
    result
}

fn main() -> ExitCode {
    match make(&Args::new(std::env::args().skip(1))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: no topics: {error}"));
            ExitCode::FAILURE
        }
    }
}
