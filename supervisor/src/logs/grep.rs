//! The lines of a log in which something is found.

use regex::bytes::{Regex, RegexBuilder};

/// Memory that an expression may take.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// A line that is longer is looked at in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Lets lines pass in which an expression is found; all of them, if there is none.
#[derive(Debug)]
pub(crate) struct Grep {
    expression: Option<Regex>,
    /// A line that has not ended.
    begun: Vec<u8>,
}

impl Grep {
    /// Makes one of the text of an expression (empty: all lines pass), or says why it is none.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let expression = match text {
            "" => None,
            text => {
                let made = RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build();
                Some(made.map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { expression, begun: Vec::new() })
    }

    /// What passes of more of the log.
    pub(crate) fn pass(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let Some(expression) = &self.expression else { return bytes };
        let mut passed = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.begun.len() >= LINE_BYTES_MAX {
                if expression.is_match(&self.begun) {
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
        let passes = self.expression.as_ref().is_some_and(|it| it.is_match(&begun));
        if passes { begun } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_pass_in_which_the_expression_is_found_wherever_pieces_end() {
        let mut grep = Grep::new("E[0-9]+").unwrap();
        assert_eq!(grep.pass(b"one\ntwo E".to_vec()), b"");
        assert_eq!(grep.pass(b"7!\nthree\nE12\nfour E".to_vec()), b"two E7!\nE12\n");
        assert_eq!(grep.rest(), b"", "no number");
        assert_eq!(grep.pass(b"E1".to_vec()), b"");
        assert_eq!(grep.rest(), b"E1");
    }

    #[test]
    fn without_an_expression_all_passes_and_a_bad_one_is_refused() {
        assert_eq!(Grep::new("").unwrap().pass(b"a\nb".to_vec()), b"a\nb");
        assert!(Grep::new("(").unwrap_err().contains("unclosed"));
        assert!(Grep::new("(x{1000}){1000}").is_err(), "too large");
    }
}
