//! Serves connections whose bytes are frames, for lines and syslog: reads, takes apart, hands over.

use std::io;
use std::sync::Arc;

use daemon::Shutdown;
use daemon::tls::Connection;
use tokio::io::{AsyncRead, AsyncReadExt};
use topology_api::{Context, Counter, Error, Tuple};

use super::framing::{Frames, Framing};
use crate::intake::queue::{Intake, Refused};

/// How many bytes are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Most records that are handed over together.
pub(super) const TOGETHER: usize = 256;

/// Makes a tuple of a frame.
pub(super) type Read<T> = Arc<dyn Fn(&[u8]) -> Result<T, Error> + Send + Sync>;

/// Reads streams of frames.
pub(super) struct Streams<T> {
    pub(super) framing: Framing,
    pub(super) bytes_max: usize,
    pub(super) intake: Intake<T>,
    pub(super) read: Read<T>,
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
    pub(super) fn new(cx: &Context) -> Self {
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
