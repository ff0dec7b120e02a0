//! Records out of the bytes of a file: lines, or several lines that belong together.
//!
//! One buffer takes what is read, and records are ranges of it: nothing is copied. A record that is too
//! long is told as soon as that is known and the rest of it is passed over, so a line without an end
//! takes no more memory than the longest record and a block. Pure.

#[cfg(test)]
mod tests;

use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};
use regex::bytes::Regex;

/// How much is read at once, in bytes.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;

/// How many lines are found at once, at most.
pub(super) const LINES_AT_ONCE: usize = 256;

/// How much is searched for them at once, in bytes, at least and at most.
const PIECE_BYTES: Range<usize> = 4 * 1024..64 * 1024;

/// Which lines belong together.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    /// None: each line is a record.
    Line,
    /// A line that matches begins a record, all others go on with it.
    Begins(Regex),
    /// A line that matches goes on with the record before it, all others begin one.
    Continues(Regex),
}

impl Rule {
    fn begins(&self, line: &[u8]) -> bool {
        match self {
            Self::Line => true,
            Self::Begins(pattern) => pattern.is_match(line),
            Self::Continues(pattern) => !pattern.is_match(line),
        }
    }
}

/// What was found. Ranges are those of [`Splitter::bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole record, without its last line end; the next one begins at `next`.
    Record { start: u64, bytes: Range<usize>, next: u64 },
    /// A record is too long: these are its first bytes; its end is told by `Passed`.
    TooLong { start: u64, bytes: Range<usize> },
    /// The end of a record that was too long.
    Passed { next: u64 },
}

/// Where to go on with a file whose bytes are no longer in the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resume {
    /// The next byte to read.
    pub(super) offset: u64,
    /// A record is too long, and this is within it.
    pub(super) passing: bool,
    /// This is within a line of it.
    pub(super) within_line: bool,
}

/// Finds records in what is read of one file after the other.
#[derive(Debug)]
pub(super) struct Splitter {
    rule: Rule,
    /// Longest record, in bytes.
    max: usize,
    buffer: Vec<u8>,
    /// How many bytes of the buffer were read.
    filled: usize,
    /// Where the record begins, or what of it was not passed over yet.
    begin: usize,
    /// Behind the last whole line of the record.
    body: usize,
    /// Up to where there is no line end behind `body`.
    scanned: usize,
    /// Where `begin` stands in the file.
    offset: u64,
    passing: bool,
    within_line: bool,
    /// In how many bytes as many lines are likely to be as are found at once.
    piece: usize,
}

impl Splitter {
    pub(super) fn new(rule: Rule, max: usize) -> Self {
        Self {
            rule,
            max,
            buffer: Vec::new(),
            filled: 0,
            begin: 0,
            body: 0,
            scanned: 0,
            offset: 0,
            passing: false,
            within_line: false,
            piece: PIECE_BYTES.start,
        }
    }

    /// Turns to another file, or another place.
    pub(super) fn turn_to(&mut self, resume: Resume) {
        (self.filled, self.begin, self.body, self.scanned) = (0, 0, 0, 0);
        self.offset = resume.offset;
        (self.passing, self.within_line) = (resume.passing, resume.within_line);
    }

    /// Where to go on if this is forgotten.
    pub(super) fn resume(&self) -> Resume {
        let (passing, within_line) = (self.passing, self.within_line);
        Resume { offset: self.offset, passing, within_line }
    }

    /// What was read and is in no record yet.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.begin..self.filled]
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Where the next byte to read stands in the file.
    pub(super) fn read_at(&self) -> u64 {
        self.offset + (self.filled - self.begin) as u64
    }

