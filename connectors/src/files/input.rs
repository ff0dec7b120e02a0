//! The options of files in: what they are, what they are when nothing is said, and which make no sense.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::bytes::Regex;
use topology_api::{Context, Error, Line};

use super::record::FromRecord;
use super::splitter::Rule;
use super::spout::FilesSpout;
use crate::option::check_times;
use crate::{Retry, WrongOption};

/// Longest record that may be allowed, in bytes.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where files that no position is known of are begun.
///
/// ```
/// use connectors::files::FilesStart;
///
/// assert_eq!(FilesStart::default(), FilesStart::Beginning);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilesStart {
    /// At their beginnings.
    #[default]
    Beginning,
    /// Those that are there when the topology first starts, at their ends; later ones at their beginnings.
    End,
}

/// What becomes of a record that is too long. Either way it is counted and shown.
///
/// ```
/// use connectors::files::TooLong;
///
/// assert_eq!(TooLong::default(), TooLong::Cut);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// Its first bytes are emitted; counter `cut-records`.
    #[default]
    Cut,
    /// It is left out; counter `skipped-records`.
    Skip,
}

/// What becomes of a record that should be text and is not UTF-8. Either way counter `not-text`.
///
/// ```
/// use connectors::files::NotText;
///
/// assert_eq!(NotText::default(), NotText::Lossy);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotText {
    /// It is emitted with U+FFFD in the place of what is not text.
    #[default]
    Lossy,
    /// It goes as it is to the output [`FilesSpout::DEAD_LETTERS`].
    DeadLetter,
}

/// Which lines are one record. The pattern is a regular expression that sees a line without its end.
///
/// ```
/// use connectors::files::Multiline;
///
/// let stack_traces = Multiline::begins(r"^\d{4}-\d\d-\d\d ");
/// let folded = Multiline::continues(r"^\s");
/// assert_ne!(stack_traces, folded);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiline {
    pattern: String,
    begins: bool,
    wait: Duration,
}

impl Multiline {
    /// A line that matches begins a record; all others go on with it.
    #[must_use]
    pub fn begins(pattern: impl Into<String>) -> Self {
        Self { pattern: pattern.into(), begins: true, wait: Duration::from_secs(2) }
    }

    /// A line that matches goes on with the record before it; all others begin one.
    #[must_use]
    pub fn continues(pattern: impl Into<String>) -> Self {
        Self { begins: false, ..Self::begins(pattern) }
    }

    /// How long the last record waits for more lines; 2 s if nothing is said.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }
}

/// Reads the records of files in a folder, for as long as they grow: the options of a [`FilesSpout`].
///
/// ```
/// use std::time::Duration;
/// use connectors::files::FilesIn;
/// use topology_api::prelude::*;
///
/// let logs = FilesIn::<Line>::new("/var/log/nginx", "access.log*").state("/var/lib/shop/positions");
/// logs.check().unwrap();
/// let mut t = TopologyBuilder::new("logs");
/// t.spout("lines", move |cx| logs.open(cx)).parallelism(2);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct FilesIn<T = Line> {
    pub(super) folder: PathBuf,
    pub(super) pattern: String,
    pub(super) state: Option<PathBuf>,
    pub(super) start: FilesStart,
    pub(super) multiline: Option<Multiline>,
    pub(super) max_record_bytes: usize,
    pub(super) too_long: TooLong,
    pub(super) not_text: NotText,
    pub(super) retry: Retry,
    pub(super) follow: bool,
    pub(super) scan_every: Duration,
    pub(super) save_every: Duration,
    pub(super) forget_after: Duration,
    pub(super) max_open_files: usize,
    record: PhantomData<fn() -> T>,
}

