//! A batch of tuples of one type behind one handle: what the worker passes around.
//!
//! The worker decides per batch where tuples go and never knows their type; here the loops over
//! typed tuples are compiled once for each type. So there is one dynamic call a batch and none a
//! tuple.

use std::any::{Any, TypeId};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::vec::IntoIter;

use crate::raw::{Column, push};
use crate::{DecodeError, Tuple};

/// Tuples of one type, in order, behind one handle.
pub trait Rows: Any + Send {
    /// How many tuples.
    fn len(&self) -> usize;

    /// Tells whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes they take when encoded.
    fn weight(&self) -> usize;

    /// Where the tuples from `from` on reach `bytes` together: the number after the last of them.
    fn run_of(&self, from: usize, bytes: usize) -> usize;

    /// The numbers of the tuples that take more than `bytes`.
    fn larger_than(&self, bytes: usize) -> Vec<usize>;

    /// Appends the rows of `range` to `out`.
    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>);

    /// Moves tuple `i` to the end of `out[targets[i]]`; leaves nothing here.
    fn scatter(&mut self, targets: &[u32], out: &mut [Box<dyn Rows>]);

    /// Moves all tuples of `other`, which must be of the same type, to the end of this.
    fn append(&mut self, other: &mut dyn Rows);

    /// Takes the tuples from `at` on.
    fn split_off(&mut self, at: usize) -> Box<dyn Rows>;

    /// Copies the batch, for a second subscriber.
    fn duplicate(&self) -> Box<dyn Rows>;

    /// Copies tuple `i` so often as `copies[i]` says, in order.
    fn repeat(&self, copies: &[u32]) -> Box<dyn Rows>;

    /// Makes an empty batch of the same type.
    fn empty(&self) -> Box<dyn Rows>;

    /// Drops the tuples, and tells whether the buffer is one that is worth keeping.
    fn clear(&mut self) -> bool;

    /// The fields of tuple `i` by name as JSON, for people.
    fn fields(&self, i: usize) -> Vec<(String, serde_json::Value)>;

    /// For typed access.
    fn as_any(&self) -> &dyn Any;

    /// For typed access.
    fn as_any_mut(&mut self) -> &mut dyn Any;

    /// For typed access.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl std::fmt::Debug for dyn Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows", self.len())
    }
}

/// A typed batch.
#[derive(Clone, Debug)]
pub struct Batch<T> {
    /// The tuples, in order.
    pub rows: Vec<T>,
}

impl<T: Tuple> Batch<T> {
    /// Makes an empty batch behind a handle.
    #[must_use]
    pub fn boxed() -> Box<dyn Rows> {
        Box::new(Self { rows: Vec::new() })
    }

    /// Reads `count` rows.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the bytes are not exactly that many rows of this type.
    pub fn decode(mut input: &[u8], count: usize) -> Result<Box<dyn Rows>, DecodeError> {
        // A row may be empty, so the count alone must not decide how much is allocated.
        let mut rows = Column::with_capacity(count.min(input.len().max(64)));
        for _ in 0..count {
            match T::decode(&mut input) {
                Ok(row) => _ = rows.push(row),
                Err(error) => return Err(error),
            }
        }
        if !input.is_empty() {
            return Err(DecodeError::Invalid("bytes after its last row"));
        }
        Ok(Box::new(Self { rows: rows.into_vec() }))
    }
}

fn same_type<T: Tuple>(rows: &mut dyn Rows) -> &mut Batch<T> {
    rows.as_any_mut().downcast_mut().expect("batches of one stream have one type")
}

