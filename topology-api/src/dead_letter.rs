//! Dead letters: tuples that failed too often, with what is known of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::codec::FieldCodec;
use crate::{DecodeError, Field, KeyHasher, Schema, Text, Tuple, Value};

/// Where the fields of the letter itself begin when the tuple's are known only at run time.
const BEHIND_DYNAMIC: usize = 1 << 16;

/// A tuple that failed too often, by its own fault, and why.
///
/// Its fields are those of the tuple, then its own.
///
/// ```
/// use topology_api::{DeadLetter, Line, Tuple};
///
/// let schema = "DeadLetter(text: text, reason: text, error: text, attempts: u32, \
///               first_failed_ms: u64, last_failed_ms: u64)";
/// assert_eq!(DeadLetter::<Line>::schema().to_string(), schema);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<T> {
    /// The tuple as it was emitted.
    pub tuple: T,
    /// The name of the last reason: `error`, `panic`, `timeout`, ...
    pub reason: Text,
    /// What the component said of the last failure; empty if that is not known, as after a timeout.
    pub error: Text,
    /// How often it was emitted, replays after failures of the cluster's included.
    pub attempts: u32,
    /// When it first failed, in milliseconds since 1970.
    pub first_failed_ms: u64,
    /// When it last failed, in milliseconds since 1970.
    pub last_failed_ms: u64,
}

impl<T> DeadLetter<T> {
    /// When it first failed.
    pub fn first_failed(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.first_failed_ms)
    }

    /// When it last failed.
    pub fn last_failed(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.last_failed_ms)
    }
}

/// The letter's own fields, by the names they have in its schema.
const OWN: [&str; 5] = ["reason", "error", "attempts", "first_failed_ms", "last_failed_ms"];

/// At which position the letter's own fields begin.
fn own_fields<T: Tuple>() -> usize {
    let schema = T::schema();
    if schema.dynamic { BEHIND_DYNAMIC } else { schema.fields.len() }
}

#[diagnostic::do_not_recommend]
impl<T: Tuple> Tuple for DeadLetter<T> {
    fn schema() -> Schema {
        let of_tuple = T::schema();
        if of_tuple.dynamic {
            return Schema::dynamic("DeadLetter");
        }
        let (text, time) = (Text::type_name, u64::type_name);
        let types = [text(), text(), u32::type_name(), time(), time()];
        let own = OWN.into_iter().zip(types).map(|(name, of)| Field::new(name, of));
        Schema::new("DeadLetter", of_tuple.fields.into_iter().chain(own).collect())
    }

    fn weight(&self) -> usize {
        let texts = FieldCodec::weight(&self.reason) + FieldCodec::weight(&self.error);
        self.tuple.weight() + texts + 4 + 8 + 8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.tuple.encode(out);
        FieldCodec::encode(&self.reason, out);
        FieldCodec::encode(&self.error, out);
        self.attempts.encode(out);
        self.first_failed_ms.encode(out);
        self.last_failed_ms.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            tuple: T::decode(input)?,
            reason: FieldCodec::decode(input)?,
            error: FieldCodec::decode(input)?,
            attempts: FieldCodec::decode(input)?,
            first_failed_ms: FieldCodec::decode(input)?,
            last_failed_ms: FieldCodec::decode(input)?,
        })
    }

    fn value(&self, field: usize) -> Value {
        match field.checked_sub(own_fields::<T>()) {
            None => self.tuple.value(field),
            Some(0) => FieldCodec::value(&self.reason),
            Some(1) => FieldCodec::value(&self.error),
            Some(2) => FieldCodec::value(&self.attempts),
            Some(3) => FieldCodec::value(&self.first_failed_ms),
            Some(4) => FieldCodec::value(&self.last_failed_ms),
            Some(_) => Value::Null,
        }
    }

    fn hash_field(&self, field: usize, hasher: &mut KeyHasher) {
        match field < own_fields::<T>() {
            true => self.tuple.hash_field(field, hasher),
            false => self.value(field).hash_value(hasher),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        let own = || Some(own_fields::<T>() + OWN.iter().position(|own| *own == name)?);
        self.tuple.position(name).or_else(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Line, Values};

    fn letter<T: Tuple>(tuple: T) -> DeadLetter<T> {
        DeadLetter {
            tuple,
            reason: "error".into(),
            error: "no such user".into(),
            attempts: 5,
            first_failed_ms: 1_000,
            last_failed_ms: 9_000,
        }
    }

    #[test]
    fn a_letter_crosses_the_wire_whole() {
        let sent = letter(Line { text: "lost".into() });
        let mut row = Vec::new();
        sent.encode(&mut row);
        assert_eq!(row.len(), sent.weight());
        assert_eq!(DeadLetter::decode(&mut row.as_slice()), Ok(sent.clone()));
        for cut in 0..row.len() {
            assert!(DeadLetter::<Line>::decode(&mut &row[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn its_fields_are_found_by_name_behind_those_of_the_tuple() {
        let typed = letter(Line { text: "lost".into() });
        let names = Values::names(["text"]);
        let dynamic = letter(Values::new(&names, vec![Value::from("lost")]));
        for (name, value) in [
            ("text", Value::from("lost")),
            ("error", "no such user".into()),
            ("attempts", 5_u32.into()),
        ] {
            let at = typed.position(name).expect("a field");
            assert_eq!(typed.value(at), value);
            let at = dynamic.position(name).expect("a field");
            assert_eq!(dynamic.value(at), value, "known at run time only");
        }
        assert_eq!(typed.position("late"), None);
    }
}
