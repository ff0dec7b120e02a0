//! Reading the files of one task, in turns.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use topology_api::{Port, SpoutOutput};

use super::{FilesSpout, RecordId};
use crate::files::input::{NotText, TooLong};
use crate::files::record::{DeadRecord, FromRecord, Record};
use crate::files::splitter::{Found, LINES_AT_ONCE};

/// How much of a file is read before the next file has its turn, in bytes.
const TURN_BYTES: usize = 8 * 1024 * 1024;

/// How much one call emits at most, in bytes, if it is more than one record.
const BYTES_AT_ONCE: usize = 64 * 1024;

/// How much one call reads at most, in bytes.
const READ_AT_ONCE: usize = 1024 * 1024;

/// A file that did not grow for so long is closed, and only looked at with its folder.
const QUIET: Duration = Duration::from_secs(10);

/// What to do about a file whose turn it might be.
enum Turn {
    Reads,
    Nothing,
    /// It is not there, or cannot be read.
    Fails(std::io::Error),
}

impl<T: FromRecord> FilesSpout<T> {
    /// Reads on; tells whether there may be more at once.
    pub(super) fn read(&mut self, now: Instant, out: &mut SpoutOutput<T, RecordId>) -> bool {
        let before = out.count();
        let mut budget = READ_AT_ONCE;
        loop {
            let Some(slot) = self.current.or_else(|| self.pick(now)) else {
                return out.count() > before;
            };
            if self.emit_found(slot, out) {
                return true;
            }
            let read = if self.left == 0 { None } else { Some(self.fill(slot)) };
            match read {
                Some(Ok(0)) => self.at_end(slot, now, out),
                Some(Ok(count)) => {
                    self.left = self.left.saturating_sub(count);
                    budget = budget.saturating_sub(count);
                }
                Some(Err(error)) => self.cannot(slot, &error),
                None => self.park(slot),
            }
            if budget == 0 || out.count() > before + LINES_AT_ONCE {
                return true;
            }
        }
    }

    fn fill(&mut self, slot: usize) -> std::io::Result<usize> {
        let Some(file) = &mut self.files[slot] else { return Ok(0) };
        let count = file.read(&mut self.splitter)?;
        self.meters.read.add(count as u64);
        Ok(count)
    }

    /// Emits what was found in the buffer; true if there may be more in it.
    fn emit_found(&mut self, slot: usize, out: &mut SpoutOutput<T, RecordId>) -> bool {
        if self.emit_lines(slot, out) {
            return true;
        }
        let (mut records, mut bytes) = (0, 0);
        while let Some(found) = self.splitter.next() {
            if let Found::Record { bytes: range, .. } | Found::TooLong { bytes: range, .. } = &found
            {
                records += 1;
                bytes += range.len();
            }
            self.take(slot, found, out);
            if records >= LINES_AT_ONCE || bytes >= BYTES_AT_ONCE {
                return true;
            }
        }
        false
    }

    /// Emits lines of the buffer, if there are any that need no more thought.
    fn emit_lines(&mut self, slot: usize, out: &mut SpoutOutput<T, RecordId>) -> bool {
        let Some(file) = &mut self.files[slot] else { return false };
        let (offsets, path, meters) = (&mut file.offsets, &file.path, &self.meters);
        let (born, not_text, dead_letters) = (self.born, self.options.not_text, self.dead_letters);
        let file = u32::try_from(slot).unwrap_or(u32::MAX);
        let end = self.splitter.lines(T::IS_TEXT, |start, bytes, text| {
            offsets.emitted(start);
            if T::IS_TEXT && text.is_none() {
                meters.not_text.add(1);
            }
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let record = Record { bytes, text, path, offset: start };
            let id = RecordId { start, file, bytes: length, born };
            emit(&record, id, not_text, dead_letters, out);
        });
        end.map(|end| offsets.passed(end)).is_some()
    }

    /// Emits one find, or leaves it out.
    #[inline]
    fn take(&mut self, slot: usize, found: Found, out: &mut SpoutOutput<T, RecordId>) {
        let Some(file) = &mut self.files[slot] else { return };
        let (start, range) = match found {
            Found::Record { start, bytes, next } => {
                file.offsets.emitted(start);
                file.offsets.passed(next);
                (start, bytes)
            }
            Found::Passed { next } => return file.offsets.passed(next),
            Found::TooLong { start, bytes } => {
                let (counter, what) = match self.options.too_long {
                    TooLong::Cut => (&self.meters.cut, "cut"),
                    TooLong::Skip => (&self.meters.skipped, "left out"),
                };
                counter.add(1);
                // One by one they would fill the list of errors.
                if counter.get().is_power_of_two() {
                    let (max, path) = (self.options.max_record_bytes, file.path.display());
                    self.cx.report_error(&format!("the record at byte {start} of {path} has more than {max} bytes and is {what}; allow more with `max_record_bytes`"));
                }
                if self.options.too_long == TooLong::Skip {
                    return;
                }
                file.offsets.emitted(start);
                (start, bytes)
            }
        };
        let bytes = self.splitter.bytes(range);
        let text = if T::IS_TEXT { as_text(bytes) } else { None };
        if T::IS_TEXT && text.is_none() {
            self.meters.not_text.add(1);
        }
        let id = RecordId {
            start,
            file: u32::try_from(slot).unwrap_or(u32::MAX),
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            born: self.born,
        };
        let record = Record { bytes, text, path: &file.path, offset: start };
        emit(&record, id, self.options.not_text, self.dead_letters, out);
    }

