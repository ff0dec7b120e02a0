//! Lines that were logged, read again: text or JSON, as this crate writes them.
//!
//! Who searches or shows a log wants to know when a line was logged, how grave it is and which component
//! it comes from. What was printed, by a component or a library, has none of that: it is its text.

use std::borrow::Cow;

use serde_json::{Map, Value};
use tracing::Level;

/// Bytes of a time as they are logged: `2026-11-21T20:22:07.123456Z`.
const TIME_BYTES: usize = 27;

/// Longest line in one piece.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What a line of a log says.
///
/// ```
/// use daemon::logging::Line;
///
/// let line = Line::read("2026-11-21T20:22:07.123456Z  WARN worker::link: it broke peer=2 task=3");
/// assert_eq!((line.at_ms, line.task), (Some(1_795_292_527_123), Some(3)));
/// assert_eq!(line.level.map(|level| level.as_str()), Some("WARN"));
/// assert_eq!((&*line.target, &*line.text), ("worker::link", "it broke peer=2"));
/// let printed = Line::read("got <b>3</b>");
/// assert_eq!((printed.at_ms, &*printed.text), (None, "got <b>3</b>"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// When, in milliseconds since 1970; none if it was printed and not logged.
    pub at_ms: Option<u64>,
    /// How grave it is; none if it was printed.
    pub level: Option<Level>,
    /// The module; empty if it was printed.
    pub target: String,
    /// The component in whose call it was logged.
    pub component: Option<String>,
    /// Its task.
    pub task: Option<u32>,
    /// What it says, with its fields.
    pub text: String,
}

impl Line {
    /// Reads a line of either format.
    #[must_use]
    pub fn read(raw: &str) -> Self {
        let raw = readable(raw);
        let Some((at_ms, level)) = head(raw.as_bytes()) else {
            return Self { text: raw.into_owned(), ..Self::default() };
        };
        let rest = raw[TIME_BYTES..].trim_start();
        let rest = rest.strip_prefix(level.as_str()).unwrap_or(rest).trim_start();
        let is_target = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "_:-.".contains(c))
        };
        let (target, text) = match rest.split_once(": ") {
            Some((target, text)) if is_target(target) => (target, text),
            _ => ("", rest),
        };
        let mut line = Self {
            at_ms: Some(at_ms),
            level: Some(level),
            target: target.to_owned(),
            ..Self::default()
        };
        line.text = line.take_place(text).to_owned();
        line
    }

    /// Takes the place from the end of the text, and returns the rest.
    fn take_place<'a>(&mut self, mut text: &'a str) -> &'a str {
        while let Some((before, last)) = text.rsplit_once(' ') {
            match last.split_once('=') {
                Some(("task", task)) if self.task.is_none() && task.parse::<u32>().is_ok() => {
                    self.task = task.parse().ok();
                }
                Some(("component", name)) if self.component.is_none() => {
                    self.component = Some(name.to_owned());
                }
                Some(("topology", _)) => {}
                _ => break,
            }
            text = before;
        }
        // An event may tell of a task itself, before its other fields.
        let own = || text.split(' ').find_map(|word| word.strip_prefix("task=")?.parse().ok());
        self.task = self.task.or_else(own);
        text
    }
}

/// Returns a line as people read it: one of JSON as it would be in text, any other as it is.
///
/// ```
/// let json = r#"{"timestamp":"2026-11-21T20:22:07.123456Z","level":"INFO","message":"counted","n":1,
///     "target":"count","component":"count","task":3}"#;
/// let text = "2026-11-21T20:22:07.123456Z  INFO count: counted n=1 component=count task=3";
/// assert_eq!(daemon::logging::readable(json), text);
/// assert_eq!(daemon::logging::readable(text), text);
/// ```
#[must_use]
pub fn readable(raw: &str) -> Cow<'_, str> {
    let read = || match serde_json::from_str(raw) {
        Ok(Value::Object(fields)) => text_of(fields),
        _ => None,
    };
    match raw.starts_with('{').then(read).flatten() {
        Some(text) => Cow::Owned(text),
        None => Cow::Borrowed(raw),
    }
}

/// Writes the fields of a line as text; none if they are not those of a line.
fn text_of(mut fields: Map<String, Value>) -> Option<String> {
    let mut take = |name: &str| fields.remove(name);
    let plain = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let (time, level) = (plain(take("timestamp")?), plain(take("level")?));
    if time.len() != TIME_BYTES || at_ms(time.as_bytes()).is_none() {
        return None;
    }
    let [target, message] = ["target", "message"].map(|name| take(name).map(plain));
    let place = ["topology", "component", "task"].map(|name| (name, take(name)));
    let mut text = format!("{time} {level:>5} {}:", target.unwrap_or_default());
    if let Some(message) = message {
        text.push(' ');
        text.push_str(&message);
    }
    let place = place.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    for (name, value) in fields.into_iter().chain(place) {
        text.push_str(&format!(" {name}={}", plain(value)));
    }
    Some(text)
}

