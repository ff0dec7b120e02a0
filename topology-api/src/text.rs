//! `Text`: a string that keeps short words inline.
//!
//! Most fields of hot tuples are short. Up to 23 bytes need no allocation to make, clone, decode
//! or drop; longer ones are on the heap like a `String`.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{DecodeError, NOT_UTF8, take};
use crate::raw::Words;

/// A string for tuple fields: up to 23 bytes cost no allocation.
///
/// It reads like a `&str` and compares with one.
///
/// ```
/// use topology_api::Text;
///
/// let word = Text::from("squall");
/// assert_eq!(word, "squall");
/// assert_eq!(word.len(), 6);
/// assert_eq!(word.to_uppercase(), "SQUALL");
/// ```
#[derive(Clone)]
pub struct Text(Words);

impl Text {
    /// Makes an empty text.
    #[must_use]
    pub const fn new() -> Self {
        Self(Words::new())
    }

    /// Gives the text as a string slice.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// How many bytes it has.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether it has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Reads a text of so many bytes off the front of `input`.
    #[inline(always)]
    pub(crate) fn take(length: usize, input: &mut &[u8]) -> Result<Self, DecodeError> {
        let bytes = take(length, input)?;
        if let Some(words) = Words::from_short_ascii(bytes) {
            return Ok(Self(words));
        }
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Self::from(text)),
            Err(_) => Err(DecodeError::new(NOT_UTF8)),
        }
    }

    /// Appends its bytes to `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        // A copy of a fixed length is a few moves; one that has to ask for the length is a call.
        if let Some((bytes, length)) = self.0.inline_bytes() {
            let end = out.len() + length;
            out.extend_from_slice(&bytes);
            out.truncate(end);
        } else {
            out.extend_from_slice(self.as_str().as_bytes());
        }
    }

    /// Appends `more`.
    pub fn push_str(&mut self, more: &str) {
        self.0.push_str(more);
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

// That of its `str`, as `Borrow` demands: maps keyed by `Text` are asked with a `&str`.
impl Hash for Text {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

impl Deref for Text {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    #[inline]
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    #[inline]
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        Self(Words::from_str(text))
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Words::from_string(text))
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<char> for Text {
    fn from(letter: char) -> Self {
        Self::from(&*letter.encode_utf8(&mut [0; 4]))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into_string()
    }
}

impl FromIterator<char> for Text {
    fn from_iter<I: IntoIterator<Item = char>>(letters: I) -> Self {
        Self::from(letters.into_iter().collect::<String>())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push_str(more);
        Ok(())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for str {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        *self == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_map_keyed_by_text_is_asked_with_a_str() {
        let counts = HashMap::from([(Text::from("word"), 1)]);
        assert_eq!(counts.get("word"), Some(&1));
    }

    #[test]
    fn it_is_as_large_as_a_string() {
        assert_eq!(size_of::<Text>(), size_of::<String>());
    }

    #[test]
    fn in_json_it_is_a_string() {
        let json = serde_json::to_string(&Text::from("a \"b\"")).expect("text is JSON");
        assert_eq!(json, r#""a \"b\"""#);
        assert_eq!(serde_json::from_str::<Text>(&json).expect("it reads back"), "a \"b\"");
    }
}
