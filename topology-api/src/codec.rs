//! The row codec: how the fields of a tuple become bytes for another worker.
//!
//! A row is its fields one after the other, without names or types: both ends run the same
//! binary. Numbers are little-endian at their full width, lengths are varints, text is UTF-8.
//! Bytes off the wire are not trusted: a length is compared with what is left of the input before
//! anything is allocated for it.

use crate::key::{Key, KeyHasher};
use crate::value::Value;

/// Why a row could not be read. The sender runs the same code, so it means damage or a stranger.
///
/// ```
/// use topology_api::DecodeError;
/// use topology_api::codec::FieldCodec;
///
/// assert_eq!(u32::decode(&mut &[1, 2][..]), Err(DecodeError::Truncated));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the row does.
    #[error("the row is cut off")]
    Truncated,
    /// Bytes that no encoder writes.
    #[error("{0}")]
    Invalid(&'static str),
    /// A field that goes through serde could not be read, or its sender could not write it.
    #[error("a field encoded with serde: {0}")]
    Serde(String),
}

impl DecodeError {
    /// Makes the error for bytes that no encoder writes, with what is wrong as a clause.
    pub const fn new(what: &'static str) -> Self {
        Self::Invalid(what)
    }
}

/// A type that a field of a tuple can have without `#[tuple(serde)]`.
///
/// ```
/// use topology_api::codec::FieldCodec;
///
/// let mut bytes = Vec::new();
/// vec![Some(1_u16), None].encode(&mut bytes);
/// assert_eq!(bytes, [2, 1, 1, 0, 0]);
/// assert_eq!(Vec::<Option<u16>>::type_name(), "list of optional u16");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a tuple as it is",
    label = "no row codec for this type",
    note = "put `#[tuple(serde)]` on the field to encode it with serde"
)]
pub trait FieldCodec: Sized {
    /// The fewest bytes any value takes, at least 1.
    const BYTES_MIN: usize;

    /// Says about how many bytes the value takes.
    fn weight(&self) -> usize;

    /// Appends the value.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a value off the front of `input`.
    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError>;

    /// Says what the type is called in a schema.
    fn type_name() -> String;

    /// Gives the value for what works without its type.
    fn value(&self) -> Value;

    /// Adds the value to a key.
    fn hash_value(&self, hasher: &mut KeyHasher) {
        self.value().hash_key(hasher);
    }

    /// Says what a list of this type is called.
    fn list_type_name() -> String {
        format!("list of {}", Self::type_name())
    }

    /// Says about how many bytes the items of a list take.
    fn list_weight(items: &[Self]) -> usize {
        items.iter().map(Self::weight).sum()
    }

    /// Appends the items of a list. Bytes have their own way, for speed.
    fn encode_items(items: &[Self], out: &mut Vec<u8>) {
        items.iter().for_each(|item| item.encode(out));
    }

    /// Reads `count` items; the input is known to hold at least `count * BYTES_MIN` bytes.
    fn decode_items(count: usize, input: &mut &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(Self::decode(input)?);
        }
        Ok(items)
    }

    /// Adds a list to a key.
    fn hash_list(items: &[Self], hasher: &mut KeyHasher) {
        Self::list_value(items).hash_key(hasher);
    }

    /// Gives a list for what works without its type.
    fn list_value(items: &[Self]) -> Value {
        Value::List(items.iter().map(Self::value).collect())
    }
}

/// Takes `count` bytes off the front of `input`.
#[inline(always)]
pub(crate) fn take<'a>(count: usize, input: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    let (taken, rest) = input.split_at_checked(count).ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(taken)
}

/// Takes `N` bytes off the front of `input`.
#[inline(always)]
pub(crate) fn take_array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (taken, rest) = input.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *input = rest;
    Ok(*taken)
}

/// Appends a length as a varint: seven bits a byte, the lowest first.
#[inline]
pub(crate) fn encode_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads how many items follow, each of at least `bytes_min`, and checks that they can be there.
#[inline(always)]
pub(crate) fn decode_length(bytes_min: usize, input: &mut &[u8]) -> Result<usize, DecodeError> {
    let mut length: usize = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let [byte] = take_array::<1>(input)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            let fits = length.checked_mul(bytes_min).is_some_and(|bytes| bytes <= input.len());
            return if fits { Ok(length) } else { Err(DecodeError::Truncated) };
        }
    }
    Err(DecodeError::Invalid("a length does not end"))
}

/// How many bytes a length of `length` takes.
#[inline]
pub(crate) fn length_weight(length: usize) -> usize {
    if length < 0x80 {
        return 1;
    }
    (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize
}

/// What is wrong with bytes that should be text.
pub(crate) const NOT_UTF8: &str = "text is not UTF-8";

/// Takes a text off the front of `input`.
#[inline]
pub(crate) fn decode_str<'a>(input: &mut &'a [u8]) -> Result<&'a str, DecodeError> {
    let length = decode_length(1, input)?;
    str::from_utf8(take(length, input)?).map_err(|_| DecodeError::Invalid(NOT_UTF8))
}

/// Appends a text.
#[inline]
pub(crate) fn encode_str(text: &str, out: &mut Vec<u8>) {
    encode_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}
