//! The pieces of a condition: names, texts in quotes, and signs.

use super::ConditionError;

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Plain(String),
    Quoted(String),
    Symbol(String),
}

impl Word {
    /// As it stands in what is said of it.
    pub(super) fn shown(&self) -> String {
        let (Self::Plain(text) | Self::Quoted(text) | Self::Symbol(text)) = self;
        format!("`{text}`")
    }
}

/// Splits a text into its pieces.
pub(super) fn split(text: &str) -> Result<Vec<Word>, ConditionError> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '(' | ')' => (Word::Symbol(first.into()), 1),
            '"' | '\'' => quoted(rest, first)?,
            '=' | '!' | '<' | '>' => {
                let length = if rest[1..].starts_with('=') { 2 } else { 1 };
                (Word::Symbol(rest[..length].to_owned()), length)
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || "()=!<>\"'".contains(c);
                let length = rest.find(ends).unwrap_or(rest.len());
                (Word::Plain(rest[..length].to_owned()), length)
            }
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// Reads a text in quotes, in which `\` hides what follows; tells how many bytes it takes.
fn quoted(text: &str, quote: char) -> Result<(Word, usize), ConditionError> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, hidden)| hidden)),
            _ if character == quote => return Ok((Word::Quoted(value), at + 1)),
            _ => value.push(character),
        }
    }
    Err(ConditionError(format!("a text begins with {quote} and does not end")))
}
