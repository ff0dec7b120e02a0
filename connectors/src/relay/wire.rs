//! The frames of a relay: a length, a kind, and what belongs to it. Numbers are little-endian.
//!
//! Bytes off the wire are not trusted: a length is looked at before anything is allocated for it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What both ends speak.
pub(super) const VERSION: u32 = 1;

/// Most bytes of a frame.
pub(super) const FRAME_BYTES_MAX: usize = 16 << 20;

/// Bytes before the payload of a frame: its length and its kind.
const HEAD_BYTES: usize = 4 + 1;

/// What the two ends say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The sender, first: the version that it speaks, and what its rows are.
    Hello { version: u32, schema: &'a str },
    /// The receiver: how many records may be without a verdict.
    Welcome { credit: u32 },
    /// The receiver: it will take nothing, and why.
    Refused { why: &'a str },
    /// The sender: so many rows, one after the other.
    Batch { number: u64, count: u32, rows: &'a [u8] },
    /// The receiver: what became of a batch: the places of rows that failed, and why the first did.
    Verdict { number: u64, failed: Vec<u32>, why: &'a str },
    /// The sender: is anybody there?
    Ping,
    /// The receiver: yes.
    Pong,
}

impl Frame<'_> {
    /// Appends the frame.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Self::Hello { version, schema } => {
                out.push(1);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(schema.as_bytes());
            }
            Self::Welcome { credit } => {
                out.push(2);
                out.extend_from_slice(&credit.to_le_bytes());
            }
            Self::Refused { why } => {
                out.push(3);
                out.extend_from_slice(why.as_bytes());
            }
            Self::Batch { number, count, rows } => {
                out.push(4);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
                out.extend_from_slice(rows);
            }
            Self::Verdict { number, failed, why } => {
                out.push(5);
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&(failed.len() as u32).to_le_bytes());
                failed.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes()));
                out.extend_from_slice(why.as_bytes());
            }
            Self::Ping => out.push(6),
            Self::Pong => out.push(7),
        }
        let length = (out.len() - begin - HEAD_BYTES) as u32;
        out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads a frame of this kind; none if it is none.
    pub(super) fn decode(kind: u8, mut rest: &[u8]) -> Option<Frame<'_>> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        Some(match kind {
            1 => {
                let version = u32::from_le_bytes(take(&mut rest)?);
                Frame::Hello { version, schema: text(rest)? }
            }
            2 => Frame::Welcome { credit: u32::from_le_bytes(take(&mut rest)?) },
            3 => Frame::Refused { why: text(rest)? },
            4 => {
                let number = u64::from_le_bytes(take(&mut rest)?);
                Frame::Batch { number, count: u32::from_le_bytes(take(&mut rest)?), rows: rest }
            }
            5 => {
                let number = u64::from_le_bytes(take(&mut rest)?);
                let count = u32::from_le_bytes(take(&mut rest)?) as usize;
                if count > rest.len() / 4 {
                    return None;
                }
                let places = (0..count).map(|_| take(&mut rest).map(u32::from_le_bytes));
                let failed = places.collect::<Option<_>>()?;
                Frame::Verdict { number, failed, why: text(rest)? }
            }
            6 => Frame::Ping,
            7 => Frame::Pong,
            _ => return None,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

/// Reads a frame: its payload into `payload`, and gives its kind; none at the end.
pub(super) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    payload: &mut Vec<u8>,
) -> io::Result<Option<u8>> {
    let mut head = [0; HEAD_BYTES];
    match from.read_exact(&mut head).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [a, b, c, d, kind] = head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not speak as a relay does",
        ));
    }
    payload.clear();
    payload.resize(length, 0);
    from.read_exact(payload).await?;
    Ok(Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn there_and_back(frame: &Frame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(bytes.len(), HEAD_BYTES + length);
        assert_eq!(Frame::decode(bytes[4], &bytes[HEAD_BYTES..]).as_ref(), Some(frame));
        for end in HEAD_BYTES..bytes.len() {
            // What is cut off is another frame or none, and no panic.
            assert_ne!(Frame::decode(bytes[4], &bytes[HEAD_BYTES..end]).as_ref(), Some(frame));
        }
    }

    proptest! {
        #[test]
        fn frames_are_read_as_they_were_written(
            number in any::<u64>(), small in any::<u32>(), text in "\\PC{0,20}",
            bytes in vec(any::<u8>(), 0..40), failed in vec(any::<u32>(), 0..9),
        ) {
            there_and_back(&Frame::Hello { version: small, schema: &text });
            there_and_back(&Frame::Welcome { credit: small });
            there_and_back(&Frame::Refused { why: &text });
            there_and_back(&Frame::Batch { number, count: small, rows: &bytes });
            there_and_back(&Frame::Verdict { number, failed, why: &text });
        }

        #[test]
        fn garbage_is_no_frame_and_no_panic(kind in any::<u8>(), bytes in vec(any::<u8>(), 0..60)) {
            let known = Frame::decode(kind, &bytes).is_some();
            prop_assert!(!known || (1..=7).contains(&kind));
        }
    }
}
