//! Which lines of a log are wanted: by what is found in them, how grave they are and when they were
//! logged. Lines are looked at as they lie on the disk, many a second, so no more of one is read than
//! it takes.

use regex::bytes::{Regex, RegexBuilder};
use tracing::Level;

use super::line::head;

/// Memory that an expression may take.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// Expressions of one search.
const EXPRESSIONS_MAX: usize = 8;

/// Which lines are wanted.
///
/// ```
/// use daemon::logging::Search;
///
/// let mut search = Search::new(&["took [0-9]+".to_owned()], "warn", 0).unwrap();
/// assert!(search.finds(b"2026-11-21T20:22:07.123456Z  WARN worker: it took 3 s"));
/// assert!(!search.finds(b"2026-11-21T20:22:07.123456Z  INFO worker: it took 3 s"));
/// assert!(Search::new(&["(".to_owned()], "", 0).is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Search {
    expressions: Vec<Regex>,
    level: Option<Level>,
    since_ms: u64,
    /// When the last line was logged that says so: what is printed after it came later.
    last_ms: u64,
}

impl Search {
    /// Makes a search for lines in which all of these regular expressions are found (empty ones count
    /// as none), that were logged at this level (`error`, `warn`, `info`, `debug`, `trace`; empty:
    /// whatever it is) or a graver one, since this time in milliseconds since 1970.
    ///
    /// What was printed and not logged has no level, so a search by level leaves it out; it counts as
    /// of the time of the line before it.
    ///
    /// # Errors
    ///
    /// What is wrong with an expression or the level, for people.
    pub fn new(expressions: &[String], level: &str, since_ms: u64) -> Result<Self, String> {
        if expressions.len() > EXPRESSIONS_MAX {
            return Err(format!("{EXPRESSIONS_MAX} expressions are the most of one search"));
        }
        let wanted = expressions.iter().filter(|text| !text.is_empty());
        let made = wanted.map(|text| {
            let made = RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build();
            made.map_err(|error| error.to_string())
        });
        let level = match level {
            "" => None,
            word => Some(level_of(word).ok_or_else(|| {
                let word: String = word.chars().take(32).collect();
                format!("`{word}` is no level; there are error, warn, info, debug and trace")
            })?),
        };
        Ok(Self { expressions: made.collect::<Result<_, _>>()?, level, since_ms, last_ms: 0 })
    }

    /// Tells whether every line is wanted.
    #[must_use]
    pub fn is_for_all(&self) -> bool {
        self.expressions.is_empty() && self.level.is_none() && self.since_ms == 0
    }

    /// Tells whether this line is wanted; to be asked for one after the other.
    pub fn finds(&mut self, line: &[u8]) -> bool {
        if self.level.is_some() || self.since_ms > 0 {
            let head = head(line);
            self.last_ms = head.map_or(self.last_ms, |(at_ms, _)| at_ms);
            let is_grave = |least| head.is_some_and(|(_, level)| level <= least);
            if self.last_ms < self.since_ms || !self.level.is_none_or(is_grave) {
                return false;
            }
        }
        self.expressions.iter().all(|expression| expression.is_match(line))
    }
}

/// A level by its name only: numbers are none.
fn level_of(word: &str) -> Option<Level> {
    let is_word = word.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_word.then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&[u8]; 5] = [
        b"printed first",
        b"2026-11-21T20:00:00.000000Z DEBUG a: one",
        br#"{"timestamp":"2026-11-21T20:00:01.000000Z","level":"WARN","message":"two"}"#,
        b"printed later",
        b"2026-11-21T20:00:02.000000Z ERROR a: three E7",
    ];

    fn found(expressions: &[&str], level: &str, since_ms: u64) -> Vec<usize> {
        let expressions: Vec<String> = expressions.iter().map(|&it| it.to_owned()).collect();
        let mut search = Search::new(&expressions, level, since_ms).unwrap();
        (0..LINES.len()).filter(|at| search.finds(LINES[*at])).collect()
    }

    #[test]
    fn lines_are_found_by_level_by_time_and_by_all_expressions() {
        let second = 1_795_291_201_000;
        assert_eq!(found(&[], "", 0), [0, 1, 2, 3, 4]);
        assert_eq!(found(&[""], "debug", 0), [1, 2, 4]);
        assert_eq!(found(&[], "WARN", 0), [2, 4], "in either format");
        assert_eq!(found(&[], "", second), [2, 3, 4], "what is printed comes after a line");
        assert_eq!(found(&["t", "E[0-9]"], "", 0), [4], "all of them");
        assert_eq!(found(&["o"], "error", second), [4_usize; 0]);
        assert!(Search::default().is_for_all());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |expressions: &[String], level| Search::new(expressions, level, 0).is_err();
        assert!(refused(&["(".to_owned()], ""));
        assert!(refused(&["(x{1000}){1000}".to_owned()], ""), "too large");
        assert!(refused(&vec!["x".to_owned(); 9], ""), "too many");
        for level in ["loud", "1", "-", "warn "] {
            assert!(refused(&[], level), "{level}");
        }
    }
}
