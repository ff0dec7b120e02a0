//! The bytes of a segment: a header that says what follows, then records, each checked.
//!
//! A record is its length (4 bytes), its checksum (8 bytes) and its payload; numbers are little-endian.
//! The checksum is XXH3-64 (Y. Collet) of the length and the payload, seeded with the record's number,
//! so that a record that was copied to another place, or zeros after a power cut, are no record.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What every segment begins with.
const MAGIC: &[u8; 8] = b"SQUALLBF";

/// The format that this code writes and reads.
pub(in super::super) const VERSION: u32 = 1;

/// Bytes of a header besides its schema.
const HEADER_BYTES: usize = 8 + 4 + 8 + 8 + 4 + 8;

/// Bytes before the payload of a record.
pub(in super::super) const RECORD_HEAD_BYTES: usize = 4 + 8;

/// Most bytes of a payload.
pub(in super::super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Most bytes of the text that says what the records are.
const SCHEMA_BYTES_MAX: usize = 64 << 10;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Header {
    /// The number of its first record.
    pub(in super::super) first: u64,
    /// The number after the last record of the segment before.
    pub(in super::super) after: u64,
    /// What its records are.
    pub(in super::super) schema: String,
}

/// Why a header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum BadHeader {
    /// It is cut off.
    CutOff,
    /// No segment begins like that.
    NotOurs,
    /// Another version wrote it.
    Version(u32),
    /// Its checksum is wrong.
    Damaged,
}

impl Header {
    /// Appends it.
    pub(in super::super) fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.after.to_le_bytes());
        out.extend_from_slice(&(self.schema.len() as u32).to_le_bytes());
        out.extend_from_slice(self.schema.as_bytes());
        let sum = xxh3_64(&out[begin..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads it off the front of a segment, with how many bytes it takes.
    pub(in super::super) fn decode(bytes: &[u8]) -> Result<(Self, usize), BadHeader> {
        let begin = bytes.len().min(MAGIC.len());
        if bytes[..begin] != MAGIC[..begin] {
            return Err(BadHeader::NotOurs);
        }
        let version = number::<4>(bytes, 8).map(u32::from_le_bytes).ok_or(BadHeader::CutOff)?;
        if version != VERSION {
            return Err(BadHeader::Version(version));
        }
        let first = number::<8>(bytes, 12).map(u64::from_le_bytes).ok_or(BadHeader::CutOff)?;
        let after = number::<8>(bytes, 20).map(u64::from_le_bytes).ok_or(BadHeader::CutOff)?;
        let length = number::<4>(bytes, 28).map(u32::from_le_bytes).ok_or(BadHeader::CutOff)?;
        let length = length as usize;
        if length > SCHEMA_BYTES_MAX {
            return Err(BadHeader::Damaged);
        }
        let schema = bytes.get(32..32 + length).ok_or(BadHeader::CutOff)?;
        let sum = number::<8>(bytes, 32 + length).ok_or(BadHeader::CutOff)?;
        if xxh3_64(&bytes[..32 + length]) != u64::from_le_bytes(sum) {
            return Err(BadHeader::Damaged);
        }
        let schema = String::from_utf8(schema.to_vec()).map_err(|_| BadHeader::Damaged)?;
        Ok((Self { first, after, schema }, HEADER_BYTES + length))
    }
}

/// What stands at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Found<'a> {
    /// A record.
    Record(&'a [u8]),
    /// Nothing: the bytes end here.
    End,
    /// The beginning of a record that does not end.
    CutOff,
    /// Bytes that are no record.
    Damaged,
}

/// Appends the record of this number.
pub(in super::super) fn encode_record(number: u64, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len() as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(number, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Looks what stands at the beginning of `bytes`, where the record of this number should.
pub(in super::super) fn find(number_: u64, bytes: &[u8]) -> Found<'_> {
    if bytes.is_empty() {
        return Found::End;
    }
    let (Some(length), Some(sum)) = (number::<4>(bytes, 0), number::<8>(bytes, 4)) else {
        return Found::CutOff;
    };
    let length = u32::from_le_bytes(length) as usize;
    if length > PAYLOAD_BYTES_MAX {
        return Found::Damaged;
    }
    let Some(payload) = bytes.get(RECORD_HEAD_BYTES..RECORD_HEAD_BYTES + length) else {
        return Found::CutOff;
    };
    let is_whole = checksum(number_, payload) == u64::from_le_bytes(sum);
    if is_whole { Found::Record(payload) } else { Found::Damaged }
}

/// What was found in the bytes of a segment after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Scan {
    /// The number after the last whole record.
    pub(in super::super) end: u64,
    /// How many bytes whole records take.
    pub(in super::super) good: usize,
    /// What stands behind them: nothing, or what is no record.
    pub(in super::super) rest: Rest,
}

/// What stands behind the last whole record of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Rest {
    /// Nothing.
    None,
    /// A record that does not end.
    CutOff,
    /// Bytes that are no record.
    Damaged,
}

