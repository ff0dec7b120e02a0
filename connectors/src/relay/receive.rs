//! The spout that receives what another topology relays.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use daemon::Shutdown;
use daemon::accept::Protocol;
use daemon::tls::Connection;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::mpsc;
use tokio::time::timeout;
use topology_api::{Context, Error, Tuple};

use super::outgoing::BATCH_RECORDS_MAX;
use super::wire::{Frame, VERSION, read};
use crate::WrongOption;
use crate::buffer::{BufferOptions, NotStored};
use crate::intake::listen::{Listen, Server, serve};
use crate::intake::queue::{Intake, Refused, Verdict};
use crate::intake::{PushSpout, tell_address};

/// How long the first frame may take.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// After how long without a frame, pings among them, a sender counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Receives what the [`RelayOut`](super::RelayOut)s of other topologies send.
///
/// The sender's tuple is acked when it and all that came of it was processed here, or, with a buffer,
/// when it is safe in it.
///
/// ```
/// use connectors::relay::RelayIn;
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("analyse");
/// let lines = t.spout("relayed", |cx| RelayIn::new("127.0.0.1:6800").open::<Line>(cx)).stream();
/// t.for_each("show", |line: Line| println!("{}", line.text)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct RelayIn {
    listen: Listen,
    buffer: Option<BufferOptions>,
    pending: usize,
}

impl RelayIn {
    /// Listens there, on `ip:port`, or the first free port of `ip:first-last`.
    #[must_use]
    pub fn new(listen: impl Into<Listen>) -> Self {
        Self { listen: listen.into(), buffer: None, pending: 10_000 }
    }

    /// Acks the sender when records are safe in a buffer, instead of when they were processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.buffer = Some(options);
        self
    }

    /// Sets how many records may be without a verdict, of all senders and of each, 10 000 unless this
    /// says otherwise; then they wait.
    #[must_use]
    pub fn pending_max(mut self, records: usize) -> Self {
        self.pending = records;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.listen.check()?;
        if self.listen.open {
            let (why, fix) = ("a relay takes tuples from known senders", "leave `open()` out");
            return Err(WrongOption::new("open", &self.listen.address, why, fix));
        }
        if self.pending < BATCH_RECORDS_MAX || u32::try_from(self.pending).is_err() {
            let why = format!("a batch has up to {BATCH_RECORDS_MAX} records");
            let fix = "give at least that, and less than 4 billion";
            return Err(WrongOption::new("pending_max", self.pending, why, fix));
        }
        self.buffer.as_ref().map_or(Ok(()), BufferOptions::check)
    }

    /// Listens.
    ///
    /// # Errors
    ///
    /// A wrong option, a port that is taken, a buffer that cannot be read.
    pub fn open<T: Tuple>(&self, cx: &Context) -> Result<PushSpout<T>, Error> {
        self.check()?;
        let (spout, intake) = PushSpout::open(self.pending, self.buffer.as_ref(), cx)?;
        let schema = T::schema().to_string();
        let receiver = Receiver { intake, schema, credit: self.pending as u32, cx: cx.clone() };
        let (receiver, listen) = (Arc::new(receiver), self.listen.clone());
        let (server, address) = Server::start("relay-in", 1, async move |shutdown| {
            let asked = shutdown.clone();
            let bytes = Protocol::Bytes { open: false };
            let each = move |connection| Arc::clone(&receiver).serve(connection, asked.clone());
            serve(&listen, bytes, shutdown, each).await
        })?;
        tell_address(cx, address);
        Ok(spout.with_server(server))
    }
}

/// What all connections share.
struct Receiver<T> {
    intake: Intake<T>,
    schema: String,
    credit: u32,
    cx: Context,
}

impl<T: Tuple> Receiver<T> {
    async fn serve(self: Arc<Self>, connection: Connection, shutdown: Shutdown) {
        let (peer, verdicts) = (connection.peer(), shutdown.child());
        tokio::select! {
            served = self.receive(connection, &verdicts) => if let Err(why) = served {
                self.cx.report_error(&format!("relay from {peer}: {why}"));
            },
            () = shutdown.asked() => {}
        }
        // Nobody is left to hear of them.
        verdicts.ask();
    }

    async fn receive(
        self: &Arc<Self>,
        connection: Connection,
        waiting: &Shutdown,
    ) -> io::Result<()> {
        let (mut from, mut to) = split(connection);
        if !self.greet(&mut from, &mut to).await? {
            return Ok(());
        }
        let (verdicts, outgoing) = mpsc::channel(self.credit as usize);
        let written = write(to, outgoing);
        let taken = self.take_all(&mut from, verdicts, waiting);
        // Who cannot be told need not be heard.
        tokio::select! {
            taken = taken => taken,
            () = written => Ok(()),
        }
    }

