//! Times of one tree that several workers measured, each by its own clock.

use super::gather::Source;

/// When something happened, by the clock of a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    source: usize,
    /// Nanoseconds since 1970, moved so that nothing arrives before it was sent.
    pub(super) wall: i128,
    /// By how much the times of this source are moved from here on.
    moved: i128,
    /// By how much they had to be moved here.
    pub(super) apart: Option<i128>,
}

/// The clocks of those who noted a tree.
#[derive(Debug)]
pub(super) struct Clocks<'a> {
    sources: &'a [Source],
    /// When the tree began: nanoseconds since 1970.
    began: i128,
}

/// Nanoseconds as microseconds.
pub(super) fn microseconds(ns: i128) -> f64 {
    ns as f64 / 1_000.0
}

impl<'a> Clocks<'a> {
    pub(super) fn new(sources: &'a [Source], began: i128) -> Self {
        Self { sources, began }
    }

    pub(super) fn began_ms(&self) -> u64 {
        u64::try_from(self.began / 1_000_000).unwrap_or(0)
    }

    pub(super) fn worker(&self, source: usize) -> u32 {
        self.sources[source].worker
    }

    /// When a source said something last.
    pub(super) fn now_ns(&self, source: usize) -> u64 {
        self.sources[source].now_ns
    }

    /// The begin of the tree, where nothing else is known.
    pub(super) fn begin(&self) -> Moment {
        Moment { source: usize::MAX, wall: self.began, moved: 0, apart: None }
    }

    fn wall(&self, source: usize, ns: u64) -> i128 {
        i128::from(self.sources[source].epoch_ns) + i128::from(ns)
    }

    /// When a tuple was sent, by the task at which `before` came in.
    pub(super) fn sent(&self, source: usize, ns: u64, before: Option<Moment>) -> Moment {
        let moved = before.filter(|it| it.source == source).map_or(0, |it| it.moved);
        Moment { source, wall: self.wall(source, ns) + moved, moved, apart: None }
    }

    /// When a tuple came in: not before it was sent.
    pub(super) fn arrived(&self, source: usize, ns: u64, sent: Option<Moment>) -> Moment {
        let same = sent.filter(|it| it.source == source);
        let mut moved = same.map_or(0, |it| it.moved);
        let mut wall = self.wall(source, ns) + moved;
        let early = sent.map_or(0, |sent| sent.wall - wall).max(0);
        // One clock that never goes back does not differ from itself.
        let apart = (early > 0 && same.is_none()).then_some(early);
        wall += early;
        moved += apart.unwrap_or(0);
        Moment { source, wall, moved, apart }
    }

    /// How long ago that was.
    pub(super) fn since(&self, at: Moment) -> i128 {
        let Some(source) = self.sources.get(at.source) else { return 0 };
        (self.wall(at.source, source.now_ns) + at.moved - at.wall).max(0)
    }

    /// How long after the begin of the tree that was, in microseconds.
    pub(super) fn since_begin(&self, at: Moment) -> f64 {
        microseconds((at.wall - self.began).max(0))
    }
}
