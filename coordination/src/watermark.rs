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
/// let at = |revision, recovery| Watermark { revision, recovery, went_back: false };
/// let seen = at(900, 0);
/// assert!(seen.is_behind(at(20, 0)), "it was wiped");
/// let seen = Watermark { went_back: true, ..seen };
/// assert!(seen.is_behind(at(1_000, 0)), "it has grown since, and is still another");
/// assert!(!seen.is_behind(at(1_001, 1)), "people accepted that");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The newest revision.
    pub revision: Revision,
    /// How often people accepted that the store went back.
    pub recovery: u64,
    /// It was found to have gone back since: however far it comes, it is not what it was.
    pub went_back: bool,
}

impl Watermark {
    /// Tells whether a store that stands at `found` has gone back since `self`, and nobody has
    /// accepted that.
    #[must_use]
    pub fn is_behind(self, found: Self) -> bool {
        found.recovery < self.recovery
            || (found.recovery == self.recovery
                && (self.went_back || found.revision < self.revision))
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
/// let seen = Watermark { revision: 7, recovery: 1, went_back: false };
/// file.write(seen);
/// assert_eq!(file.read(), seen);
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
        let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
        Watermark {
            revision: numbers.next().unwrap_or_default(),
            recovery: numbers.next().unwrap_or_default(),
            went_back: numbers.next().is_some_and(|it| it != 0),
        }
    }

    /// Writes a watermark down: in a new file that takes the place of the old one.
    pub fn write(&self, seen: Watermark) {
        let part = self.0.with_extension("part");
        let (revision, recovery, went_back) = (seen.revision, seen.recovery, seen.went_back);
        let text = format!("{revision} {recovery} {}\n", u8::from(went_back));
        let written = std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &self.0));
        if let Err(error) = written {
            warn!(path = %self.0.display(), %error, "cannot write down how far the store was seen");
        }
    }
}
