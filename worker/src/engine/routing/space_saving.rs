//! `SpaceSaving`: the keys that come most often, found in bounded memory.
//!
//! Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
//! Streams" (ICDT 2005). So many counters as there are, the rest of the stream shares the smallest:
//! a key that has no counter takes over that of the key counted least, with its count as the error
//! it may have. Of `n` tuples over `m` counters, no count is more than `n / m` too high and none is
//! too low, and whoever comes more often than `n / m` times has a counter.
//!
//! Counters with equal counts form a list, and the lists are linked in the order of their counts (the
//! paper's "stream summary"), so each tuple costs a constant number of steps, and no memory is
//! asked for after `new`.

/// No counter, no list.
const NONE: u32 = u32::MAX;

/// How many places of the index there are for each counter.
const SPARE: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Counter {
    key: u64,
    /// How much of the count may be another's.
    error: u64,
    list: u32,
    /// Neighbours in the list.
    before: u32,
    after: u32,
}

/// The counters with one count.
#[derive(Clone, Copy, Debug)]
struct List {
    count: u64,
    /// Its first counter.
    first: u32,
    /// The lists with the next lower and the next higher count.
    lower: u32,
    higher: u32,
}

/// Counts the keys that come most often.
///
/// ```
/// use worker::engine::routing::SpaceSaving;
///
/// let mut seen = SpaceSaving::new(2);
/// for key in [7, 7, 8, 7, 9, 7] {
///     seen.offer(key);
/// }
/// let slot = seen.offer(7);
/// assert_eq!((seen.count(slot), seen.sure(slot), seen.total()), (5, 5, 7));
/// ```
#[derive(Debug)]
pub struct SpaceSaving {
    counters: Vec<Counter>,
    lists: Vec<List>,
    /// Lists that are not in use, linked by `higher`.
    free: u32,
    lowest: u32,
    /// Counter of each key, by hash: open addressing, a power of two of places.
    index: Vec<u32>,
    capacity: usize,
    total: u64,
}

impl SpaceSaving {
    /// Makes `counters` counters, at least one. They take about 80 bytes each.
    #[must_use]
    pub fn new(counters: usize) -> Self {
        let capacity = counters.clamp(1, NONE as usize / SPARE);
        Self {
            counters: Vec::with_capacity(capacity),
            // While a counter moves up, its new list exists beside its old one.
            lists: Vec::with_capacity(capacity + 1),
            free: NONE,
            lowest: NONE,
            index: vec![NONE; (capacity * SPARE).next_power_of_two()],
            capacity,
            total: 0,
        }
    }

    /// Counts a key, which must be a good hash, and gives the number of its counter: below the
    /// number of counters, and the key's for as long as it keeps it.
    #[inline]
    pub fn offer(&mut self, key: u64) -> u32 {
        self.total += 1;
        let place = self.place(key);
        let slot = self.index[place];
        if slot != NONE {
            self.raise(slot);
            return slot;
        }
        self.admit(key, place)
    }

    /// How often a counter's key came: never too low, too high by at most the error.
    #[must_use]
    pub fn count(&self, slot: u32) -> u64 {
        self.lists[self.counters[slot as usize].list as usize].count
    }

    /// How often a counter's key came for sure.
    #[inline]
    #[must_use]
    pub fn sure(&self, slot: u32) -> u64 {
        self.count(slot) - self.counters[slot as usize].error
    }

    /// How many keys were counted, less what [`halve`](Self::halve) took away.
    #[inline]
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Most keys that have a counter at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The keys that have a counter, with count and error.
    pub fn counted(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        (0..).zip(&self.counters).map(|(slot, it)| (it.key, self.count(slot), it.error))
    }

    /// Halves all counts, so that what comes now counts for more than what came once. Takes time in
    /// proportion to the counters: call it once in many more tuples than that.
    pub fn halve(&mut self) {
        self.total /= 2;
        let mut at = self.lowest;
        while at != NONE {
            self.lists[at as usize].count /= 2;
            let List { count, higher, lower, .. } = self.lists[at as usize];
            if lower != NONE && self.lists[lower as usize].count == count {
                self.merge(lower, at);
            }
            at = higher;
        }
        for slot in 0..self.counters.len() {
            // The error stays a bound from above, and the sure part one from below.
            let error = self.counters[slot].error.div_ceil(2);
            self.counters[slot].error = error.min(self.count(slot as u32));
        }
    }

