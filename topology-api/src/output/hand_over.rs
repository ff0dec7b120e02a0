//! How output leaves other than by being taken after the call: into another output, or, of a component
//! with a thread of its own, while the call goes on.

use super::{
    AnyLane, Emitted, Meter, NOT_DIRECT, Output, SEVERAL, SideOutput, SpoutOutput, UNANCHORED,
};
use crate::Tuple;
use crate::rows::Pool;

/// Takes what a call emitted to a stream while the call goes on, with the lists of several anchors that
/// it refers to; may wait.
pub type HandOver = Box<dyn FnMut(usize, Emitted, Vec<Vec<u32>>) + Send>;

/// Takes what a spout emitted, by stream, with its message ids; may wait.
pub(crate) type SpoutHandOver<Id> = Box<dyn FnMut(Vec<Option<Emitted>>, Vec<Id>) + Send>;

/// Where a component's own thread hands over, and the buffers that it goes on with.
pub(super) struct Away<H> {
    to: H,
    pool: Pool,
}

impl<H> Away<H> {
    fn new(to: H) -> Box<Self> {
        Box::new(Self { to, pool: Pool::default() })
    }
}

impl Emitted {
    /// Puts what was emitted to the same stream later behind this.
    pub(crate) fn append(&mut self, mut later: Self) {
        if !self.direct.is_empty() || !later.direct.is_empty() {
            self.direct.resize(self.rows.len(), NOT_DIRECT);
            later.direct.resize(later.rows.len(), NOT_DIRECT);
            self.direct.append(&mut later.direct);
        }
        self.rows.append(&mut *later.rows);
        self.anchors.append(&mut later.anchors);
        self.weight += later.weight;
        self.largest = self.largest.max(later.largest);
    }

    /// Adds to every number of an anchor.
    pub(crate) fn shift(&mut self, by: u32) {
        for anchor in self.anchors.iter_mut().filter(|anchor| **anchor != UNANCHORED) {
            *anchor += by;
        }
    }
}

impl Meter {
    /// Hands over what waits in a lane before one more tuple is put there; false if nobody takes it.
    fn hand_over(
        &mut self,
        (stream, lane): (usize, &mut dyn AnyLane),
        several: Vec<Vec<u32>>,
        weight: usize,
    ) -> bool {
        let Some(away) = &mut self.away else { return false };
        if let Some(emitted) = lane.take(&mut away.pool) {
            self.count = self.count.saturating_sub(emitted.rows.len());
            (away.to)(stream, emitted, several);
        }
        self.count += 1;
        self.call_weight = weight;
        true
    }
}

impl<T: Tuple> Output<T> {
    /// Puts the last tuple, which was not admitted, behind what is handed over; without a thread of
    /// its own, it is dropped.
    #[cold]
    #[inline(never)]
    pub(super) fn put_behind(&mut self, weight: usize) {
        let Some((value, mut anchor)) = self.main.pop(weight) else { return };
        if self.meter.away.is_none() {
            return;
        }
        let mut several = std::mem::take(&mut self.several);
        if anchor != UNANCHORED && anchor & SEVERAL != 0 {
            // The last list is this tuple's own.
            self.several.extend(several.pop());
            anchor = SEVERAL;
        }
        if self.meter.hand_over((0, &mut self.main), several, weight) {
            self.main.push(value, anchor);
        }
    }

    /// Hands over the main stream before a tuple of so many bytes; false if nobody takes it.
    #[cold]
    pub(super) fn hand_over_main(&mut self, weight: usize) -> bool {
        if self.meter.away.is_none() {
            return false;
        }
        let several = std::mem::take(&mut self.several);
        self.meter.hand_over((0, &mut self.main), several, weight)
    }

    /// Says where a call is to hand over what it emitted when that is more than its budget.
    pub(crate) fn hand_over_to(&mut self, hand_over: HandOver) {
        self.meter.away = Some(Away::new(hand_over));
    }

    /// Moves all that another output of the component has to the end of this one; `anchor` says what
    /// becomes of its anchors.
    pub(crate) fn append(&mut self, other: &mut Self, anchor: impl Fn(u32) -> u32) {
        self.meter.count += std::mem::take(&mut other.meter.count);
        self.main.append(&mut other.main, &anchor);
        for (own, others) in self.side.iter_mut().zip(&mut other.side) {
            own.append(&mut **others, &anchor);
        }
        let pulls = other.pulls.drain(..).map(|(tuples, of)| (tuples, anchor(of)));
        self.pulls.extend(pulls);
    }
}

impl<T: Tuple> SideOutput<'_, T> {
    /// As [`Output::put_behind`].
    #[cold]
    #[inline(never)]
    pub(super) fn put_behind(&mut self, weight: usize) {
        let Some((value, anchor)) = self.lane.pop(weight) else { return };
        if self.meter.hand_over((self.stream, self.lane), Vec::new(), weight) {
            self.lane.push(value, anchor);
        }
    }
}

impl<T: Tuple, Id> SpoutOutput<T, Id> {
    /// Moves all that another output of the component has to the end of this one.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let base = u32::try_from(self.ids.len()).unwrap_or(UNANCHORED);
        self.ids.extend(other.ids.drain());
        self.output.append(&mut other.output, |anchor| {
            if anchor == UNANCHORED { UNANCHORED } else { base + anchor }
        });
    }

    /// Says where calls are to hand over what they emitted, and from how many tuples on.
    pub(crate) fn hand_over_at(&mut self, tuples: usize, hand_over: SpoutHandOver<Id>) {
        self.hand_over_at = tuples;
        self.away = Some(Away::new(hand_over));
    }

    /// Hands over what waits; tells whether there was anything.
    #[cold]
    #[inline(never)]
    pub(crate) fn hand_over(&mut self) -> bool {
        let Some(away) = self.away.as_mut().filter(|_| self.output.count() > 0) else {
            return false;
        };
        let streams = 0..=self.output.side.len();
        let emitted = streams.map(|stream| self.output.take(stream, &mut away.pool)).collect();
        let mut ids = Vec::new();
        self.ids.swap(&mut ids);
        (away.to)(emitted, ids);
        true
    }
}
