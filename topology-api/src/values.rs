//! `Values`: the dynamic tuple, whose fields have names at run time.
//!
//! For topologies that are not written in Rust but described (YAML, SQL, other languages). It
//! costs several times what a derived tuple costs; authors in Rust have no use for it. The names
//! are shared between the tuples that one component emits, and travel with every row.

use std::fmt;
use std::sync::Arc;

use crate::codec::{DecodeError, FieldCodec, decode_length, encode_length};
use crate::key::{Key, KeyHasher};
use crate::text::Text;
use crate::tuple::{Schema, Tuple};
use crate::value::Value;

/// A tuple whose field names are known only at run time.
///
/// ```
/// use topology_api::{Value, Values};
///
/// let names = Values::names(["word", "count"]);
/// let count = Values::new(&names, vec![Value::from("squall"), Value::from(3)]);
/// assert_eq!(count.get("count"), Some(&Value::Int(3)));
/// assert_eq!(count.get("missing"), None);
/// assert_eq!(count.to_json().to_string(), r#"{"count":3,"word":"squall"}"#);
/// ```
#[derive(Clone, PartialEq)]
pub struct Values {
    /// Invariant: as many names as values.
    names: Arc<[Text]>,
    values: Vec<Value>,
}

impl Values {
    /// Makes the names that tuples share; make them once a component.
    pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Arc<[Text]> {
        names.into_iter().map(Text::from).collect()
    }

    /// Makes a tuple: the values in the order of the names. A missing value is null.
    ///
    /// # Panics
    /// If there are more values than names: a value without a name could never be read.
    pub fn new(names: &Arc<[Text]>, mut values: Vec<Value>) -> Self {
        assert!(values.len() <= names.len(), "{} values for {names:?}", values.len());
        values.resize(names.len(), Value::Null);
        Self { names: Arc::clone(names), values }
    }

    /// Gives the field called `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).map(|at| &self.values[at])
    }

    /// Gives the names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.names.iter().map(Text::as_str).zip(&self.values)
    }

    /// Gives the tuple as a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect()
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// A row is the number of fields, then each name with its value.
impl Tuple for Values {
    fn schema() -> Schema {
        Schema::dynamic("Values")
    }

    fn weight(&self) -> usize {
        let field = |(name, value): (&Text, &Value)| name.weight() + value.weight();
        2 + self.names.iter().zip(&self.values).map(field).sum::<usize>()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.names.len(), out);
        for (name, value) in self.names.iter().zip(&self.values) {
            name.encode(out);
            value.encode(out);
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let count = decode_length(Text::BYTES_MIN + Value::BYTES_MIN, input)?;
        let (mut names, mut values) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            names.push(Text::decode(input)?);
            values.push(Value::decode(input)?);
        }
        Ok(Self { names: names.into(), values })
    }

    fn value(&self, field: usize) -> Value {
        self.values.get(field).cloned().unwrap_or_default()
    }

    fn hash_field(&self, field: usize, hasher: &mut KeyHasher) {
        self.values.get(field).unwrap_or(&Value::Null).hash_key(hasher);
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }
}