impl<T: Tuple> Rows for Batch<T> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn weight(&self) -> usize {
        self.rows.iter().map(Tuple::weight).sum()
    }

    fn run_of(&self, from: usize, bytes: usize) -> usize {
        let mut sum = 0;
        let reached = self.rows[from..].iter().position(|row| {
            sum += row.weight();
            sum >= bytes
        });
        reached.map_or(self.rows.len(), |at| from + at + 1)
    }

    fn larger_than(&self, bytes: usize) -> Vec<usize> {
        let large = self.rows.iter().enumerate().filter(|(_, row)| row.weight() > bytes);
        large.map(|(at, _)| at).collect()
    }

    fn encode(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let rows = &self.rows[range];
        out.reserve(rows.iter().map(Tuple::weight).sum::<usize>() + ENCODE_SLACK);
        rows.iter().for_each(|row| row.encode(out));
    }

    fn scatter(&mut self, targets: &[u32], out: &mut [Box<dyn Rows>]) {
        debug_assert_eq!(targets.len(), self.rows.len(), "one target a tuple");
        // One downcast a target instead of one a tuple.
        let mut typed: Vec<&mut Vec<T>> =
            out.iter_mut().map(|rows| &mut same_type::<T>(&mut **rows).rows).collect();
        let mut targets = targets.iter();
        let mut rows = std::mem::take(&mut self.rows).into_iter();
        for_each_while(&mut rows, |row| {
            let target = targets.next().map_or(0, |target| *target as usize);
            push(typed[target], row);
            true
        });
        self.rows = emptied(&mut rows);
    }

    fn append(&mut self, other: &mut dyn Rows) {
        self.rows.append(&mut same_type::<T>(other).rows);
    }

    fn split_off(&mut self, at: usize) -> Box<dyn Rows> {
        Box::new(Self { rows: self.rows.split_off(at) })
    }

    fn duplicate(&self) -> Box<dyn Rows> {
        Box::new(self.clone())
    }

    fn repeat(&self, copies: &[u32]) -> Box<dyn Rows> {
        debug_assert_eq!(copies.len(), self.rows.len(), "a number for each tuple");
        let all = self.rows.iter().zip(copies);
        let repeated = all.flat_map(|(row, copies)| (0..*copies).map(|_| row.clone()));
        Box::new(Self { rows: repeated.collect() })
    }

    fn empty(&self) -> Box<dyn Rows> {
        Self::boxed()
    }

    fn clear(&mut self) -> bool {
        self.rows.clear();
        (1..=SPARE_BYTES_MAX).contains(&(self.rows.capacity() * size_of::<T>()))
    }

    fn fields(&self, i: usize) -> Vec<(String, serde_json::Value)> {
        crate::keeping::fields_of(&self.rows[i])
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Room behind encoded rows that a short text may use and leave again.
const ENCODE_SLACK: usize = 24;

/// A buffer of more bytes is not kept: it held something unusual.
const SPARE_BYTES_MAX: usize = 256 * 1024;

/// Emptied batches kept of one type.
const SPARE_BATCHES: usize = 16;

/// Emptied columns kept.
const SPARE_COLUMNS: usize = 32;

/// The emptied batches of one loop, for use again: in steady state no batch costs an allocation.
#[derive(Default)]
pub struct Pool {
    /// By type of batch.
    batches: Vec<(TypeId, Vec<Box<dyn Rows>>)>,
    columns: Vec<Vec<u32>>,
}

impl Pool {
    /// Gives an empty batch.
    pub(crate) fn batch<T: Tuple>(&mut self) -> Box<Batch<T>> {
        let spare = self.shelf(TypeId::of::<Batch<T>>()).pop();
        let spare = spare.and_then(|rows| rows.into_any().downcast().ok());
        spare.unwrap_or_else(|| Box::new(Batch { rows: Vec::new() }))
    }

    /// Gives an empty batch of the type of `rows`.
    pub fn like(&mut self, rows: &dyn Rows) -> Box<dyn Rows> {
        self.shelf(rows.as_any().type_id()).pop().unwrap_or_else(|| rows.empty())
    }

    /// Takes a batch that was used.
    pub fn give(&mut self, mut rows: Box<dyn Rows>) {
        let shelf = self.shelf(rows.as_any().type_id());
        if shelf.len() < SPARE_BATCHES && rows.clear() {
            shelf.push(rows);
        }
    }

    pub(crate) fn column(&mut self) -> Vec<u32> {
        self.columns.pop().unwrap_or_default()
    }

    /// Takes a column of anchors that was used.
    pub fn give_column(&mut self, mut column: Vec<u32>) {
        column.clear();
        if self.columns.len() < SPARE_COLUMNS && column.capacity() * 4 <= SPARE_BYTES_MAX {
            self.columns.push(column);
        }
    }

    fn shelf(&mut self, of: TypeId) -> &mut Vec<Box<dyn Rows>> {
        let at = self.batches.iter().position(|(known, _)| *known == of);
        let at = at.unwrap_or_else(|| {
            self.batches.push((of, Vec::new()));
            self.batches.len() - 1
        });
        &mut self.batches[at].1
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "spare batches of {} types", self.batches.len())
    }
}

/// Appends the key hash of every tuple of a batch.
pub type KeyHashes = Arc<dyn Fn(&dyn Rows, &mut Vec<u64>) + Send + Sync>;

/// Turns a batch of one type into a batch of the type that a bolt reads.
pub type Convert = fn(Box<dyn Rows>) -> Box<dyn Rows>;

/// Reads a batch from its encoded rows.
pub type Decode = fn(&[u8], usize) -> Result<Box<dyn Rows>, DecodeError>;

/// Converts a batch of `T` into one of `I`; the same type passes through untouched.
pub(crate) fn convert<T: Tuple, I: Tuple + From<T>>(rows: Box<dyn Rows>) -> Box<dyn Rows> {
    if TypeId::of::<T>() == TypeId::of::<I>() {
        return rows;
    }
    let typed: Box<Batch<T>> =
        rows.into_any().downcast().expect("batches of one stream have one type");
    Box::new(Batch { rows: typed.rows.into_iter().map(I::from).collect() })
}

/// Gives each of the rest to `take`, until it says no.
///
/// Not a `for`: a tuple in an `Option` is copied in pieces, each of which waits for the one before.
#[inline(always)]
pub(crate) fn for_each_while<T>(rows: &mut IntoIter<T>, mut take: impl FnMut(T) -> bool) {
    let flow = rows.try_for_each(|row| match take(row) {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    });
    debug_assert!(flow.is_break() || rows.len() == 0, "it goes to the end unless it is stopped");
}

/// The buffer of what was gone through, for use again: collecting from its own iterator makes no
/// new one.
pub(crate) fn emptied<T>(used: &mut IntoIter<T>) -> Vec<T> {
    std::mem::take(used).filter(|_| false).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_gone_through_is_used_again() {
        let rows: Vec<u64> = (0..100).collect();
        let (at, capacity) = (rows.as_ptr(), rows.capacity());
        let mut used = rows.into_iter();
        assert_eq!(used.by_ref().sum::<u64>(), 4_950, "all of it");
        let again = emptied(&mut used);
        assert_eq!((again.as_ptr(), again.capacity(), again.len()), (at, capacity, 0));
    }
}
