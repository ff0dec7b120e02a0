//! Lines over TCP: a record each.

use std::sync::Arc;

use daemon::accept::Protocol;
use topology_api::{Context, Error, Line, Tuple};

use super::framing::Framing;
use super::stream::{Limits, Read};
use crate::WrongOption;
use crate::buffer::BufferOptions;
use crate::intake::listen::{Listen, Server, serve};
use crate::intake::{PushSpout, tell_address};

/// Takes lines that are sent over TCP.
///
/// Nothing is answered: while there is no room nothing is read, so the sender waits.
///
/// ```
/// use connectors::push::LinesIn;
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("collect");
/// let lines = t.spout("sent", |cx| LinesIn::new("127.0.0.1:5170").lines(cx)).stream();
/// t.for_each("show", |line: Line| println!("{}", line.text)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct LinesIn {
    listen: Listen,
    limits: Limits,
}

impl LinesIn {
    /// Listens there, on `ip:port`, or the first free port of `ip:first-last`.
    #[must_use]
    pub fn new(listen: impl Into<Listen>) -> Self {
        Self { listen: listen.into(), limits: Limits::default() }
    }

    /// Keeps lines in a buffer on disk until they are processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.limits.buffer = Some(options);
        self
    }

    /// Sets how many bytes a line may have, 1 MiB unless this says otherwise; what is longer is cut.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.line_bytes = bytes;
        self
    }

    /// Sets how many lines may be without a verdict, 10 000 unless this says otherwise; then nothing
    /// more is read. With a buffer its size counts instead.
    #[must_use]
    pub fn pending_max(mut self, lines: usize) -> Self {
        self.limits.pending = lines;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.listen.check()?;
        self.limits.check("line_bytes_max")
    }

    /// Listens, with each line as a [`Line`]. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn lines(&self, cx: &Context) -> Result<PushSpout<Line>, Error> {
        self.records(cx, super::line_with_replacements)
    }

    /// Listens; `read` makes a tuple of each line. Lines that it refuses are counted and left out.
    ///
    /// # Errors
    ///
    /// A wrong option, a port that is taken, a buffer that cannot be read.
    pub fn records<T, F>(&self, cx: &Context, read: F) -> Result<PushSpout<T>, Error>
    where
        T: Tuple,
        F: Fn(&[u8]) -> Result<T, Error> + Send + Sync + 'static,
    {
        self.check()?;
        listening(&self.listen, &self.limits, cx, (Framing::Lines, Arc::new(read)))
    }
}

/// Listens for connections whose bytes are frames.
pub(super) fn listening<T: Tuple>(
    listen: &Listen,
    limits: &Limits,
    cx: &Context,
    (framing, read): (Framing, Read<T>),
) -> Result<PushSpout<T>, Error> {
    let (spout, streams) = limits.open(cx, framing, read)?;
    let (streams, listen) = (Arc::new(streams), listen.clone());
    let (server, address) = Server::start("lines-in", 1, async move |shutdown| {
        let asked = shutdown.clone();
        let bytes = Protocol::Bytes { open: listen.open };
        let each = move |connection| Arc::clone(&streams).serve(connection, asked.clone());
        serve(&listen, bytes, shutdown, each).await
    })?;
    tell_address(cx, address);
    Ok(spout.with_server(server))
}
