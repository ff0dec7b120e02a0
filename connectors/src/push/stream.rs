//! Serves connections whose bytes are frames, for lines and syslog: reads, takes apart, hands over.

use std::io;
use std::sync::Arc;

use daemon::Shutdown;
use daemon::tls::Connection;
use tokio::io::{AsyncRead, AsyncReadExt};
use topology_api::{Context, Counter, Error, Tuple};

use super::framing::{Frames, Framing};
use crate::WrongOption;
use crate::buffer::BufferOptions;
use crate::intake::PushSpout;
use crate::intake::queue::{Intake, Refused};

/// How many bytes are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Most records that are handed over together.
pub(super) const TOGETHER: usize = 256;

/// What can be set of all that reads frames.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) buffer: Option<BufferOptions>,
    pub(super) line_bytes: usize,
    pub(super) pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { buffer: None, line_bytes: 1 << 20, pending: 10_000 }
    }
}

impl Limits {
    /// Looks whether they make sense; `line_bytes` is what the length of a frame is called.
    pub(super) fn check(&self, line_bytes: &'static str) -> Result<(), WrongOption> {
        if !(1..=64 << 20).contains(&self.line_bytes) {
            let (why, fix) = ("it is not between 1 byte and 64 MiB", "choose less, or more");
            return Err(WrongOption::new(line_bytes, self.line_bytes, why, fix));
        }
        if self.pending < TOGETHER {
            let why = format!("up to {TOGETHER} records are handed over together");
            let fix = "raise it to at least that";
            return Err(WrongOption::new("pending_max", self.pending, why, fix));
        }
        self.buffer.as_ref().map_or(Ok(()), BufferOptions::check)
    }

    /// Makes a spout and what feeds it.
    pub(super) fn open<T: Tuple>(
        &self,
        cx: &Context,
        framing: Framing,
        read: Read<T>,
    ) -> Result<(PushSpout<T>, Streams<T>), Error> {
        let (spout, intake) = PushSpout::open(self.pending, self.buffer.as_ref(), cx)?;
        let (counts, bytes_max) = (Counts::new(cx), self.line_bytes);
        Ok((spout, Streams { framing, bytes_max, intake, read, counts, cx: cx.clone() }))
    }
}

/// Makes a tuple of a frame.
pub(super) type Read<T> = Arc<dyn Fn(&[u8]) -> Result<T, Error> + Send + Sync>;

/// Reads streams of frames.
pub(super) struct Streams<T> {
    framing: Framing,
    pub(super) bytes_max: usize,
    pub(super) intake: Intake<T>,
    read: Read<T>,
    pub(super) counts: Counts,
    pub(super) cx: Context,
}

/// What is counted of frames.
#[derive(Clone)]
pub(super) struct Counts {
    /// Refused by who makes tuples of them, and left out.
    pub(super) unreadable: Counter,
    /// Longer than allowed.
    pub(super) cut: Counter,
    /// Made tuples of.
    pub(super) taken: Counter,
}

impl Counts {
    fn new(cx: &Context) -> Self {
        Self {
            unreadable: cx.counter("unreadable"),
            cut: cx.counter("cut"),
            taken: cx.counter("taken"),
        }
    }
}

impl<T: Tuple> Streams<T> {
    /// Reads a connection to its end, or until the task ends.
    pub(super) async fn serve(self: Arc<Self>, connection: Connection, shutdown: Shutdown) {
        tokio::select! {
            // Who broke off has sent what it has sent.
            _ = self.read_all(connection) => {}
            () = shutdown.asked() => {}
        }
    }

    /// Reads to the end. While there is no room nothing is read, so the sender waits.
    pub(super) async fn read_all(&self, mut from: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut frames = Frames::new(self.framing, self.bytes_max);
        let (mut bytes, mut tuples) = (vec![0; READ_BYTES], Vec::new());
        loop {
            let read = from.read(&mut bytes).await;
            let length = *read.as_ref().unwrap_or(&0);
            if length == 0 {
                frames.end(|frame| self.take(frame, &mut tuples));
            } else {
                frames.push(&bytes[..length], |frame| self.take(frame, &mut tuples));
            }
            self.counts.cut.add(std::mem::take(&mut frames.cut));
            while !tuples.is_empty() {
                let rest = tuples.split_off(tuples.len().min(TOGETHER));
                let together = std::mem::replace(&mut tuples, rest);
                if !self.hand_over(together).await {
                    return Ok(());
                }
            }
            if length == 0 {
                return read.map(|_| ());
            }
        }
    }

    /// Hands records over; tells whether there is anybody to take more.
    pub(super) async fn hand_over(&self, tuples: Vec<T>) -> bool {
        let count = tuples.len();
        match self.intake.hand_over(tuples).await {
            Ok(()) => true,
            Err(Refused::Ended) => false,
            Err(Refused::NotStored(why)) => {
                self.cx.count("lost", count as u64);
                self.cx.report_error(&format!("{count} records are lost: {why}"));
                !matches!(why, crate::buffer::NotStored::Closed)
            }
            Err(Refused::Full | Refused::Inactive) => false,
        }
    }

    pub(super) fn take(&self, frame: &[u8], tuples: &mut Vec<T>) {
        match (self.read)(frame) {
            Ok(tuple) => {
                self.counts.taken.add(1);
                tuples.push(tuple);
            }
            Err(error) => {
                self.counts.unreadable.add(1);
                if self.counts.unreadable.get() == 1 {
                    let text = format!("a record is left out, and those like it: {error}");
                    self.cx.report_error(&text);
                }
            }
        }
    }
}
