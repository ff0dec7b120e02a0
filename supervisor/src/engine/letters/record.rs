//! Records of a file of letters: their length, the beginning of their SHA-256, their bytes.

use prost::Message;
use proto::supervisor::LetterRecord;
use sha2::{Digest, Sha256};

/// What a record has before its bytes: their length, then the beginning of their SHA-256.
const HEAD_BYTES: usize = 4 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 8;

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    checksum
}

/// Makes a record of what stands in a file.
pub(super) fn framed(record: &LetterRecord) -> Vec<u8> {
    let body = record.encode_to_vec();
    let length = u32::try_from(body.len()).expect("no message that arrives has 4 GiB");
    let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(&body));
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads the record that the bytes begin with, if it is whole, and how many of them it takes.
pub(super) fn first_record(bytes: &[u8]) -> Option<(LetterRecord, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM_BYTES>()?;
    let body = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    if *sum != checksum(body) {
        return None;
    }
    let record = LetterRecord::decode(body).ok()?;
    Some((record, HEAD_BYTES + body.len()))
}
