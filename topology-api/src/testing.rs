//! Drivers for tests: one spout or bolt by hand, without a topology and without a worker.
//!
//! They go through the same interface that a worker uses, so what a component does here it does
//! there. Time is the test's: it passes when the test says so.

mod async_calls;
mod bolt;
mod spout;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::clock::Clock;
use crate::context::{Args, Context, OutputName, Reporter, TaskFacts};
use crate::keeping::Keeper;
use crate::metrics::Metrics;
use crate::names::did_you_mean;
use crate::output::{MakeLane, make_lane};
use crate::topology::OutputStream;
use crate::{Error, Topology, TopologyConfig, Tuple};

pub use bolt::{BoltDriver, Emission, TupleNumber};
pub use spout::{SpoutDriver, SpoutEmission};

/// What a component under test is told of its surroundings; the defaults suit most.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::testing::{Setup, SpoutDriver};
///
/// let setup = Setup::new().arguments(["no-such-file"]).task(1, 2);
/// let error = SpoutDriver::with(setup, |cx: &Context| {
///     assert_eq!((cx.task_index(), cx.task_count()), (1, 2));
///     LineFiles::open(cx.arguments().files(), cx)
/// });
/// assert!(error.is_ok(), "the only file is the other task's");
/// ```
#[derive(Clone, Debug)]
pub struct Setup {
    component: String,
    arguments: Args,
    config: TopologyConfig,
    index: u32,
    tasks: u32,
    outputs: Vec<OutputName>,
    lanes: Vec<MakeLane>,
    tick: Option<Duration>,
    clock: Clock,
    keeper: Option<Arc<dyn Keeper>>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            component: "component".to_owned(),
            arguments: Args::default(),
            config: TopologyConfig::default(),
            index: 0,
            tasks: 1,
            outputs: vec![OutputName { name: "default".to_owned(), tuple: "", is_read: true }],
            lanes: Vec::new(),
            tick: None,
            clock: Clock::still(),
            keeper: None,
        }
    }
}

impl Setup {
    /// Makes the only task of a component without arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the component a name.
    #[must_use]
    pub fn component(self, name: impl Into<String>) -> Self {
        Self { component: name.into(), ..self }
    }

    /// Gives the topology arguments.
    #[must_use]
    pub fn arguments<I: IntoIterator<Item: Into<String>>>(self, words: I) -> Self {
        Self { arguments: Args::new(words), ..self }
    }

    /// Gives the topology settings.
    #[must_use]
    pub fn config(self, config: TopologyConfig) -> Self {
        Self { config, ..self }
    }

    /// Makes it the task with this index of so many.
    #[must_use]
    pub fn task(self, index: u32, tasks: u32) -> Self {
        assert!(index < tasks, "task {index} is not one of {tasks}");
        Self { index, tasks, ..self }
    }

    /// Declares a side output, as `.output(name)` of the builder does.
    #[must_use]
    pub fn output<T: Tuple>(mut self, name: impl Into<String>) -> Self {
        let tuple = std::any::type_name::<T>();
        self.outputs.push(OutputName { name: name.into(), tuple, is_read: true });
        self.lanes.push(make_lane::<T>);
        self
    }

    /// Lets nobody read the outputs declared so far, and this keep what is to be kept.
    #[cfg(test)]
    pub(crate) fn unread(mut self, keeper: Option<Arc<dyn Keeper>>) -> Self {
        self.outputs.iter_mut().skip(1).for_each(|output| output.is_read = false);
        Self { keeper, ..self }
    }

    /// Lets the component tick once a period, as `.tick_every(period)` of the builder does.
    #[must_use]
    pub fn tick_every(self, period: Duration) -> Self {
        assert!(!period.is_zero(), "a tick period is longer than nothing");
        Self { tick: Some(period), ..self }
    }

    /// The surroundings of a component as the topology declares it.
    fn of(topology: &Topology, name: &str) -> Result<Self, Error> {
        let components = topology.components();
        let component = components.iter().find(|component| component.name == name);
        let component = component.ok_or_else(|| {
            let names = components.iter().map(|component| component.name.as_str());
            format!("the topology has no component `{name}`{}", did_you_mean(name, names))
        })?;
        // As if every output were read: so the driver shows all of them.
        let output = |output: &OutputStream| OutputName {
            name: output.name.clone(),
            tuple: output.tuple,
            is_read: true,
        };
        Ok(Self {
            component: name.to_owned(),
            config: topology.config().clone(),
            outputs: component.outputs.iter().map(output).collect(),
            lanes: component.outputs[1..].iter().map(|output| output.lane).collect(),
            tick: component.tick,
            ..Self::default()
        })
    }

