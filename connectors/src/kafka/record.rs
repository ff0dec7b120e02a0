//! A record of Kafka as a tuple.
//!
//! Its bytes are those that the client read, shared with what came in the same fetch: a record is made,
//! cloned and replayed without copying them. They are copied when it goes to another worker.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use topology_api::codec::FieldCodec;
use topology_api::{DecodeError, Error, Key, KeyHasher, Tuple, Value};

/// A record of a topic.
///
/// ```
/// use connectors::kafka::KafkaRecord;
///
/// let mut record = KafkaRecord::new("orders", "ann 3");
/// record.key = Some("ann".into());
/// assert_eq!(record.text().unwrap(), "ann 3");
/// assert_eq!(record.key_text().unwrap(), "ann");
/// assert_eq!(record.headers.first("trace"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct KafkaRecord {
    /// Which topic it is of.
    pub topic: TopicName,
    /// Which partition of it.
    pub partition: u32,
    /// Its place in the partition.
    pub offset: u64,
    /// Milliseconds since 1970: when it was made or when the broker had it, as the topic says.
    pub timestamp_ms: i64,
    /// What it is about; records of one key are in one partition.
    pub key: Option<Blob>,
    /// What it says; none: what was said of the key is deleted.
    pub value: Option<Blob>,
    /// What was sent with it.
    pub headers: Headers,
}

impl KafkaRecord {
    /// A record at the beginning of a topic, for tests.
    pub fn new(topic: &str, value: impl Into<Blob>) -> Self {
        Self {
            topic: topic.into(),
            partition: 0,
            offset: 0,
            timestamp_ms: 0,
            key: None,
            value: Some(value.into()),
            headers: Headers::default(),
        }
    }

    /// Gives the value as text.
    ///
    /// # Errors
    ///
    /// There is none, or it is not UTF-8; with the place of the record.
    pub fn text(&self) -> Result<&str, Error> {
        self.as_text("value", self.value.as_ref())
    }

    /// Gives the key as text.
    ///
    /// # Errors
    ///
    /// There is none, or it is not UTF-8; with the place of the record.
    pub fn key_text(&self) -> Result<&str, Error> {
        self.as_text("key", self.key.as_ref())
    }

    fn as_text<'a>(&self, part: &str, bytes: Option<&'a Blob>) -> Result<&'a str, Error> {
        let wrong = |what: &dyn fmt::Display| -> Error {
            format!("record {} of {}-{}: {what}", self.offset, self.topic, self.partition).into()
        };
        let bytes = bytes.ok_or_else(|| wrong(&format_args!("it has no {part}")))?;
        std::str::from_utf8(bytes)
            .map_err(|error| wrong(&format_args!("its {part} is not UTF-8: {error}")))
    }
}

/// The name of a topic, shared by its records.
///
/// ```
/// use connectors::kafka::TopicName;
///
/// assert_eq!(&*TopicName::from("orders"), "orders");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(pub(super) Arc<str>);

impl From<&str> for TopicName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key for TopicName {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.part(self.as_bytes());
    }
}

impl FieldCodec for TopicName {
    const BYTES_MIN: usize = 4;

    fn weight(&self) -> usize {
        4 + self.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(take_bytes(input)?);
        text.map(Self::from).map_err(|_| DecodeError::new("a topic's name is not UTF-8"))
    }

    fn type_name() -> String {
        "text".to_owned()
    }

    fn value(&self) -> Value {
        Value::from(&*self.0)
    }
}