    /// Answers the hello; tells whether to go on.
    async fn greet(
        &self,
        from: &mut ReadHalf<Connection>,
        to: &mut WriteHalf<Connection>,
    ) -> io::Result<bool> {
        let mut payload = Vec::new();
        let hello = timeout(HELLO_TIME, read(from, &mut payload)).await;
        let Some(kind) = hello.map_err(|_| wrong("it said nothing"))?? else { return Ok(false) };
        let Some(Frame::Hello { version, schema }) = Frame::decode(kind, &payload) else {
            return Err(wrong("it does not speak as a relay does"));
        };
        let why = if version != VERSION {
            format!("it speaks version {version} and this end {VERSION}: run the same release")
        } else if schema != self.schema {
            format!("it sends {schema} and this end takes {}", self.schema)
        } else {
            let mut bytes = Vec::new();
            Frame::Welcome { credit: self.credit }.encode(&mut bytes);
            to.write_all(&bytes).await?;
            return Ok(true);
        };
        let mut bytes = Vec::new();
        Frame::Refused { why: &why }.encode(&mut bytes);
        to.write_all(&bytes).await?;
        to.shutdown().await?;
        Err(wrong(&why))
    }

    /// Takes batches until the sender goes.
    async fn take_all(
        self: &Arc<Self>,
        from: &mut ReadHalf<Connection>,
        verdicts: mpsc::Sender<Vec<u8>>,
        waiting: &Shutdown,
    ) -> io::Result<()> {
        let mut payload = Vec::new();
        loop {
            let frame = timeout(SILENCE_MAX, read(from, &mut payload)).await;
            let Some(kind) = frame.map_err(|_| wrong("it fell silent"))?? else { return Ok(()) };
            match Frame::decode(kind, &payload) {
                Some(Frame::Ping) => {
                    let mut bytes = Vec::new();
                    Frame::Pong.encode(&mut bytes);
                    // The writer ends the connection if it cannot go on.
                    verdicts.send(bytes).await.ok();
                }
                Some(Frame::Batch { number, count, rows }) => {
                    let tuples = tuples::<T>(count, rows).map_err(|why| wrong(&why))?;
                    // A queue that waits for room leaves what follows where it is.
                    let verdict = match self.intake.enter(tuples).await {
                        Ok(verdict) => verdict,
                        Err(Refused::NotStored(why)) => {
                            verdicts.send(not_stored(number, count, &why)).await.ok();
                            continue;
                        }
                        // It is sent again to whoever takes the place of this task.
                        Err(Refused::Ended | Refused::Full | Refused::Inactive) => return Ok(()),
                    };
                    let verdicts = verdicts.clone();
                    waiting.spawn_until_asked(async move {
                        if let Some(bytes) = Self::verdict(number, count, verdict).await {
                            verdicts.send(bytes).await.ok();
                        }
                    });
                }
                _ => return Err(wrong("it does not speak as a relay does")),
            }
        }
    }

    /// Says what became of a batch; nothing if that will never be known, so that it is sent again.
    async fn verdict(number: u64, count: u32, verdict: Verdict) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match verdict.wait().await {
            Ok(failed) => {
                let why = failed.first().map_or("", |(_, reason)| reason);
                let failed = failed.iter().map(|(at, _)| *at as u32).collect();
                Frame::Verdict { number, failed, why }.encode(&mut bytes);
            }
            Err(Refused::NotStored(why)) => return Some(not_stored(number, count, &why)),
            Err(Refused::Ended | Refused::Full | Refused::Inactive) => return None,
        }
        Some(bytes)
    }
}

/// The verdict of a batch that the buffer does not take: the sender has it replayed.
fn not_stored(number: u64, count: u32, why: &NotStored) -> Vec<u8> {
    let (failed, why, mut bytes) = ((0..count).collect(), why.to_string(), Vec::new());
    Frame::Verdict { number, failed, why: &why }.encode(&mut bytes);
    bytes
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Reads the rows of a batch.
fn tuples<T: Tuple>(count: u32, mut rows: &[u8]) -> Result<Vec<T>, String> {
    if count as usize > BATCH_RECORDS_MAX {
        return Err(format!("a batch of {count} records is too large"));
    }
    let mut tuples = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let tuple = T::decode(&mut rows).map_err(|error| format!("a row is damaged: {error}"))?;
        tuples.push(tuple);
    }
    if rows.is_empty() { Ok(tuples) } else { Err("a batch has more than its rows".to_owned()) }
}

/// Writes what there is to say, as much as there is together.
async fn write(mut to: WriteHalf<Connection>, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut bytes) = outgoing.recv().await {
        while let Ok(more) = outgoing.try_recv() {
            bytes.extend_from_slice(&more);
        }
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
