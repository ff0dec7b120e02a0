//! What `#[derive(Tuple)]` makes: rows that read back, schemas, access by position, and codecs
//! that garbage cannot harm.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use topology_api::codec::FieldCodec;
use topology_api::{DecodeError, Key, KeyHasher, Text, Tuple, Value, Values, key_hash};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    town: String,
    floor: i8,
}

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Reading {
    sensor: Text,
    r#type: u8,
    at_ms: u64,
    offset: i32,
    value: f64,
    ok: bool,
    letter: char,
    note: Option<String>,
    samples: Vec<f32>,
    raw: Vec<u8>,
    tags: Vec<Option<Text>>,
    #[tuple(serde)]
    place: Place,
    #[tuple(serde)]
    ages: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Word {
    word: Text,
}

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Count {
    count: u64,
    word: Text,
}

#[derive(Clone, Debug, PartialEq, Tuple)]
enum WordOrCount {
    Word(Word),
    Count(Count),
}

fn reading() -> Reading {
    Reading {
        sensor: "north".into(),
        r#type: 7,
        at_ms: 1_000,
        offset: -5,
        value: 0.5,
        ok: true,
        letter: 'é',
        note: None,
        samples: vec![1.0, 2.0],
        raw: vec![0, 255],
        tags: vec![Some("a".into()), None],
        place: Place { town: "Ulm".into(), floor: -1 },
        ages: BTreeMap::from([("ann".into(), 41)]),
    }
}

fn row(tuple: &impl Tuple) -> Vec<u8> {
    let mut out = Vec::new();
    tuple.encode(&mut out);
    out
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::Float),
        ".{0,30}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..30).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::List))
}