/// Bytes that are shared, not copied.
///
/// ```
/// use connectors::kafka::Blob;
///
/// assert_eq!(*Blob::from("ann"), *b"ann");
/// assert_eq!(Blob::from(vec![1, 2]).len(), 2);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob(pub(super) Bytes);

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Blob {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for Blob {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Key for Blob {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.part(self);
    }
}

impl FieldCodec for Blob {
    const BYTES_MIN: usize = 4;

    fn weight(&self) -> usize {
        4 + self.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        take_bytes(input).map(Self::from)
    }

    fn type_name() -> String {
        "bytes".to_owned()
    }

    /// Text where it is text: so dead letters are read by people.
    fn value(&self) -> Value {
        std::str::from_utf8(self).map_or_else(|_| Value::Bytes(self.to_vec()), Value::from)
    }

    fn hash_value(&self, hasher: &mut KeyHasher) {
        self.hash_key(hasher);
    }
}

/// The headers of a record, in order; names may repeat, values may be missing.
///
/// ```
/// use connectors::kafka::Headers;
///
/// let headers = Headers::default().with("trace", "7").with("trace", "8");
/// assert_eq!(headers.first("trace"), Some(&b"7"[..]));
/// assert_eq!(headers.iter().count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub(super) Vec<(String, Option<Bytes>)>);

impl Headers {
    /// With one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Blob>) -> Self {
        self.0.push((name.to_owned(), Some(value.into().0)));
        self
    }

    /// Gives the value of the first of this name; none also if it has none.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(of, _)| of == name)?.1.as_deref()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

impl FieldCodec for Headers {
    const BYTES_MIN: usize = 4;

    fn weight(&self) -> usize {
        let each = |(name, value): &(String, Option<Bytes>)| {
            4 + name.len() + 1 + value.as_ref().map_or(0, |it| 4 + it.len())
        };
        4 + self.0.iter().map(each).sum::<usize>()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        FieldCodec::encode(&length(self.0.len()), out);
        for (name, value) in &self.0 {
            encode_bytes(name.as_bytes(), out);
            FieldCodec::encode(&value.is_some(), out);
            if let Some(value) = value {
                encode_bytes(value, out);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let count = <u32 as FieldCodec>::decode(input)?;
        // Each takes five bytes at least: what was written decides how long this can be.
        let mut headers = Vec::with_capacity((count as usize).min(input.len() / 5));
        for _ in 0..count {
            let name = String::from_utf8_lossy(take_bytes(input)?).into_owned();
            let is_some = <bool as FieldCodec>::decode(input)?;
            let value = is_some.then(|| take_bytes(input)).transpose()?;
            headers.push((name, value.map(Bytes::copy_from_slice)));
        }
        Ok(Self(headers))
    }

    fn type_name() -> String {
        "list of (text, optional bytes)".to_owned()
    }

    fn value(&self) -> Value {
        let each = |(name, value): &(String, Option<Bytes>)| {
            let value = value.clone().map(Blob);
            Value::List(vec![Value::from(name.as_str()), value.value()])
        };
        Value::List(self.0.iter().map(each).collect())
    }
}

/// A length as it is written. What is longer than this is larger than any tuple may be.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    FieldCodec::encode(&length(bytes.len()), out);
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let length = <u32 as FieldCodec>::decode(input)? as usize;
    let (taken, rest) = input.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_crosses_the_wire_whole_and_a_cut_one_is_refused() {
        let mut record = KafkaRecord::new("orders", vec![0xff, 0]);
        record.key = Some("ann".into());
        record.headers = Headers::default().with("trace", "7");
        record.headers.0.push(("none".to_owned(), None));
        let mut row = Vec::new();
        record.encode(&mut row);
        assert_eq!(row.len(), record.weight());
        assert_eq!(KafkaRecord::decode(&mut row.as_slice()), Ok(record));
        for cut in 0..row.len() {
            assert!(KafkaRecord::decode(&mut &row[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_text_is_told_with_the_place_of_the_record() {
        let mut record = KafkaRecord::new("orders", vec![0xff]);
        record.offset = 12;
        let told = record.text().unwrap_err().to_string();
        assert!(told.starts_with("record 12 of orders-0: its value is not UTF-8"), "{told}");
        assert!(record.key_text().unwrap_err().to_string().contains("has no key"));
    }
}
