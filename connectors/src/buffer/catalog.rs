//! What the writer and the reader of a buffer share, and how both are made.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::engine::format::{PAYLOAD_BYTES_MAX, RECORD_HEAD_BYTES};
use super::engine::positions::Positions;
use super::options::{BufferError, BufferOptions, NotStored};
use super::reader::Reader;
use super::reserve::Reserve;
use super::{recovery, writer};

/// A segment, as far as it is confirmed.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// The number of its first record, and the one after its last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// Where its records begin, and where the confirmed ones end.
    pub(super) begin: u64,
    pub(super) length: u64,
}

/// Records that are stored together, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    /// Appends the record that `encode` writes.
    pub(crate) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// How many bytes they have.
    #[cfg(feature = "push")]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.bytes[begin..*end])
    }
}

/// Records that wait to be written, and who waits for them.
pub(super) struct Job {
    pub(super) records: Arc<Rows>,
    pub(super) bytes: u64,
    pub(super) told: oneshot::Sender<Result<(), NotStored>>,
}

/// What all know.
pub(super) struct State {
    pub(super) segments: VecDeque<Segment>,
    pub(super) positions: Positions,
    /// They changed since they were written down.
    pub(super) moved: bool,
    pub(super) jobs: Vec<Job>,
    /// Bytes of jobs that are not written yet.
    pub(super) waiting: u64,
    /// Woken when there is something to read.
    pub(super) waker: Option<Waker>,
    pub(super) closed: bool,
    /// What the disk last said, until somebody asks.
    pub(super) problem: Option<String>,
}

impl State {
    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// There is work for the writer.
    pub(super) work: Condvar,
    pub(super) bytes_max: u64,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was found when a buffer was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Records that are not done with.
    pub(crate) records: u64,
    /// What was cut away or passed over, for people.
    pub(crate) notes: Vec<String>,
}

/// Writes to a buffer, from any thread; when the last clone and the reader are gone, it is closed.
#[derive(Clone)]
pub(crate) struct Appender {
    shared: Arc<Shared>,
}

impl Appender {
    /// How many bytes are a good deal to store together: much less than the buffer has.
    #[cfg(feature = "push")]
    pub(crate) fn group_bytes(&self) -> usize {
        usize::try_from(self.shared.bytes_max / 8).unwrap_or(usize::MAX).min(4 << 20)
    }

    /// Stores records together; the answer comes when they are as safe as the options say.
    pub(crate) fn append(
        &self,
        records: Arc<Rows>,
    ) -> Result<oneshot::Receiver<Result<(), NotStored>>, NotStored> {
        if records.iter().any(|record| record.len() > PAYLOAD_BYTES_MAX) {
            return Err(NotStored::TooLarge);
        }
        let bytes = (records.bytes.len() + records.ends.len() * RECORD_HEAD_BYTES) as u64;
        if bytes > self.shared.bytes_max / 2 {
            return Err(NotStored::TooLarge);
        }
        let (told, answer) = oneshot::channel();
        let mut state = self.shared.state();
        if state.closed {
            return Err(NotStored::Closed);
        }
        if state.bytes() + state.waiting + bytes > self.shared.bytes_max {
            return Err(NotStored::Full);
        }
        state.waiting += bytes;
        state.jobs.push(Job { records, bytes, told });
        drop(state);
        self.shared.work.notify_one();
        Ok(answer)
    }
}

/// Ends the writer when the reader goes.
pub(super) struct Closing {
    pub(super) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Held until the end.
    _lock: File,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so on standard error.
            thread.join().ok();
        }
    }
}

/// Opens the buffer in `folder` for records of `schema`.
pub(super) fn open(
    options: &BufferOptions,
    folder: &Path,
    schema: &str,
) -> Result<(Appender, Reader, Opened), BufferError> {
    options.check()?;
    let system = BufferError::system;
    std::fs::create_dir_all(folder).map_err(system(folder, "make the folder"))?;
    let lock = daemon::lock::take(folder).map_err(system(folder, "lock the folder"))?;
    let lock = lock.ok_or_else(|| BufferError::Taken(folder.to_owned()))?;
    let found = recovery::recover(options, folder, schema)?;
    let notes = found.notes;
    let records = found.next.saturating_sub(found.positions.low());
    let mut segments = found.segments;
    let next = found.next;
    let reserve = Reserve::open(folder);
    let current = writer::begin_segment(folder, (next, found.end), schema)?;
    segments.push_back(current.segment.clone());
    let position = found.positions.next_open(found.positions.low());
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            segments,
            positions: found.positions,
            moved: true,
            jobs: Vec::new(),
            waiting: 0,
            waker: None,
            closed: false,
            problem: None,
        }),
        work: Condvar::new(),
        bytes_max: options.bytes_max,
    });
    let writer =
        writer::Writer::new(Arc::clone(&shared), options, (folder, schema), current, reserve);
    let thread = std::thread::Builder::new().name("buffer".to_owned()).spawn(move || writer.run());
    let thread = Some(thread.map_err(system(folder, "start the thread that writes"))?);
    let closing = Closing { shared: Arc::clone(&shared), thread, _lock: lock };
    Ok((Appender { shared }, Reader::new(closing, position), Opened { records, notes }))
}