prop_compose! {
    fn readings()(
        (sensor, r#type, at_ms, offset) in (".{0,40}", any::<u8>(), any::<u64>(), any::<i32>()),
        (value, ok, letter, note) in
            (-1e300..1e300, any::<bool>(), any::<char>(), prop::option::of(".{0,40}")),
        samples in prop::collection::vec(-1e30_f32..1e30, 0..20),
        raw in prop::collection::vec(any::<u8>(), 0..300),
        tags in prop::collection::vec(prop::option::of("[a-z]{0,30}"), 0..20),
        (town, floor) in ("[a-z]{0,9}", any::<i8>()),
        ages in prop::collection::btree_map("[a-z]{1,4}", any::<u32>(), 0..5),
    ) -> Reading {
        Reading {
            sensor: sensor.into(),
            r#type,
            at_ms,
            offset,
            value,
            ok,
            letter,
            note,
            samples,
            raw,
            tags: tags.into_iter().map(|tag| tag.map(Text::from)).collect(),
            place: Place { town, floor },
            ages,
        }
    }
}

proptest! {
    #[test]
    fn a_row_reads_back_and_the_next_row_is_untouched(reading in readings()) {
        let mut bytes = row(&reading);
        prop_assert_eq!(bytes.len(), reading.weight(), "the weight is the length");
        bytes.push(0xa5);
        let mut input = bytes.as_slice();
        prop_assert_eq!(Reading::decode(&mut input), Ok(reading));
        prop_assert_eq!(input, [0xa5]);
    }

    #[test]
    fn a_row_cut_short_is_an_error(reading in readings(), cut in any::<prop::sample::Index>()) {
        let bytes = row(&reading);
        let mut input = &bytes[..cut.index(bytes.len())];
        prop_assert!(Reading::decode(&mut input).is_err());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Whatever they say; a panic or an abort for lack of memory fails the test.
        let _reading = Reading::decode(&mut bytes.as_slice());
        let _values = Values::decode(&mut bytes.as_slice());
        let _choice = WordOrCount::decode(&mut bytes.as_slice());
        let _nested = Vec::<Vec<Vec<Option<u64>>>>::decode(&mut bytes.as_slice());
    }

    #[test]
    fn a_damaged_row_never_panics(reading in readings(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = row(&reading);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let _reading = Reading::decode(&mut bytes.as_slice());
    }

    #[test]
    fn dynamic_values_read_back(fields in prop::collection::vec(("[a-z]{1,9}", values()), 0..6)) {
        let names = Values::names(fields.iter().map(|(name, _)| name.as_str()));
        let tuple = Values::new(&names, fields.into_iter().map(|(_, value)| value).collect());
        prop_assert_eq!(Values::decode(&mut row(&tuple).as_slice()), Ok(tuple));
    }

    #[test]
    fn a_field_by_position_hashes_like_the_field_itself(reading in readings()) {
        let by_position = |field| {
            let mut hasher = KeyHasher::default();
            reading.hash_field(field, &mut hasher);
            hasher.finish()
        };
        prop_assert_eq!(by_position(0), key_hash(&reading.sensor));
        prop_assert_eq!(by_position(1), key_hash(&reading.r#type));
        prop_assert_eq!(by_position(3), key_hash(&reading.offset));
        prop_assert_eq!(by_position(7), key_hash(&reading.note));
        prop_assert_eq!(by_position(9), key_hash(&reading.raw));
        for field in 0..13 {
            let value = reading.value(field);
            prop_assert_eq!(by_position(field), key_hash(&value), "field {} as {}", field, value);
        }
    }
}

#[test]
fn the_schema_says_names_and_types_as_people_write_them() {
    assert_eq!(
        Reading::schema().to_string(),
        "Reading(sensor: text, type: u8, at_ms: u64, offset: i32, value: f64, ok: bool, \
         letter: char, note: optional text, samples: list of f32, raw: bytes, \
         tags: list of optional text, place: Place, ages: BTreeMap<String, u32>)"
    );
}

#[test]
fn fields_are_found_by_name_and_read_by_position() {
    let reading = reading();
    let field = |name| reading.value(reading.position(name).expect(name)).to_string();
    assert_eq!(field("type"), "7");
    assert_eq!(field("note"), "null");
    assert_eq!(field("raw"), "\"00ff\"");
    assert_eq!(field("tags"), r#"["a",null]"#);
    assert_eq!(reading.position("nothing"), None);
    assert_eq!(reading.value(99), Value::Null, "there is no such field");
    for (at, field) in Reading::schema().fields.iter().enumerate() {
        assert_eq!(reading.position(field.name), Some(at), "schema and position agree");
    }
}

#[test]
fn a_claimed_length_is_compared_with_the_input_before_anything_is_allocated() {
    // Lengths of 2^56 items, of which none follows.
    let claim = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(Vec::<u64>::decode(&mut &claim[..]), Err(DecodeError::Truncated));
    assert_eq!(Vec::<u8>::decode(&mut &claim[..]), Err(DecodeError::Truncated));
    assert_eq!(Text::decode(&mut &claim[..]), Err(DecodeError::Truncated));
    assert_eq!(Values::decode(&mut &claim[..]), Err(DecodeError::Truncated));
    let endless = [0xff; 32];
    assert!(Vec::<u8>::decode(&mut &endless[..]).is_err(), "a length has an end");
}

#[test]
fn an_enum_of_tuples_reads_back_and_passes_questions_on() {
    let word = WordOrCount::from(Word { word: "rain".into() });
    let count = WordOrCount::from(Count { count: 3, word: "rain".into() });
    for tuple in [&word, &count] {
        assert_eq!(WordOrCount::decode(&mut row(tuple).as_slice()).as_ref(), Ok(tuple));
        assert_eq!(tuple.weight(), row(tuple).len());
        let at = tuple.position("word").expect("both have one");
        assert_eq!(tuple.value(at), Value::from("rain"));
    }
    assert!(WordOrCount::decode(&mut &[9][..]).is_err(), "there is no tenth variant");
    assert!(WordOrCount::schema().dynamic, "its fields depend on the variant");
}

#[test]
fn several_fields_hash_like_the_key_of_several_parts() {
    let count = Count { count: 3, word: "rain".into() };
    let mut hasher = KeyHasher::default();
    count.hash_field(1, &mut hasher);
    count.hash_field(0, &mut hasher);
    assert_eq!(hasher.finish(), key_hash(&(&count.word, count.count)));
    let mut typed = KeyHasher::default();
    ("rain", 3_u64).hash_key(&mut typed);
    assert_eq!(hasher.finish(), typed.finish());
}

#[test]
fn a_tuple_of_rust_is_a_field_and_the_same_key_by_name_as_by_itself() {
    #[derive(Clone, Debug, PartialEq, Tuple)]
    struct Visit {
        who: (Text, u64),
        scores: Vec<(u8, Option<i32>, f64)>,
    }

    let visit = Visit { who: ("ann".into(), 7), scores: vec![(1, Some(-1), 0.5), (2, None, 2.0)] };
    let mut row = Vec::new();
    visit.encode(&mut row);
    assert_eq!(row.len(), visit.weight());
    assert_eq!(Visit::decode(&mut row.as_slice()), Ok(visit.clone()));
    let schema = "Visit(who: (text, u64), scores: list of (u8, optional i32, f64))";
    assert_eq!(Visit::schema().to_string(), schema);
    let mut hasher = KeyHasher::default();
    visit.hash_field(0, &mut hasher);
    assert_eq!(hasher.finish(), key_hash(&visit.who), "by name as by accessor");
}
