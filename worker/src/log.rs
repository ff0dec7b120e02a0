//! The way of a worker's output to its log: at a limited rate, and never in the way of the worker.
//!
//! Standard output and standard error become a pipe that a thread of this process empties into the
//! file that was there before. So whatever writes (this runtime, a component, a library, a child) is
//! held to `worker.log.rate`, is never held up by a disk, and never gets an error because one is full. A worker
//! needs nobody for that and logs on while its supervisor is away. What is in the pipe when
//! the process dies is what it said last: its supervisor, which can open the pipe, reads it then.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write, pipe, stderr, stdout};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use daemon::Clock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stderr, dup2_stdout};
use topology_api::format_size;

use crate::engine::lines::{Amount, Gate};

/// As much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// What was dropped is told of after so long a silence, in milliseconds.
const SILENCE_MS: u16 = 1_000;

/// What comes after a silence stays in the pipe for so long, in milliseconds: a process that says why
/// it ends, piece by piece, and ends, takes nothing with it that this thread has in hand.
const SETTLE_MS: u16 = 5;

/// How long the last lines may take to reach the file when the worker ends.
const END: Duration = Duration::from_secs(1);

/// How much of the log was dropped, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    rate: AtomicU64,
    disk: AtomicU64,
}

impl Dropped {
    /// Returns the bytes by reason; nothing is said where nothing was dropped.
    pub(crate) fn by_reason(&self) -> BTreeMap<String, u64> {
        let all = [("rate", &self.rate), ("disk", &self.disk)];
        let all = all.map(|(reason, bytes)| (reason.to_owned(), bytes.load(Ordering::Relaxed)));
        all.into_iter().filter(|(_, bytes)| *bytes > 0).collect()
    }
}

/// The output of this process while it goes through the pipe.
#[derive(Debug)]
pub(crate) struct Log {
    file: File,
    dropped: Arc<Dropped>,
    /// Closed when everything has reached the file.
    emptied: mpsc::Receiver<()>,
}

impl Log {
    /// Puts the pipe in the place of both outputs, with so many bytes a second to pass it.
    pub(crate) fn start(rate: Option<u64>, clock: Clock) -> io::Result<Self> {
        let file = File::from(stderr().as_fd().try_clone_to_owned()?);
        let (reader, writer) = pipe()?;
        let dropped = Arc::<Dropped>::default();
        let (done, emptied) = mpsc::channel();
        let mut pump = Pump {
            pipe: reader,
            gate: Gate::new(rate, clock.now()),
            sink: Sink { file: file.try_clone()?, lost: Amount::default(), why: String::new() },
            dropped: Arc::clone(&dropped),
            clock,
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || {
            pump.run();
            // Nobody may wait for a pipe that nobody empties.
            put_back(&pump.sink.file);
            drop(done);
        })?;
        dup2_stdout(&writer)?;
        dup2_stderr(&writer)?;
        Ok(Self { file, dropped, emptied })
    }

    /// Returns what counts what is dropped.
    pub(crate) fn dropped(&self) -> Arc<Dropped> {
        Arc::clone(&self.dropped)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(stdout().flush());
        put_back(&self.file);
        // A child that lives on keeps the pipe open.
        if self.emptied.recv_timeout(END) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::debug!("somebody else has the pipe");
        }
    }
}

/// Has both outputs go straight to the file.
fn put_back(file: &File) {
    for put in [dup2_stdout(file), dup2_stderr(file)] {
        if let Err(error) = put {
            tracing::debug!(%error, "an output stays a pipe");
        }
    }
}

struct Pump {
    pipe: PipeReader,
    gate: Gate,
    sink: Sink,
    dropped: Arc<Dropped>,
    clock: Clock,
}

impl Pump {
    fn run(&mut self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut is_flood = false;
        loop {
            if self.gate.is_behind() && self.is_silent(SILENCE_MS) {
                self.tell();
            }
            if !is_flood {
                self.settle();
            }
            match self.pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(bytes) => {
                    is_flood = bytes > CHUNK_BYTES / 4;
                    self.take(&chunk[..bytes]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.tell();
    }

    /// Waits for so many milliseconds, or until there is something to read.
    fn is_silent(&self, most: impl Into<PollTimeout>) -> bool {
        let mut pipe = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        poll(&mut pipe, most) == Ok(0)
    }

    /// Waits until there is something to read, and a moment more.
    fn settle(&self) {
        if !self.is_silent(PollTimeout::NONE) {
            poll(&mut [], SETTLE_MS).ok();
        }
    }

    fn take(&mut self, text: &[u8]) {
        let (notice, passed) = self.gate.pass(text, self.clock.now());
        let over = (text.len() - passed.len()) as u64;
        self.dropped.rate.fetch_add(over, Ordering::Relaxed);
        if let Some(notice) = notice {
            self.write(notice.as_bytes());
        }
        self.write(passed);
    }

    fn tell(&mut self) {
        if let Some(notice) = self.gate.notice() {
            self.write(notice.as_bytes());
        }
    }

    fn write(&mut self, text: &[u8]) {
        let lost = self.sink.write(text);
        self.dropped.disk.fetch_add(lost, Ordering::Relaxed);
    }
}

/// A file that may have no room.
struct Sink {
    file: File,
    /// Lost since that was last said.
    lost: Amount,
    why: String,
}

impl Sink {
    /// Writes what can be written, and returns how many bytes are lost.
    fn write(&mut self, text: &[u8]) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let mut rest = text;
        if self.lost.bytes > 0 {
            let Amount { lines, bytes } = self.lost;
            let bytes = format_size(bytes);
            let notice = format!("\n==> lost {lines} lines ({bytes}): {}\n", self.why);
            if self.file.write_all(notice.as_bytes()).is_ok() {
                self.lost = Amount::default();
            }
        }
        while !rest.is_empty() && self.lost.bytes == 0 {
            match self.file.write(rest) {
                Ok(bytes) if bytes > 0 => rest = &rest[bytes..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) => break,
                Err(error) => {
                    self.why = error.to_string();
                    break;
                }
            }
        }
        self.lost.add(rest);
        rest.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_does_not_take_is_counted_and_told_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (path, full) =
            (folder.path().join("log"), File::options().write(true).open("/dev/full"));
        let mut sink = Sink { file: full.unwrap(), lost: Amount::default(), why: String::new() };
        assert_eq!(sink.write(b"one\ntwo\n"), 8);
        assert_eq!(sink.write(b"three\n"), 6, "still full");
        sink.file = File::options().append(true).create(true).open(&path).unwrap();
        assert_eq!(sink.write(b"four\n"), 0, "there is room");
        assert_eq!(sink.write(b"five\n"), 0);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines[1..], ["four", "five"], "{text}");
        assert!(lines[0].starts_with("==> lost 3 lines (14B): No space left"), "{text}");
    }
}
