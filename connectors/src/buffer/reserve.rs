//! Room on the disk that a buffer keeps for itself: what makes room must not need any.
//!
//! A segment that is done with is removed after that was written down, and after the next one was begun. On
//! a disk that is full neither would go, and a buffer that has filled it would be stuck with all of it done
//! with. So some pages are taken while there are any, and given up for these two.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How much is kept, in bytes, and in what pieces that is taken.
const KEPT_BYTES: usize = 64 << 10;
const PIECE_BYTES: usize = 4 << 10;

/// The file that takes up the room.
const NAME: &str = "reserve";

/// Room that is kept.
pub(super) struct Reserve {
    path: PathBuf,
    kept: usize,
}

impl Reserve {
    /// Gives up what an earlier process kept in this folder.
    pub(super) fn open(folder: &Path) -> Self {
        let mut reserve = Self { path: folder.join(NAME), kept: KEPT_BYTES };
        reserve.give_up();
        reserve
    }

    /// Takes the room, or as much of it as there is.
    pub(super) fn keep(&mut self) {
        if self.kept >= KEPT_BYTES {
            return;
        }
        let Ok(mut file) = OpenOptions::new().create(true).append(true).open(&self.path) else {
            return;
        };
        while self.kept < KEPT_BYTES && file.write_all(&[0; PIECE_BYTES]).is_ok() {
            self.kept += PIECE_BYTES;
        }
    }

    /// Gives it up; tells whether that made any room.
    pub(super) fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.kept) > 0 && fs::remove_file(&self.path).is_ok()
    }
}

/// Whether it is room on the disk that was missing.
pub(super) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
