//! A data folder belongs to one process at a time.
//!
//! The system lets go of the lock with the process, however that ends, so none is ever left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Takes a folder for this process, until the file is dropped; `None` if another has it.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// let ours = daemon::lock::take(folder.path()).unwrap();
/// assert!(ours.is_some());
/// assert!(daemon::lock::take(folder.path()).unwrap().is_none());
/// ```
///
/// # Errors
///
/// What the system says, if it can keep no lock there.
pub fn take(folder: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let path = folder.join("lock");
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
