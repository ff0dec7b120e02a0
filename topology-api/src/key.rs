//! Keys: the hash that says which task a tuple of a fields grouping goes to.
//!
//! The hash is ours and never changes: it is XXH3-64 with a fixed seed of the bytes of a key, so
//! the same key meets the same key group in every version of every binary, and the state kept
//! under it is found again. `the_hash_never_changes` pins it.
//!
//! What is equal hashes equal, however it is typed: integers are widened to 64 bits, a `String`,
//! a `Text` and a [`Value::Text`] are their bytes. A key of several parts is the hash of its
//! parts' hashes, so that ("ab", "c") and ("a", "bc") differ and nothing is copied.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::text::Text;
use crate::value::Value;

/// "squall" in ASCII. Changing it loses the state of every topology there is.
const SEED: u64 = 0x7371_7561_6c6c;

/// Takes the parts of a key and gives its hash.
///
/// ```
/// use topology_api::{Key, KeyHasher, key_hash};
///
/// let mut hasher = KeyHasher::default();
/// "word".hash_key(&mut hasher);
/// assert_eq!(hasher.finish(), key_hash("word"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher {
    state: u64,
    started: bool,
}

impl KeyHasher {
    /// Takes one part of the key. A single part is hashed where it lies.
    #[inline]
    pub fn part(&mut self, bytes: &[u8]) {
        self.join(xxh3_64_with_seed(bytes, SEED));
    }

    /// Takes a part that is a number; all integers are widened to this.
    #[inline]
    pub fn number(&mut self, number: u64) {
        self.part(&number.to_le_bytes());
    }

    /// Gives the hash of the parts taken so far.
    #[inline]
    pub fn finish(&self) -> u64 {
        self.state
    }

    #[inline]
    fn join(&mut self, hash: u64) {
        if !self.started {
            self.started = true;
            self.state = hash;
            return;
        }
        let mut both = [0; 16];
        both[..8].copy_from_slice(&self.state.to_le_bytes());
        both[8..].copy_from_slice(&hash.to_le_bytes());
        self.state = xxh3_64_with_seed(&both, SEED);
    }
}

/// What a fields grouping can be keyed by: text, bytes, integers, booleans, options and tuples of
/// them.
///
/// Floats are no keys: numbers that print alike may differ, and would go to different tasks.
///
/// ```
/// use topology_api::{Text, key_hash};
///
/// assert_eq!(key_hash("word"), key_hash(&Text::from("word")));
/// assert_eq!(key_hash(&7_u8), key_hash(&7_i64));
/// assert_ne!(key_hash(&("ab", "c")), key_hash(&("a", "bc")));
/// ```
#[diagnostic::on_unimplemented(
    message = "a fields grouping cannot be keyed by `{Self}`",
    note = "key it by text, bytes, integers, booleans, or options, references and tuples of them"
)]
pub trait Key {
    /// Gives the parts of the key to `hasher`.
    fn hash_key(&self, hasher: &mut KeyHasher);
}

/// Gives the hash of a key.
///
/// ```
/// assert_eq!(topology_api::key_hash("word"), topology_api::key_hash(&"word".to_owned()));
/// ```
#[inline]
pub fn key_hash<K: Key + ?Sized>(key: &K) -> u64 {
    let mut hasher = KeyHasher::default();
    key.hash_key(&mut hasher);
    hasher.finish()
}

macro_rules! key_of_bytes {
    ($($bytes:ty),*) => {$(
        impl Key for $bytes {
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.part(self.as_ref());
            }
        }
    )*};
}
key_of_bytes!([u8], Vec<u8>);

macro_rules! key_of_text {
    ($($text:ty),*) => {$(
        impl Key for $text {
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.part(self.as_bytes());
            }
        }
    )*};
}
key_of_text!(str, String, Text);

macro_rules! key_of_integer {
    ($($integer:ty => $wide:ty),*) => {$(
        impl Key for $integer {
            // Sign-extended, then taken as it is: equal numbers have equal bits.
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                hasher.number((*self as $wide) as u64);
            }
        }
    )*};
}
key_of_integer!(u8 => u64, u16 => u64, u32 => u64, u64 => u64, usize => u64);
key_of_integer!(i8 => i64, i16 => i64, i32 => i64, i64 => i64, isize => i64);

impl Key for bool {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.part(&[u8::from(*self)]);
    }
}

