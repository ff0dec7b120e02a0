//! How tuples are written: as text, as JSON, or as comma-separated values.

use std::fmt;
use std::sync::Arc;

use topology_api::{Tuple, Value};

type Write<T> = Arc<dyn Fn(&T, &mut Vec<u8>) + Send + Sync>;

/// What a file of tuples looks like.
///
/// ```
/// use connectors::files::FileFormat;
/// use topology_api::Line;
///
/// let text = FileFormat::text(|line: &Line| &line.text);
/// assert_eq!(format!("{text:?}"), "Text");
/// ```
#[derive(Clone)]
pub enum FileFormat<T> {
    /// A line a tuple, as [`FileFormat::text`] says.
    Text(Write<T>),
    /// A JSON object a line, with the fields of the tuple by their names; files end in `.jsonl`.
    JsonLines,
    /// A row a tuple, as in RFC 4180, with the names of the fields in the first; files end in `.csv`.
    Csv,
}

impl<T> fmt::Debug for FileFormat<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::JsonLines => "JsonLines",
            Self::Csv => "Csv",
        })
    }
}

impl<T: Tuple> FileFormat<T> {
    /// A line a tuple: this text of it, and a line end. Line ends within the text are written as they are.
    pub fn text<F, S>(text: F) -> Self
    where
        F: Fn(&T) -> &S + Send + Sync + 'static,
        S: AsRef<str> + ?Sized,
    {
        Self::Text(Arc::new(move |tuple, out| {
            out.extend_from_slice(text(tuple).as_ref().as_bytes());
        }))
    }

    /// A line a tuple, of whatever bytes are appended for it, and a line end.
    pub fn lines<F>(write: F) -> Self
    where
        F: Fn(&T, &mut Vec<u8>) + Send + Sync + 'static,
    {
        Self::Text(Arc::new(write))
    }

    /// What names of files end in.
    pub(super) fn ending(&self) -> &'static str {
        match self {
            Self::Text(_) => "txt",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }
}

/// Writes tuples; knows the names of their fields.
pub(super) struct Writer<T> {
    format: FileFormat<T>,
    names: Vec<&'static str>,
}

impl<T: Tuple> Writer<T> {
    pub(super) fn new(format: FileFormat<T>) -> Self {
        let names = T::schema().fields.into_iter().map(|field| field.name).collect();
        Self { format, names }
    }

    /// What a file begins with.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        if matches!(self.format, FileFormat::Csv) {
            row(self.names.iter().map(|name| Value::from(*name)), &mut head);
        }
        head
    }

    /// Appends a tuple, with its line end.
    pub(super) fn write(&self, tuple: &T, out: &mut Vec<u8>) {
        match &self.format {
            FileFormat::Text(write) => {
                write(tuple, out);
                out.push(b'\n');
            }
            FileFormat::JsonLines => {
                let mut comma = b'{';
                for (field, name) in self.names.iter().enumerate() {
                    out.push(comma);
                    json(&serde_json::Value::from(*name), out);
                    out.push(b':');
                    json(&tuple.value(field).to_json(), out);
                    comma = b',';
                }
                out.extend_from_slice(if self.names.is_empty() { b"{}\n" } else { b"}\n" });
            }
            FileFormat::Csv => row((0..self.names.len()).map(|field| tuple.value(field)), out),
        }
    }
}

fn json(value: &serde_json::Value, out: &mut Vec<u8>) {
    // Writing to memory cannot fail, and a value is JSON.
    serde_json::to_writer(out, value).unwrap_or_default();
}

/// Appends a row: fields with commas, quotes or line ends stand in quotes, which are doubled within.
fn row(values: impl Iterator<Item = Value>, out: &mut Vec<u8>) {
    for (column, value) in values.enumerate() {
        if column > 0 {
            out.push(b',');
        }
        let text = match &value {
            Value::Null => String::new(),
            Value::Text(text) => text.to_string(),
            Value::Bytes(_) => value.to_json().as_str().unwrap_or_default().to_owned(),
            other => other.to_string(),
        };
        if text.contains([',', '"', '\n', '\r']) {
            out.push(b'"');
            out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            out.push(b'"');
        } else {
            out.extend_from_slice(text.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// How many bytes of a file are whole records, of those that stand in it after a crash. `csv`: line ends in
/// quotes do not count.
pub(super) fn whole(bytes: &[u8], csv: bool) -> usize {
    let (mut quoted, mut whole) = (false, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' if csv => quoted = !quoted,
            b'\n' if !quoted => whole = at + 1,
            _ => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::Text;

    #[derive(Clone, Debug, Tuple)]
    struct Visit {
        page: Text,
        ms: u64,
        referrer: Option<Text>,
    }

    fn written(format: FileFormat<Visit>, page: &str) -> String {
        let writer = Writer::new(format);
        let mut out = writer.head();
        writer.write(&Visit { page: page.into(), ms: 7, referrer: None }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_writes_what_its_readers_expect() {
        assert_eq!(written(FileFormat::text(|it: &Visit| &it.page), "/a"), "/a\n");
        let lines = FileFormat::lines(|it: &Visit, out| out.extend(it.ms.to_string().bytes()));
        assert_eq!(written(lines, "/a"), "7\n");
        let json = written(FileFormat::JsonLines, "/\"a\"\n");
        assert_eq!(json, "{\"page\":\"/\\\"a\\\"\\n\",\"ms\":7,\"referrer\":null}\n");
        assert_eq!(written(FileFormat::Csv, "/a"), "page,ms,referrer\r\n/a,7,\r\n");
        assert_eq!(written(FileFormat::Csv, "a,\"b\"\n").lines().nth(1), Some("\"a,\"\"b\"\""));
    }

    #[test]
    fn a_record_that_was_half_written_is_not_whole() {
        assert_eq!(whole(b"one\ntwo\nthr", false), 8);
        assert_eq!(whole(b"a,b\r\n\"x\n", true), 5, "the line end is within a field");
        assert_eq!(whole(b"a,b\r\n\"x\n\"\r\nz", true), 11);
        assert_eq!(whole(b"nothing whole", false), 0);
    }
}
