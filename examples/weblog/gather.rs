//! Sums hits up before they are stored, and holds them until the sum is.
//!
//! What a bolt counts in memory is gone when its worker dies. So nothing is counted here for longer than
//! between two ticks: hits are held, their sum is emitted anchored to all of them, and they are acked. The
//! tree of each ends when the store has the sum. If a worker dies before, the hits come again and are
//! summed up again: none is lost, and what was stored twice is what was replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use topology_api::Input;
use topology_api::prelude::*;

use crate::hit::Hit;

/// Hits that are held at most: then they are summed up before the next tick.
const HELD_MAX: usize = 4_096;

/// Something that hits come to.
pub(crate) trait Sum: Tuple + Default {
    fn add(&mut self, hit: &Hit);
}

/// The bolt.
pub(crate) struct Gather<S> {
    held: Vec<Input<Hit>>,
    sum: PhantomData<fn() -> S>,
}

impl<S: Sum> Default for Gather<S> {
    fn default() -> Self {
        Self { held: Vec::new(), sum: PhantomData }
    }
}

impl<S: Sum> Gather<S> {
    fn pass_on(&mut self, out: &mut Output<S>) {
        if self.held.is_empty() {
            return;
        }
        let mut sum = S::default();
        self.held.iter().for_each(|hit| sum.add(hit));
        out.emit_anchored(&self.held, sum);
        self.held.drain(..).for_each(Input::ack);
    }
}

impl<S: Sum> ExplicitBolt for Gather<S> {
    type Input = Hit;
    type Output = S;

    fn execute(&mut self, hit: Input<Hit>, out: &mut Output<S>) -> BoltResult {
        self.held.push(hit);
        if self.held.len() >= HELD_MAX {
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

/// What was asked for, by minute: when it began, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Tuple)]
pub(crate) struct Views {
    #[tuple(serde)]
    pub(crate) minutes: BTreeMap<u64, Minute>,
}

/// What the hits of a minute come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Minute {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// The pages that were viewed.
    pub(crate) pages: BTreeMap<String, Page>,
    /// How many views each page led to.
    pub(crate) referrers: BTreeMap<String, u64>,
}

/// What the views of a page come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) views: u64,
    /// Who viewed it, each once.
    pub(crate) visitors: BTreeSet<String>,
}

impl Sum for Views {
    fn add(&mut self, hit: &Hit) {
        let minute = self.minutes.entry(hit.minute()).or_default();
        minute.requests += 1;
        minute.errors += u64::from(hit.is_error());
        if hit.is_view {
            let page = minute.pages.entry(hit.page.to_string()).or_default();
            page.views += 1;
            page.visitors.insert(hit.client.to_string());
            if !hit.referrer.is_empty() {
                *minute.referrers.entry(hit.referrer.to_string()).or_default() += 1;
            }
        }
    }
}

/// When clients were seen, in seconds since 1970, each once.
#[derive(Clone, Debug, Default, PartialEq, Tuple)]
pub(crate) struct Seen {
    #[tuple(serde)]
    pub(crate) clients: BTreeMap<String, BTreeSet<u64>>,
}

impl Sum for Seen {
    fn add(&mut self, hit: &Hit) {
        self.clients.entry(hit.client.to_string()).or_default().insert(hit.time);
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
        let gather = |_: &Context| Ok::<_, Error>(Gather::<Views>::default());
        let mut gather = BoltDriver::explicit(Setup::new(), gather).unwrap();
        for (time, client, status) in [(1, "a", 200), (59, "b", 500), (60, "a", 200), (2, "a", 200)]
        {
            gather.execute(hit(time, client, status));
        }
        assert_eq!((gather.acked().len(), gather.held().len()), (0, 4), "nothing is stored yet");
        gather.tick();
        let sums = gather.emitted();
        let told = sums[0].minutes.iter().map(|(at, it)| (*at, it.requests, it.errors));
        assert_eq!((sums.len(), told.collect::<Vec<_>>()), (1, vec![(0, 3, 1), (60, 1, 0)]));
        let page = &sums[0].minutes[&0].pages["/"];
        assert_eq!((page.views, page.visitors.len()), (2, 1));
        assert_eq!((gather.acked().len(), gather.held().len()), (4, 0));
    }

    #[test]
    fn a_client_is_seen_once_at_a_time() {
        let mut seen = Seen::default();
        for hit in [hit(5, "a", 200), hit(3, "a", 200), hit(5, "a", 404), hit(4, "b", 200)] {
            seen.add(&hit);
        }
        assert_eq!(
            seen.clients,
            [("a", vec![3, 5]), ("b", vec![4])]
                .map(|(client, times)| { (client.to_owned(), times.into_iter().collect()) })
                .into()
        );
    }
}
