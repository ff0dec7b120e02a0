//! The options of files out: what they are, what they are when nothing is said, and which make no sense.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use topology_api::{BoltDeclarer, Context, Error, NoOutput, TopologyBuilder, Tuple};

use super::format::FileFormat;
use super::leftover::Leftover;
use super::partition::TimeFolders;
use super::rolling::Limits;
use super::sink::FilesSink;
use crate::{Retry, WrongOption};

/// Longest name that files may begin with, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// When a tuple is acked.
///
/// ```
/// use connectors::files::Safe;
///
/// assert_eq!(Safe::default(), Safe::Synced);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Safe {
    /// When the system has it: it outlives the worker, and not the power.
    Written,
    /// When it is on the disk.
    #[default]
    Synced,
    /// When its file is complete, has its name and is on the disk. Tuples are held until then, so
    /// `max_pending` has to allow as many as a file has, or files are completed by their age alone.
    Complete,
}

pub(super) type TimeOf<T> = Arc<dyn Fn(&T) -> SystemTime + Send + Sync>;
pub(super) type KeyOf<T> = Arc<dyn Fn(&T) -> String + Send + Sync>;

/// Writes tuples to files that roll: the options of a [`FilesSink`].
///
/// ```
/// use connectors::files::{FileFormat, FilesOut, TimeFolders};
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Visit { country: Text, page: Text }
///
/// fn visits(lines: Stream<Visit>, t: &mut TopologyBuilder) {
///     FilesOut::new("/data/visits", FileFormat::JsonLines)
///         .by_time(TimeFolders::Day)
///         .by_key("country", |visit: &Visit| &visit.country)
///         .declare(t, "store") // /data/visits/2026-03-01/country=de/part-..jsonl
///         .shuffle(&lines);
/// }
/// ```
#[derive(Clone)]
pub struct FilesOut<T> {
    pub(super) folder: PathBuf,
    pub(super) format: FileFormat<T>,
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) safe: Safe,
    pub(super) flush_every: Duration,
    pub(super) flush_records: usize,
    pub(super) time: Option<(TimeFolders, Option<TimeOf<T>>)>,
    pub(super) key: Option<(String, KeyOf<T>)>,
    pub(super) max_open_files: usize,
    pub(super) leftover: Option<Leftover>,
    pub(super) retry: Retry,
}

impl<T> fmt::Debug for FilesOut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} files in {}", self.format, self.folder.display())
    }
}

impl<T: Tuple> FilesOut<T> {
    /// Writes files below a folder, which is made if it is not there.
    pub fn new(folder: impl Into<PathBuf>, format: FileFormat<T>) -> Self {
        Self {
            folder: folder.into(),
            format,
            name: "part".to_owned(),
            limits: Limits {
                bytes: 128 * 1024 * 1024,
                records: u64::MAX,
                age: Duration::from_secs(600),
            },
            safe: Safe::default(),
            flush_every: Duration::from_millis(100),
            flush_records: 1_000,
            time: None,
            key: None,
            max_open_files: 64,
            leftover: None,
            retry: Retry::default(),
        }
    }

    /// What names of files begin with; `part` if nothing is said.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// A file is complete with so many bytes; 128 MiB if nothing is said. Only one long record is longer.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// A file is complete with so many records; any number if nothing is said.
    #[must_use]
    pub fn max_records(mut self, records: u64) -> Self {
        self.limits.records = records;
        self
    }

    /// A file is complete so long after it was begun; 10 min if nothing is said.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// When tuples are acked; when they are on the disk if nothing is said.
    #[must_use]
    pub fn safe(self, safe: Safe) -> Self {
        Self { safe, ..self }
    }

    /// How long a tuple waits for others to be flushed with; 100 ms if nothing is said.
    #[must_use]
    pub fn flush_every(self, flush_every: Duration) -> Self {
        Self { flush_every, ..self }
    }

    /// How many tuples of a file are flushed without waiting; 1000 if nothing is said.
    #[must_use]
    pub fn flush_records(self, flush_records: usize) -> Self {
        Self { flush_records, ..self }
    }

