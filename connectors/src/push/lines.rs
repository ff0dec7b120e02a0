//! Lines over TCP: a record each.

use std::path::Path;
use std::sync::Arc;

use daemon::accept::Protocol;
use topology_api::{Context, Error, Line, Tuple};

use super::framing::Framing;
use super::stream::{Counts, Read, Streams, TOGETHER};
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
    pub(super) listen: Listen,
    pub(super) buffer: Option<BufferOptions>,
    pub(super) line_bytes: usize,
    pub(super) pending: usize,
}

impl LinesIn {
    /// Listens on `ip:port`, or the first free port of `ip:first-last`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        let listen = Listen::new(address);
        Self { listen, buffer: None, line_bytes: 1 << 20, pending: 10_000 }
    }

    /// Speaks TLS with the certificate, the key and the authorities in these files; who shows no
    /// certificate of theirs is turned away, unless [`open`](Self::open) says otherwise.
    #[must_use]
    pub fn tls(
        mut self,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
        ca: impl AsRef<Path>,
    ) -> Self {
        self.listen.tls([cert.as_ref(), key.as_ref(), ca.as_ref()]);
        self
    }

    /// Lets in who shows no certificate too, where there is TLS.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.listen.open = true;
        self
    }

    /// Allows an address that other machines reach without TLS: the network is trusted.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.listen.insecure = true;
        self
    }

    /// Keeps lines in a buffer on disk until they are processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.buffer = Some(options);
        self
    }

    /// Sets how many bytes a line may have, 1 MiB unless this says otherwise; what is longer is cut.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes = bytes;
        self
    }

    /// Sets how many lines may be without a verdict, 10 000 unless this says otherwise; then nothing
    /// more is read. With a buffer its size counts instead.
    #[must_use]
    pub fn pending_max(mut self, lines: usize) -> Self {
        self.pending = lines;
        self
    }

    /// Sets how many may be connected at a time, 1024 unless this says otherwise; more wait.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.listen.connections = connections;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.listen.check()?;
        check_line_bytes("line_bytes_max", self.line_bytes)?;
        check_pending(self.pending)?;
        self.buffer.as_ref().map_or(Ok(()), BufferOptions::check)
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
        self.open_framed(cx, Framing::Lines, Arc::new(read))
    }

    pub(super) fn open_framed<T: Tuple>(
        &self,
        cx: &Context,
        framing: Framing,
        read: Read<T>,
    ) -> Result<PushSpout<T>, Error> {
        let (spout, intake) = PushSpout::open(self.pending, self.buffer.as_ref(), cx)?;
        let counts = Counts::new(cx);
        let bytes_max = self.line_bytes;
        let streams = Streams { framing, bytes_max, intake, read, counts, cx: cx.clone() };
        let (streams, listen) = (Arc::new(streams), self.listen.clone());
        let (server, address) = Server::start("lines-in", 1, async move |shutdown| {
            let asked = shutdown.clone();
            let bytes = Protocol::Bytes { open: listen.open };
            let each = move |connection| Arc::clone(&streams).serve(connection, asked.clone());
            serve(&listen, bytes, shutdown, each).await
        })?;
        tell_address(cx, address);
        Ok(spout.with_server(server))
    }
}

pub(super) fn check_line_bytes(option: &'static str, bytes: usize) -> Result<(), WrongOption> {
    if (1..=64 << 20).contains(&bytes) {
        return Ok(());
    }
    Err(WrongOption::new(
        option,
        bytes,
        "it is not between 1 byte and 64 MiB",
        "choose less, or more",
    ))
}

pub(super) fn check_pending(records: usize) -> Result<(), WrongOption> {
    if records >= TOGETHER {
        return Ok(());
    }
    let why = format!("up to {TOGETHER} records are handed over together");
    Err(WrongOption::new("pending_max", records, why, "raise it to at least that"))
}
