//! Which lines of a log pass: a token bucket (Turner, 1986), opened and shut for whole lines.
//!
//! Each second gives room for so many bytes, and room for [`BURST`] seconds can be saved up. Once it
//! is used up nothing passes until there is room for a whole second again: what remains of a flood is
//! a piece of it in each second that can be read, and one line that says how much is missing.

use std::time::{Duration, Instant};

use topology_api::format_size;

/// So many seconds' worth may pass at once.
const BURST: u64 = 16;

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Lines, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    /// Counts a piece of text.
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.bytes += text.len() as u64;
        self.lines += text.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
    }
}

/// What lets lines pass.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Bytes a second; `None`: everything passes.
    rate: Option<u64>,
    /// Bytes that may pass now.
    room: u64,
    looked: Instant,
    shut: bool,
    /// The last line that passed has no end yet.
    is_open: bool,
    /// The last line that was dropped has no end yet: its rest is dropped too.
    is_cut: bool,
    /// Dropped since that was last said.
    dropped: Amount,
}

impl Gate {
    /// Makes one with all the room it can have.
    pub(crate) fn new(rate: Option<u64>, now: Instant) -> Self {
        let room = rate.unwrap_or(0).saturating_mul(BURST);
        let dropped = Amount::default();
        Self { rate, room, looked: now, shut: false, is_open: false, is_cut: false, dropped }
    }

    /// Whether something was dropped that was not told of yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.dropped.bytes > 0
    }

    /// Lets a piece of text pass, as far as there is room: what is to be written before it, and what of it.
    pub(crate) fn pass<'a>(&mut self, text: &'a [u8], now: Instant) -> (Option<String>, &'a [u8]) {
        let Some(rate) = self.rate else { return (None, text) };
        self.earn(rate, now);
        let mut rest = text;
        let mut notice = None;
        if self.shut {
            let start = match (self.room >= rate, self.is_cut) {
                (false, _) => text.len(),
                (true, false) => 0,
                (true, true) => {
                    text.iter().position(|it| *it == b'\n').map_or(text.len(), |at| at + 1)
                }
            };
            self.leave_out(&text[..start]);
            rest = &text[start..];
            if rest.is_empty() {
                return (None, rest);
            }
            self.shut = false;
            notice = self.notice();
        }
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let fits = match rest.get(..room).filter(|fits| fits.len() < rest.len()) {
            None => rest.len(),
            Some(fits) => fits.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1),
        };
        let (fits, over) = rest.split_at(fits);
        self.room -= fits.len() as u64;
        if let Some(last) = fits.last() {
            self.is_open = *last != b'\n';
        }
        self.shut = !over.is_empty();
        self.leave_out(over);
        (notice, fits)
    }

    /// Says what was dropped since that was last said, if anything was.
    pub(crate) fn notice(&mut self) -> Option<String> {
        let Amount { lines, bytes } = std::mem::take(&mut self.dropped);
        let rate = self.rate.filter(|_| bytes > 0)?;
        let end = if std::mem::take(&mut self.is_open) { "\n" } else { "" };
        let (bytes, rate) = (format_size(bytes), format_size(rate));
        Some(format!(
            "{end}==> dropped {lines} lines ({bytes}): worker.log.rate is {rate} a second\n"
        ))
    }

    /// Makes the room that the time since the last look gives; what is less than a byte of it waits.
    fn earn(&mut self, rate: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.looked).as_nanos();
        let bytes = u64::try_from(passed * u128::from(rate) / SECOND).unwrap_or(u64::MAX);
        let used = u128::from(bytes) * SECOND / u128::from(rate.max(1));
        self.looked += Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
        self.room = self.room.saturating_add(bytes).min(rate.saturating_mul(BURST));
    }

    fn leave_out(&mut self, text: &[u8]) {
        if let Some(last) = text.last() {
            self.is_cut = *last != b'\n';
            self.dropped.add(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1 << 10;

    fn gate() -> (Gate, Instant) {
        let now = daemon::Clock::manual().now();
        (Gate::new(Some(RATE), now), now)
    }

    #[test]
    fn what_is_within_the_rate_passes_unchanged() {
        let (mut gate, mut now) = gate();
        for _ in 0..100 {
            now += Duration::from_secs(1);
            let text = vec![b'a'; 1 << 10];
            let (notice, passed) = gate.pass(&text, now);
            assert_eq!((notice, passed.len()), (None, text.len()));
        }
        let mut free = Gate::new(None, now);
        let text = vec![b'a'; 1 << 20];
        assert_eq!(free.pass(&text, now).1.len(), text.len(), "without a rate all passes");
    }

    #[test]
    fn a_flood_passes_in_whole_lines_a_second_at_a_time_and_what_is_missing_is_counted() {
        let (mut gate, start) = gate();
        let line = [&[b'x'; 99][..], b"\n"].concat();
        // Cut anywhere: 70 bytes at a time.
        let flood: Vec<u8> = line.iter().copied().cycle().take(400_000).collect();
        let (mut written, mut told) = (Vec::new(), 0);
        for (number, text) in flood.chunks(70).enumerate() {
            // 100 KB a second: a hundred times the rate.
            let now = start + Duration::from_micros(700 * number as u64);
            let (notice, passed) = gate.pass(text, now);
            if let Some(notice) = notice {
                told += 1;
                written.extend_from_slice(notice.as_bytes());
            }
            written.extend_from_slice(passed);
        }
        written.extend_from_slice(gate.notice().unwrap_or_default().as_bytes());
        assert_eq!(told, 3, "once a second in four seconds");
        let text = String::from_utf8(written).unwrap();
        let (notices, lines): (Vec<_>, Vec<_>) = text.lines().partition(|it| it.starts_with("==>"));
        let whole = lines.iter().filter(|line| line.len() == 99).count();
        assert!(lines.len() - whole <= notices.len(), "only the line at a cut is not whole");
        let within = BURST + 3;
        assert!((lines.len() as u64) * 100 < (within + 1) * RATE, "{} lines passed", lines.len());
        assert!(lines.len() as u64 * 100 > (within - 2) * RATE, "{} lines passed", lines.len());
        let counted = |notice: &&str| notice.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
        let missing: u64 = notices.iter().map(counted).sum();
        assert!(missing + lines.len() as u64 >= 4_000, "{missing} dropped of 4000: {notices:?}");
    }

    #[test]
    fn a_line_that_is_cut_is_ended_before_the_notice_and_its_rest_never_comes() {
        let (mut gate, now) = gate();
        let most = vec![b'a'; (BURST * RATE) as usize];
        assert_eq!(gate.pass(&most, now).1.len(), most.len(), "all there is room for");
        assert_eq!(gate.pass(b"and more", now), (None, &b""[..]));
        assert!(gate.is_behind());
        let later = now + Duration::from_secs(1);
        let (notice, passed) = gate.pass(b" of it\nnext\n", later);
        let text = "\n==> dropped 1 lines (15B): worker.log.rate is 1KiB a second\n";
        assert_eq!((notice.as_deref(), passed), (Some(text), &b"next\n"[..]));
        assert!(!gate.is_behind() && gate.notice().is_none());
    }
}
