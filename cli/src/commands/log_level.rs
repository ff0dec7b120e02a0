//! `squall log-level`: what the workers of a topology log, for a while.

use std::time::Duration;

use clap::Args;
use daemon::logging::LoggingError;
use proto::nimbus::LogLevelRequest;
use proto::supervisor::LogLevel as Level;

use crate::args::duration;
use crate::client::{request_id, unary};
use crate::commands::{Globals, topology_name};
use crate::error::Failure;

/// Flags of `squall log-level`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall log-level word-count info,word_count=debug\n  \
    squall log-level word-count trace --for 30s\n  \
    squall log-level word-count reset                  as it was at first")]
pub(crate) struct LogLevel {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// What is logged, as in `RUST_LOG`; `reset`: what was at first
    #[arg(value_parser = filter)]
    filter: String,
    /// For how long, also by workers that are started meanwhile; `0s`: until it is changed again
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "10m")]
    time: Duration,
}

fn filter(text: &str) -> Result<String, String> {
    if text == "reset" {
        return Ok(String::new());
    }
    daemon::logging::check(text).map_err(|error| match error {
        // It speaks of RUST_LOG, which nobody gave.
        LoggingError::Filter { reason, .. } => {
            format!("not a log filter ({reason}); write for example info,my_topology=debug")
        }
        other @ LoggingError::AlreadySet => other.to_string(),
    })?;
    Ok(text.to_owned())
}

/// Has nimbus tell the workers.
pub(crate) async fn run(asked: LogLevel, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot change what `{}` logs", asked.name);
    let for_ms = u64::try_from(asked.time.as_millis()).unwrap_or(u64::MAX);
    let level = Some(Level { filter: asked.filter, for_ms });
    let request = LogLevelRequest { name: asked.name, level, request_id: request_id() };
    let done = globals
        .client()
        .call(&what, async |mut nimbus| nimbus.set_log_level(unary(request.clone())).await)
        .await?;
    globals.show_done(&done)
}
