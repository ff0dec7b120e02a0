//! What tells a file that was changed from one that was not, without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

/// What the kernel says of a file that was not touched since: its inode, size, and times.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("file");
/// std::fs::write(&path, "one").unwrap();
/// let before = daemon::Stamp::of(&std::fs::metadata(&path).unwrap());
/// assert_eq!(before, daemon::Stamp::of(&std::fs::metadata(&path).unwrap()));
/// std::fs::write(&path, "another").unwrap();
/// assert_ne!(before, daemon::Stamp::of(&std::fs::metadata(&path).unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Takes the stamp of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
