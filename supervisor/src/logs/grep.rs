//! The lines of a log that are wanted, wherever the pieces end in which it is read.

use daemon::logging::Search;

/// A line that is longer is looked at in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Lets lines pass that are wanted.
#[derive(Debug)]
pub(crate) struct Grep {
    search: Search,
    /// A line that has not ended.
    begun: Vec<u8>,
}

impl Grep {
    /// Lets lines pass that this search finds.
    pub(crate) fn new(search: Search) -> Self {
        Self { search, begun: Vec::new() }
    }

    /// What passes of more of the log.
    pub(crate) fn pass(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if self.search.is_for_all() {
            return bytes;
        }
        let mut passed = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= LINE_BYTES_MAX {
                if self.search.finds(&self.begun) {
                    passed.append(&mut self.begun);
                }
                self.begun.clear();
            }
        }
        passed
    }

    /// What passes of a line that never ended.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let begun = std::mem::take(&mut self.begun);
        if !begun.is_empty() && self.search.finds(&begun) { begun } else { Vec::new() }
    }
}

/// Returns the last lines, and whether there were more.
pub(super) fn last(mut bytes: Vec<u8>, lines: u32) -> (Vec<u8>, bool) {
    if lines == 0 {
        return (bytes, false);
    }
    let inner = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let ends = inner.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match ends.map(|(at, _)| at).nth(lines as usize - 1) {
        Some(end) => {
            bytes.drain(..=end);
            (bytes, true)
        }
        None => (bytes, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grep(expression: &str) -> Grep {
        Grep::new(Search::new(&[expression.to_owned()], "", 0).unwrap())
    }

    #[test]
    fn lines_pass_in_which_the_expression_is_found_wherever_pieces_end() {
        let mut grep = grep("E[0-9]+");
        assert_eq!(grep.pass(b"one\ntwo E".to_vec()), b"");
        assert_eq!(grep.pass(b"7!\nthree\nE12\nfour E".to_vec()), b"two E7!\nE12\n");
        assert_eq!(grep.rest(), b"", "no number");
        assert_eq!(grep.pass(b"E1".to_vec()), b"");
        assert_eq!(grep.rest(), b"E1");
    }

    #[test]
    fn without_an_expression_all_passes() {
        let mut grep = grep("");
        assert_eq!(grep.pass(b"a\nb".to_vec()), b"a\nb");
        assert_eq!(grep.rest(), b"", "it has passed");
    }

    #[test]
    fn the_last_lines_are_whole_ones() {
        let last = |text: &str, lines| {
            let (bytes, cut) = last(text.as_bytes().to_vec(), lines);
            (String::from_utf8(bytes).unwrap(), cut)
        };
        assert_eq!(last("one\ntwo\nthree\n", 2), ("two\nthree\n".to_owned(), true));
        assert_eq!(last("one\ntwo\nthr", 2), ("two\nthr".to_owned(), true));
        assert_eq!(last("one\ntwo\n", 2), ("one\ntwo\n".to_owned(), false));
        assert_eq!(last("one\ntwo\n", 0), ("one\ntwo\n".to_owned(), false), "all");
        assert_eq!(last("", 3), (String::new(), false));
    }
}
