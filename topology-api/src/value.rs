//! `Value`: a field without its Rust type, and its way to and from JSON.
//!
//! The slow road, for what works with names at run time: the dashboard, `tap`, topologies
//! described in YAML or SQL. Integers have one form each, so that equal numbers are equal values.

use std::fmt;

use serde_json::{Number, Value as Json};

use crate::codec::{DecodeError, FieldCodec, decode_length, encode_length};
use crate::text::Text;

/// Lists within lists deeper than this are not read: the stack is not the sender's to fill.
const DEPTH_MAX: usize = 64;

/// One field of a tuple, without its type.
///
/// ```
/// use topology_api::Value;
///
/// let value = Value::from(vec![Value::from(3), Value::from("words"), Value::Null]);
/// assert_eq!(value.to_string(), r#"[3,"words",null]"#);
/// assert_eq!(Value::from(3_u8), Value::from(3_i64), "one form for one number");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing: an option that holds none.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits into 64 bits with a sign.
    Int(i64),
    /// An integer above `i64::MAX`; smaller ones are [`Value::Int`].
    UInt(u64),
    /// A floating point number.
    Float(f64),
    /// A text.
    Text(Text),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
}

impl Value {
    /// Gives the text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Gives the integer, if it is one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Gives the number as a float, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::UInt(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// Gives the value as JSON.
    ///
    /// Bytes become a string of hexadecimal digits, and numbers that JSON has not (NaN, infinity)
    /// become null.
    ///
    /// ```
    /// use topology_api::Value;
    /// assert_eq!(Value::Bytes(vec![1, 255]).to_json(), serde_json::json!("01ff"));
    /// ```
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::UInt(value) => Json::from(*value),
            Self::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Self::Text(value) => Json::from(value.as_str()),
            Self::Bytes(bytes) => {
                Json::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            Self::List(values) => values.iter().map(Self::to_json).collect(),
        }
    }
}

/// As JSON, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_json(), f)
    }
}

/// Objects, which a value has no form for, become the text of their JSON.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number),
                (None, Some(number)) => Self::UInt(number),
                (None, None) => number.as_f64().map_or(Self::Null, Self::Float),
            },
            Json::String(text) => Self::Text(Text::from(text)),
            Json::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            object @ Json::Object(_) => Self::Text(Text::from(object.to_string())),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
value_from!(bool => Bool, i8 => Int, i16 => Int, i32 => Int, i64 => Int);
value_from!(u8 => Int, u16 => Int, u32 => Int, f32 => Float, f64 => Float);
value_from!(&str => Text, String => Text, Text => Text, char => Text);
value_from!(Vec<u8> => Bytes, Vec<Value> => List);

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::UInt(number), Self::Int)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<isize> for Value {
    fn from(number: isize) -> Self {
        Self::Int(number as i64)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A byte for the variant, then what it holds.
impl FieldCodec for Value {
    const BYTES_MIN: usize = 1;

    fn weight(&self) -> usize {
        1 + match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Int(_) | Self::UInt(_) | Self::Float(_) => 8,
            Self::Text(text) => text.weight(),
            Self::Bytes(bytes) => bytes.weight(),
            Self::List(values) => values.weight(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        fn put(variant: u8, value: &impl FieldCodec, out: &mut Vec<u8>) {
            out.push(variant);
            value.encode(out);
        }
        match self {
            Self::Null => out.push(0),
            Self::Bool(value) => put(1, value, out),
            Self::Int(value) => put(2, value, out),
            Self::UInt(value) => put(3, value, out),
            Self::Float(value) => put(4, value, out),
            Self::Text(value) => put(5, value, out),
            Self::Bytes(value) => put(6, value, out),
            Self::List(values) => {
                out.push(7);
                encode_length(values.len(), out);
                values.iter().for_each(|value| value.encode(out));
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        decode_within(DEPTH_MAX, input)
    }

    fn type_name() -> String {
        "value".to_owned()
    }

    fn value(&self) -> Value {
        self.clone()
    }

    fn hash_value(&self, hasher: &mut crate::key::KeyHasher) {
        crate::key::Key::hash_key(self, hasher);
    }
}

fn decode_within(depth: usize, input: &mut &[u8]) -> Result<Value, DecodeError> {
    Ok(match u8::decode(input)? {
        0 => Value::Null,
        1 => Value::Bool(FieldCodec::decode(input)?),
        2 => Value::Int(FieldCodec::decode(input)?),
        3 => Value::UInt(FieldCodec::decode(input)?),
        4 => Value::Float(FieldCodec::decode(input)?),
        5 => Value::Text(FieldCodec::decode(input)?),
        6 => Value::Bytes(FieldCodec::decode(input)?),
        7 if depth == 0 => return Err(DecodeError::new("lists are nested too deeply")),
        7 => {
            let count = decode_length(1, input)?;
            // Grows as it is filled: lists in lists would otherwise multiply what is claimed.
            let mut values = Vec::new();
            for _ in 0..count {
                values.push(decode_within(depth - 1, input)?);
            }
            Value::List(values)
        }
        _ => return Err(DecodeError::new("a value has an unknown kind")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_there_and_back_is_the_same_value() {
        let value = Value::List(vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(-3),
            Value::UInt(u64::MAX),
            Value::Float(0.5),
            Value::from("text"),
        ]);
        assert_eq!(Value::from(value.to_json()), value);
    }

    #[test]
    fn endless_nesting_is_refused() {
        let row: Vec<u8> = [7, 1].repeat(100_000);
        let refused = Err(DecodeError::new("lists are nested too deeply"));
        assert_eq!(Value::decode(&mut row.as_slice()), refused);
    }
}