    /// Room for the next block; [`Splitter::filled`] has to say how much of it was used.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() < self.filled + BLOCK_BYTES {
            let from = self.begin;
            self.buffer.copy_within(from..self.filled, 0);
            for place in [&mut self.filled, &mut self.begin, &mut self.body, &mut self.scanned] {
                *place -= from;
            }
            let needed = self.filled + BLOCK_BYTES;
            if self.buffer.len() < needed {
                self.buffer.resize(needed.max(2 * BLOCK_BYTES), 0);
            }
        }
        &mut self.buffer[self.filled..self.filled + BLOCK_BYTES]
    }

    /// So many bytes were read into the room.
    pub(super) fn filled(&mut self, count: usize) {
        self.filled += count;
    }

    /// Gives the next records to `take`, each with where it begins and, `as_text`, its text if it is
    /// one: as many as there are of the simple kind, whole lines that are not too long. Tells up to where
    /// that was; none: only [`Splitter::next`] can go on.
    ///
    /// Here a line costs least: the search and the look at the letters go through many of them at once.
    #[inline]
    pub(super) fn lines(
        &mut self,
        as_text: bool,
        mut take: impl FnMut(u64, &[u8], Option<&str>),
    ) -> Option<u64> {
        if self.passing || !matches!(self.rule, Rule::Line) {
            return None;
        }
        let piece = &self.buffer[self.begin..self.filled.min(self.begin + self.piece)];
        let Some(last) = memrchr(b'\n', piece) else {
            self.piece = (2 * self.piece).min(PIECE_BYTES.end);
            return None;
        };
        let piece = &piece[..=last];
        let text = if as_text { std::str::from_utf8(piece).ok() } else { None };
        let (mut begin, mut count) = (0, 0);
        for end in memchr_iter(b'\n', piece) {
            let stop = end - usize::from(end > begin && piece[end - 1] == b'\r');
            if stop - begin > self.max || count == LINES_AT_ONCE {
                break;
            }
            let line = &piece[begin..stop];
            let text = match text {
                Some(text) => text.get(begin..stop),
                None if as_text => std::str::from_utf8(line).ok(),
                None => None,
            };
            take(self.offset + begin as u64, line, text);
            (begin, count) = (end + 1, count + 1);
        }
        if count == 0 {
            return None;
        }
        // A little more, since lines differ.
        let enough = begin * LINES_AT_ONCE / count;
        self.piece = (enough + enough / 16).clamp(PIECE_BYTES.start, PIECE_BYTES.end);
        self.forget(self.begin + begin);
        Some(self.offset)
    }

    /// The next find; none: more has to be read.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Found> {
        loop {
            let Some(at) = memchr(b'\n', &self.buffer[self.scanned..self.filled]) else {
                self.scanned = self.filled;
                return self.part();
            };
            let end = self.scanned + at;
            let found = if self.passing { self.pass_line(end) } else { self.line(end) };
            if found.is_some() {
                return found;
            }
        }
    }

    /// What there is without a line end as records, one a call: nothing will follow.
    pub(super) fn rest(&mut self) -> Option<Found> {
        if self.passing {
            self.forget(self.filled);
            (self.passing, self.within_line) = (false, false);
            return Some(Found::Passed { next: self.offset });
        }
        if self.begin == self.filled {
            return None;
        }
        let follows = self.begin < self.body && self.body < self.filled;
        if follows && self.begins(self.body..self.filled) {
            return Some(self.take(self.begin..self.without_end(self.body), self.body));
        }
        let bytes = self.begin..self.without_end(self.filled);
        let fits = bytes.len() <= self.max;
        Some(if fits { self.take(bytes, self.filled) } else { self.too_long(self.filled) })
    }

    /// The whole lines there are as a record: nothing followed for long.
    pub(super) fn flush(&mut self) -> Option<Found> {
        if self.passing && !self.within_line {
            self.passing = false;
            return Some(Found::Passed { next: self.offset });
        }
        (self.begin < self.body)
            .then(|| self.take(self.begin..self.without_end(self.body), self.body))
    }

    /// A line ends here. It is left where it is if something is told that ends before it.
    #[inline]
    fn line(&mut self, end: usize) -> Option<Found> {
        let line = self.body..end - usize::from(end > self.body && self.buffer[end - 1] == b'\r');
        if matches!(self.rule, Rule::Line) {
            if line.len() <= self.max {
                return Some(self.take(line, end + 1));
            }
            return Some(self.too_long(end));
        }
        if self.body > self.begin && self.begins(line.clone()) {
            return Some(self.take(self.begin..self.without_end(self.body), self.body));
        }
        (self.body, self.scanned) = (end + 1, end + 1);
        (line.end - self.begin > self.max).then(|| self.too_long(end))
    }

    /// A line ends here, while a record is passed over.
    fn pass_line(&mut self, end: usize) -> Option<Found> {
        let one_line = matches!(self.rule, Rule::Line);
        let ends = !one_line && !self.within_line && self.begins(self.begin..end);
        if !ends {
            self.forget(end + 1);
            self.within_line = false;
        }
        (one_line || ends).then(|| {
            self.passing = false;
            Found::Passed { next: self.offset }
        })
    }

    /// No line ends here: tells what is too long all the same.
    fn part(&mut self) -> Option<Found> {
        if self.passing {
            let judged = self.within_line || matches!(self.rule, Rule::Line);
            if !judged && self.filled - self.begin <= self.max + 1 {
                return None;
            }
            if !judged && self.begins(self.begin..self.filled) {
                self.passing = false;
                return Some(Found::Passed { next: self.offset });
            }
            self.within_line = true;
            self.forget(self.filled);
            return None;
        }
        // The last byte may belong to a line end.
        if self.filled - self.body <= self.max + 1 {
            return None;
        }
        if self.body > self.begin && self.begins(self.body..self.filled) {
            return Some(self.take(self.begin..self.without_end(self.body), self.body));
        }
        Some(self.too_long(self.filled))
    }

    /// Whether a line begins a record, by as much of it as may be in one.
    fn begins(&self, line: Range<usize>) -> bool {
        let text = &self.buffer[line];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        self.rule.begins(&text[..text.len().min(self.max)])
    }

    fn take(&mut self, bytes: Range<usize>, next: usize) -> Found {
        let start = self.offset;
        self.forget(next);
        Found::Record { start, bytes, next: self.offset }
    }

    /// The record is too long, as its bytes up to `end` show; passes over these.
    fn too_long(&mut self, end: usize) -> Found {
        let (start, bytes) = (self.offset, self.begin..self.begin + self.max);
        self.passing = true;
        // Whole lines of a record of several are passed over whole, a line up to its end.
        self.within_line = self.body <= end;
        self.forget(end.max(self.body));
        Found::TooLong { start, bytes }
    }

    /// Moves on to a place of the buffer.
    fn forget(&mut self, to: usize) {
        self.offset += (to - self.begin) as u64;
        self.begin = to;
        self.body = self.body.max(to);
        self.scanned = self.scanned.max(to);
    }

    /// Where the text ends that ends behind a line end at `end`.
    fn without_end(&self, end: usize) -> usize {
        let text = self.buffer[self.begin..end].strip_suffix(b"\n");
        let text = text.map(|text| text.strip_suffix(b"\r").unwrap_or(text));
        text.map_or(end, |text| self.begin + text.len())
    }
}
