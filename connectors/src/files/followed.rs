//! One file that is followed: what it is known by, and how far it was read and processed.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::content::{Content, Extent, place};
use super::offsets::Offsets;
use super::positions::Position;
use super::print::{Place, Print};
use super::splitter::{Resume, Splitter};

/// How often it is looked whether the name of a file that does not grow leads to another one.
const NAME_EVERY: Duration = Duration::from_millis(10);

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) print: Print,
    pub(super) offsets: Offsets,
    /// Where to read on.
    pub(super) resume: Resume,
    /// What stands before an offset up to which it was read.
    pub(super) before: Option<(u64, Print)>,
    /// As it was when it was last looked at; of a compressed file, as it is on the disk.
    pub(super) extent: Extent,
    /// No name in the folder leads to it, since then.
    pub(super) gone: Option<Instant>,
    /// It was emptied or written anew: what was in it is only in a copy, if there is one.
    pub(super) cut_off: bool,
    /// There may be something to read.
    pub(super) stirred: bool,
    /// When something was last read.
    pub(super) moved: Instant,
    /// When it was last looked where its name leads.
    named: Instant,
    /// As it was on the disk when it was last read to its end.
    pub(super) ended_at: Option<Extent>,
    /// Whether a line begins where it is to be read on is still to be found out.
    unsure: bool,
    /// It was opened by its name, and whether it is that file is still to be found out.
    unchecked: bool,
    /// Its last bytes are in no record yet.
    pub(super) has_tail: bool,
    /// That it cannot be read was told.
    pub(super) troubled: bool,
    content: Option<Content>,
}

impl Followed {
    /// A file that was not seen before.
    pub(super) fn new(path: PathBuf, place: Place, print: Print, now: Instant) -> Self {
        Self {
            path,
            place,
            print,
            offsets: Offsets::default(),
            resume: Resume::default(),
            before: None,
            extent: Extent::default(),
            gone: None,
            cut_off: false,
            stirred: true,
            moved: now,
            named: now,
            ended_at: None,
            unsure: false,
            unchecked: false,
            has_tail: false,
            troubled: false,
            content: None,
        }
    }

    /// A file that an earlier process read; not seen yet.
    pub(super) fn restored(position: Position, now: Instant) -> Self {
        let file = Self::new(position.name.into(), position.place, position.print, now);
        let resume = Resume { offset: position.offset, ..Resume::default() };
        let offsets = Offsets::at(position.offset);
        let before = position.before;
        Self { offsets, resume, before, gone: Some(now), unsure: true, ..file }
    }

    /// What is written down of it.
    pub(super) fn position(&self) -> Position {
        Position {
            name: self.path.to_string_lossy().into_owned(),
            place: self.place,
            print: self.print,
            offset: self.offsets.position(),
            before: self.before,
        }
    }

    /// Begins to read behind the line that ends at an offset or goes on there.
    pub(super) fn start_at(&mut self, offset: u64, within_line: bool) {
        self.resume = Resume { offset, passing: within_line, within_line };
        self.offsets = Offsets::at(offset);
    }

    pub(super) fn is_open(&self) -> bool {
        self.content.is_some()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.content.as_ref().is_some_and(Content::is_gzip)
    }

    /// Whether nothing of it was read, and it can be.
    pub(super) fn is_unread(&self) -> bool {
        let is_there = self.gone.is_none() || self.is_open();
        self.resume.offset == 0 && is_there && !self.cut_off
    }

    /// Whether it was read to its end, as far as is known.
    pub(super) fn is_at_end(&self) -> bool {
        self.ended_at.is_some_and(|end| end.size == self.extent.size)
    }

    /// How many bytes are still to be read, as they are on the disk.
    pub(super) fn lag(&self) -> u64 {
        if self.is_at_end() || self.cut_off {
            return 0;
        }
        let read = if self.is_compressed() { 0 } else { self.resume.offset };
        self.extent.size.saturating_sub(read)
    }

    pub(super) fn close(&mut self) {
        self.content = None;
    }

    /// The file as it is in another place, with the same in it.
    pub(super) fn moves_to(&mut self, path: PathBuf, place: Place, content: Content) {
        (self.path, self.place, self.content) = (path, place, Some(content));
        (self.gone, self.cut_off, self.stirred, self.ended_at) = (None, false, true, None);
        self.unchecked = false;
    }

