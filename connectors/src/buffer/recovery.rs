//! What a buffer finds of itself when it is opened: whole segments, a torn end, or damage.
//!
//! The end of the last segment may be torn, because a process or a machine died while it was written:
//! nobody was told that those bytes are safe, so they are cut away. If they are more than one record
//! that does not end, they are kept in a file beside, in case they are worth a look. Segments before the
//! last are closed and were forced to the disk: what is wrong there is damage, and told.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use super::catalog::Segment;
use super::engine::format::{BadHeader, Header, Rest, scan};
use super::engine::positions::Positions;
use super::options::{BufferError, BufferOptions};

/// What segments end with.
pub(super) const SUFFIX: &str = "segment";

/// The file of what is done with.
pub(super) const POSITIONS: &str = "positions";

/// What was found.
pub(super) struct Found {
    pub(super) segments: VecDeque<Segment>,
    pub(super) positions: Positions,
    /// The number after the last record.
    pub(super) end: u64,
    /// The number of the next record: not lower, and never given before.
    pub(super) next: u64,
    pub(super) notes: Vec<String>,
}

/// Reads the folder, and cuts away what is torn.
pub(super) fn recover(
    options: &BufferOptions,
    folder: &Path,
    schema: &str,
) -> Result<Found, BufferError> {
    let (positions, mut notes) = positions(folder)?;
    let mut found = Recovery {
        skip_damaged: options.skip_damaged,
        schema,
        is_known: positions.is_some(),
        positions: positions.unwrap_or_default(),
        segments: VecDeque::new(),
        end: None,
    };
    let paths = list(folder)?;
    for (at, path) in paths.iter().enumerate() {
        found.take(path, paths.get(at + 1).map(PathBuf::as_path), &mut notes)?;
    }
    let Recovery { mut positions, segments, end, .. } = found;
    let end = end.unwrap_or_else(|| positions.high());
    // A record whose number was given before may be marked as done with.
    let next = end.max(positions.high());
    positions.finish_range(end, next);
    Ok(Found { segments, positions, end, next, notes })
}

