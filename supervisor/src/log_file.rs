//! A worker's log on disk: appended to by the worker itself, rotated by its supervisor.
//!
//! A worker outlives its supervisor, so its output cannot go through a pipe to it that would break:
//! it holds the file itself, in append mode. Hence rotation copies and truncates; lines written in the
//! moment between the two are lost, which a log may do and a tuple may not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file's name within the worker's folder; older ones have `.1` to `.3` behind it.
const FILE: &str = "worker.log";

/// A log that has grown past this is rotated.
pub(crate) const BYTES_MAX: u64 = 16 << 20;

/// So many older files are kept.
const KEPT: u32 = 3;

/// Begins the line that stands before the output of an incarnation.
const MARK: &str = "==> squall: ";

/// Last words: at most so many lines, so many bytes.
const LAST_LINES: usize = 10;
const LAST_BYTES: usize = 4096;

/// Of the end of a log, at most so many bytes are read to find out how its worker ended.
const END_BYTES: u64 = 64 << 10;

/// Returns where the log of the worker with this folder is.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

fn older(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{FILE}.{number}"))
}

/// Opens the log for a new incarnation, and writes a line that says so.
pub(crate) fn open(folder: &Path, title: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(0o600).open(path(folder))?;
    writeln!(file, "{MARK}{title}")?;
    Ok(file)
}

/// Adds what a dead worker did not bring there itself; a log that cannot be written to goes without.
pub(crate) fn append(folder: &Path, text: &[u8]) {
    if !text.is_empty()
        && let Ok(mut file) = OpenOptions::new().append(true).open(path(folder))
    {
        drop(file.write_all(text));
    }
}

