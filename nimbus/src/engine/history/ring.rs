//! The newest points of one series at one resolution, in fourteen bytes each, and those that are older in
//! blocks, which take half of that or so.

use std::collections::VecDeque;

use super::block::{BLOCK, Block};
use super::compact::{Coarse, Latency, Rate, Share};

/// Numbers of a point.
pub(super) const COLUMNS: usize = 11;

/// What is known of one span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Tuples emitted, executed, acked and failed in a second.
    pub rates: [f64; 4],
    /// Latencies in ns: half, 95 of 100 and 99 of 100 took no longer; `None` if nothing was measured.
    pub latencies: [Option<u64>; 3],
    /// How full the fullest mailbox was, from 0 to 1.
    pub fill: f64,
    /// What share of the time was spent busy, without room ahead, and waiting for acks: from 0 to 1.
    pub shares: [f64; 3],
}

/// The same, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Emitted, executed and acked.
    rates: [Rate; 3],
    failed: Coarse,
    latencies: [Latency; 3],
    fill: Share,
    shares: [Share; 3],
}

impl Packed {
    /// Nothing is known.
    pub(super) const GAP: Self = Self {
        rates: [Rate::GAP; 3],
        failed: Coarse::NONE,
        latencies: [Latency::NONE; 3],
        fill: Share::NONE,
        shares: [Share::NONE; 3],
    };

    fn of(point: &Point) -> Self {
        let [emitted, executed, acked, failed] = point.rates;
        Self {
            rates: [emitted, executed, acked].map(Rate::of),
            failed: Coarse::of(failed),
            latencies: point.latencies.map(Latency::of),
            fill: Share::of(point.fill),
            shares: point.shares.map(Share::of),
        }
    }

    /// Whether nothing is known.
    pub(super) fn is_gap(&self) -> bool {
        *self == Self::GAP
    }

    /// Its numbers as they are kept.
    pub(super) fn columns(&self) -> [u16; COLUMNS] {
        let [Rate(emitted), Rate(executed), Rate(acked)] = self.rates;
        let [Latency(p50), Latency(p95), Latency(p99)] = self.latencies;
        let [Share(busy), Share(blocked), Share(throttled)] = self.shares;
        let [p50, p95, p99, failed] = [p50, p95, p99, self.failed.0].map(u16::from);
        let [fill, busy, blocked, throttled] =
            [self.fill.0, busy, blocked, throttled].map(u16::from);
        [emitted, executed, acked, failed, p50, p95, p99, fill, busy, blocked, throttled]
    }

    /// The same again.
    pub(super) fn of_columns(columns: [u16; COLUMNS]) -> Self {
        let byte = |at: usize| columns[at].to_le_bytes()[0];
        Self {
            rates: [columns[0], columns[1], columns[2]].map(Rate),
            failed: Coarse(byte(3)),
            latencies: [byte(4), byte(5), byte(6)].map(Latency),
            fill: Share(byte(7)),
            shares: [byte(8), byte(9), byte(10)].map(Share),
        }
    }

    /// Tuples emitted, executed, acked and failed in a second; `None` in a gap.
    #[must_use]
    pub fn rates(&self) -> Option<[f64; 4]> {
        let mut rates = [0.0, 0.0, 0.0, self.failed.per_second()];
        for (rate, packed) in rates.iter_mut().zip(&self.rates) {
            *rate = packed.per_second()?;
        }
        Some(rates)
    }

    /// Latencies in µs.
    #[must_use]
    pub fn latencies_us(&self) -> [Option<f64>; 3] {
        self.latencies.map(Latency::us)
    }

    /// How full the fullest mailbox was.
    #[must_use]
    pub fn fill(&self) -> f64 {
        self.fill.get()
    }

    /// The shares of the time spent busy, without room ahead, and waiting for acks.
    #[must_use]
    pub fn shares(&self) -> [f64; 3] {
        self.shares.map(Share::get)
    }
}

/// The newest points of one series, one a slot of time, with gaps where nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// The slot of the first point.
    first: u64,
    /// The oldest points.
    blocks: VecDeque<Block>,
    /// The newest points, fewer than a block has.
    open: Vec<Packed>,
    /// How many points are shown; some more may be kept.
    most: usize,
}

