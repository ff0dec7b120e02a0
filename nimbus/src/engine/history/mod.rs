//! What topologies did over time: rates, latencies, how full and how busy, by component.
//!
//! An hour by the second and a day by the minute, in bounded memory: each point takes fourteen bytes, and
//! about half of that two minutes later ([`ring`]), so a component takes some 30 KiB when its rings are
//! full, and 75 KiB at most; and what its tasks did of late ([`recent`]) some 184 bytes a task. With more
//! than [`SERIES_MAX`] components and topologies all are kept for a shorter time instead. Fifty topologies
//! of ten components and 1000 tasks that never rest stay below 30 MiB, as a test says; what the process
//! takes in all `bench status` measures.
//!
//! Nothing of it is stored: a nimbus that takes the lead begins with an empty history. What is not
//! known is a gap and never zero: a second in which no worker of a topology was heard of, and the
//! first after a change of leaders.

mod block;
pub mod buckets;
pub mod compact;
pub mod counted;
pub mod recent;
pub mod ring;
mod series;

use std::collections::BTreeMap;

use proto::store::TopologySpec;

pub use series::{Done, PERCENTS, Series};

use super::reports::Told;
use buckets::Buckets;
use counted::Counted;
use recent::Worker;

/// So many series are kept in full.
pub const SERIES_MAX: usize = 560;

/// How many points each series keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// By the second.
    pub seconds: usize,
    /// By the minute.
    pub minutes: usize,
}

impl Keep {
    /// An hour by the second, a day by the minute.
    pub const FULL: Self = Self { seconds: 3_600, minutes: 1_440 };

    /// What there is room for with so many series.
    #[must_use]
    pub fn of(series: usize) -> Self {
        let shorter = |points: usize| (points * SERIES_MAX / series.max(SERIES_MAX)).max(60);
        Self { seconds: shorter(Self::FULL.seconds), minutes: shorter(Self::FULL.minutes) }
    }
}

/// What a topology did over time.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// By number.
    workers: BTreeMap<u32, Worker>,
    components: BTreeMap<String, Series>,
    whole: Series,
    counted: Counted,
    /// The last second in which a worker was heard of.
    heard: Option<u64>,
}

/// What came in of one component.
#[derive(Default)]
struct Part {
    done: Done,
    buckets: Buckets,
    spout: bool,
}

impl History {
    /// Takes in what the workers told, as a second ends.
    pub fn sample(&mut self, spec: &TopologySpec, told: &Told, second: u64, keep: Keep) {
        let named = spec.components.iter().map(|component| {
            (component.name.as_str(), Part { spout: component.spout, ..Part::default() })
        });
        let mut parts: BTreeMap<&str, Part> = named.collect();
        if !self.hear(told, second, &mut parts) {
            return;
        }
        self.counted.take(told, second);
        let before = self.heard.replace(second).unwrap_or(second);
        let span_ms = (second - before) * 1_000;
        for (name, totals) in &told.dead {
            if let Some(part) = parts.get_mut(name.as_str()) {
                part.buckets.add(if part.spout { &totals.complete } else { &totals.execute });
            }
        }
        let mut whole = Part { done: Done { span_ms, ..Done::default() }, ..Part::default() };
        for (name, mut part) in parts {
            part.done.span_ms = span_ms;
            add_to_whole(&mut whole, &part);
            let series = match self.components.get_mut(name) {
                Some(series) => series,
                None => self.components.entry(name.to_owned()).or_default(),
            };
            series.take(second, &part.done, &part.buckets, keep);
        }
        self.whole.take(second, &whole.done, &whole.buckets, keep);
    }

    /// Adds up what is new of each worker; false if there is nothing new of any.
    fn hear(&mut self, told: &Told, second: u64, parts: &mut BTreeMap<&str, Part>) -> bool {
        self.workers.retain(|worker, _| told.live.contains_key(worker));
        let mut heard = false;
        for (worker, live) in &told.live {
            for counted in &live.work.components {
                let Some(part) = parts.get_mut(&*counted.component) else { continue };
                part.buckets.add(if part.spout { &counted.complete } else { &counted.execute });
                part.done.fill = part.done.fill.max(counted.fill);
            }
            let Some(known) = self.workers.get_mut(worker) else {
                self.workers.insert(*worker, Worker::new(live, second));
                heard = true;
                continue;
            };
            let Some(news) = known.update(live, second) else { continue };
            heard = true;
            let mut owners = BTreeMap::new();
            for (task, counts) in news.tasks {
                let component = live.work.component(task);
                owners.insert(task.executor, component);
                if let Some(part) = parts.get_mut(component) {
                    part.done.add(&Done { counts, ..Done::default() });
                }
            }
            for (executor, [executing, ready, blocked, throttled, total, _]) in news.executors {
                let owner = owners.get(&executor).and_then(|name| parts.get_mut(*name));
                if let Some(part) = owner {
                    let times = [executing.saturating_add(ready), blocked, throttled, total];
                    part.done.add(&Done { times, ..Done::default() });
                }
            }
        }
        heard
    }

    /// What the tasks and executors of a worker did of late.
    #[must_use]
    pub fn worker(&self, worker: u32) -> Option<&Worker> {
        self.workers.get(&worker)
    }

    /// What a component did over time; `None` asks for the whole topology.
    #[must_use]
    pub fn series(&self, component: Option<&str>) -> Option<&Series> {
        component.map_or(Some(&self.whole), |component| self.components.get(component))
    }

    /// What was counted of late, by name.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// How many series there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.components.len() + 1
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let series = self.components.values().chain([&self.whole]).map(Series::bytes);
        let workers = self.workers.values().map(Worker::bytes);
        series.sum::<usize>() + workers.sum::<usize>() + self.counted.bytes()
    }
}

/// Tuples are those of all components, trees and their latency those of the spouts; times and the
/// fullest mailbox are those of the busiest.
fn add_to_whole(whole: &mut Part, part: &Part) {
    let [emitted, executed, acked, failed] = part.done.counts;
    let trees = if part.spout { [acked, failed] } else { [0, 0] };
    let counts = [emitted, executed, trees[0], trees[1]];
    let is_busier = part.done.shares()[0] >= whole.done.shares()[0];
    whole.done.add(&Done { counts, fill: part.done.fill, ..Done::default() });
    if is_busier {
        whole.done.times = part.done.times;
    }
    if part.spout {
        whole.buckets.merge(&part.buckets);
    }
}

#[cfg(test)]
mod tests;
