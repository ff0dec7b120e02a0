//! The thread that writes a buffer: what waits together is written and forced to the disk together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::Clock;

use super::catalog::{Job, Segment, Shared, State};
use super::engine::format::{Header, encode_record};
use super::engine::positions::Positions;
use super::options::{BufferError, BufferOptions, Durability, NotStored};
use super::recovery::{POSITIONS, SUFFIX};
use super::reserve::{Reserve, is_full};

/// How often what is done with is written down, if it changed.
const POSITIONS_EVERY: Duration = Duration::from_millis(100);

/// Most bytes that one write takes together.
const GROUP_BYTES_MAX: u64 = 16 << 20;

/// A segment that is open.
pub(super) struct Current {
    file: File,
    pub(super) segment: Segment,
}

/// Begins a segment whose first record has number `first`, after those up to `after`.
pub(super) fn begin_segment(
    folder: &Path,
    (first, after): (u64, u64),
    schema: &str,
) -> Result<Current, BufferError> {
    let path = folder.join(format!("{first:020}.{SUFFIX}"));
    let mut bytes = Vec::new();
    Header { first, after, schema: schema.to_owned() }.encode(&mut bytes);
    let begun = || -> io::Result<File> {
        let mut options = OpenOptions::new();
        // A part of one that could not be begun may be there; a whole one has another number.
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    };
    let file = begun().map_err(BufferError::system(&path, "begin the segment"))?;
    let length = bytes.len() as u64;
    Ok(Current { file, segment: Segment { path, first, end: first, begin: length, length } })
}