impl Key for char {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        hasher.part(self.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl<K: Key + ?Sized> Key for &K {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        (**self).hash_key(hasher);
    }
}

impl<K: Key> Key for Option<K> {
    #[inline]
    fn hash_key(&self, hasher: &mut KeyHasher) {
        match self {
            Some(key) => key.hash_key(hasher),
            None => hasher.part(&[]),
        }
    }
}

macro_rules! key_of_parts {
    ($($part:ident)*) => {
        impl<$($part: Key),*> Key for ($($part,)*) {
            #[inline]
            fn hash_key(&self, hasher: &mut KeyHasher) {
                #[expect(non_snake_case, reason = "the type parameters name the parts")]
                let ($($part,)*) = self;
                $($part.hash_key(hasher);)*
            }
        }
    };
}
key_of_parts!(A);
key_of_parts!(A B);
key_of_parts!(A B C);
key_of_parts!(A B C D);

impl Key for Value {
    fn hash_key(&self, hasher: &mut KeyHasher) {
        match self {
            Self::Null => hasher.part(&[]),
            Self::Bool(value) => value.hash_key(hasher),
            Self::Int(value) => value.hash_key(hasher),
            Self::UInt(value) => value.hash_key(hasher),
            // Both zeros are equal, and so is every NaN for this purpose.
            Self::Float(value) if *value == 0.0 => hasher.number(0.0_f64.to_bits()),
            Self::Float(value) if value.is_nan() => hasher.number(f64::NAN.to_bits()),
            Self::Float(value) => hasher.number(value.to_bits()),
            Self::Text(value) => value.hash_key(hasher),
            Self::Bytes(value) => value.hash_key(hasher),
            Self::List(values) => {
                let mut inner = KeyHasher::default();
                inner.number(values.len() as u64);
                values.iter().for_each(|value| value.hash_key(&mut inner));
                hasher.join(inner.finish());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, the change must be taken back: topologies that run would look for the state
    /// of their keys in the wrong place.
    #[test]
    fn the_hash_never_changes() {
        let long = "storm ".repeat(100);
        let pinned = [
            (key_hash(""), 11_473_119_625_368_922_609),
            (key_hash("a"), 13_920_706_006_489_927_936),
            (key_hash("word"), 57_497_905_784_683_776),
            (key_hash(long.as_str()), 9_111_026_674_520_935_123),
            (key_hash(&0_u64), 4_153_929_923_613_768_940),
            (key_hash(&42_u8), 496_797_299_061_543_365),
            (key_hash(&-1_i32), 9_487_942_083_452_016_036),
            (key_hash(&true), 11_099_356_160_066_544_513),
            (key_hash(&("word", 7_u64)), 7_677_835_665_848_443_507),
            (key_hash(&Value::List(vec![Value::Int(1), Value::Null])), 13_276_027_668_250_248_822),
        ];
        let (now, then): (Vec<u64>, Vec<u64>) = pinned.into_iter().unzip();
        assert_eq!(now, then, "a key hash changed");
    }

    #[test]
    fn a_value_hashes_like_its_typed_counterpart() {
        let pairs = [
            (key_hash(&Value::from("word")), key_hash(&Text::from("word"))),
            (key_hash(&Value::from(7_u32)), key_hash(&7_u8)),
            (key_hash(&Value::from(-7_i8)), key_hash(&-7_i64)),
            (key_hash(&Value::from(u64::MAX)), key_hash(&u64::MAX)),
            (key_hash(&Value::from(true)), key_hash(&true)),
            (key_hash(&Value::from(vec![1_u8, 2])), key_hash(&[1_u8, 2][..])),
            (key_hash(&Value::Null), key_hash(&None::<u64>)),
            (key_hash(&Value::from("é")), key_hash(&'é')),
        ];
        for (at, (value, typed)) in pairs.into_iter().enumerate() {
            assert_eq!(value, typed, "pair {at}");
        }
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(key_hash(&("ab", "c")), key_hash(&("a", "bc")));
        assert_ne!(key_hash(&("a", "b")), key_hash(&("b", "a")));
        assert_eq!(key_hash(&("a",)), key_hash("a"), "one part is the key itself");
    }

    #[test]
    fn equal_floats_hash_equal() {
        assert_eq!(key_hash(&Value::Float(0.0)), key_hash(&Value::Float(-0.0)));
        assert_eq!(key_hash(&Value::Float(f64::NAN)), key_hash(&Value::Float(-f64::NAN)));
    }
}
