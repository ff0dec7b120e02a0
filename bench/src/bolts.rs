//! The bolts that are measured: what a user would write, and a count of what passed.

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;

use foldhash::fast::RandomState;
use topology_api::prelude::*;
use topology_api::{Key, key_hash};

use crate::left::{Left, Role};
use crate::meter::Meter;
use crate::options::Case;
use crate::tally::Tally;

/// A tuple that may carry the time it was emitted.
pub(crate) trait Stamped: Tuple {
    /// When it was emitted, or due; 0 for most.
    fn sent_ns(&self) -> u64;
}

/// A tuple that has a number, or a sum of its bytes, to be checked by.
pub(crate) trait Numbered: Stamped {
    /// What the sink adds up.
    fn number(&self) -> u64;
}

/// A tuple that is counted by its key.
pub(crate) trait Keyed: Stamped {
    /// What it is counted by.
    type Key: Key + Hash + Eq + Send + 'static;
    /// Takes the key out of it.
    fn into_key(self) -> Self::Key;
}

/// What every bolt here has.
pub(crate) struct Passed {
    count: u64,
    meter: Meter,
    cx: Context,
}

impl Passed {
    /// Starts at nothing.
    pub(crate) fn new(case: &Case, cx: &Context) -> Self {
        Self { count: 0, meter: Meter::new(case.run()), cx: cx.clone() }
    }

    /// Counts a tuple.
    #[inline]
    pub(crate) fn see(&mut self, sent_ns: u64) {
        self.count += 1;
        if sent_ns != 0 {
            self.meter.sample(self.count, sent_ns);
        }
    }

    /// Leaves what was found as the task's result.
    pub(crate) fn leave(&mut self, role: Role) {
        self.cx.result(&Left { found: self.meter.found(self.count), role });
    }
}

/// Drops what it gets.
pub(crate) struct Null<T> {
    tally: Tally,
    passed: Passed,
    tuples: PhantomData<fn(T)>,
}

impl<T> Null<T> {
    /// Starts at nothing.
    pub(crate) fn new(passed: Passed) -> Self {
        Self { tally: Tally::default(), passed, tuples: PhantomData }
    }
}

impl<T: Numbered> Bolt for Null<T> {
    type Input = T;
    type Output = NoOutput;

    #[inline]
    fn execute(&mut self, tuple: T, _: &mut Output<NoOutput>) -> BoltResult {
        self.tally.add(tuple.number());
        self.passed.see(tuple.sent_ns());
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.passed.leave(Role::Sink { tally: self.tally });
    }
}

/// How often each key was there. Who counts millions a second does not hash with `SipHash`.
pub(crate) type Counts<K> = HashMap<K, u64, RandomState>;

/// Counts by key.
pub(crate) struct Count<T: Keyed> {
    counts: Counts<T::Key>,
    passed: Passed,
}

impl<T: Keyed> Count<T> {
    /// Starts at nothing.
    pub(crate) fn new(passed: Passed) -> Self {
        Self { counts: Counts::default(), passed }
    }
}

impl<T: Keyed> Bolt for Count<T> {
    type Input = T;
    type Output = NoOutput;

    #[inline]
    fn execute(&mut self, tuple: T, _: &mut Output<NoOutput>) -> BoltResult {
        self.passed.see(tuple.sent_ns());
        *self.counts.entry(tuple.into_key()).or_default() += 1;
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.passed.leave(Role::Sink { tally: tally_of(&self.counts) });
    }
}

/// What the counts add up to.
pub(crate) fn tally_of<K: Key>(counts: &Counts<K>) -> Tally {
    let mut tally = Tally::default();
    for (key, count) in counts {
        tally.add_times(key_hash(key), *count);
    }
    tally
}
