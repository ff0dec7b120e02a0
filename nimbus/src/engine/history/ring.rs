//! The newest points of one series at one resolution, in fourteen bytes each.

use std::collections::VecDeque;

use super::compact::{Coarse, Latency, Rate, Share};

/// Room is made for so many points at a time.
const GROWTH: usize = 360;

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
    const GAP: Self = Self {
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
    points: VecDeque<Packed>,
}

impl Ring {
    /// Adds the point of a slot, which comes after all there are; of those only the newest `most`
    /// are kept.
    pub fn push(&mut self, slot: u64, point: &Point, most: usize) {
        let end = self.first + self.points.len() as u64;
        if self.points.is_empty() || slot >= end + most as u64 {
            self.points.clear();
            self.first = slot;
        } else if slot < end {
            return;
        }
        while self.first + (self.points.len() as u64) < slot {
            self.append(Packed::GAP, most);
        }
        self.append(Packed::of(point), most);
    }

    fn append(&mut self, packed: Packed, most: usize) {
        while self.points.len() >= most.max(1) {
            self.points.pop_front();
            self.first += 1;
        }
        if self.points.capacity() > most + GROWTH {
            self.points.shrink_to(most);
        }
        if self.points.len() == self.points.capacity() {
            self.points.reserve_exact(GROWTH.min(most.max(1) - self.points.len()));
        }
        self.points.push_back(packed);
    }

    /// The points from a slot on, with their slots.
    pub fn since(&self, slot: u64) -> impl Iterator<Item = (u64, &Packed)> {
        let skip = usize::try_from(slot.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (self.first..).zip(&self.points).skip(skip)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.points.capacity() * size_of::<Packed>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: f64) -> Point {
        Point { rates: [rate; 4], ..Point::default() }
    }

    fn rates(ring: &Ring, from: u64) -> Vec<(u64, Option<f64>)> {
        let rate = |packed: &Packed| packed.rates().map(|rates| rates[0]);
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
    fn a_ring_that_is_full_takes_no_more_than_its_points() {
        let mut ring = Ring::default();
        (0..10_000).for_each(|slot| ring.push(slot, &point(1.0), 3_600));
        assert_eq!(size_of::<Packed>(), 14);
        assert_eq!(ring.bytes(), size_of::<Ring>() + 3_600 * 14);
        ring.push(10_000, &point(1.0), 1_000);
        ring.push(10_001, &point(1.0), 1_000);
        assert!(ring.bytes() <= size_of::<Ring>() + 1_360 * 14, "it has shrunk: {}", ring.bytes());
    }
}
