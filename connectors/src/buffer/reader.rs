//! Reads a buffer in order, and notes what is done with.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::task::Waker;

use super::catalog::{Closing, Segment};
use super::engine::format::{Found, RECORD_HEAD_BYTES, find};

/// How many bytes are read together.
const READ_BYTES: usize = 256 << 10;

/// Reads a buffer; there is one.
pub(crate) struct Reader {
    closing: Closing,
    /// The number of the next record.
    next: u64,
    /// The segment it stands in, and at which byte.
    open: Option<(Segment, File, u64)>,
    bytes: Vec<u8>,
}

impl Reader {
    pub(super) fn new(closing: Closing, next: u64) -> Self {
        Self { closing, next, open: None, bytes: Vec::new() }
    }

    /// Gives up to so many records that are confirmed, with their numbers; if there are none, `waker`
    /// is woken as soon as there are.
    pub(crate) fn read(
        &mut self,
        count: usize,
        waker: &Waker,
        mut take: impl FnMut(u64, &[u8]),
    ) -> Result<usize, String> {
        let mut taken = 0;
        while taken < count {
            if !self.stands(waker)? {
                break;
            }
            let Some((segment, file, offset)) = &mut self.open else { break };
            let path = &segment.path;
            let left = (segment.length - *offset) as usize;
            let length = left.min(READ_BYTES.max(self.bytes.len()));
            self.bytes.resize(length, 0);
            let read = file.read_exact_at(&mut self.bytes, *offset);
            read.map_err(|error| format!("buffer segment {}: {error}", path.display()))?;
            let mut at = 0;
            let before = taken;
            while taken < count {
                match find(self.next, &self.bytes[at..]) {
                    Found::Record(payload) => {
                        at += RECORD_HEAD_BYTES + payload.len();
                        let number = self.next;
                        self.next += 1;
                        // Done with before the buffer was opened.
                        let state = self.closing.shared.state();
                        let is_open = state.positions.next_open(number) == number;
                        drop(state);
                        if is_open {
                            take(number, payload);
                            taken += 1;
                        }
                    }
                    Found::End => break,
                    Found::CutOff if length < left => break,
                    Found::CutOff | Found::Damaged => {
                        let byte = *offset + at as u64;
                        return Err(format!(
                            "buffer segment {}: damaged at byte {byte} while it was in use; open \
                             it again",
                            path.display()
                        ));
                    }
                }
            }
            *offset += at as u64;
            // A record that is longer than what was read.
            let longer = if at == 0 && taken == before { self.bytes.len() * 2 } else { 0 };
            self.bytes.resize(longer, 0);
        }
        Ok(taken)
    }

    /// Stands in the segment of the next record; not, if that is not there yet.
    fn stands(&mut self, waker: &Waker) -> Result<bool, String> {
        let mut state = self.closing.shared.state();
        if let Some((segment, _, offset)) = &mut self.open {
            if let Some(now) = state.segments.iter().find(|it| it.path == segment.path) {
                segment.clone_from(now);
            }
            if *offset < segment.length {
                return Ok(true);
            }
        }
        let next = self.next;
        let found = state.segments.iter().find(|it| it.end > next).cloned();
        let Some(segment) = found else {
            state.waker = Some(waker.clone());
            return Ok(false);
        };
        drop(state);
        let file = File::open(&segment.path)
            .map_err(|error| format!("buffer segment {}: {error}", segment.path.display()))?;
        self.next = segment.first;
        let begin = segment.begin;
        self.open = Some((segment, file, begin));
        Ok(true)
    }

    /// Notes that a record is done with.
    pub(crate) fn finish(&self, number: u64) {
        let mut state = self.closing.shared.state();
        state.positions.finish(number);
        state.moved = true;
    }

    /// Bytes on disk, records that are not done with, and what the disk last complained of.
    pub(crate) fn figures(&self) -> (u64, u64, Option<String>) {
        let mut state = self.closing.shared.state();
        let end = state.segments.back().map_or(0, |segment| segment.end);
        let open = end.saturating_sub(state.positions.low());
        (state.bytes(), open, state.problem.take())
    }
}
