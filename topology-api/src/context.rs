//! What a task can ask about itself and its topology.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::clock::Clock;
use crate::keeping::Keeper;
use crate::metrics::{Counter, Gauge, Histogram, Metrics};
use crate::output::find_port;
use crate::said::said;
use crate::{Error, Port, TopologyConfig, Tuple};

/// Most bytes of JSON that a task may leave as its result.
pub const RESULT_BYTES_MAX: usize = 1024 * 1024;

/// The arguments that the topology was started or submitted with.
///
/// ```
/// use topology_api::Args;
///
/// let args = Args::new(["a.txt", "b.txt", "--follow", "--top=10"]);
/// assert_eq!(args.files().len(), 2);
/// assert_eq!(args.iter().next(), Some("a.txt"));
/// assert!(args.flag("follow"));
/// assert_eq!(args.value("top"), Some("10"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    words: Arc<[String]>,
}

impl Args {
    /// Makes arguments from words.
    pub fn new<I>(words: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self { words: words.into_iter().map(Into::into).collect() }
    }

    /// Gives the arguments one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Tells whether there is an argument `--name`.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.iter().any(|word| word.strip_prefix("--") == Some(name))
    }

    /// Gives what stands behind `--name=`; the first, if it is there more than once.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let option = |word: &'_ str| {
            word.strip_prefix("--").is_some_and(|rest| {
                rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
            })
        };
        self.iter().find(|word| option(word))?.split_once('=').map(|(_, value)| value)
    }

    /// Gives the arguments that are not flags, as paths.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.iter().filter(|word| !word.starts_with("--")).map(PathBuf::from).collect()
    }
}

/// Takes what tasks report of themselves; made by the worker.
pub trait Reporter: Send + Sync {
    /// The task's result so far, as JSON.
    fn result(&self, task: u32, json: String);
    /// The metrics of the task: the same each time.
    fn metrics(&self, task: u32) -> Arc<Metrics>;
    /// Shows an error of the task.
    fn error(&self, task: u32, text: String);
    /// Makes what sees the calls of a thread, if anybody wants to.
    fn watch(&self) -> Option<Arc<dyn Watch>> {
        None
    }
}

/// Sees the calls that one thread makes, so that one that does not come back is told of.
pub trait Watch: Send + Sync {
    /// A call into a component of this task begins.
    fn begin(&self, task: u32);
    /// It has ended; tells how long it took.
    fn end(&self) -> Duration;
}

/// A declared output of the component, as the context knows it.
#[derive(Clone, Debug)]
pub struct OutputName {
    /// The stream's name.
    pub name: String,
    /// The Rust type of its tuples.
    pub tuple: &'static str,
    /// Whether any component reads it.
    pub is_read: bool,
}

/// The facts of one task; made by the worker.
#[derive(Clone)]
pub struct TaskFacts {
    /// Name of the topology.
    pub topology: String,
    /// Name of the component.
    pub component: String,
    /// The task's number within the topology.
    pub task: u32,
    /// The tasks of its component.
    pub tasks: Range<u32>,
    /// The worker's number within the topology.
    pub worker: u32,
    /// Arguments of the topology.
    pub arguments: Args,
    /// Configuration of the topology.
    pub config: TopologyConfig,
    /// The component's output streams, the main one first.
    pub outputs: Vec<OutputName>,
    /// Every component with its tasks.
    pub peers: Vec<(String, Range<u32>)>,
    /// Where reports go.
    pub reporter: Arc<dyn Reporter>,
    /// Has the task called.
    pub waker: Waker,
    /// Keeps dead letters that nobody reads, where somebody does.
    pub keeper: Option<Arc<dyn Keeper>>,
}

/// What a task can ask about itself and its topology. A cheap handle: keep a clone.
///
/// ```
/// use topology_api::prelude::*;
/// #[derive(Clone, Debug, Tuple)]
/// struct Word { word: Text }
///
/// struct Count { words: u64, cx: Context }
///
/// impl Bolt for Count {
///     type Input = Word;
///     type Output = NoOutput;
///     fn execute(&mut self, _: Word, _: &mut Output<NoOutput>) -> BoltResult {
///         self.words += 1;
///         Ok(())
///     }
///     fn finish(&mut self, _: &mut Output<NoOutput>) {
///         self.cx.result(&self.words);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    facts: Arc<TaskFacts>,
    clock: Clock,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} of {}", self.facts.task, self.facts.component)
    }
}

impl Context {
    /// Made by the worker, and by the drivers of [`testing`](crate::testing).
    #[must_use]
    pub fn new(facts: TaskFacts) -> Self {
        Self::with_clock(facts, Clock::System)
    }

    pub(crate) fn with_clock(facts: TaskFacts, clock: Clock) -> Self {
        Self { facts: Arc::new(facts), clock }
    }

    /// Name of the topology.
    #[must_use]
    pub fn topology(&self) -> &str {
        &self.facts.topology
    }

