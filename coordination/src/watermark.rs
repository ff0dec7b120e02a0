//! How far a daemon has seen the store, so that it notices when the store goes back.
//!
//! A store that was wiped or restored from a backup has a lower revision than before. Whoever acted
//! on it would undo what was decided since: so nobody does until people accept it, which raises the
//! count of the record `recovery`. A daemon writes its watermark down, so that a restart accepts
//! nothing by accident. A file that cannot be written costs that protection and nothing else.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::store::Revision;

/// How far the store was seen.
///
/// ```
/// use coordination::Watermark;
///
/// let seen = Watermark { revision: 900, recovery: 0 };
/// assert!(seen.is_behind(Watermark { revision: 20, recovery: 0 }), "it was wiped");
/// assert!(!seen.is_behind(Watermark { revision: 21, recovery: 1 }), "people accepted that");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The newest revision.
    pub revision: Revision,
    /// How often people accepted that the store went back.
    pub recovery: u64,
}

impl Watermark {
    /// Tells whether a store that stands at `found` has gone back since `self`, and nobody has
    /// accepted that.
    #[must_use]
    pub fn is_behind(self, found: Self) -> bool {
        found.recovery < self.recovery
            || (found.recovery == self.recovery && found.revision < self.revision)
    }
}

/// Where a daemon writes its watermark down.
///
/// ```
/// use coordination::{Watermark, WatermarkFile};
///
/// let folder = tempfile::tempdir().unwrap();
/// let file = WatermarkFile::new(folder.path(), "default");
/// assert_eq!(file.read(), Watermark::default(), "nothing was seen yet");
/// file.write(Watermark { revision: 7, recovery: 1 });
/// assert_eq!(file.read(), Watermark { revision: 7, recovery: 1 });
/// let other = WatermarkFile::new(folder.path(), "test");
/// assert_eq!(other.read(), Watermark::default(), "another cluster has its own");
/// ```
#[derive(Clone, Debug)]
pub struct WatermarkFile(PathBuf);

impl WatermarkFile {
    /// Names the file of a cluster in a data folder.
    #[must_use]
    pub fn new(data_dir: &Path, cluster: &str) -> Self {
        Self(data_dir.join(format!("seen-{cluster}")))
    }

    /// Returns what was written last; nothing was seen if there is no such file.
    #[must_use]
    pub fn read(&self) -> Watermark {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
        let revision = numbers.next().unwrap_or_default();
        Watermark { revision, recovery: numbers.next().unwrap_or_default() }
    }

    /// Writes a watermark down: in a new file that takes the place of the old one.
    pub fn write(&self, seen: Watermark) {
        let part = self.0.with_extension("part");
        let text = format!("{} {}\n", seen.revision, seen.recovery);
        let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &self.0));
        if let Err(error) = written {
            warn!(path = %self.0.display(), %error, "cannot write down how far the store was seen");
        }
    }
}
