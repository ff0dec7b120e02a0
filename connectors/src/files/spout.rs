//! The spout of files in: reads the files of its task in turns, and emits their records.

mod reading;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use topology_api::{
    Context, Counter, Error, FailReason, Gauge, Next, Port, Spout, SpoutOutput, SpoutResult,
};

use super::folder::{Folder, look};
use super::followed::Followed;
use super::input::{FilesIn, FilesStart};
use super::positions::Positions;
use super::record::{DeadRecord, FromRecord, Record};
use super::replays::Failed;
use super::splitter::Splitter;
use crate::WrongOption;

/// How many failed records one call reads again.
const AGAIN_AT_ONCE: usize = 64;

/// How many looks at the folder a record that cannot be read again is waited for.
const LOST_AFTER_LOOKS: u32 = 10;

/// How often a record that cannot be read again is tried.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where a record stands: what a [`FilesSpout`] tracks it by.
///
/// ```
/// fn in_order(mut ids: Vec<connectors::files::RecordId>) -> Vec<connectors::files::RecordId> {
///     ids.sort(); // by where they begin
///     ids
/// }
/// # assert!(in_order(Vec::new()).is_empty());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    start: u64,
    file: u32,
    bytes: u32,
    /// Tells instances of a task from each other: another one has other files in its places.
    born: u32,
}

impl RecordId {
    #[cfg(test)]
    pub(super) fn at(file: u32, start: u64, bytes: u32) -> Self {
        Self { start, file, bytes, born: 0 }
    }
}

/// What is shown of a task.
struct Meters {
    read: Counter,
    cut: Counter,
    skipped: Counter,
    not_text: Counter,
    replayed: Counter,
    dead: Counter,
    lost: Counter,
    emptied: Counter,
    lag: Gauge,
    open: Gauge,
    followed: Gauge,
}

impl Meters {
    fn of(cx: &Context) -> Self {
        Self {
            read: cx.counter("bytes-read"),
            cut: cx.counter("cut-records"),
            skipped: cx.counter("skipped-records"),
            not_text: cx.counter("not-text"),
            replayed: cx.counter("replayed"),
            dead: cx.counter("dead-lettered"),
            lost: cx.counter("lost-records"),
            emptied: cx.counter("emptied-files"),
            lag: cx.gauge("lag-bytes"),
            open: cx.gauge("files-open"),
            followed: cx.gauge("files-followed"),
        }
    }
}

/// Follows the files of a folder; [`FilesIn`] makes it.
///
/// A record that fails is read again from its place, so nothing but places is kept in memory.
///
/// ```
/// use connectors::files::FilesIn;
/// use topology_api::prelude::*;
/// use topology_api::testing::SpoutDriver;
///
/// let (logs, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
/// std::fs::write(logs.path().join("a.log"), "to be\nor not\n").unwrap();
/// let files = FilesIn::<Line>::new(logs.path(), "*.log").state(state.path());
/// let mut lines = SpoutDriver::new(move |cx| files.open(cx)).unwrap();
/// let texts: Vec<String> = lines.run().unwrap().iter().map(|line| line.text.to_string()).collect();
/// assert_eq!(texts, ["to be", "or not"]);
/// ```
pub struct FilesSpout<T> {
    options: FilesIn<T>,
    cx: Context,
    folder: Folder,
    positions: Positions,
    files: Vec<Option<Followed>>,
    splitter: Splitter,
    /// The file that is being read.
    current: Option<usize>,
    /// The file whose turn is next.
    turn: usize,
    /// How much of the turn is left, in bytes.
    left: usize,
    look_at: Instant,
    save_at: Instant,
    failed: Failed,
    dead_letters: Option<Port<DeadRecord>>,
    born: u32,
    meters: Meters,
    /// The folder could not be read the last time.
    troubled: bool,
}

impl<T> fmt::Debug for FilesSpout<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a spout of {} in {}", self.options.pattern, self.options.folder.display())
    }
}

impl<T: FromRecord> FilesSpout<T> {
    /// The output for records that failed too often, and for those that are not text: declare it with
    /// `.output::<DeadRecord>("dead-letters")`.
    pub const DEAD_LETTERS: &'static str = "dead-letters";

    pub(super) fn open(options: FilesIn<T>, cx: &Context) -> Result<Self, Error> {
        let dead_letters = if options.wants_dead_letters() {
            let option = if options.retry.attempts.is_some() { "retry" } else { "not_text" };
            let port = cx.port(Self::DEAD_LETTERS).map_err(|error| {
                let fix = "declare it with `.output::<DeadRecord>(\"dead-letters\")`";
                WrongOption::new(option, "dead letters", error.to_string(), fix)
            })?;
            Some(port)
        } else {
            None
        };
        let seen = look(&options.folder, &options.pattern).map_err(|error| {
            let fix = "name a folder that the worker may read";
            WrongOption::new("folder", options.folder.display(), error.to_string(), fix)
        })?;
        let state = options.state.clone().unwrap_or_default();
        let (positions, restored) = Positions::open(&state, cx)?;
        let (now, share) = (cx.now(), (cx.task_index(), cx.task_count()));
        let ours = restored.into_iter().filter(|it| it.print.task(share.1) == share.0);
        let files: Vec<_> = ours.map(|it| Some(Followed::restored(it, now))).collect();
        let from_end = options.start == FilesStart::End && files.is_empty();
        let mut spout = Self {
            folder: Folder::new(share, from_end, !options.follow),
            splitter: Splitter::new(options.rule()?, options.max_record_bytes),
            failed: Failed::new(options.retry.clone()),
            cx: cx.clone(),
            positions,
            files,
            current: None,
            turn: 0,
            left: 0,
            look_at: now + options.scan_every,
            save_at: now + options.save_every,
            dead_letters,
            born: rand::random(),
            meters: Meters::of(cx),
            troubled: false,
            options,
        };
        spout.folder.take(seen, &mut spout.files, now);
        spout.tell(now);
        Ok(spout)
    }