    /// A folder for each day, hour or minute in which tuples are written.
    #[must_use]
    pub fn by_time(self, folders: TimeFolders) -> Self {
        Self { time: Some((folders, None)), ..self }
    }

    /// A folder for each day, hour or minute of a time that tuples have.
    #[must_use]
    pub fn by_time_of<F>(self, folders: TimeFolders, time: F) -> Self
    where
        F: Fn(&T) -> SystemTime + Send + Sync + 'static,
    {
        Self { time: Some((folders, Some(Arc::new(time)))), ..self }
    }

    /// A folder `NAME=KEY` for each key, below that of the time. Letters of a key that could lead out of
    /// the folder, and all that are not plain, are written as `%` and two digits.
    #[must_use]
    pub fn by_key<F, S>(self, name: impl Into<String>, key: F) -> Self
    where
        F: Fn(&T) -> &S + Send + Sync + 'static,
        S: AsRef<str> + ?Sized,
    {
        let key: KeyOf<T> = Arc::new(move |tuple| key(tuple).as_ref().to_owned());
        Self { key: Some((name.into(), key)), ..self }
    }

    /// How many files one task writes at a time; 64 if nothing is said. With more folders than that, the
    /// file that was longest not written to is completed.
    #[must_use]
    pub fn max_open_files(self, max_open_files: usize) -> Self {
        Self { max_open_files, ..self }
    }

    /// What becomes of files that a crash left over; if nothing is said their whole records are completed,
    /// or with [`Safe::Complete`], where these come again, they are put aside.
    #[must_use]
    pub fn leftover(self, leftover: Leftover) -> Self {
        Self { leftover: Some(leftover), ..self }
    }

    /// How long tuples fail without a try when the disk is full or gone; from 0.1 to 10 s if nothing is
    /// said.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Looks whether the options make sense, without a look at the folder.
    ///
    /// # Errors
    ///
    /// The first option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.retry.check("retry")?;
        let wrong = |option, value: &dyn fmt::Debug, why: &str, fix: &str| {
            Err(WrongOption::new(option, format!("{value:?}"), why, fix))
        };
        if self.folder == Path::new("") {
            return wrong("folder", &self.folder, "it is empty", "name the folder of the files");
        }
        let is_plain = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
        };
        let plain = "write 1 to 64 letters, digits, `-` and `_`";
        if !is_plain(&self.name) {
            return wrong("name", &self.name, "it is no plain beginning of a file name", plain);
        }
        if let Some((name, _)) = &self.key
            && !is_plain(name)
        {
            return wrong("by_key", name, "it is no plain name of a folder", plain);
        }
        if !matches!(self.format, FileFormat::Text(_)) && T::schema().dynamic {
            let (why, fix) = ("fields of these tuples have no names yet", "write `lines`");
            return wrong("format", &self.format, why, fix);
        }
        for (option, is_zero) in [
            ("max_bytes", self.limits.bytes == 0),
            ("max_records", self.limits.records == 0),
            ("flush_records", self.flush_records == 0),
            ("max_open_files", self.max_open_files == 0),
        ] {
            if is_zero {
                return wrong(option, &0, "nothing could be written", "allow at least one");
            }
        }
        for (option, period) in [("max_age", self.limits.age), ("flush_every", self.flush_every)] {
            if period.is_zero() {
                return wrong(option, &period, "it is no time at all", "for example 100 ms");
            }
        }
        Ok(())
    }

    /// Begins to write: the factory of an explicit bolt, which has to tick every `flush_every`.
    /// [`FilesOut::declare`] sees to that.
    ///
    /// # Errors
    ///
    /// An option that makes no sense, or a folder that cannot be written to.
    pub fn open(&self, cx: &Context) -> Result<FilesSink<T>, Error> {
        self.check()?;
        FilesSink::open(self.clone(), cx)
    }

    /// Declares the bolt, on threads of its own, because a disk may take its time.
    #[track_caller]
    pub fn declare(self, t: &mut TopologyBuilder, name: &str) -> BoltDeclarer<T, NoOutput> {
        let every = self.flush_every;
        let holds = if self.safe == Safe::Complete { self.limits.age } else { every };
        t.explicit_bolt(name, move |cx| self.open(cx)).tick_every(every).holds(holds).blocking()
    }
}
