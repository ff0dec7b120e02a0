//! What was looked up: bounded in number and age.
//!
//! Pure: the time is passed in. When it is full, the entry goes that was not used since the hand of a
//! clock passed it last: F. J. Corbató, "A Paging Experiment with the Multics System" (1968). That costs
//! a flag an entry, and no list to be kept in order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

#[derive(Debug)]
struct Entry<V> {
    key: Vec<u8>,
    value: V,
    until: Instant,
    was_used: bool,
}

/// Values by key.
#[derive(Debug)]
pub(super) struct Cache<V> {
    places: HashMap<Vec<u8>, usize>,
    entries: Vec<Entry<V>>,
    most: usize,
    age: Duration,
    hand: usize,
}

impl<V: Clone> Cache<V> {
    /// Keeps so many entries, each for so long.
    pub(super) fn new(most: usize, age: Duration) -> Self {
        Self { places: HashMap::new(), entries: Vec::new(), most, age, hand: 0 }
    }

    /// The value of a key, if it is known and not too old.
    pub(super) fn find(&mut self, key: &[u8], now: Instant) -> Option<V> {
        let entry = &mut self.entries[*self.places.get(key)?];
        if entry.until <= now {
            return None;
        }
        entry.was_used = true;
        Some(entry.value.clone())
    }

    /// Keeps a value from now on.
    pub(super) fn keep(&mut self, key: Vec<u8>, value: V, now: Instant) {
        if self.most == 0 || self.age.is_zero() {
            return;
        }
        let until = now + self.age;
        if let Some(place) = self.places.get(&key) {
            let entry = &mut self.entries[*place];
            (entry.value, entry.until) = (value, until);
            return;
        }
        let entry = Entry { key: key.clone(), value, until, was_used: false };
        if self.entries.len() < self.most {
            self.places.insert(key, self.entries.len());
            self.entries.push(entry);
            return;
        }
        let place = self.place_to_give(now);
        self.places.remove(&self.entries[place].key);
        self.places.insert(key, place);
        self.entries[place] = entry;
    }

    /// Turns the hand to an entry that is too old, or was not used for a whole turn.
    fn place_to_give(&mut self, now: Instant) -> usize {
        loop {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[place];
            if !std::mem::take(&mut entry.was_used) || entry.until <= now {
                return place;
            }
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn begin() -> Instant {
        daemon::Clock::system().now()
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_was_kept_last_and_not_too_old(
            steps in prop::collection::vec((any::<bool>(), 0_u8..20, 0_u64..4), 1..200), most in 1_usize..10,
        ) {
            let mut now = begin();
            let age = Duration::from_secs(10);
            let mut cache = Cache::new(most, age);
            let mut model: HashMap<u8, (usize, Instant)> = HashMap::new();
            for (at, (keeps, key, seconds)) in steps.into_iter().enumerate() {
                now += Duration::from_secs(seconds);
                if keeps {
                    cache.keep(vec![key], at, now);
                    model.insert(key, (at, now));
                } else if let Some(found) = cache.find(&[key], now) {
                    let (kept, since) = model[&key];
                    prop_assert_eq!(found, kept);
                    prop_assert!(now - since < age);
                }
                prop_assert!(cache.len() <= most && cache.places.len() == cache.entries.len());
            }
        }
    }

    #[test]
    fn what_is_used_outlives_what_is_not() {
        let now = begin();
        let mut cache = Cache::new(3, Duration::from_secs(1));
        for key in 0..3_u8 {
            cache.keep(vec![key], key, now);
        }
        for other in 3..20_u8 {
            assert_eq!(cache.find(&[1], now), Some(1), "before {other}");
            cache.keep(vec![other], other, now);
        }
        assert_eq!(cache.find(&[1], now + Duration::from_secs(1)), None, "too old");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let mut cache = Cache::new(0, Duration::from_secs(1));
        cache.keep(vec![1], 1, begin());
        assert_eq!((cache.len(), cache.find(&[1], begin())), (0, None));
    }
}
