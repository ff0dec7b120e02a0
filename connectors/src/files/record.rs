//! What a record of a file becomes: a tuple of one's choice.

use std::path::Path;

use topology_api::{Line, Text, Tuple};

/// One record of a file, as it was read.
///
/// ```
/// use connectors::files::{FromRecord, Record};
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Entry { server: Text, text: Text }
///
/// impl FromRecord for Entry {
///     fn from_record(record: &Record<'_>) -> Self {
///         Self { server: record.file().into(), text: record.text() }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub(super) bytes: &'a [u8],
    /// None: it is not UTF-8, or nobody looked.
    pub(super) text: Option<&'a str>,
    pub(super) path: &'a Path,
    pub(super) offset: u64,
}

impl Record<'_> {
    /// Its bytes, without the last line end.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// Its text, without the last line end; bytes that are not UTF-8 read as U+FFFD.
    #[inline]
    #[must_use]
    pub fn text(&self) -> Text {
        match self.text {
            Some(text) => Text::from(text),
            None => String::from_utf8_lossy(self.bytes).into(),
        }
    }

    /// The name of its file, without the folder, as it was when the file was last looked at.
    #[must_use]
    pub fn file(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Where it begins in its file, in bytes; in a compressed one, in bytes of what is in it.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// A tuple that is made of one record of a file.
pub trait FromRecord: Tuple {
    /// Whether the record has to be text. What is not text is then counted and treated as
    /// [`FilesIn::not_text`](super::FilesIn::not_text) says.
    const IS_TEXT: bool = true;

    /// Makes the tuple.
    fn from_record(record: &Record<'_>) -> Self;
}

impl FromRecord for Line {
    #[inline]
    fn from_record(record: &Record<'_>) -> Self {
        Self { text: record.text() }
    }
}

/// A record of text that knows where it comes from.
///
/// ```
/// use connectors::files::FileLine;
/// use topology_api::Tuple;
///
/// assert_eq!(FileLine::schema().to_string(), "FileLine(text: text, file: text, offset: u64)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct FileLine {
    /// Its text, without the last line end.
    pub text: Text,
    /// The name of its file, without the folder.
    pub file: Text,
    /// Where it begins there, in bytes.
    pub offset: u64,
}

impl FromRecord for FileLine {
    fn from_record(record: &Record<'_>) -> Self {
        Self { text: record.text(), file: record.file().into(), offset: record.offset }
    }
}

/// A record whose bytes are left as they are, text or not.
///
/// ```
/// use connectors::files::{FileBytes, FromRecord};
///
/// assert!(!FileBytes::IS_TEXT);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct FileBytes {
    /// Its bytes, without the last line end.
    pub bytes: Vec<u8>,
    /// The name of its file, without the folder.
    pub file: Text,
    /// Where it begins there, in bytes.
    pub offset: u64,
}

impl FromRecord for FileBytes {
    const IS_TEXT: bool = false;

    fn from_record(record: &Record<'_>) -> Self {
        let (bytes, file) = (record.bytes.to_vec(), record.file().into());
        Self { bytes, file, offset: record.offset }
    }
}

/// A record that nobody could process, or that is not text: what it was, and why.
///
/// ```
/// use connectors::files::DeadRecord;
/// use topology_api::Tuple;
///
/// let fields: Vec<_> = DeadRecord::schema().fields.iter().map(|field| field.name).collect();
/// assert_eq!(fields, ["bytes", "file", "offset", "reason", "attempts"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct DeadRecord {
    /// Its bytes, without the last line end.
    pub bytes: Vec<u8>,
    /// The name of its file, without the folder.
    pub file: Text,
    /// Where it begins there, in bytes.
    pub offset: u64,
    /// `failed` or `not-text`.
    pub reason: Text,
    /// How often it failed by its own fault.
    pub attempts: u32,
}

impl DeadRecord {
    pub(super) fn of(record: &Record<'_>, reason: &str, attempts: u32) -> Self {
        let (bytes, file) = (record.bytes.to_vec(), record.file().into());
        Self { bytes, file, offset: record.offset, reason: reason.into(), attempts }
    }
}
