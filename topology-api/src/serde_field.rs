//! Fields that go through serde: the only file that names bincode.
//!
//! Behind a byte that says how the sender fared, so that a type which cannot be serialized shows
//! as an error of its tuple with the reason, where it would otherwise be a panic in the transport.
//! The derive macro calls these functions for `#[tuple(serde)]` fields.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::enc::write::SizeWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{DecodeError, decode_str, encode_str, take};
use crate::key::{Key, KeyHasher};
use crate::value::Value;

/// The largest field that is read, in bytes: the default of `tuple.max_bytes`, four times over.
const BYTES_MAX: usize = 64 << 20;

const ENCODED: u8 = 0;
const FAILED: u8 = 1;

const fn config() -> Configuration<LittleEndian, Varint, Limit<BYTES_MAX>> {
    bincode::config::standard().with_limit::<BYTES_MAX>()
}

/// Says how many bytes the value takes. It walks the value: only that knows.
pub fn weight<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut size = SizeWriter::default();
    match bincode::serde::encode_into_writer(value, &mut size, config()) {
        Ok(()) => 1 + size.bytes_written,
        Err(_) => 1,
    }
}

/// Appends the value.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(ENCODED);
    if let Err(error) = bincode::serde::encode_into_std_write(value, out, config()) {
        out.truncate(start);
        out.push(FAILED);
        encode_str(&error.to_string(), out);
    }
}

/// Reads a value off the front of `input`.
pub fn decode<T: DeserializeOwned>(input: &mut &[u8]) -> Result<T, DecodeError> {
    if take(1, input)? == [FAILED] {
        let why = decode_str(input)?;
        return Err(DecodeError::Serde(format!("its sender could not encode it: {why}")));
    }
    let (value, read) = bincode::serde::decode_from_slice(input, config())
        .map_err(|error| DecodeError::Serde(error.to_string()))?;
    take(read, input)?;
    Ok(value)
}

/// Gives the value for what works without its type, as JSON would; null if JSON cannot.
pub fn value<T: Serialize + ?Sized>(field: &T) -> Value {
    serde_json::to_value(field).map_or(Value::Null, Value::from)
}

/// Adds the value to a key.
pub fn hash_value<T: Serialize + ?Sized>(field: &T, hasher: &mut KeyHasher) {
    value(field).hash_key(hasher);
}

/// Says what the type is called: its Rust name without the paths.
pub fn type_name<T: ?Sized>() -> String {
    let mut name = String::new();
    for letter in std::any::type_name::<T>().chars() {
        name.push(letter);
        if name.ends_with("::") {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            name.truncate(name.trim_end_matches(word).len());
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_value_makes_the_round_trip_and_leaves_what_follows() {
        let ages = BTreeMap::from([("ann".to_owned(), 41_u32), ("bob".to_owned(), 7)]);
        let mut row = Vec::new();
        encode(&ages, &mut row);
        assert_eq!(row.len(), weight(&ages), "the weight is exact");
        row.push(0xff);
        let mut input = row.as_slice();
        assert_eq!(decode::<BTreeMap<String, u32>>(&mut input), Ok(ages));
        assert_eq!(input, [0xff], "the next field is untouched");
    }

    #[test]
    fn a_value_that_cannot_be_serialized_says_so_at_the_receiver() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("the lock is poisoned"))
            }
        }
        let mut row = Vec::new();
        encode(&Broken, &mut row);
        let error = decode::<String>(&mut row.as_slice()).unwrap_err().to_string();
        assert!(error.contains("the lock is poisoned"), "{error}");
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        // A list of 2^62 numbers, of which none is there.
        let mut row = vec![ENCODED, 253];
        row.extend_from_slice(&(1_u64 << 62).to_le_bytes());
        assert!(decode::<Vec<u64>>(&mut row.as_slice()).is_err());
    }

    #[test]
    fn type_names_are_short() {
        assert_eq!(type_name::<BTreeMap<String, Option<u8>>>(), "BTreeMap<String, Option<u8>>");
    }
}
