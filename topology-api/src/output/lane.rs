//! The columns that emitted tuples of one stream collect in.

use std::any::Any;

use super::{Emitted, NOT_DIRECT};
use crate::Tuple;
use crate::raw::Column;
use crate::rows::Pool;

/// Columns of one stream.
#[derive(Debug)]
pub(super) struct Lane<T> {
    rows: Column<T>,
    anchors: Column<u32>,
    /// Empty, or as long as `rows` was when a tuple was last emitted directly.
    direct: Vec<u32>,
    weight: usize,
    largest: usize,
}

impl<T: Tuple> Lane<T> {
    pub(super) fn new() -> Self {
        Self {
            rows: Column::new(),
            anchors: Column::new(),
            direct: Vec::new(),
            weight: 0,
            largest: 0,
        }
    }

    /// Appends a tuple and tells its weight, which is asked of the tuple where it lies: before, it
    /// would be taken apart for that, and put together again of other parts.
    // Inlined into the author's code, so that a tuple is made where it will lie.
    #[inline(always)]
    pub(super) fn push(&mut self, value: T, anchor: u32) -> usize {
        let weight = self.rows.push(value).weight();
        self.anchors.push(anchor);
        self.weight += weight;
        self.largest = self.largest.max(weight);
        weight
    }

    /// Takes the last tuple out again, of this weight.
    pub(super) fn pop(&mut self, weight: usize) -> Option<(T, u32)> {
        self.weight -= weight;
        self.rows.pop().zip(self.anchors.pop())
    }

    pub(super) fn push_direct(&mut self, value: T, anchor: u32, direct: u32) {
        self.direct.resize(self.rows.len(), NOT_DIRECT);
        self.direct.push(direct);
        self.push(value, anchor);
    }

    /// Takes the tuples one by one, with their anchors.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (T, u32)> {
        (self.weight, self.largest) = (0, 0);
        self.direct.clear();
        self.rows.drain().zip(self.anchors.drain())
    }

    /// Moves all that another lane has to the end of this one; `anchor` says what becomes of its
    /// anchors.
    pub(super) fn append(&mut self, other: &mut Self, anchor: &dyn Fn(u32) -> u32) {
        self.largest = self.largest.max(std::mem::take(&mut other.largest));
        self.weight += std::mem::take(&mut other.weight);
        if !other.direct.is_empty() {
            self.direct.resize(self.rows.len(), NOT_DIRECT);
            self.direct.append(&mut other.direct);
        }
        self.rows.extend(other.rows.drain());
        self.anchors.extend(other.anchors.drain().map(anchor));
    }
}

/// A [`Lane`] of whatever type.
pub(crate) trait AnyLane: Any + Send {
    fn take(&mut self, pool: &mut Pool) -> Option<Emitted>;
    /// As [`Lane::append`]; the other one must be of the same type.
    fn append(&mut self, other: &mut dyn AnyLane, anchor: &dyn Fn(u32) -> u32);
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Tuple> AnyLane for Lane<T> {
    fn take(&mut self, pool: &mut Pool) -> Option<Emitted> {
        if self.rows.len() == 0 {
            return None;
        }
        let mut direct = std::mem::take(&mut self.direct);
        if !direct.is_empty() {
            direct.resize(self.rows.len(), NOT_DIRECT);
        }
        let mut batch = pool.batch::<T>();
        self.rows.swap(&mut batch.rows);
        let mut anchors = pool.column();
        self.anchors.swap(&mut anchors);
        let weight = std::mem::take(&mut self.weight);
        let largest = std::mem::take(&mut self.largest);
        Some(Emitted { rows: batch, anchors, direct, weight, largest })
    }

    fn append(&mut self, other: &mut dyn AnyLane, anchor: &dyn Fn(u32) -> u32) {
        let other = other.as_any_mut().downcast_mut();
        Self::append(self, other.expect("lanes of one stream have one type"), anchor);
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Makes the column of a declared side output.
pub(crate) type MakeLane = fn() -> Box<dyn AnyLane>;

pub(crate) fn make_lane<T: Tuple>() -> Box<dyn AnyLane> {
    Box::new(Lane::<T>::new())
}
