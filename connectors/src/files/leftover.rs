//! What a crash left over: hidden files that nobody writes to.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use super::format::whole;
use super::part::{HIDDEN, finish};

/// How deep below the folder files may stand: three of time, one of a key.
const DEPTH_MAX: u32 = 5;

/// What becomes of a file that a crash left half written. Either way it is told, and counted as
/// `leftover-files`.
///
/// ```
/// use connectors::files::Leftover;
///
/// assert_ne!(Leftover::Complete, Leftover::Aside);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Its whole records become a complete file.
    Complete,
    /// It stays as it is, under a hidden name that ends in `.aside`.
    Aside,
}

/// Finds hidden files below a folder whose names begin with one of these.
pub(super) fn find(folder: &Path, is_ours: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file()
                && entry.file_name().to_str().and_then(plain).is_some_and(is_ours)
            {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The name that a hidden file is to have.
fn plain(hidden: &str) -> Option<&str> {
    hidden.strip_prefix(HIDDEN.0)?.strip_suffix(HIDDEN.1)
}

/// Deals with one; says what became of it. None: somebody writes to it.
pub(super) fn settle(hidden: &Path, leftover: Leftover, csv: bool) -> io::Result<Option<String>> {
    let mut file = File::options().read(true).write(true).open(hidden)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let name =
        hidden.file_name().and_then(|name| name.to_str()).and_then(plain).unwrap_or_default();
    if leftover == Leftover::Aside {
        let aside = hidden.with_file_name(format!("{}{name}.aside", HIDDEN.0));
        fs::rename(hidden, &aside)?;
        return Ok(Some(format!("a crash left it over; it is kept as {}", aside.display())));
    }
    let end = whole_of(&mut file, csv)?;
    if end == 0 {
        fs::remove_file(hidden)?;
        return Ok(Some(format!(
            "a crash left {} over without a whole record; it is gone",
            hidden.display()
        )));
    }
    file.set_len(end)?;
    let path = hidden.with_file_name(name);
    finish(&file, hidden, &path)?;
    Ok(Some(format!("a crash left it over; its whole records are {}", path.display())))
}

/// How many bytes of a file are whole records. Reads it in pieces that end with a whole one.
fn whole_of(file: &mut File, csv: bool) -> io::Result<u64> {
    file.rewind()?;
    let (mut piece, mut end) = (Vec::new(), 0);
    loop {
        let before = piece.len();
        file.by_ref().take(4 * 1024 * 1024).read_to_end(&mut piece)?;
        let done = whole(&piece, csv);
        end += done as u64;
        if piece.len() == before {
            return Ok(end);
        }
        piece.drain(..done);
    }
}
