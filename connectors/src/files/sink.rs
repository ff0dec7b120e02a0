//! The bolt of files out: writes tuples to files, and acks them when they are safe.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::time::{Instant, UNIX_EPOCH};

use topology_api::{
    BoltResult, Context, Counter, Error, ExplicitBolt, Gauge, Input, NoOutput, Output, Tuple,
};

use super::format::{FileFormat, Writer};
use super::leftover::{self, Leftover};
use super::output::{FilesOut, Safe};
use super::part::Part;
use super::partition::key_folder;
use crate::{Circuit, WrongOption};

/// How much of a file waits to be flushed at most, in bytes.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// A file that is being written, and how many tuples there were when it was last.
struct Open<T> {
    part: Part<T>,
    used: u64,
}

/// What is shown of a task.
struct Meters {
    completed: Counter,
    records: Counter,
    bytes: Counter,
    failed: Counter,
    open: Gauge,
}

/// Writes tuples to files; [`FilesOut`] makes it.
///
/// ```
/// use std::time::Duration;
/// use connectors::files::{FileFormat, FilesOut};
/// use topology_api::Line;
/// use topology_api::testing::{BoltDriver, Setup};
///
/// let folder = tempfile::tempdir().unwrap();
/// let files = FilesOut::new(folder.path(), FileFormat::text(|line: &Line| &line.text));
/// let setup = Setup::new().tick_every(Duration::from_millis(100));
/// let mut store = BoltDriver::explicit(setup, move |cx| files.open(cx)).unwrap();
/// let line = store.execute(Line { text: "21.5".into() });
/// store.advance(Duration::from_millis(100));
/// assert_eq!(store.acked(), [line], "it is on the disk");
/// store.finish();
/// let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
/// assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "21.5\n");
/// ```
pub struct FilesSink<T> {
    options: FilesOut<T>,
    cx: Context,
    writer: Writer<T>,
    /// By folder below the folder.
    open: HashMap<String, Open<T>>,
    /// What names begin with: no other task, and no other life of this one, has the same.
    stem: String,
    number: u64,
    record: Vec<u8>,
    /// How many tuples there were.
    count: u64,
    circuit: Circuit,
    /// That files cannot be written was told.
    troubled: bool,
    meters: Meters,
}

impl<T> fmt::Debug for FilesSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a sink of {:?} with {} files open", self.options, self.open.len())
    }
}

impl<T: Tuple> FilesSink<T> {
    pub(super) fn open(options: FilesOut<T>, cx: &Context) -> Result<Self, Error> {
        let folder = options.folder.clone();
        let wrong = |error: io::Error| {
            let fix = "name a folder that the worker may write to";
            WrongOption::new("folder", folder.display(), error.to_string(), fix)
        };
        fs::create_dir_all(&options.folder).map_err(wrong)?;
        let family = format!("{}-{}-{}-", options.name, cx.topology(), cx.component());
        let life = cx.wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let meters = Meters {
            completed: cx.counter("files-completed"),
            records: cx.counter("records-written"),
            bytes: cx.counter("bytes-written"),
            failed: cx.counter("records-failed"),
            open: cx.gauge("files-open"),
        };
        let sink = Self {
            writer: Writer::new(options.format.clone()),
            open: HashMap::new(),
            stem: format!("{family}{}-{life:x}{:08x}", cx.task_index(), rand::random::<u32>()),
            number: 0,
            record: Vec::new(),
            count: 0,
            troubled: false,
            circuit: Circuit::shown(options.retry.clone(), cx),
            meters,
            cx: cx.clone(),
            options,
        };
        sink.settle_leftovers(&family).map_err(wrong)?;
        Ok(sink)
    }

    /// Deals with what earlier lives of this task left over, and of tasks that there are no more.
    fn settle_leftovers(&self, family: &str) -> io::Result<()> {
        let (task, tasks) = (self.cx.task_index(), self.cx.task_count());
        let is_ours = |name: &str| {
            let rest = name.strip_prefix(family).and_then(|rest| rest.split_once('-'));
            let of: Option<u32> = rest.and_then(|(of, _)| of.parse().ok());
            of.is_some_and(|of| of % tasks.max(1) == task)
        };
        let leftover = self.options.leftover.unwrap_or(match self.options.safe {
            Safe::Complete => Leftover::Aside,
            Safe::Written | Safe::Synced => Leftover::Complete,
        });
        let csv = matches!(self.options.format, FileFormat::Csv);
        for hidden in leftover::find(&self.options.folder, &is_ours)? {
            let told = match leftover::settle(&hidden, leftover, csv) {
                Ok(None) => continue,
                Ok(Some(told)) => told,
                Err(error) => format!("a crash left it over, and it cannot be dealt with: {error}"),
            };
            self.cx.count("leftover-files", 1);
            self.cx.report_error(&format!("{}: {told}", hidden.display()));
        }
        Ok(())
    }

    /// Where a tuple belongs, below the folder.
    fn place(&self, tuple: &T) -> String {
        let mut place = String::new();
        if let Some((folders, time)) = &self.options.time {
            let time = time.as_ref().map_or_else(|| self.cx.wall_clock(), |time| time(tuple));
            place = folders.of(time);
        }
        if let Some((name, key)) = &self.options.key {
            if !place.is_empty() {
                place.push('/');
            }
            place.push_str(&key_folder(name, &key(tuple)));
        }
        place
    }

