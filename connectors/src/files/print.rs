//! What a file is known by, besides its name: its place on the disk, how it begins, and what stood
//! before the place up to which it was read.
//!
//! The place on the disk (device and inode) stays when a file is renamed. It is given to another file
//! when the first one is deleted, and it stays when a file is cut off and written anew: then the file
//! begins otherwise. A copy, or the same file compressed, begins alike in another place. Pure.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How much of a file tells it from others, at its beginning and before a position, in bytes.
pub(super) const PRINT_BYTES: usize = 256;

/// Where a file is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Some bytes of a file by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Print {
    /// How many bytes.
    pub(super) bytes: usize,
    pub(super) hash: u64,
}

impl Print {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), hash: xxh3_64(bytes) }
    }

    /// The print of a file that begins like this: its first line, or as much of it as counts. None as
    /// long as the file may grow and that is not all there: it would be another print later.
    pub(super) fn of_beginning(head: &[u8], may_grow: bool) -> Option<Self> {
        let head = &head[..head.len().min(PRINT_BYTES)];
        match memchr::memchr(b'\n', head) {
            Some(end) => Some(Self::of(&head[..=end])),
            None if head.is_empty() || (may_grow && head.len() < PRINT_BYTES) => None,
            None => Some(Self::of(head)),
        }
    }

    /// Which of so many tasks reads a file that begins like this. Copies and compressed files begin
    /// like what they were made of, and go to the same task.
    pub(super) fn task(self, tasks: u32) -> u32 {
        u32::try_from(self.hash % u64::from(tasks.max(1))).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_is_that_of_the_first_line_and_does_not_change_as_the_file_grows() {
        assert_eq!(Print::of_beginning(b"", true), None);
        assert_eq!(Print::of_beginning(b"half a li", true), None);
        let whole = Print::of_beginning(b"a line\n", true);
        assert_eq!(Print::of_beginning(b"a line\nanother\n", true), whole);
        assert_ne!(Print::of_beginning(b"b line\nanother\n", true), whole);
        let long = Print::of_beginning(&[b'x'; 300], true);
        assert!(long.is_some(), "as much as counts is there");
        assert_eq!(Print::of_beginning(&[b'x'; 9_000], true), long);
        assert!(Print::of_beginning(b"half a li", false).is_some(), "nothing will follow");
        assert_eq!(Print::of_beginning(b"", false), None);
    }

    #[test]
    fn files_are_spread_over_tasks() {
        let mut files = [0; 3];
        for number in 0..300 {
            files[Print::of(format!("{number}\n").as_bytes()).task(3) as usize] += 1;
        }
        assert!(files.iter().all(|count| *count > 50), "{files:?}");
    }
}