    /// Opens it, if it is not; an error of the kind `NotFound` if its name leads to another one by now.
    pub(super) fn open(&mut self) -> io::Result<&mut Content> {
        if self.cut_off {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the file was emptied"));
        }
        if self.content.is_none() {
            let content = Content::open(&self.path)?;
            if place(&content.facts()?) != self.place {
                let text = "the name leads to another file by now";
                return Err(io::Error::new(ErrorKind::NotFound, text));
            }
            self.content = Some(content);
            self.unchecked = true;
        }
        self.content.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Whether what was read still stands where it was; otherwise the file was cut off.
    pub(super) fn is_as_it_was(&mut self) -> io::Result<bool> {
        let (print, before, read) = (self.print, self.before, self.resume.offset);
        self.open()?;
        let unchecked = self.unchecked;
        let content = self.open()?;
        // A compressed file was finished when it was first read. But the place of a file that was deleted
        // is soon that of another one, of which there may be little yet.
        if content.is_gzip() {
            let as_it_was = !unchecked || content.begins(print)?;
            self.unchecked = false;
            return Ok(as_it_was);
        }
        let grew = content.facts()?.len() >= read;
        let as_it_was = grew && content.begins(print)?;
        // A file that was begun at its end may have been begun within a line.
        if std::mem::take(&mut self.unsure)
            && as_it_was
            && let Some(last) = read.checked_sub(1)
        {
            let content = self.open()?;
            let within_line = content.piece(last, 1)? != b"\n";
            (self.resume.passing, self.resume.within_line) = (within_line, within_line);
        }
        let content = self.open()?;
        Ok(as_it_was
            && before.is_none_or(|(at, print)| content.before(at).is_ok_and(|it| it == print)))
    }

    /// Whether it was written since its end was seen, or that was never seen.
    pub(super) fn has_more(&mut self) -> io::Result<bool> {
        let Some(ended_at) = self.ended_at else { return Ok(true) };
        let content = self.open()?;
        Ok(Extent::of(&content.facts()?) != ended_at)
    }

    /// Whether its name leads to another file by now: it was renamed, and what is written goes on there.
    pub(super) fn is_replaced(&mut self, now: Instant) -> bool {
        if self.gone.is_some() || now < self.named + NAME_EVERY {
            return false;
        }
        self.named = now;
        fs::metadata(&self.path).is_ok_and(|facts| place(&facts) != self.place)
    }

    /// Reads a block into the splitter; nothing: it ends there, for now.
    pub(super) fn read(&mut self, splitter: &mut Splitter) -> io::Result<usize> {
        let offset = splitter.read_at();
        let print = self.print;
        let content = self.open()?;
        // Before it is read: what is written meanwhile is found later.
        let extent = Extent::of(&content.facts()?);
        let count = content.read(offset, splitter.room())?;
        if count == 0 {
            // A file that is shorter than what was read of it, or begins with something else, did not end
            // there: it was emptied.
            let as_it_was =
                content.is_gzip() || (extent.size >= offset && content.begins(print)?);
            self.ended_at = as_it_was.then_some(extent);
        }
        splitter.filled(count);
        Ok(count)
    }

    /// Another file has its turn: keeps where to go on.
    pub(super) fn park(&mut self, splitter: &Splitter) {
        self.resume = splitter.resume();
        let Some(content) = &mut self.content else { return };
        content.unread(splitter.unread());
        let at = self.resume.offset;
        if !content.is_gzip()
            && !self.cut_off
            && self.before.is_none_or(|(before, _)| before != at)
            && content.begins(self.print).unwrap_or(false)
            && let Ok(print) = content.before(at)
        {
            self.before = Some((at, print));
        }
    }

    /// Reads what stands at a place again.
    pub(super) fn read_again(&mut self, start: u64, bytes: usize) -> io::Result<Vec<u8>> {
        if !self.is_as_it_was()? {
            self.cut_off = true;
        }
        let piece = self.open()?.piece(start, bytes)?;
        if piece.len() < bytes {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the record is gone from the file",
            ));
        }
        Ok(piece)
    }
}