/// Reads when a line was logged and how grave it is, of either format, without reading all of it;
/// none if it was printed.
pub(super) fn head(line: &[u8]) -> Option<(u64, Level)> {
    let (time, rest) = match line.strip_prefix(br#"{"timestamp":""#) {
        Some(line) => {
            let rest = line.get(TIME_BYTES..)?.strip_prefix(br#"","level":""#)?;
            (line, rest)
        }
        None => (line, line.get(TIME_BYTES..)?),
    };
    let at_ms = at_ms(time.get(..TIME_BYTES)?)?;
    let word = rest.trim_ascii_start();
    let end = word.iter().position(|byte| !byte.is_ascii_uppercase()).unwrap_or(word.len());
    let level = std::str::from_utf8(&word[..end]).ok()?;
    Some((at_ms, level.parse().ok()?))
}

/// Reads a time as it is logged, in milliseconds since 1970.
fn at_ms(time: &[u8]) -> Option<u64> {
    let shape = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        _ => byte == shape,
    };
    if time.len() != shape.len() || !time.iter().zip(shape).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        time[from..to].iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let days = days(number(0, 4), number(5, 7), number(8, 10))?;
    let seconds = (days * 24 + number(11, 13)) * 3_600 + number(14, 16) * 60 + number(17, 19);
    Some(seconds * 1_000 + number(20, 23))
}

/// Days from 1970 to a date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the day that may be missing is the last.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

/// Puts the lines of a log together that comes in pieces, which end anywhere.
///
/// ```
/// use daemon::logging::Pieces;
///
/// let mut pieces = Pieces::default();
/// assert_eq!(pieces.take(b"one\ntw"), ["one"]);
/// assert_eq!(pieces.take(b"o\r\nthr"), ["two"]);
/// assert_eq!(pieces.rest().as_deref(), Some("thr"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    /// The beginning of a line that has not ended.
    begun: Vec<u8>,
}

impl Pieces {
    /// Takes a piece and returns the lines that it ends. A line that grows too long is cut in two.
    pub fn take(&mut self, data: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            self.begun.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if ends || self.begun.len() >= LINE_BYTES_MAX {
                lines.push(text(&self.begun));
                self.begun.clear();
            }
        }
        lines
    }

    /// Returns what never ended, if there is any.
    #[must_use]
    pub fn rest(self) -> Option<String> {
        (!self.begun.is_empty()).then(|| text(&self.begun))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_calendar_has_them() {
        for (time, expected) in [
            ("1970-01-01T00:00:00.000000Z", Some(0)),
            ("2000-02-29T12:00:00.500999Z", Some(951_825_600_500)),
            ("2024-03-01T00:00:00.000000Z", Some(1_709_251_200_000)),
            ("2038-01-19T03:14:08.000000Z", Some(2_147_483_648_000)),
            ("1969-12-31T00:00:00.000000Z", None),
            ("0000-01-01T00:00:00.000000Z", None),
            ("2024-13-01T00:00:00.000000Z", None),
            ("2024-03-01 00:00:00.000000Z", None),
        ] {
            assert_eq!(at_ms(time.as_bytes()), expected, "{time}");
        }
    }

    #[test]
    fn both_formats_say_the_same() {
        let text = "2026-11-21T20:22:07.123456Z ERROR a::b: it: broke n=1 s=x y \
                    topology=wc component=my-count task=7";
        let json = r#"{"timestamp":"2026-11-21T20:22:07.123456Z","level":"ERROR","message":"it: broke","n":1,"s":"x y","target":"a::b","topology":"wc","component":"my-count","task":7}"#;
        let line = Line::read(text);
        assert_eq!(line, Line::read(json));
        assert_eq!((line.component.as_deref(), line.task), (Some("my-count"), Some(7)));
        assert_eq!((line.target.as_str(), line.text.as_str()), ("a::b", "it: broke n=1 s=x y"));
        assert_eq!(head(text.as_bytes()), head(json.as_bytes()));
        assert_eq!(head(text.as_bytes()).unwrap().1, Level::ERROR);
    }

    #[test]
    fn a_task_that_an_event_tells_of_itself_is_found() {
        let line = Line::read(
            "2026-11-21T20:22:07.123456Z  WARN w: failed task=4 error=no task=x topology=t component=c",
        );
        assert_eq!((line.task, line.component.as_deref()), (Some(4), Some("c")));
        assert_eq!(line.text, "failed task=4 error=no task=x");
    }

    #[test]
    fn what_was_printed_is_its_text_whatever_it_looks_like() {
        for raw in [
            "",
            "{",
            "{}",
            r#"{"level":"INFO"}"#,
            r#"{"timestamp":"now","level":"INFO","message":"x"}"#,
            "2026-11-21T20:22:07.123456Z",
            "2026-11-21T20:22:07.123456Z LOUD a: b",
            "==> squall: worker starts, epoch 3.0",
            "é\u{202e} task=3",
        ] {
            let line = Line::read(raw);
            assert_eq!((line.at_ms, line.text.as_str()), (None, raw));
            assert_eq!((line.level, line.task), (None, None), "{raw}");
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_without_bound() {
        let mut pieces = Pieces::default();
        let half = vec![b'x'; LINE_BYTES_MAX / 2];
        let lines: usize = (0..8).map(|_| pieces.take(&half).len()).sum();
        assert_eq!(lines, 4);
        assert_eq!(pieces.rest(), None);
    }
}