/// Rotates the log if it has grown past `bytes_max`; at most that much of its end is kept.
pub(crate) fn rotate(folder: &Path, bytes_max: u64) -> io::Result<bool> {
    let current = path(folder);
    let length = match fs::metadata(&current) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if length <= bytes_max {
        return Ok(false);
    }
    let mut from = File::open(&current)?;
    from.seek(SeekFrom::Start(length - bytes_max))?;
    // Whatever is written while this copies comes along, up to a bound.
    let copy = older(folder, 0);
    if let Err(error) = copy_to(from.take(2 * bytes_max), &copy) {
        // No room: what there is of older files stays, and the log cannot grow.
        drop(fs::remove_file(&copy));
        return Err(error);
    }
    for number in (0..KEPT).rev() {
        match fs::rename(older(folder, number), older(folder, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    OpenOptions::new().write(true).open(&current)?.set_len(0)?;
    Ok(true)
}

fn copy_to(mut from: impl Read, path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut to = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::copy(&mut from, &mut to).map(drop)
}

/// Like [`tail`], but begins with a whole line, unless the last one alone is longer than that. Tells
/// whether there is more before it.
pub(crate) fn last_lines(folder: &Path, bytes: u64) -> io::Result<(Vec<u8>, u64, bool)> {
    // One byte more tells whether something was cut, and whether the cut is between two lines.
    let (mut end, position) = tail(folder, bytes + 1)?;
    let is_cut = end.len() as u64 > bytes;
    if is_cut {
        let cut = end.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        end.drain(..=cut);
    }
    Ok((end, position, is_cut))
}

/// Returns the end of the log, at most `bytes`, and the position in the newest file from which to
/// go on. Reaches back into the last rotated file if the newest holds too little.
pub(crate) fn tail(folder: &Path, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let (newest, end) = tail_of(&path(folder), bytes)?;
    let missing = bytes - newest.len() as u64;
    if missing == 0 {
        return Ok((newest, end));
    }
    let mut all = tail_of(&older(folder, 1), missing).map(|(older, _)| older).unwrap_or_default();
    all.extend_from_slice(&newest);
    Ok((all, end))
}

fn tail_of(path: &Path, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(length - start).read_to_end(&mut end)?;
    let read = end.len() as u64;
    Ok((end, start + read))
}

/// Returns what was written after `position`, at most `bytes`, and the new position. A file that
/// became shorter was rotated: it is read from its beginning.
pub(crate) fn read_on(folder: &Path, position: u64, bytes: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = File::open(path(folder))?;
    let position = if file.metadata()?.len() < position { 0 } else { position };
    file.seek(SeekFrom::Start(position))?;
    let mut more = Vec::new();
    file.take(bytes).read_to_end(&mut more)?;
    let read = more.len() as u64;
    Ok((more, position + read))
}

/// Returns the end of what the newest incarnation wrote.
pub(crate) fn own_end(folder: &Path) -> String {
    let (end, _) = tail(folder, END_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let lines: Vec<&str> = text.lines().collect();
    let own = lines.iter().rposition(|line| line.starts_with(MARK)).map_or(0, |mark| mark + 1);
    lines[own..].join("\n")
}

/// Returns the last lines of a text, made safe to show.
pub(crate) fn last_words(text: &str) -> String {
    let from = text.floor_char_boundary(text.len().saturating_sub(LAST_BYTES));
    let lines: Vec<&str> = text[from..].lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    let shown: Vec<String> = lines[first..].iter().map(|line| harmless(line)).collect();
    shown.join("\n")
}

/// Replaces what could take over the terminal of whoever reads it.
fn harmless(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_those_of_the_newest_incarnation() {
        let folder = tempfile::tempdir().unwrap();
        writeln!(open(folder.path(), "epoch 1.0").unwrap(), "of an older one").unwrap();
        let mut log = open(folder.path(), "epoch 1.1").unwrap();
        assert_eq!(last_words(&own_end(folder.path())), "", "it has said nothing yet");
        writeln!(log, "cannot open \u{1b}[31mfile").unwrap();
        assert_eq!(last_words(&own_end(folder.path())), "cannot open \u{fffd}[31mfile");
        for number in 0..50 {
            writeln!(log, "line {number}").unwrap();
        }
        let words = last_words(&own_end(folder.path()));
        assert_eq!(words.lines().count(), LAST_LINES, "{words}");
        assert!(words.ends_with("line 49"), "{words}");
    }

    #[test]
    fn a_writer_goes_on_in_the_truncated_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path(), "epoch 1.0").unwrap();
        for round in 0..5 {
            writeln!(log, "{round}: {}", "x".repeat(200)).unwrap();
            assert!(rotate(folder.path(), 100).unwrap(), "round {round}");
            let (_, position) = tail(folder.path(), 0).unwrap();
            assert_eq!(position, 0, "truncated in round {round}");
        }
        let files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 4, "the log and {KEPT} older ones");
        writeln!(log, "after").unwrap();
        let (bytes, _) = read_on(folder.path(), 9999, 100).unwrap();
        assert_eq!(bytes, b"after\n", "a reader ahead of a rotation begins anew");
        assert_eq!(fs::metadata(older(folder.path(), 1)).unwrap().len(), 100, "bounded");
    }

    #[test]
    fn what_is_shown_of_a_log_begins_with_a_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(path(folder.path()), "one\ntwo\nthree\n").unwrap();
        for (bytes, expected) in [
            (100, "one\ntwo\nthree\n"),
            (14, "one\ntwo\nthree\n"),
            (13, "two\nthree\n"),
            (10, "two\nthree\n"),
            (9, "three\n"),
            (5, ""),
            (0, ""),
        ] {
            let (end, position, cut) = last_lines(folder.path(), bytes).unwrap();
            assert_eq!((String::from_utf8(end).unwrap().as_str(), position), (expected, 14));
            assert_eq!(cut, bytes < 14, "{bytes}");
        }
        fs::write(path(folder.path()), "no end").unwrap();
        assert_eq!(last_lines(folder.path(), 3).unwrap().0, b"end", "one long line");
    }

    #[test]
    fn a_tail_reaches_into_the_rotated_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path(), "epoch 1.0").unwrap();
        writeln!(log, "before").unwrap();
        rotate(folder.path(), 10).unwrap();
        writeln!(log, "after").unwrap();
        let (bytes, position) = tail(folder.path(), 13).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "before\nafter\n");
        assert_eq!(position, 6, "in the newest file");
    }
}
