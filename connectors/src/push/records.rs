//! What a body holds: one record, a line each, or the items of a JSON array.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// How the records of a body are told apart; follows from its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// One JSON document a record: an array holds several, anything else is one.
    Json,
    /// One JSON document a line.
    JsonLines,
    /// One record a line.
    Lines,
    /// One record.
    Bytes,
}

/// What is told to who sends something else.
pub(super) const CONTENT_TYPES: &str = "application/json (one document, or an array of records), application/x-ndjson (a document a \
     line), text/plain (a record a line) or application/octet-stream (one record)";

impl Body {
    /// Reads a content type, whatever its parameters.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        let is = |known: &[&str]| known.iter().any(|it| name.eq_ignore_ascii_case(it));
        if is(&["application/json"]) {
            Some(Self::Json)
        } else if is(&["application/x-ndjson", "application/ndjson", "application/jsonl"]) {
            Some(Self::JsonLines)
        } else if is(&["text/plain"]) {
            Some(Self::Lines)
        } else if is(&["application/octet-stream"]) {
            Some(Self::Bytes)
        } else {
            None
        }
    }

    /// Takes a body apart. Lines without anything are no records.
    ///
    /// # Errors
    ///
    /// Which record is no JSON, from 0, and why.
    pub(super) fn records(self, body: &[u8]) -> Result<Vec<&[u8]>, (usize, String)> {
        match self {
            Self::Bytes => Ok(vec![body]),
            Self::Lines => Ok(lines(body).collect()),
            Self::JsonLines => {
                let records: Vec<&[u8]> = lines(body).collect();
                for (at, record) in records.iter().enumerate() {
                    serde_json::from_slice::<IgnoredAny>(record)
                        .map_err(|error| (at, error.to_string()))?;
                }
                Ok(records)
            }
            Self::Json => json(body),
        }
    }
}

fn json(body: &[u8]) -> Result<Vec<&[u8]>, (usize, String)> {
    let wrong = |error: serde_json::Error| (0, error.to_string());
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if start == Some(&b'[') {
        let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(wrong)?;
        return Ok(items.into_iter().map(|item| item.get().as_bytes()).collect());
    }
    let item: &RawValue = serde_json::from_slice(body).map_err(wrong)?;
    Ok(vec![item.get().as_bytes()])
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = body.split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn texts(body: Body, text: &str) -> Result<Vec<String>, (usize, String)> {
        let records = body.records(text.as_bytes())?;
        Ok(records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect())
    }

    #[test]
    fn a_body_is_taken_apart_by_its_content_type() {
        assert_eq!(Body::of("Application/JSON; charset=utf-8"), Some(Body::Json));
        assert_eq!(Body::of("application/x-www-form-urlencoded"), None);
        let records = texts(Body::Json, " [ {\"a\": [1]}, 2 , \"x,y\"]\n").unwrap();
        assert_eq!(records, ["{\"a\": [1]}", "2", "\"x,y\""]);
        assert_eq!(texts(Body::Json, "{\"a\":1}\n").unwrap(), ["{\"a\":1}"]);
        assert_eq!(texts(Body::Json, "[]").unwrap().len(), 0);
        assert_eq!(texts(Body::JsonLines, "{}\r\n\n[1]").unwrap(), ["{}", "[1]"]);
        assert_eq!(texts(Body::Lines, "a\n\nb\n").unwrap(), ["a", "b"]);
        assert_eq!(texts(Body::Bytes, "a\nb").unwrap(), ["a\nb"]);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_record() {
        assert_eq!(texts(Body::JsonLines, "{}\n{\n{}").unwrap_err().0, 1);
        for wrong in ["", "{", "[1,", "[1] 2", "nul"] {
            assert!(texts(Body::Json, wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_or_refused_and_records_are_parts_of_them(
            body in vec(any::<u8>(), 0..200),
        ) {
            for kind in [Body::Json, Body::JsonLines, Body::Lines, Body::Bytes] {
                if let Ok(records) = kind.records(&body) {
                    let bytes: usize = records.iter().map(|record| record.len()).sum();
                    prop_assert!(bytes <= body.len());
                }
            }
        }
    }
}