impl<T: FromRecord> FilesIn<T> {
    /// Reads the files of `folder` whose names fit `pattern`, where `*` is any text and `?` any letter.
    /// Rotated files have to fit it too: what was not read when a file was renamed is read there.
    pub fn new(folder: impl Into<PathBuf>, pattern: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            pattern: pattern.into(),
            state: None,
            start: FilesStart::default(),
            multiline: None,
            max_record_bytes: 1024 * 1024,
            too_long: TooLong::default(),
            not_text: NotText::default(),
            retry: Retry::default(),
            follow: true,
            scan_every: Duration::from_secs(1),
            save_every: Duration::from_secs(1),
            forget_after: Duration::from_secs(3_600),
            max_open_files: 512,
            record: PhantomData,
        }
    }

    /// Keeps positions in this folder, on a disk that outlives the worker. It has to be given, and may be
    /// shared by topologies of different names.
    #[must_use]
    pub fn state(self, folder: impl Into<PathBuf>) -> Self {
        Self { state: Some(folder.into()), ..self }
    }

    /// Where files are begun that are new; at their beginnings if nothing is said.
    #[must_use]
    pub fn start(self, start: FilesStart) -> Self {
        Self { start, ..self }
    }

    /// Puts lines together; each is a record if nothing is said.
    #[must_use]
    pub fn multiline(self, multiline: Multiline) -> Self {
        Self { multiline: Some(multiline), ..self }
    }

    /// The longest record, in bytes without its line end: 1 to 64 MiB; 1 MiB if nothing is said. The setting
    /// `tuple.max_bytes` has to allow what is made of it.
    #[must_use]
    pub fn max_record_bytes(self, max_record_bytes: usize) -> Self {
        Self { max_record_bytes, ..self }
    }

    /// What becomes of longer records; they are cut if nothing is said.
    #[must_use]
    pub fn too_long(self, too_long: TooLong) -> Self {
        Self { too_long, ..self }
    }

    /// What becomes of records that are not UTF-8 where text is wanted; bytes that are not are replaced if
    /// nothing is said. To take bytes as they are, read [`FileBytes`](super::FileBytes).
    #[must_use]
    pub fn not_text(self, not_text: NotText) -> Self {
        Self { not_text, ..self }
    }

    /// How records that failed are read again; from 0.1 to 10 s apart and without end if nothing is said.
    /// With a number of attempts, one that failed so often by its own fault goes to the output
    /// [`FilesSpout::DEAD_LETTERS`].
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Whether to wait for more at the ends of files; if not, the spout is finished when it has read all
    /// files that are there when it starts. It waits if nothing is said.
    #[must_use]
    pub fn follow(self, follow: bool) -> Self {
        Self { follow, ..self }
    }

    /// How often the folder is looked at; 1 s if nothing is said.
    #[must_use]
    pub fn scan_every(self, scan_every: Duration) -> Self {
        Self { scan_every, ..self }
    }

    /// How often positions are written; 1 s if nothing is said. What was processed since is read again
    /// after a crash.
    #[must_use]
    pub fn save_every(self, save_every: Duration) -> Self {
        Self { save_every, ..self }
    }

    /// How long a file that is gone is remembered, to know a copy of it; 1 h if nothing is said.
    #[must_use]
    pub fn forget_after(self, forget_after: Duration) -> Self {
        Self { forget_after, ..self }
    }

    /// How many files are open at a time in one task; 512 if nothing is said.
    #[must_use]
    pub fn max_open_files(self, max_open_files: usize) -> Self {
        Self { max_open_files, ..self }
    }

    /// Looks whether the options make sense, without a look at any folder.
    ///
    /// # Errors
    ///
    /// The first option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.rule()?;
        self.retry.check("retry")?;
        let wrong = |option, value: &dyn std::fmt::Debug, why: &str, fix: &str| {
            Err(WrongOption::new(option, format!("{value:?}"), why, fix))
        };
        if self.folder == Path::new("") {
            return wrong("folder", &self.folder, "it is empty", "name the folder of the files");
        }
        if self.pattern.is_empty() || self.pattern.contains('/') {
            let why = "it is not a pattern of file names";
            return wrong("pattern", &self.pattern, why, "for example `*.log*`, without a folder");
        }
        if self.state.as_deref().is_none_or(|state| state == Path::new("")) {
            let why = "positions have no place to be kept in";
            return wrong("state", &self.state, why, "name a folder that outlives the worker");
        }
        if !(1..=RECORD_BYTES_MAX).contains(&self.max_record_bytes) {
            let why = "it is not a length that a record may have";
            return wrong("max_record_bytes", &self.max_record_bytes, why, "1 to 67108864");
        }
        if self.max_open_files == 0 {
            return wrong("max_open_files", &0, "no file could be read", "allow at least one");
        }
        check_times(&[("scan_every", self.scan_every), ("save_every", self.save_every)])
    }

    /// Begins to read: the factory of a spout.
    ///
    /// # Errors
    ///
    /// An option that makes no sense, a folder that cannot be read, or positions that cannot be.
    pub fn open(&self, cx: &Context) -> Result<FilesSpout<T>, Error> {
        self.check()?;
        FilesSpout::open(self.clone(), cx)
    }

    pub(super) fn rule(&self) -> Result<Rule, WrongOption> {
        let Some(Multiline { pattern, begins, .. }) = &self.multiline else {
            return Ok(Rule::Line);
        };
        let regex = Regex::new(pattern).map_err(|error| {
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            WrongOption::new("multiline", pattern, why, "write a regular expression")
        })?;
        Ok(if *begins { Rule::Begins(regex) } else { Rule::Continues(regex) })
    }

    /// How long the last record of a file waits for more lines, if records have several.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.multiline.as_ref().map(|multiline| multiline.wait)
    }

    pub(super) fn wants_dead_letters(&self) -> bool {
        self.retry.attempts.is_some() || self.not_text == NotText::DeadLetter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_option_is_told_by_its_name() {
        let good = || FilesIn::<Line>::new("/var/log", "*.log").state("/var/lib/x");
        assert_eq!(good().check(), Ok(()));
        let second = Duration::from_secs(1);
        for (wrong, option) in [
            (FilesIn { folder: "".into(), ..good() }, "folder"),
            (FilesIn { pattern: String::new(), ..good() }, "pattern"),
            (FilesIn { pattern: "logs/*.log".into(), ..good() }, "pattern"),
            (FilesIn { state: None, ..good() }, "state"),
            (good().state(""), "state"),
            (good().multiline(Multiline::begins("(")), "multiline"),
            (good().max_record_bytes(0), "max_record_bytes"),
            (good().max_record_bytes(1 << 30), "max_record_bytes"),
            (good().retry(Retry::new(second, Duration::ZERO)), "retry"),
            (good().scan_every(Duration::ZERO), "scan_every"),
            (good().save_every(Duration::ZERO), "save_every"),
            (good().max_open_files(0), "max_open_files"),
        ] {
            let error = wrong.check().unwrap_err();
            assert_eq!(error.option(), option, "{error}");
        }
    }
}