/// Walks over the records of a segment whose first one has this number.
pub(in super::super) fn scan(first: u64, bytes: &[u8]) -> Scan {
    let (mut end, mut good) = (first, 0);
    loop {
        let rest = match find(end, &bytes[good..]) {
            Found::Record(payload) => {
                good += RECORD_HEAD_BYTES + payload.len();
                end += 1;
                continue;
            }
            Found::End => Rest::None,
            Found::CutOff => Rest::CutOff,
            Found::Damaged => Rest::Damaged,
        };
        return Scan { end, good, rest };
    }
}

fn checksum(number: u64, payload: &[u8]) -> u64 {
    // The length takes part, as what a payload begins or ends with is not what its length says.
    xxh3_64_with_seed(payload, !number ^ ((payload.len() as u64) << 32))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn segment(first: u64, records: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, record) in records.iter().enumerate() {
            encode_record(first + at as u64, record, &mut bytes);
        }
        bytes
    }

    proptest! {
        #[test]
        fn cut_at_any_byte_all_whole_records_before_it_are_there(
            first in 0_u64..1_000_000, records in vec(vec(any::<u8>(), 0..50), 0..20), cut in 0.0..1.0,
        ) {
            let bytes = segment(first, &records);
            let cut = (bytes.len() as f64 * cut) as usize;
            let (mut whole, mut length) = (0, 0);
            for record in &records {
                length += RECORD_HEAD_BYTES + record.len();
                whole += u64::from(length <= cut);
            }
            let found = scan(first, &bytes[..cut]);
            prop_assert_eq!(found.end, first + whole);
            prop_assert_eq!(found.rest == Rest::None, found.good == cut);
            prop_assert!(found.rest != Rest::Damaged, "what is cut off is not called damaged");
        }

        #[test]
        fn a_changed_byte_is_found_and_what_stands_before_it_is_there(
            first in 0_u64..1_000_000, records in vec(vec(any::<u8>(), 0..50), 1..20),
            at in 0.0..1.0, change in 1_u8..,
        ) {
            let mut bytes = segment(first, &records);
            let at = ((bytes.len() - 1) as f64 * at) as usize;
            bytes[at] ^= change;
            let found = scan(first, &bytes);
            prop_assert!(found.good <= at, "nothing that was changed passes for whole");
            prop_assert!(found.rest != Rest::None);
        }

        #[test]
        fn a_header_is_read_as_it_was_written_and_never_from_garbage(
            first in any::<u64>(), after in any::<u64>(), schema in "[a-z()]{0,30}", garbage in vec(any::<u8>(), 0..80),
        ) {
            let header = Header { first, after, schema };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            for cut in 0..bytes.len() {
                prop_assert_eq!(Header::decode(&bytes[..cut]), Err(BadHeader::CutOff));
            }
            prop_assert_eq!(Header::decode(&bytes), Ok((header, bytes.len())));
            prop_assert!(Header::decode(&garbage).is_err());
        }
    }

    #[test]
    fn zeros_and_records_of_another_place_are_no_records() {
        assert_eq!(scan(0, &[0; 4096]).end, 0, "zeros after a power cut");
        let bytes = segment(5, &[b"five".to_vec()]);
        assert_eq!(find(5, &bytes), Found::Record(b"five"));
        assert_eq!(find(6, &bytes), Found::Damaged);
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = Vec::new();
        Header { first: 0, after: 0, schema: "Line".into() }.encode(&mut bytes);
        bytes[8] = 9;
        assert_eq!(Header::decode(&bytes), Err(BadHeader::Version(9)));
        assert_eq!(Header::decode(b"GET / HTTP"), Err(BadHeader::NotOurs));
    }
}
