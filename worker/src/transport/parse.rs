//! Reading the payload of a frame: the other half of `codec`, which defines the layout.
//!
//! What comes off the wire is not trusted: a length is compared with what is left before it is
//! used, and tuples and items are counted, so a broken frame costs a small multiple of its size.

use bytes::Bytes;

use super::codec::{
    ACKS, ADOPTED, BATCH, BatchHead, CodecError, END_OF_STREAM, FORMAT, FRAME_ITEMS_MAX,
    FRAME_TUPLES_MAX, Item, LISTS, NOT_TRACKED, SINGLES, WAITING,
};
use crate::engine::acking::{AckBatch, Edge, FailReason, Failure, Tracking, WHY_BYTES_MAX, Why};

/// Reads all items of a frame.
///
/// # Errors
///
/// The payload is not what a [`FrameWriter`](super::codec::FrameWriter) of this version makes.
pub fn items(payload: &Bytes) -> Result<Vec<Item>, CodecError> {
    let mut reader = Reader::new(payload);
    match reader.byte()? {
        FORMAT => {}
        format => return Err(CodecError::Format(format)),
    }
    let mut items = Vec::new();
    while reader.at < payload.len() {
        if items.len() == FRAME_ITEMS_MAX {
            return Err(CodecError::Invalid("a frame has too many items"));
        }
        items.push(reader.item()?);
    }
    Ok(items)
}

const NO_ROOT: &str = "a root is 0";

/// Reads one frame.
pub(super) struct Reader<'a> {
    payload: &'a Bytes,
    at: usize,
    /// How many tuples and contributions it may still have.
    left: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(payload: &'a Bytes) -> Self {
        Self { payload, at: 0, left: FRAME_TUPLES_MAX }
    }

    fn item(&mut self) -> Result<Item, CodecError> {
        match self.byte()? {
            BATCH => self.batch(),
            ACKS => self.acks(),
            END_OF_STREAM => Ok(Item::EndOfStream {
                target_task: self.small("a task is over 32 bits")?,
                source_task: self.small("a task is over 32 bits")?,
                stream: self.small("a stream is over 16 bits")?,
                ownership: self.varint()?,
            }),
            ADOPTED => Ok(Item::Adopted { version: self.varint()? }),
            WAITING => Ok(Item::Waiting { nanoseconds: self.varint()? }),
            tag => Err(CodecError::Tag(tag)),
        }
    }

    fn batch(&mut self) -> Result<Item, CodecError> {
        let head = BatchHead {
            target_task: self.small("a task is over 32 bits")?,
            source_task: self.small("a task is over 32 bits")?,
            stream: self.small("a stream is over 16 bits")?,
            ownership: self.varint()?,
            count: self.small("a count is over 32 bits")?,
        };
        self.count(head.count)?;
        let tracking = self.tracking(head.count as usize)?;
        let length = u32::from_le_bytes(self.array()?) as usize;
        let start = self.at;
        self.slice(length)?;
        Ok(Item::Batch { head, tracking, rows: self.payload.slice(start..self.at) })
    }

    /// Counts what may take no byte.
    fn count(&mut self, more: u32) -> Result<(), CodecError> {
        let too_many = CodecError::Invalid("a frame has too many tuples");
        self.left = self.left.checked_sub(more as usize).ok_or(too_many)?;
        Ok(())
    }

    fn tracking(&mut self, count: usize) -> Result<Tracking, CodecError> {
        let mut tracking = Tracking::new();
        match self.byte()? {
            NOT_TRACKED => (0..count).for_each(|_| tracking.push_untracked()),
            SINGLES => {
                tracking.reserve_singles(count);
                self.edges(count, |edge| tracking.push_single(edge))?;
            }
            LISTS => {
                let mut edges = Vec::new();
                for _ in 0..count {
                    edges.clear();
                    for _ in 0..self.length(16)? {
                        edges.push(Edge { root: self.root()?, id: self.word()? });
                    }
                    tracking.push_many(&edges);
                }
            }
            _ => return Err(CodecError::Invalid("tracking has an unknown shape")),
        }
        Ok(tracking)
    }

    fn acks(&mut self) -> Result<Item, CodecError> {
        let executor = self.small("an executor is over 16 bits")?;
        let mut batch = AckBatch { stamp: self.word()?, ..AckBatch::new() };
        let contributions = self.small("contributions are over 32 bits")?;
        self.count(contributions)?;
        batch.contributions.reserve_exact(contributions as usize);
        let mut none = false;
        self.edges(contributions as usize, |edge| {
            none |= edge.root == 0;
            batch.contributions.push(edge);
        })?;
        if none {
            return Err(CodecError::Invalid(NO_ROOT));
        }
        let failures = self.length(9)?;
        batch.failures.reserve_exact(failures);
        for _ in 0..failures {
            let (root, code) = (self.root()?, self.byte()?);
            let unknown = CodecError::Invalid("a failure has an unknown reason");
            let reason = FailReason::from_code(code).ok_or(unknown)?;
            batch.failures.push(Failure { root, reason });
        }
        for _ in 0..self.length(9)? {
            let (root, length) = (self.root()?, self.length(1)?);
            if length > WHY_BYTES_MAX {
                return Err(CodecError::Invalid("a text is too long"));
            }
            let text = String::from_utf8_lossy(self.slice(length)?);
            batch.whys.push(Why { root, text: Why::cut(&text) });
        }
        for _ in 0..self.length(8)? {
            batch.resets.push(self.root()?);
        }
        Ok(Item::Acks { executor, batch })
    }

    /// Reads how many things of `each` bytes or more follow, and checks that they can be there.
    fn length(&mut self, each: usize) -> Result<usize, CodecError> {
        let length = self.varint()?;
        let fits = (self.payload.len() - self.at) / each;
        usize::try_from(length).ok().filter(|it| *it <= fits).ok_or(CodecError::Truncated)
    }

    fn root(&mut self) -> Result<u64, CodecError> {
        match self.word()? {
            0 => Err(CodecError::Invalid(NO_ROOT)),
            root => Ok(root),
        }
    }

    fn small<T: TryFrom<u64>>(&mut self, problem: &'static str) -> Result<T, CodecError> {
        T::try_from(self.varint()?).map_err(|_| CodecError::Invalid(problem))
    }

    pub(super) fn varint(&mut self) -> Result<u64, CodecError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(CodecError::Invalid("a number is over 64 bits"))
    }

    pub(super) fn word(&mut self) -> Result<u64, CodecError> {
        self.array().map(u64::from_le_bytes)
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let slice = self.slice(N)?;
        Ok(slice.try_into().expect("a slice of N bytes is an array of N bytes"))
    }

    fn slice(&mut self, length: usize) -> Result<&[u8], CodecError> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.payload.len());
        let end = end.ok_or(CodecError::Truncated)?;
        let slice = &self.payload[self.at..end];
        self.at = end;
        Ok(slice)
    }
}