impl Ring {
    /// Adds the point of a slot, which comes after all there are; of those only the newest `most`
    /// are shown from now on.
    pub fn push(&mut self, slot: u64, point: &Point, most: usize) {
        self.most = most.max(1);
        let end = self.first + self.len() as u64;
        if self.len() == 0 || slot >= end + most as u64 {
            self.blocks.clear();
            self.open.clear();
            self.first = slot;
        } else if slot < end {
            return;
        }
        while self.first + (self.len() as u64) < slot {
            self.append(Packed::GAP);
        }
        self.append(Packed::of(point));
    }

    fn len(&self) -> usize {
        self.blocks.len() * BLOCK + self.open.len()
    }

    fn append(&mut self, packed: Packed) {
        self.open.push(packed);
        if self.open.len() == BLOCK {
            self.blocks.push_back(Block::of(&self.open));
            self.open.clear();
        }
        while self.len() >= self.most + BLOCK && self.blocks.pop_front().is_some() {
            self.first += BLOCK as u64;
        }
    }

    /// The points from a slot on, with their slots.
    pub fn since(&self, slot: u64) -> impl Iterator<Item = (u64, Packed)> {
        let hidden = self.len() - self.len().min(self.most);
        let skip = usize::try_from(slot.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let skip = skip.max(hidden);
        let whole = (skip / BLOCK).min(self.blocks.len());
        let packed = self.blocks.iter().skip(whole).flat_map(Block::points);
        let points = packed.chain(self.open.iter().copied());
        (self.first + (whole * BLOCK) as u64..).zip(points).skip(skip - whole * BLOCK)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let spare = self.blocks.capacity() - self.blocks.len();
        let blocks = self.blocks.iter().map(Block::bytes).sum::<usize>();
        let open = self.open.capacity() * size_of::<Packed>();
        size_of::<Self>() + blocks + spare * size_of::<Block>() + open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: f64) -> Point {
        Point { rates: [rate; 4], ..Point::default() }
    }

    fn rates(ring: &Ring, from: u64) -> Vec<(u64, Option<f64>)> {
        let rate = |packed: Packed| packed.rates().map(|rates| rates[0]);
        ring.since(from).map(|(slot, packed)| (slot, rate(packed))).collect()
    }

    #[test]
    fn a_gap_is_a_gap_and_the_oldest_points_give_way() {
        let mut ring = Ring::default();
        ring.push(7, &point(1.0), 4);
        ring.push(9, &point(0.0), 4);
        assert_eq!(rates(&ring, 0), [(7, Some(1.0)), (8, None), (9, Some(0.0))]);
        ring.push(9, &point(5.0), 4);
        ring.push(10, &point(2.0), 4);
        ring.push(11, &point(3.0), 4);
        assert_eq!(rates(&ring, 9), [(9, Some(0.0)), (10, Some(2.0)), (11, Some(3.0))]);
        assert_eq!(rates(&ring, 0)[0], (8, None), "four are kept");
        ring.push(1_000, &point(4.0), 4);
        assert_eq!(rates(&ring, 0), [(1_000, Some(4.0))], "a long gap leaves nothing to show");
    }

    #[test]
    fn a_ring_shows_its_newest_points_across_blocks_and_keeps_few_others() {
        let mut ring = Ring::default();
        let rate = |slot: u64| f64::from(u32::try_from(slot % 997).unwrap());
        (0..10_000).for_each(|slot| ring.push(slot, &point(rate(slot)), 3_600));
        assert_eq!(size_of::<Packed>(), 14);
        assert!(ring.len() < 3_600 + BLOCK, "{}", ring.len());
        for from in [0, 6_400, 6_401, 6_519, 6_520, 9_999, 10_000] {
            let newest = from.max(6_400)..10_000;
            assert!(rates(&ring, from).into_iter().eq(newest.map(|at| (at, Some(rate(at))))));
        }
        ring.push(10_000, &point(1.0), 1_000);
        assert!(ring.len() < 1_000 + BLOCK, "it has shrunk: {}", ring.len());
        assert_eq!(rates(&ring, 0).len(), 1_000);
    }
}