    fn context(&self, reports: &Reports) -> Context {
        let facts = TaskFacts {
            topology: "test".to_owned(),
            component: self.component.clone(),
            task: self.index,
            tasks: 0..self.tasks,
            worker: 0,
            arguments: self.arguments.clone(),
            config: self.config.clone(),
            outputs: self.outputs.clone(),
            peers: vec![(self.component.clone(), 0..self.tasks)],
            reporter: Arc::new(reports.clone()),
            waker: Waker::from(Arc::clone(&reports.woken)),
            keeper: self.keeper.clone(),
        };
        Context::with_clock(facts, self.clock.clone())
    }

    /// Finds the index of an output stream.
    fn stream(&self, name: &str) -> usize {
        let found = self.outputs.iter().position(|output| output.name == name);
        found.unwrap_or_else(|| panic!("`{name}` is no output: declare it with `Setup::output`"))
    }
}

/// What the component under test reported through its context.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reports {
    told: Arc<Mutex<Told>>,
    woken: Arc<Woken>,
}

/// Passes a wake of the component on to whoever waits for it.
#[derive(Debug, Default)]
struct Woken {
    waits: Mutex<Option<Waker>>,
}

impl Woken {
    fn pass_to(&self, waits: &Waker) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = Some(waits.clone());
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waits) = waits {
            waits.wake();
        }
    }
}

#[derive(Debug, Default)]
struct Told {
    result: Option<String>,
    metrics: Arc<Metrics>,
    errors: Vec<String>,
}

impl Reports {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn result(&self) -> Option<serde_json::Value> {
        let told = self.told();
        let json = told.result.as_ref()?;
        Some(serde_json::from_str(json).expect("the context writes results as JSON"))
    }

    fn counter(&self, name: &str) -> u64 {
        let counters = self.told().metrics.values().counters;
        counters.into_iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    fn errors(&self) -> Vec<String> {
        self.told().errors.clone()
    }
}

impl Reporter for Reports {
    fn result(&self, _task: u32, json: String) {
        self.told().result = Some(json);
    }

    fn metrics(&self, _task: u32) -> Arc<Metrics> {
        Arc::clone(&self.told().metrics)
    }

    fn error(&self, _task: u32, text: String) {
        self.told().errors.push(text);
    }
}

/// Says how many ticks fall due as time passes.
#[derive(Debug, Default)]
struct Ticker {
    period: Option<Duration>,
    since: Duration,
}

impl Ticker {
    fn new(period: Option<Duration>) -> Self {
        Self { period, since: Duration::ZERO }
    }

    /// Lets time pass up to the next tick, if it falls within `left`; takes that much off `left`.
    fn next(&mut self, left: &mut Duration) -> bool {
        let due = self.period.map(|period| period - self.since).filter(|due| due <= left);
        let passed = due.unwrap_or(*left);
        *left -= passed;
        self.since = if due.is_some() || self.period.is_none() {
            Duration::ZERO
        } else {
            self.since + passed
        };
        due.is_some()
    }
}

macro_rules! report_methods {
    () => {
        /// Gives the result that the component left, if it left one.
        pub fn result(&self) -> Option<serde_json::Value> {
            self.reports.result()
        }

        /// Gives what the component counted under this name.
        pub fn counter(&self, name: &str) -> u64 {
            self.reports.counter(name)
        }

        /// Gives the errors that the component showed without failing a tuple.
        pub fn errors(&self) -> Vec<String> {
            self.reports.errors()
        }

        /// Lets time pass, for `cx.now()` too; the component ticks once for each period of
        /// `Setup::tick_every`, and then calls of an async bolt that are past their deadline fail.
        pub fn advance(&mut self, time: Duration) {
            let mut left = time;
            loop {
                let before = left;
                let ticks = self.ticker.next(&mut left);
                self.setup.clock.advance(before - left);
                if !ticks {
                    return self.pass(time);
                }
                self.tick();
            }
        }
    };
}
use report_methods;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_fall_due_by_the_sum_of_the_time_that_passes() {
        let mut ticker = Ticker::new(Some(Duration::from_secs(10)));
        let mut ticks = |seconds| {
            let mut left = Duration::from_secs(seconds);
            std::iter::from_fn(|| ticker.next(&mut left).then_some(())).count()
        };
        assert_eq!(ticks(9), 0, "not yet");
        assert_eq!(ticks(1), 1, "on time");
        assert_eq!(ticks(25), 2, "once a period");
        assert_eq!(ticks(5), 1, "the rest counts");
    }
}