    fn take(&mut self, place: String, input: Input<T>, now: Instant) -> io::Result<()> {
        let length = self.record.len();
        if self
            .open
            .get(&place)
            .is_some_and(|it| self.options.limits.are_passed_by(&it.part.held, length))
        {
            self.complete(&place)?;
        }
        if !self.open.contains_key(&place) {
            self.make_room()?;
            let part = match self.create(&place, now) {
                Ok(part) => part,
                Err(error) => {
                    self.meters.failed.add(1);
                    input.fail(error.to_string());
                    return Err(error);
                }
            };
            self.open.insert(place.clone(), Open { part, used: self.count });
        }
        let Some(open) = self.open.get_mut(&place) else { return Ok(()) };
        open.part.take(&self.record, input);
        open.used = self.count;
        let is_complete = self.options.limits.are_reached(&open.part.held, now);
        let waits = match self.options.safe {
            Safe::Complete => 0,
            Safe::Written | Safe::Synced => open.part.waiting(),
        };
        if is_complete {
            self.complete(&place)?;
        } else if waits >= self.options.flush_records || open.part.buffered() >= BUFFER_BYTES_MAX {
            self.flush(&place)?;
        }
        Ok(())
    }

    fn create(&mut self, place: &str, now: Instant) -> io::Result<Part<T>> {
        self.number += 1;
        let name = format!("{}-{:06}.{}", self.stem, self.number, self.options.format.ending());
        Part::create(&self.options.folder.join(place), &name, self.writer.head(), now)
    }

    /// Completes the file that was longest not written to, where one more would be too many.
    fn make_room(&mut self) -> io::Result<()> {
        if self.open.len() < self.options.max_open_files {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
        match oldest.map(|(place, _)| place.clone()) {
            Some(place) => self.complete(&place),
            None => Ok(()),
        }
    }

    /// Makes what a file holds as safe as it has to be, and acks it.
    fn flush(&mut self, place: &str) -> io::Result<()> {
        let Some(open) = self.open.get_mut(place) else { return Ok(()) };
        let (safe, count, bytes) = (self.options.safe, open.part.waiting(), open.part.buffered());
        let written = open.part.write().and_then(|()| match safe {
            Safe::Synced => open.part.sync(),
            Safe::Written | Safe::Complete => Ok(()),
        });
        match written {
            Ok(()) => {
                self.meters.bytes.add(bytes as u64);
                if safe != Safe::Complete {
                    self.meters.records.add(count as u64);
                    open.part.ack();
                }
                self.worked();
                Ok(())
            }
            Err(error) => {
                self.meters.failed.add(count as u64);
                if let Some(open) = self.open.remove(place) {
                    open.part.abandon(&error.to_string());
                }
                Err(error)
            }
        }
    }

    fn complete(&mut self, place: &str) -> io::Result<()> {
        let Some(open) = self.open.remove(place) else { return Ok(()) };
        let (count, bytes) = (open.part.waiting() as u64, open.part.buffered() as u64);
        match open.part.complete() {
            Ok(_) => {
                self.worked();
                self.meters.completed.add(1);
                self.meters.records.add(count);
                self.meters.bytes.add(bytes);
                Ok(())
            }
            Err(error) => {
                self.meters.failed.add(count);
                Err(error)
            }
        }
    }

    /// Does something with each open file.
    fn each(&mut self, act: impl Fn(&mut Self, &str) -> io::Result<()>) {
        let places: Vec<String> = self.open.keys().cloned().collect();
        for place in places {
            let done = act(self, &place);
            self.told(done);
        }
        self.meters.open.set(self.open.len() as f64);
    }

    /// Something is on the disk. To have taken a tuple into memory says nothing.
    fn worked(&mut self) {
        if std::mem::take(&mut self.troubled) {
            self.circuit.worked();
        }
    }

    /// Notes that the disk gives trouble; says so the first time.
    fn told(&mut self, done: io::Result<()>) {
        let Err(error) = done else { return };
        self.circuit.failed(self.cx.now(), rand::random());
        if !std::mem::replace(&mut self.troubled, true) {
            let folder = self.options.folder.display();
            self.cx.report_error(&format!(
                "cannot write files in {folder}: {error}; tuples fail and come again until that works"
            ));
        }
    }
}

impl<T: Tuple> ExplicitBolt for FilesSink<T> {
    type Input = T;
    type Output = NoOutput;

    fn execute(&mut self, input: Input<T>, _: &mut Output<NoOutput>) -> BoltResult {
        let now = self.cx.now();
        if self.circuit.wait(now).is_some() {
            self.meters.failed.add(1);
            input.fail("files cannot be written just now");
            return Ok(());
        }
        self.count += 1;
        self.record.clear();
        self.writer.write(&input, &mut self.record);
        let place = self.place(&input);
        let done = self.take(place, input, now);
        self.told(done);
        Ok(())
    }

    fn tick(&mut self, _: &mut Output<NoOutput>) {
        let (now, limits) = (self.cx.now(), self.options.limits.clone());
        self.each(|sink, place| {
            let Some(open) = sink.open.get(place) else { return Ok(()) };
            if limits.are_reached(&open.part.held, now) {
                sink.complete(place)
            } else if open.part.buffered() > 0 {
                sink.flush(place)
            } else {
                Ok(())
            }
        });
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.each(Self::complete);
    }

    fn close(&mut self) {
        self.each(Self::complete);
    }
}
