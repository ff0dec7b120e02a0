//! What can be set of a buffer, and what can be wrong with one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::engine::format::VERSION;
use super::reserve::is_full;
use crate::WrongOption;

/// When what is written is forced to the disk.
///
/// ```
/// use connectors::buffer::Durability;
///
/// assert_eq!(Durability::default(), Durability::EachGroup);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before anybody is told that it is safe; who waits at the same time shares one `fsync`. Survives
    /// the end of the process and a power cut.
    #[default]
    EachGroup,
    /// Once in this time. Survives the end of the process, and a power cut but for about this time.
    Every(Duration),
    /// When the system likes. Survives the end of the process only.
    Never,
}

/// Where a buffer is, how much it takes, and how safe it is.
///
/// ```
/// use connectors::buffer::{BufferOptions, Durability};
/// use std::time::Duration;
///
/// let options = BufferOptions::new("/var/lib/squall/events")
///     .bytes_max(10 << 30)
///     .durability(Durability::Every(Duration::from_millis(50)));
/// assert!(options.check().is_ok());
/// assert_eq!(BufferOptions::new("relative").check().unwrap_err().option(), "buffer.folder");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferOptions {
    pub(super) folder: PathBuf,
    pub(super) bytes_max: u64,
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
    pub(super) skip_damaged: bool,
}

impl BufferOptions {
    /// A buffer below this folder of the machine, one folder a task in it; the path is absolute, since
    /// workers run in folders of their own.
    #[must_use]
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            bytes_max: 1 << 30,
            segment_bytes: 64 << 20,
            durability: Durability::default(),
            skip_damaged: false,
        }
    }

    /// Sets how many bytes all segments of a task may have, 1 GiB unless this says otherwise. At that,
    /// senders are told to wait.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Sets at how many bytes a segment is closed, 64 MiB unless this says otherwise. Room comes free by
    /// whole segments.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets when what is written is forced to the disk.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Goes on with the next segment where one is damaged, and tells how many records that cost;
    /// without this such a buffer is not opened.
    #[must_use]
    pub fn skip_damaged(mut self) -> Self {
        self.skip_damaged = true;
        self
    }

    /// Looks whether the options make sense.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        let wrong = |option, value: &dyn ToString, why: &str, fix: &str| {
            Err(WrongOption::new(option, value.to_string(), why, fix))
        };
        if !self.folder.is_absolute() {
            let (why, fix) = ("workers run in folders of their own", "give an absolute path");
            return wrong("buffer.folder", &self.folder.display(), why, fix);
        }
        if self.segment_bytes < 4 << 10 {
            let (why, fix) = ("segments would be tiny", "give at least 4 KiB");
            return wrong("buffer.segment_bytes", &self.segment_bytes, why, fix);
        }
        if self.bytes_max < self.segment_bytes.saturating_mul(2) {
            let why = "it is less than two segments, and room comes free by whole segments";
            return wrong(
                "buffer.bytes_max",
                &self.bytes_max,
                why,
                "raise it, or lower `segment_bytes`",
            );
        }
        if self.durability == Durability::Every(Duration::ZERO) {
            let fix = "use `EachGroup`, or some milliseconds";
            return wrong("buffer.durability", &"every 0 s", "that is no time", fix);
        }
        Ok(())
    }
}

/// Why a buffer cannot be opened.
///
/// ```
/// use connectors::buffer::BufferError;
///
/// let taken = BufferError::Taken("/var/lib/squall/events/task-0".into());
/// assert!(taken.to_string().contains("another process"));
/// ```
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// An option is wrong.
    #[error(transparent)]
    Option(#[from] WrongOption),
    /// Another process has it.
    #[error(
        "buffer {}: another process has it; give each topology a folder of its own, or wait until the other worker has ended", .0.display()
    )]
    Taken(PathBuf),
    /// The system says no.
    #[error("buffer {}: cannot {doing}: {source}", path.display())]
    System {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Another version wrote it.
    #[error(
        "buffer segment {}: it has format {version}, and this program reads format {VERSION}; let the program that wrote it empty the buffer first, or move the folder away", path.display()
    )]
    Version {
        /// The segment.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// Its records are of another type.
    #[error(
        "buffer segment {}: it holds {found}, and this topology wants {wanted}; let the topology that wrote it empty the buffer first, or use another folder", path.display()
    )]
    Schema {
        /// The segment.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What is wanted.
        wanted: String,
    },
    /// A closed segment is not what was written.
    #[error(
        "buffer segment {}: damaged at byte {offset}, {lost} records from number {number} on cannot be read; restore the file, or set `skip_damaged` to go on without them", path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// The first record that cannot be read.
        number: u64,
        /// How many.
        lost: u64,
    },
}

impl BufferError {
    /// Whether it is room on the disk that was missing.
    pub(super) fn is_full_disk(&self) -> bool {
        matches!(self, Self::System { source, .. } if is_full(source.kind()))
    }

    /// Notes what was tried with which file.
    pub(super) fn system(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::System { path, doing, source }
    }
}

/// Why a record was not stored.
///
/// ```
/// use connectors::buffer::NotStored;
///
/// assert!(NotStored::Full.to_string().contains("full"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// There is no room until others are done with.
    #[error("the buffer is full: the topology is behind")]
    Full,
    /// It is larger than any record may be, or than the buffer.
    #[error("the record is too large for the buffer")]
    TooLarge,
    /// The disk does not take it.
    #[error("the buffer cannot be written: {0}")]
    Disk(String),
    /// The buffer is closed.
    #[error("the buffer is closed: the task has ended")]
    Closed,
}