    /// Gives a counter to a key that has none; `place` is where it belongs in the index.
    fn admit(&mut self, key: u64, place: usize) -> u32 {
        if self.counters.len() < self.capacity {
            let slot = self.counters.len() as u32;
            self.index[place] = slot;
            let list = match self.count_of(self.lowest) {
                Some(0) => self.lowest,
                _ => self.list(0, NONE, self.lowest),
            };
            self.counters.push(Counter { key, error: 0, list, before: NONE, after: NONE });
            self.link(slot, list);
            self.raise(slot);
            return slot;
        }
        let slot = self.lists[self.lowest as usize].first;
        let counter = &mut self.counters[slot as usize];
        let old = std::mem::replace(&mut counter.key, key);
        counter.error = self.lists[self.lowest as usize].count;
        self.forget(old, slot);
        let place = self.place(key);
        self.index[place] = slot;
        self.raise(slot);
        slot
    }

    /// Moves a counter to the list of the next number.
    #[inline]
    fn raise(&mut self, slot: u32) {
        let list = self.counters[slot as usize].list;
        let List { count, higher, .. } = self.lists[list as usize];
        let alone =
            self.counters[slot as usize].after == NONE && self.lists[list as usize].first == slot;
        if self.count_of(higher) == Some(count + 1) {
            self.unlink(slot);
            self.link(slot, higher);
            if alone {
                self.release(list);
            }
        } else if alone {
            // Nobody has that count: the list goes up with its only counter.
            self.lists[list as usize].count += 1;
        } else {
            self.unlink(slot);
            let next = self.list(count + 1, list, higher);
            self.link(slot, next);
        }
    }

    fn count_of(&self, list: u32) -> Option<u64> {
        self.lists.get(list as usize).map(|list| list.count)
    }

    /// Makes an empty list between two others.
    fn list(&mut self, count: u64, lower: u32, higher: u32) -> u32 {
        let made = List { count, first: NONE, lower, higher };
        let at = self.free;
        let at = if at == NONE {
            self.lists.push(made);
            self.lists.len() as u32 - 1
        } else {
            self.free = self.lists[at as usize].higher;
            self.lists[at as usize] = made;
            at
        };
        self.join(lower, at);
        self.join(at, higher);
        at
    }

    /// Takes an empty list out.
    fn release(&mut self, list: u32) {
        let List { lower, higher, .. } = self.lists[list as usize];
        self.join(lower, higher);
        // A list that is not in use must not be taken for one with a count.
        self.lists[list as usize] = List { count: 0, first: NONE, lower: NONE, higher: self.free };
        self.free = list;
    }

    /// Makes two lists neighbours.
    fn join(&mut self, lower: u32, higher: u32) {
        match self.lists.get_mut(lower as usize) {
            Some(list) => list.higher = higher,
            None => self.lowest = higher,
        }
        if let Some(list) = self.lists.get_mut(higher as usize) {
            list.lower = lower;
        }
    }

    /// Moves all counters of one list to another.
    fn merge(&mut self, into: u32, from: u32) {
        while self.lists[from as usize].first != NONE {
            let slot = self.lists[from as usize].first;
            self.unlink(slot);
            self.link(slot, into);
        }
        self.release(from);
    }

    fn link(&mut self, slot: u32, list: u32) {
        let first = std::mem::replace(&mut self.lists[list as usize].first, slot);
        if let Some(first) = self.counters.get_mut(first as usize) {
            first.before = slot;
        }
        let counter = &mut self.counters[slot as usize];
        (counter.list, counter.before, counter.after) = (list, NONE, first);
    }

    fn unlink(&mut self, slot: u32) {
        let Counter { list, before, after, .. } = self.counters[slot as usize];
        match self.counters.get_mut(before as usize) {
            Some(before) => before.after = after,
            None => self.lists[list as usize].first = after,
        }
        if let Some(after) = self.counters.get_mut(after as usize) {
            after.before = before;
        }
    }

    /// Where a key is in the index, or would be.
    #[inline]
    fn place(&self, key: u64) -> usize {
        let mask = self.index.len() - 1;
        let mut place = key as usize & mask;
        while self.index[place] != NONE && self.counters[self.index[place] as usize].key != key {
            place = (place + 1) & mask;
        }
        place
    }

    /// Takes a key out of the index, and moves back what stood behind it for want of a better place.
    fn forget(&mut self, key: u64, slot: u32) {
        let mask = self.index.len() - 1;
        let mut hole = key as usize & mask;
        while self.index[hole] != slot {
            hole = (hole + 1) & mask;
        }
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let Some(counter) = self.counters.get(self.index[place] as usize) else { break };
            // It may move back as far as its home, and the hole must not lie before that.
            let home = counter.key as usize & mask;
            if (place.wrapping_sub(home) & mask) >= (place.wrapping_sub(hole) & mask) {
                self.index[hole] = self.index[place];
                hole = place;
            }
        }
        self.index[hole] = NONE;
    }
}
