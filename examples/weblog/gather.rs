//! Sums hits up before they are stored, and holds them until the sum is.
//!
//! What a bolt counts in memory is gone when its worker dies. So nothing is counted here for longer than
//! between two ticks: hits of one key are held, their sum is emitted anchored to all of them, and they are
//! acked. The tree of each ends when the store has the sum. If a worker dies before, the hits come again and
//! are summed up again: none is lost, and what was stored twice is what was replayed.

use std::collections::{BTreeMap, BTreeSet};

use topology_api::Input;
use topology_api::prelude::*;

use crate::hit::Hit;

/// Hits that are held at most: then they are summed up before the next tick.
const HELD_MAX: usize = 4_096;

/// Something that hits of one key come to.
pub(crate) trait Sum: Tuple {
    /// What is summed up together.
    type Key: Ord + Send + 'static;

    fn key(hit: &Hit) -> Self::Key;

    fn of<'a>(key: Self::Key, hits: impl Iterator<Item = &'a Hit>) -> Self;
}

/// The bolt.
pub(crate) struct Gather<S: Sum> {
    held: BTreeMap<S::Key, Vec<Input<Hit>>>,
    count: usize,
}

impl<S: Sum> Default for Gather<S> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), count: 0 }
    }
}

impl<S: Sum> Gather<S> {
    fn pass_on(&mut self, out: &mut Output<S>) {
        self.count = 0;
        for (key, hits) in std::mem::take(&mut self.held) {
            let sum = S::of(key, hits.iter().map(|hit| &**hit));
            out.emit_anchored(&hits, sum);
            hits.into_iter().for_each(Input::ack);
        }
    }
}

impl<S: Sum> ExplicitBolt for Gather<S> {
    type Input = Hit;
    type Output = S;

    fn execute(&mut self, hit: Input<Hit>, out: &mut Output<S>) -> BoltResult {
        self.held.entry(S::key(&hit)).or_default().push(hit);
        self.count += 1;
        if self.count >= HELD_MAX {
            self.pass_on(out);
        }
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<S>) {
        self.pass_on(out);
    }

    fn finish(&mut self, out: &mut Output<S>) {
        self.pass_on(out);
    }
}

/// What the hits of one page in one minute come to.
#[derive(Clone, Debug, PartialEq, Tuple)]
pub(crate) struct PageMinute {
    /// When it began, in seconds since 1970.
    pub(crate) minute: u64,
    pub(crate) page: Text,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) views: u64,
    /// Who viewed it, each once.
    #[tuple(serde)]
    pub(crate) visitors: Vec<String>,
    /// How many views each page led to.
    #[tuple(serde)]
    pub(crate) referrers: BTreeMap<String, u64>,
}

impl Sum for PageMinute {
    type Key = (u64, Text);

    fn key(hit: &Hit) -> Self::Key {
        (hit.minute(), hit.page.clone())
    }

    fn of<'a>((minute, page): Self::Key, hits: impl Iterator<Item = &'a Hit>) -> Self {
        let (mut requests, mut errors, mut views) = (0, 0, 0);
        let (mut visitors, mut referrers) = (BTreeSet::new(), BTreeMap::new());
        for hit in hits {
            requests += 1;
            errors += u64::from(hit.is_error());
            if hit.is_view {
                views += 1;
                visitors.insert(hit.client.to_string());
                if !hit.referrer.is_empty() {
                    *referrers.entry(hit.referrer.to_string()).or_default() += 1;
                }
            }
        }
        let visitors = visitors.into_iter().collect();
        Self { minute, page, requests, errors, views, visitors, referrers }
    }
}

/// When one client was seen.
#[derive(Clone, Debug, PartialEq, Tuple)]
pub(crate) struct Seen {
    pub(crate) client: Text,
    /// In seconds since 1970, in order, each once.
    #[tuple(serde)]
    pub(crate) times: Vec<u64>,
}

impl Sum for Seen {
    type Key = Text;

    fn key(hit: &Hit) -> Text {
        hit.client.clone()
    }

    fn of<'a>(client: Text, hits: impl Iterator<Item = &'a Hit>) -> Self {
        let times: BTreeSet<u64> = hits.map(|hit| hit.time).collect();
        Self { client, times: times.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use topology_api::Error;
    use topology_api::testing::{BoltDriver, Setup};

    use super::*;

    fn hit(time: u64, client: &str, status: u16) -> Hit {
        let [client, page, referrer] = [client, "/", ""].map(Text::from);
        Hit { time, client, page, status, is_view: status == 200, referrer }
    }

    #[test]
    fn hits_are_acked_with_the_sum_that_has_them_and_not_before() {
        let gather = |_: &Context| Ok::<_, Error>(Gather::<PageMinute>::default());
        let mut gather = BoltDriver::explicit(Setup::new(), gather).unwrap();
        for (time, client, status) in [(1, "a", 200), (59, "b", 500), (60, "a", 200), (2, "a", 200)]
        {
            gather.execute(hit(time, client, status));
        }
        assert_eq!((gather.acked().len(), gather.held().len()), (0, 4), "nothing is stored yet");
        gather.tick();
        let sums = gather.emitted();
        let told = sums.iter().map(|it| (it.minute, it.requests, it.errors, it.views));
        assert_eq!(told.collect::<Vec<_>>(), [(0, 3, 1, 2), (60, 1, 0, 1)]);
        assert_eq!(sums[0].visitors, ["a"]);
        assert_eq!((gather.acked().len(), gather.held().len()), (4, 0));
    }

    #[test]
    fn a_client_is_seen_once_at_a_time() {
        let hits = [hit(5, "a", 200), hit(3, "a", 200), hit(5, "a", 404)];
        assert_eq!(Seen::of("a".into(), hits.iter()).times, [3, 5]);
    }
}