    /// Looks at the folder and writes positions, when it is time to.
    fn keep_house(&mut self, now: Instant) {
        if now >= self.look_at && self.options.follow {
            self.look_at = now + self.options.scan_every;
            match look(&self.options.folder, &self.options.pattern) {
                Ok(seen) => {
                    self.folder.take(seen, &mut self.files, now);
                    self.troubled = false;
                }
                Err(error) if !std::mem::replace(&mut self.troubled, true) => {
                    let folder = self.options.folder.display();
                    let text = format!(
                        "cannot look at the folder {folder}: {error}; files that are open are read on"
                    );
                    self.cx.report_error(&text);
                }
                Err(_) => {}
            }
            self.tell(now);
        }
        if now >= self.save_at {
            self.save_at = now + self.options.save_every;
            self.save();
        }
    }

    fn save(&mut self) {
        let positions = self.files.iter().flatten().map(Followed::position).collect();
        if let Some(trouble) = self.positions.save(positions) {
            self.cx.report_error(&trouble);
        }
    }

    /// Forgets what is long gone, and shows what is left.
    fn tell(&mut self, now: Instant) {
        for trouble in std::mem::take(&mut self.folder.troubles) {
            self.cx.report_error(&trouble);
        }
        let forget_after = self.options.forget_after;
        for (slot, file) in self.files.iter_mut().enumerate() {
            let is_over = |it: &Followed| it.gone.is_some_and(|gone| now >= gone + forget_after);
            let is_idle = |it: &Followed| it.offsets.open() == 0 && self.current != Some(slot);
            if file.as_ref().is_some_and(|file| is_over(file) && is_idle(file)) {
                *file = None;
            }
            // A compressed file is done with when it was read.
            if let Some(file) = file.as_mut().filter(|it| !it.stirred && it.gone.is_none())
                && file.offsets.open() == 0
                && self.current != Some(slot)
            {
                file.close();
            }
        }
        let files = || self.files.iter().flatten();
        let lag: u64 = files().map(Followed::lag).sum();
        self.meters.lag.set(lag as f64);
        self.meters.open.set(files().filter(|file| file.is_open()).count() as f64);
        self.meters.followed.set(files().filter(|file| file.gone.is_none()).count() as f64);
    }

    /// Reads again what is due; tells whether anything was emitted.
    fn replay(&mut self, now: Instant, out: &mut SpoutOutput<T, RecordId>) -> bool {
        let before = out.count();
        for _ in 0..AGAIN_AT_ONCE {
            let Some((id, own)) = self.failed.due(now) else { break };
            let Some(file) = self.files.get_mut(id.file as usize).and_then(Option::as_mut) else {
                continue;
            };
            let bytes = match file.read_again(id.start, id.bytes as usize) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let longest = self.options.scan_every * LOST_AFTER_LOOKS;
                    let may_come = file.gone.is_none_or(|gone| now < gone + longest);
                    if may_come {
                        file.gone.get_or_insert(now);
                        self.failed.later(id, now + ASK_AGAIN);
                        continue;
                    }
                    self.meters.lost.add(1);
                    let path = file.path.display();
                    self.cx.report_error(&format!("a record at byte {} of {path} failed and cannot be read again: {error}; it is lost", id.start));
                    self.settle(id);
                    continue;
                }
            };
            self.meters.replayed.add(1);
            let text = if T::IS_TEXT { std::str::from_utf8(&bytes).ok() } else { None };
            let record = Record { bytes: &bytes, text, path: &file.path, offset: id.start };
            match self.dead_letters.filter(|_| self.failed.is_dead(own)) {
                Some(port) => out.emit_to(&port, id, DeadRecord::of(&record, "failed", own)),
                None => reading::emit(&record, id, self.options.not_text, self.dead_letters, out),
            }
        }
        out.count() > before
    }

    fn settle(&mut self, id: RecordId) {
        if id.born != self.born {
            return;
        }
        if let Some(file) = self.files.get_mut(id.file as usize).and_then(Option::as_mut) {
            file.offsets.settled(id.start);
        }
        self.failed.settled(id);
    }
}

impl<T: FromRecord> Spout for FilesSpout<T> {
    type Output = T;
    type Id = RecordId;

    fn next(&mut self, out: &mut SpoutOutput<T, RecordId>) -> SpoutResult {
        let now = self.cx.now();
        self.keep_house(now);
        if !self.failed.is_empty() && self.replay(now, out) {
            return Ok(Next::Emitted);
        }
        if self.read(now, out) {
            return Ok(Next::Emitted);
        }
        Ok(if self.options.follow || !self.failed.is_empty() { Next::Idle } else { Next::Finished })
    }

    #[inline]
    fn ack(&mut self, id: RecordId) {
        self.settle(id);
    }

    fn fail(&mut self, id: RecordId, reason: FailReason) {
        if id.born != self.born {
            return;
        }
        let fate = self.failed.failed(id, reason.is_own_fault(), self.cx.now(), rand::random());
        if fate == super::replays::Fate::Died {
            self.meters.dead.add(1);
        }
    }

    fn deactivate(&mut self) {
        self.save();
    }

    fn close(&mut self) {
        self.save();
    }
}
