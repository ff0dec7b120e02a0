//! Standard input, a line a record: for topologies that are run by hand.

use std::sync::Arc;

use topology_api::{Context, Error, Line, Tuple};

use super::framing::Framing;
use super::stream::Limits;
use crate::WrongOption;
use crate::intake::PushSpout;
use crate::intake::listen::Server;

/// The environment variable that makes a binary a worker, with this value.
const WORKER: (&str, &str) = ("SQUALL_MODE", "worker");

/// Takes the lines of standard input; the spout is finished at its end.
///
/// Only where a topology is run by hand: a worker of a cluster has no standard input, and one task can
/// read it.
///
/// ```
/// use connectors::push::StdinIn;
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("filter");
/// let lines = t.spout("input", |cx| StdinIn::new().lines(cx)).stream();
/// t.for_each("show", |line: Line| println!("{}", line.text)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StdinIn {
    limits: Limits,
}

impl StdinIn {
    /// Reads standard input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many bytes a line may have, 1 MiB unless this says otherwise; what is longer is cut.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.line_bytes = bytes;
        self
    }

    /// Reads, with each line as a [`Line`]. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn lines(&self, cx: &Context) -> Result<PushSpout<Line>, Error> {
        self.records(cx, super::line_with_replacements)
    }

    /// Reads; `read` makes a tuple of each line. Lines that it refuses are counted and left out.
    ///
    /// # Errors
    ///
    /// More than one task, or a worker of a cluster.
    pub fn records<T, F>(&self, cx: &Context, read: F) -> Result<PushSpout<T>, Error>
    where
        T: Tuple,
        F: Fn(&[u8]) -> Result<T, Error> + Send + Sync + 'static,
    {
        self.limits.check("line_bytes_max")?;
        if cx.task_count() > 1 {
            let fix = "declare it without `.parallelism(..)`";
            let why = "standard input can be read by one task";
            return Err(WrongOption::new("parallelism", cx.task_count(), why, fix).into());
        }
        if std::env::var_os(WORKER.0).is_some_and(|mode| mode == WORKER.1) {
            return Err("standard input is for topologies that are run by hand: a worker of a \
                        cluster has none; use `CommandIn`, `LinesIn` or `HttpIn` there"
                .into());
        }
        let (spout, streams) = self.limits.open(cx, Framing::Lines, Arc::new(read))?;
        let (server, ()) = Server::start("stdin-in", 1, async move |shutdown| {
            shutdown.spawn_until_asked(async move {
                // An input that cannot be read has ended.
                if let Err(error) = streams.read_all(tokio::io::stdin()).await {
                    streams.cx.report_error(&format!("standard input: {error}"));
                }
                streams.intake.finish();
            });
            Ok(())
        })?;
        Ok(spout.with_server(server))
    }
}
