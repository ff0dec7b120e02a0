//! How far something is, on one line of a terminal that is drawn over.
//!
//! Elsewhere, and with `-o json`, nothing is written: a log is not to be full of bars.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::output::{bytes, escape};

/// Cells of a bar.
const CELLS: u64 = 30;

/// A line that shows how far something is, and goes when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Line {
    shown: bool,
    /// The last step that was drawn: nothing is drawn twice.
    step: AtomicU64,
}

impl Line {
    /// A line on standard error, if that is a terminal and people read.
    pub(crate) fn new(for_people: bool) -> Self {
        Self { shown: for_people && io::stderr().is_terminal(), step: AtomicU64::new(0) }
    }

    /// Shows a sentence.
    pub(crate) fn say(&self, text: &str) {
        if self.shown {
            draw(&escape(text));
        }
    }

    /// Shows how many bytes of all have gone.
    pub(crate) fn bytes(&self, what: &str, done: u64, all: u64) {
        let step = bar_step(done, all);
        if self.shown && self.step.swap(step + 1, Ordering::Relaxed) != step + 1 {
            draw(&bar(what, done, all));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown {
            draw("");
        }
    }
}

/// Nobody can be told if a terminal takes nothing.
fn draw(text: &str) {
    let mut out = io::stderr().lock();
    drop(write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush()));
}

fn bar_step(done: u64, all: u64) -> u64 {
    done.min(all) * 100 / all.max(1)
}

fn bar(what: &str, done: u64, all: u64) -> String {
    let percent = bar_step(done, all);
    let cells = usize::try_from(percent * CELLS / 100).unwrap_or(0);
    let rest = usize::try_from(CELLS).unwrap_or(0) - cells;
    let (full, empty) = ("#".repeat(cells), "-".repeat(rest));
    format!("{what} [{full}{empty}] {percent:>3}% of {}", bytes(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_as_bytes_go() {
        assert_eq!(bar("x", 0, 1024), format!("x [{}]   0% of 1.0KiB", "-".repeat(30)));
        assert_eq!(
            bar("x", 512, 1024),
            format!("x [{0}{1}]  50% of 1.0KiB", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(bar("x", 9, 0), format!("x [{}]   0% of 0B", "-".repeat(30)));
    }
}