    /// The file ends here, for now: its last record may have to be taken as it is.
    fn at_end(&mut self, slot: usize, now: Instant, out: &mut SpoutOutput<T, RecordId>) {
        let (follow, wait) = (self.options.follow, self.options.wait());
        let Some(file) = &mut self.files[slot] else { return };
        let quiet = now.saturating_duration_since(file.moved);
        let over = 2 * self.options.scan_every;
        let is_gone = file.gone.is_some_and(|gone| now >= gone + over) && quiet >= over;
        let is_done = !follow || file.is_compressed();
        let found = if is_done || is_gone {
            self.splitter.rest()
        } else if wait.is_some_and(|wait| quiet >= wait) {
            self.splitter.flush()
        } else {
            file.has_tail = !self.splitter.unread().is_empty() || self.splitter.resume().passing;
            return self.park(slot);
        };
        match found {
            Some(found) => self.take(slot, found, out),
            None => {
                file.has_tail = false;
                file.stirred &= !is_done;
                self.park(slot);
            }
        }
    }

    fn park(&mut self, slot: usize) {
        self.current = None;
        self.turn = slot + 1;
        if let Some(file) = &mut self.files[slot] {
            file.park(&self.splitter);
        }
    }

    fn cannot(&mut self, slot: usize, error: &std::io::Error) {
        if let Some(file) = &mut self.files[slot] {
            let path = file.path.display();
            // It may have been renamed: the next look at the folder shows.
            if error.kind() != ErrorKind::NotFound && !std::mem::replace(&mut file.troubled, true) {
                self.cx.report_error(&format!("cannot read {path}: {error}; it is tried again"));
            }
            file.stirred = false;
            // To unpack it again has no use as long as it is the same.
            file.ended_at = file.ended_at.or(file.is_compressed().then_some(file.extent));
        }
        self.park(slot);
    }

    /// Finds the next file with something to read.
    fn pick(&mut self, now: Instant) -> Option<usize> {
        let count = self.files.len();
        for step in 0..count {
            let slot = (self.turn + step) % count;
            if !self.files[slot].as_ref().is_some_and(|file| file.stirred && !file.cut_off) {
                continue;
            }
            match self.look_into(slot, now) {
                Turn::Nothing => {}
                Turn::Fails(error) => {
                    // Not read: there is nothing in the splitter to go back to.
                    if let Some(file) = &self.files[slot] {
                        self.splitter.turn_to(file.resume);
                    }
                    self.cannot(slot, &error);
                }
                Turn::Reads => {
                    let file = self.files[slot].as_mut()?;
                    self.splitter.turn_to(file.resume);
                    (self.current, self.left) = (Some(slot), TURN_BYTES);
                    return Some(slot);
                }
            }
        }
        None
    }

    fn look_into(&mut self, slot: usize, now: Instant) -> Turn {
        if !self.has_room(slot) {
            return Turn::Nothing;
        }
        let (scan_every, wait) = (self.options.scan_every, self.options.wait());
        let Some(file) = &mut self.files[slot] else { return Turn::Nothing };
        match file.has_more() {
            Ok(true) => {
                file.moved = now;
                file.troubled = false;
            }
            Ok(false) => {
                // The new file of a rotation is not read before it was seen in the folder.
                if file.is_replaced(now) {
                    self.look_at = now;
                }
                let quiet = now.saturating_duration_since(file.moved);
                let is_gone = file.gone.is_some_and(|gone| now >= gone + 2 * scan_every);
                let is_over =
                    wait.is_some_and(|wait| quiet >= wait) || (is_gone && quiet >= 2 * scan_every);
                if file.has_tail && is_over {
                    return Turn::Reads;
                }
                if quiet >= QUIET {
                    file.stirred = false;
                    // Nobody could open it again.
                    if file.offsets.open() == 0 && file.gone.is_none() {
                        file.close();
                    }
                }
                return Turn::Nothing;
            }
            Err(error) => return Turn::Fails(error),
        }
        match file.is_as_it_was() {
            Ok(true) => Turn::Reads,
            Ok(false) => {
                file.close();
                file.cut_off = true;
                file.gone.get_or_insert(now);
                self.meters.emptied.add(1);
                // What it was may be in a copy by now, and something else in it.
                self.look_at = now;
                Turn::Nothing
            }
            Err(error) => Turn::Fails(error),
        }
    }

    /// Whether one more file may be open, if this one is not; closes another one if it can.
    fn has_room(&mut self, slot: usize) -> bool {
        if self.files[slot].as_ref().is_some_and(super::Followed::is_open) {
            return true;
        }
        let open = self.files.iter().flatten().filter(|file| file.is_open()).count();
        if open < self.options.max_open_files {
            return true;
        }
        let mut others = self.files.iter_mut().flatten();
        let idle = others.find(|file| {
            file.is_open() && file.offsets.open() == 0 && file.gone.is_none() && file.is_at_end()
        });
        idle.map(super::Followed::close).is_some()
    }
}

/// Emits a record as what it is wanted as.
#[inline]
pub(super) fn emit<T: FromRecord>(
    record: &Record<'_>,
    id: RecordId,
    not_text: NotText,
    dead_letters: Option<Port<DeadRecord>>,
    out: &mut SpoutOutput<T, RecordId>,
) {
    match dead_letters {
        Some(port) if T::IS_TEXT && record.text.is_none() && not_text == NotText::DeadLetter => {
            out.emit_to(&port, id, DeadRecord::of(record, "not-text", 0));
        }
        _ => out.emit(id, T::from_record(record)),
    }
}

#[inline]
fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