/// Writes a buffer.
pub(super) struct Writer {
    shared: Arc<Shared>,
    folder: PathBuf,
    schema: String,
    segment_bytes: u64,
    durability: Durability,
    clock: Clock,
    current: Current,
    reserve: Reserve,
    /// The file may hold more than its segment says.
    spoiled: bool,
    /// There is something that was not forced to the disk.
    unsynced: bool,
    synced_at: Instant,
    positions_at: Instant,
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        options: &BufferOptions,
        (folder, schema): (&Path, &str),
        current: Current,
        reserve: Reserve,
    ) -> Self {
        let clock = Clock::system();
        let now = clock.now();
        Self {
            shared,
            folder: folder.to_owned(),
            schema: schema.to_owned(),
            segment_bytes: options.segment_bytes,
            durability: options.durability,
            clock,
            current,
            reserve,
            spoiled: false,
            unsynced: false,
            synced_at: now,
            positions_at: now,
            bytes: Vec::new(),
        }
    }

    /// Writes until the buffer is closed, and what waits then.
    pub(super) fn run(mut self) {
        self.reserve.keep();
        loop {
            let (jobs, closed) = self.wait();
            if !jobs.is_empty() {
                self.store(jobs);
            } else if closed {
                break;
            }
            self.keep_up(false);
        }
        self.keep_up(true);
    }

    /// Waits for work, or until it is time to look after what was done.
    fn wait(&self) -> (Vec<Job>, bool) {
        let mut state = self.shared.state();
        if state.jobs.is_empty() && !state.closed {
            let every = match self.durability {
                Durability::Every(time) if self.unsynced => time.min(POSITIONS_EVERY),
                _ => POSITIONS_EVERY,
            };
            let waited = self.shared.work.wait_timeout(state, every);
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        let mut bytes = 0;
        let within = state.jobs.iter().take_while(|job| {
            bytes += job.bytes;
            bytes <= GROUP_BYTES_MAX
        });
        let count = within.count().max(1).min(state.jobs.len());
        (state.jobs.drain(..count).collect(), state.closed)
    }

    /// Writes records, and tells who waits for them.
    fn store(&mut self, jobs: Vec<Job>) {
        let stored = self.write(&jobs);
        let mut state = self.shared.state();
        for job in &jobs {
            state.waiting -= job.bytes;
        }
        let told = match stored {
            Ok(()) => {
                publish(&mut state, &self.current.segment);
                Ok(())
            }
            Err(problem) => {
                state.problem = Some(problem.clone());
                Err(NotStored::Disk(problem))
            }
        };
        let waker = state.waker.take();
        drop(state);
        for job in jobs {
            // Who went away does not want to know.
            job.told.send(told.clone()).ok();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn write(&mut self, jobs: &[Job]) -> Result<(), String> {
        if self.spoiled || self.current.segment.length >= self.segment_bytes {
            self.next_segment()?;
        }
        self.bytes.clear();
        let mut end = self.current.segment.end;
        for record in jobs.iter().flat_map(|job| job.records.iter()) {
            encode_record(end, record, &mut self.bytes);
            end += 1;
        }
        self.spoiled = true;
        let mut written = self.current.file.write_all(&self.bytes);
        if written.is_ok() && self.durability == Durability::EachGroup {
            written = self.current.file.sync_data();
        }
        let path = &self.current.segment.path;
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        self.spoiled = false;
        self.unsynced = self.durability != Durability::EachGroup;
        self.current.segment.end = end;
        self.current.segment.length += self.bytes.len() as u64;
        self.bytes.shrink_to(1 << 20);
        Ok(())
    }

    /// Closes the segment, cut to what is confirmed, and begins the next.
    fn next_segment(&mut self) -> Result<(), String> {
        let Segment { path, length, end, begin, .. } = &self.current.segment;
        let closed = self.current.file.set_len(*length).and_then(|()| self.current.file.sync_all());
        closed.map_err(|error| format!("{}: {error}", path.display()))?;
        if length == begin {
            // Nothing is in it, and the next one has its name.
            let file = OpenOptions::new().append(true).open(path);
            self.current.file = file.map_err(|error| format!("{}: {error}", path.display()))?;
            self.spoiled = false;
            return Ok(());
        }
        let begin = || begin_segment(&self.folder, (*end, *end), &self.schema);
        let mut next = begin();
        if next.as_ref().is_err_and(BufferError::is_full_disk) && self.reserve.give_up() {
            next = begin();
            // Before a record takes it.
            self.reserve.keep();
        }
        self.current = next.map_err(|error| error.to_string())?;
        self.spoiled = false;
        self.unsynced = false;
        let mut state = self.shared.state();
        publish(&mut state, &self.current.segment);
        // The one before can go, once it is done with.
        state.moved = true;
        Ok(())
    }

    /// Forces to the disk what is due, writes down what is done with, removes what nobody needs.
    fn keep_up(&mut self, all: bool) {
        let now = self.clock.now();
        let due = match self.durability {
            Durability::Every(time) => all || now.saturating_duration_since(self.synced_at) >= time,
            Durability::EachGroup | Durability::Never => all,
        };
        if due && self.unsynced {
            self.synced_at = now;
            match self.current.file.sync_data() {
                Ok(()) => self.unsynced = false,
                Err(error) => self.shared.state().problem = Some(error.to_string()),
            }
        }
        if !all && now.saturating_duration_since(self.positions_at) < POSITIONS_EVERY {
            return;
        }
        self.positions_at = now;
        let (positions, gone) = {
            let mut state = self.shared.state();
            if !std::mem::take(&mut state.moved) {
                return;
            }
            let low = state.positions.low();
            let open = &self.current.segment.path;
            let count = state.segments.iter().take_while(|it| it.end <= low && it.path != *open);
            let count = count.count();
            let gone: Vec<Segment> = state.segments.drain(..count).collect();
            (state.positions.clone(), gone)
        };
        // Positions first: a segment that is gone must be known to be done with.
        let mut written = self.write_positions(&positions, !gone.is_empty());
        if written.as_ref().is_err_and(|error| is_full(error.kind())) && self.reserve.give_up() {
            written = self.write_positions(&positions, !gone.is_empty());
        }
        if let Err(error) = written {
            let mut state = self.shared.state();
            state.problem = Some(format!("what is done with cannot be written down: {error}"));
            state.moved = true;
            // They are looked at again next time.
            for segment in gone.into_iter().rev() {
                state.segments.push_front(segment);
            }
            return;
        }
        for segment in gone {
            // What cannot be removed now is found to be done with when the buffer is opened.
            fs::remove_file(&segment.path).ok();
        }
        self.reserve.keep();
    }

    fn write_positions(&self, positions: &Positions, forced: bool) -> io::Result<()> {
        let (path, new) = (self.folder.join(POSITIONS), self.folder.join("positions.new"));
        let mut file = File::create(&new)?;
        file.write_all(positions.encode().as_bytes())?;
        if forced {
            file.sync_all()?;
        }
        fs::rename(new, path)?;
        if forced { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

/// Shows the open segment as far as it is confirmed.
fn publish(state: &mut State, segment: &Segment) {
    match state.segments.back_mut().filter(|last| last.path == segment.path) {
        Some(last) => last.clone_from(segment),
        None => state.segments.push_back(segment.clone()),
    }
}
