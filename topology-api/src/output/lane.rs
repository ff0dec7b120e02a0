//! The columns that emitted tuples of one stream collect in.

use std::any::Any;

use super::{Emitted, NOT_DIRECT};
use crate::Tuple;
use crate::rows::Batch;

/// Columns of one stream.
#[derive(Debug)]
pub(super) struct Lane<T> {
    rows: Vec<T>,
    anchors: Vec<u32>,
    direct: Vec<u32>,
    largest: usize,
}

impl<T: Tuple> Lane<T> {
    pub(super) fn new() -> Self {
        Self { rows: Vec::new(), anchors: Vec::new(), direct: Vec::new(), largest: 0 }
    }

    #[inline]
    pub(super) fn push(&mut self, value: T, anchor: u32, direct: u32) {
        self.largest = self.largest.max(value.weight());
        if direct != NOT_DIRECT || !self.direct.is_empty() {
            self.direct.resize(self.rows.len(), NOT_DIRECT);
            self.direct.push(direct);
        }
        self.rows.push(value);
        self.anchors.push(anchor);
    }

    /// Moves all that another lane has to the end of this one; `anchor` says what becomes of its
    /// anchors.
    pub(super) fn append(&mut self, other: &mut Self, anchor: &dyn Fn(u32) -> u32) {
        self.largest = self.largest.max(std::mem::take(&mut other.largest));
        if !self.direct.is_empty() || !other.direct.is_empty() {
            self.direct.resize(self.rows.len(), NOT_DIRECT);
            other.direct.resize(other.rows.len(), NOT_DIRECT);
            self.direct.append(&mut other.direct);
        }
        self.rows.append(&mut other.rows);
        self.anchors.extend(other.anchors.drain(..).map(anchor));
    }
}

/// A [`Lane`] of whatever type.
pub(crate) trait AnyLane: Any + Send {
    fn take(&mut self) -> Option<Emitted>;
    /// As [`Lane::append`]; the other one must be of the same type.
    fn append(&mut self, other: &mut dyn AnyLane, anchor: &dyn Fn(u32) -> u32);
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Tuple> AnyLane for Lane<T> {
    fn take(&mut self) -> Option<Emitted> {
        if self.rows.is_empty() {
            return None;
        }
        let capacity = self.rows.len();
        let rows = std::mem::replace(&mut self.rows, Vec::with_capacity(capacity));
        let anchors = std::mem::replace(&mut self.anchors, Vec::with_capacity(capacity));
        let direct = std::mem::take(&mut self.direct);
        let largest = std::mem::take(&mut self.largest);
        Some(Emitted { rows: Box::new(Batch { rows }), anchors, direct, largest })
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