    /// Name of the component.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.facts.component
    }

    /// The task's number within the topology.
    #[must_use]
    pub fn task(&self) -> u32 {
        self.facts.task
    }

    /// The task's number within its component, from 0.
    #[must_use]
    pub fn task_index(&self) -> u32 {
        self.facts.task - self.facts.tasks.start
    }

    /// How many tasks the component has.
    #[must_use]
    pub fn task_count(&self) -> u32 {
        self.facts.tasks.end - self.facts.tasks.start
    }

    /// The tasks of another component, if there is one of that name.
    #[must_use]
    pub fn tasks_of(&self, component: &str) -> Option<Range<u32>> {
        self.facts.peers.iter().find(|(name, _)| name == component).map(|(_, tasks)| tasks.clone())
    }

    /// The number of the worker that runs the task.
    #[must_use]
    pub fn worker(&self) -> u32 {
        self.facts.worker
    }

    /// The arguments that the topology was started or submitted with.
    #[must_use]
    pub fn arguments(&self) -> &Args {
        &self.facts.arguments
    }

    /// The topology's configuration.
    #[must_use]
    pub fn config(&self) -> &TopologyConfig {
        &self.facts.config
    }

    /// The time, to measure with. In tests it stands still, but for what the driver's `advance`
    /// moves it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The time of day, to write down. In tests it moves as [`Context::now`] does.
    #[must_use]
    pub fn wall_clock(&self) -> SystemTime {
        self.clock.wall()
    }

    /// Finds a declared side output, to emit to with `out.to(&port)`.
    ///
    /// # Errors
    ///
    /// If the component declares no such output, or one of another type.
    pub fn port<T: Tuple>(&self, name: &str) -> Result<Port<T>, Error> {
        find_port(self, name)
    }

    /// Leaves the task's result, shown in the status; a later one replaces it. At most 1 MiB of JSON:
    /// a larger one is reported as an error instead.
    pub fn result<V: Serialize + ?Sized>(&self, value: &V) {
        match serde_json::to_string(value) {
            Ok(json) if json.len() <= RESULT_BYTES_MAX => {
                self.facts.reporter.result(self.facts.task, json);
            }
            Ok(json) => self.report_error(&format!(
                "the result has {} bytes of JSON, more than the {RESULT_BYTES_MAX} allowed",
                json.len()
            )),
            Err(error) => self.report_error(&format!("the result cannot be JSON: {error}")),
        }
    }

    /// A counter of the task, shown in the status and to Prometheus. Keep it: asking takes a lock.
    #[must_use]
    pub fn counter(&self, name: &'static str) -> Counter {
        self.facts.reporter.metrics(self.facts.task).counter(name)
    }

    /// A gauge of the task, shown as [`counter`](Self::counter).
    #[must_use]
    pub fn gauge(&self, name: &'static str) -> Gauge {
        self.facts.reporter.metrics(self.facts.task).gauge(name)
    }

    /// A histogram of the task, shown as [`counter`](Self::counter).
    #[must_use]
    pub fn histogram(&self, name: &'static str) -> Histogram {
        self.facts.reporter.metrics(self.facts.task).histogram(name)
    }

    /// Adds to a counter of the task, shown in the status. Takes a lock: for what happens often, keep a
    /// [`counter`](Self::counter).
    pub fn count(&self, counter: &'static str, by: u64) {
        self.counter(counter).add(by);
    }

    /// For a spout, while it is told of a failure: what was said of it, the text of an error or a panic.
    /// None if that is not known, as after a timeout.
    #[must_use]
    pub fn failure_text(&self) -> Option<Box<str>> {
        said()
    }

    /// Shows an error in the status without failing a tuple.
    pub fn report_error(&self, text: &str) {
        self.facts.reporter.error(self.facts.task, text.to_owned());
    }

    /// Has the task called soon: for other threads that have something for it.
    ///
    /// A spout that said [`Next::Idle`](crate::Next::Idle) is asked again at once instead of after a
    /// pause of up to 10 ms; a spout that was woken while it was in `next` is asked once more. A
    /// bolt has its turn, but no method of its is called for that. Waking is cheap, may be done from
    /// any thread at any time, and many wakes before a call count as one. It does not shorten the
    /// pause after an error, and does nothing while the topology is not active.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use topology_api::prelude::*;
    ///
    /// /// Emits what another thread leaves in `lines`.
    /// struct Left { lines: Arc<Mutex<Vec<Line>>> }
    ///
    /// impl Left {
    ///     fn new(cx: &Context) -> Self {
    ///         let lines = Arc::new(Mutex::new(Vec::new()));
    ///         let (to, waker) = (Arc::clone(&lines), cx.waker());
    ///         std::thread::spawn(move || {
    ///             to.lock().unwrap().push(Line { text: "hello".into() });
    ///             waker.wake();
    ///         });
    ///         Self { lines }
    ///     }
    /// }
    ///
    /// impl Spout for Left {
    ///     type Output = Line;
    ///     type Id = ();
    ///     fn next(&mut self, out: &mut SpoutOutput<Line, ()>) -> SpoutResult {
    ///         let Some(line) = self.lines.lock().unwrap().pop() else { return Ok(Next::Idle) };
    ///         out.emit((), line);
    ///         Ok(Next::Emitted)
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.facts.waker.clone()
    }

    /// The same, with something else to wake.
    pub(crate) fn with_waker(&self, waker: Waker) -> Self {
        Self::with_clock(TaskFacts { waker, ..(*self.facts).clone() }, self.clock.clone())
    }

    pub(crate) fn watch(&self) -> Option<Arc<dyn Watch>> {
        self.facts.reporter.watch()
    }

    /// Whoever keeps what nobody reads.
    pub(crate) fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.facts.keeper.clone()
    }

    /// Tells whether any component reads an output.
    pub(crate) fn is_read(&self, output: &str) -> bool {
        self.facts.outputs.iter().any(|known| known.name == output && known.is_read)
    }

    pub(crate) fn outputs(&self) -> &[OutputName] {
        &self.facts.outputs
    }
}