/// What is done with, if that is known.
fn positions(folder: &Path) -> Result<(Option<Positions>, Vec<String>), BufferError> {
    let path = folder.join(POSITIONS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((None, Vec::new()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(BufferError::system(&path, "read what is done with")(error)),
    };
    Ok(match Positions::decode(&text) {
        Some(positions) => (Some(positions), Vec::new()),
        None => {
            let note = format!(
                "buffer {}: the file of what is done with is damaged: all that is stored is \
                 emitted again",
                path.display()
            );
            (None, vec![note])
        }
    })
}

/// The segments of a folder, in order: their names are numbers of the same length.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, BufferError> {
    let system = BufferError::system;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(system(folder, "list the folder"))? {
        let path = entry.map_err(system(folder, "list the folder"))?.path();
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

struct Recovery<'a> {
    skip_damaged: bool,
    schema: &'a str,
    /// Whether it was written down what is done with.
    is_known: bool,
    positions: Positions,
    segments: VecDeque<Segment>,
    /// The number after the last record so far.
    end: Option<u64>,
}

impl Recovery<'_> {
    /// Takes a segment in; `following` is the one after it.
    fn take(
        &mut self,
        path: &Path,
        following: Option<&Path>,
        notes: &mut Vec<String>,
    ) -> Result<(), BufferError> {
        let system = BufferError::system;
        let bytes = fs::read(path).map_err(system(path, "read it"))?;
        let is_last = following.is_none();
        let (header, begin) = match Header::decode(&bytes) {
            Ok(header) => header,
            Err(BadHeader::Version(version)) => {
                return Err(BufferError::Version { path: path.to_owned(), version });
            }
            // Nothing was ever stored in it.
            Err(reason)
                if is_last && (reason == BadHeader::CutOff || bytes.iter().all(|it| *it == 0)) =>
            {
                return fs::remove_file(path).map_err(system(path, "remove it"));
            }
            Err(_) => {
                self.damaged(path, (0, following), notes)?;
                let beside = path.with_extension("damaged");
                return fs::rename(path, &beside).map_err(system(path, "rename it"));
            }
        };
        self.follows(path, &header, notes)?;
        if header.schema != self.schema && bytes.len() > begin {
            let (found, wanted) = (header.schema, self.schema.to_owned());
            let found_ = scan(header.first, &bytes[begin..]);
            if self.positions.next_open(header.first) < found_.end {
                return Err(BufferError::Schema { path: path.to_owned(), found, wanted });
            }
            self.end = Some(found_.end);
            return fs::remove_file(path).map_err(system(path, "remove it"));
        }
        let found = scan(header.first, &bytes[begin..]);
        let length = (begin + found.good) as u64;
        self.end = Some(found.end);
        if found.rest != Rest::None {
            if is_last {
                cut(path, &bytes, length as usize, found.rest, notes)?;
            } else {
                self.damaged(path, (length, following), notes)?;
            }
        }
        if found.good == 0 {
            // Each time it is opened a buffer begins a segment.
            return fs::remove_file(path).map_err(system(path, "remove it"));
        }
        self.keep(path, &header, (begin as u64, length, found.end));
        Ok(())
    }

    fn keep(&mut self, path: &Path, header: &Header, (begin, length, end): (u64, u64, u64)) {
        let first = header.first;
        self.segments.push_back(Segment { path: path.to_owned(), first, end, begin, length });
    }

    /// Looks whether a segment begins where the one before ended.
    fn follows(
        &mut self,
        path: &Path,
        header: &Header,
        notes: &mut Vec<String>,
    ) -> Result<(), BufferError> {
        let end = match self.end {
            Some(end) => end,
            // What came before is done with, and gone.
            None if self.is_known => self.positions.low(),
            None => header.after,
        };
        if header.after > end {
            self.lost(path, (0, end, header.after), notes)?;
        }
        let begin = if self.end.is_none() { 0 } else { end };
        self.positions.finish_range(begin, header.first);
        Ok(())
    }

    /// A closed segment cannot be read from a byte on; the header of the next one says how many
    /// records that costs.
    fn damaged(
        &mut self,
        path: &Path,
        (offset, following): (u64, Option<&Path>),
        notes: &mut Vec<String>,
    ) -> Result<(), BufferError> {
        let number = self.end.unwrap_or_else(|| self.positions.low());
        let header = following.and_then(|path| Header::decode(&fs::read(path).ok()?).ok());
        let end = header.map_or(number + 1, |(header, _)| header.after.max(number));
        self.lost(path, (offset, number, end), notes)?;
        self.positions.finish_range(number, end);
        self.end = Some(end);
        Ok(())
    }

    /// Records from `number` up to `end` are not there: an error, or a note.
    fn lost(
        &mut self,
        path: &Path,
        (offset, number, end): (u64, u64, u64),
        notes: &mut Vec<String>,
    ) -> Result<(), BufferError> {
        // Those that are done with are no loss.
        let number = self.positions.next_open(number);
        let lost = end.saturating_sub(number);
        let error = BufferError::Damaged { path: path.to_owned(), offset, number, lost };
        if !self.skip_damaged {
            return Err(error);
        }
        notes.push(format!("{error}: went on without them"));
        Ok(())
    }
}

/// Cuts away what is torn at the end of the last segment.
fn cut(
    path: &Path,
    bytes: &[u8],
    length: usize,
    rest: Rest,
    notes: &mut Vec<String>,
) -> Result<(), BufferError> {
    let system = BufferError::system;
    let torn = bytes.len() - length;
    let mut note =
        format!("buffer segment {}: cut {torn} torn bytes at byte {length}", path.display());
    if rest == Rest::Damaged {
        let beside = path.with_extension("torn");
        fs::write(&beside, &bytes[length..]).map_err(system(&beside, "write it"))?;
        note += &format!("; they are kept in {}", beside.display());
    }
    let file = OpenOptions::new().write(true).open(path).map_err(system(path, "open it"))?;
    file.set_len(length as u64).map_err(system(path, "cut it"))?;
    file.sync_all().map_err(system(path, "force it to the disk"))?;
    notes.push(note);
    Ok(())
}
