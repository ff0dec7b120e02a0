//! The whole topology in this process: the same loops and executors, no gRPC and no store.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use daemon::Clock;
use topology_api::{Args, Topology};

use crate::async_io::AsyncIo;
use crate::engine::flow::Budget;
use crate::engine::routing::{Epoch, ExecutorPlace, Released, Route, Table};
use crate::entry::{EX_SOFTWARE, complain, say};
use crate::executor::core_loop::{CoreLoop, LoopStart};
use crate::executor::counters::{Board, Snapshot, TaskCounters};
use crate::executor::effort::ExecutorEffort;
use crate::executor::flows::Flows;
use crate::executor::inbox::{Desired, Inbox, Message};
use crate::executor::plan::{OwnExecutor, Plan};
use crate::executor::routes::Routes;
use crate::executor::seating::Seating;
use crate::transport::Transport;

/// How long open trees may take to end after ctrl-c.
const DRAIN: Duration = Duration::from_secs(5);

/// The loops of a worker, each on its thread.
pub(crate) struct Loops {
    pub(crate) plan: Arc<Plan>,
    pub(crate) inboxes: Arc<[Arc<Inbox>]>,
    threads: Vec<JoinHandle<()>>,
    /// Outlives the threads that enter it.
    async_io: Option<AsyncIo>,
}

impl Loops {
    /// Starts the loops; their spouts wait to be told to emit.
    pub(crate) fn start(
        plan: Plan,
        transport: Option<&Transport>,
        clock: &Clock,
    ) -> std::io::Result<Self> {
        let plan = Arc::new(plan);
        let inboxes = Arc::clone(&plan.inboxes);
        let epoch = clock.now();
        let async_io = plan.has_async().then(AsyncIo::start).transpose()?;
        // Who looks whether all has ended must know of tasks whose loop has not begun yet.
        plan.board.own(&counters_of(&plan, &plan.seating), |_| false);
        let threads = (0..inboxes.len())
            .map(|at| {
                let start = LoopStart {
                    at,
                    plan: Arc::clone(&plan),
                    loops: Arc::clone(&inboxes),
                    transport: transport.cloned(),
                    clock: clock.clone(),
                    epoch,
                };
                let tokio = async_io.as_ref().map(AsyncIo::handle);
                std::thread::Builder::new().name(format!("loop-{at}")).spawn(move || {
                    let _entered = tokio.as_ref().map(tokio::runtime::Handle::enter);
                    CoreLoop::new(start).run();
                })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { plan, inboxes, threads, async_io })
    }

    /// Tells every loop.
    pub(crate) fn tell(&self, message: impl Fn() -> Message) {
        self.inboxes.iter().for_each(|inbox| inbox.send(message()));
    }

    /// Closes all components and ends the loops.
    pub(crate) fn stop(self) {
        self.tell(|| Message::Stop);
        for thread in self.threads {
            // A loop that panicked has said so on standard error.
            drop(thread.join());
        }
        drop(self.async_io);
    }
}

/// The counters, at nothing, of the tasks that are a worker's own.
pub(crate) fn counters_of(plan: &Plan, seating: &Seating) -> Vec<TaskCounters> {
    let components = plan.topology.components();
    let own = seating.seats().filter(|seat| !seat.leaves).map(|seat| &seat.executor);
    let tasks = own.flat_map(|executor| {
        let name = &components[executor.component].name;
        executor.tasks.clone().map(|task| TaskCounters::new(task, executor.index, name))
    });
    tasks.collect()
}

/// How many loops to run when nobody says.
pub(crate) fn cores(asked: usize, topology: &Topology) -> usize {
    let configured = topology.config().worker_cores() as usize;
    match (configured, asked) {
        (0, 0) => std::thread::available_parallelism().map_or(1, usize::from),
        (0, asked) => asked,
        (configured, _) => configured,
    }
}

/// What a topology that ran here left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What its tasks counted, with results and errors.
    pub snapshot: Snapshot,
    /// What its executors did with their time.
    pub efforts: Vec<ExecutorEffort>,
    /// How many tuples took which way.
    pub flows: Flows,
    /// It ended by itself: all spouts were finished and all trees had ended.
    pub complete: bool,
}

/// Runs a topology in this process until its spouts are done or the process is asked to end.
///
/// # Errors
///
/// If threads cannot be started.
pub fn run_here(topology: Topology, arguments: Args) -> std::io::Result<Finished> {
    run_unless(topology, arguments, |_| false)
}

/// Runs a topology as [`run_here`] does, but gives up as soon as it is `hopeless`.
fn run_unless(
    topology: Topology,
    arguments: Args,
    hopeless: fn(&Snapshot) -> bool,
) -> std::io::Result<Finished> {
    let clock = Clock::system();
    let board = Arc::new(Board::new(clock.clone()));
    let executors = own_executors(&topology);
    let table = own_table(&topology, &executors);
    let loops = cores(0, &topology);
    let stuck_after = topology.config().stuck_after();
    let budget = Arc::new(Budget::new(topology.config().worker_memory(), loops));
    let shared = (loops, Arc::clone(&board), budget);
    let plan = Plan::new(topology, arguments, 0, executors, shared);
    let loops = Loops::start(plan, None, &clock)?;
    let seating = Arc::clone(&loops.plan.seating);
    let routes = Arc::new(Routes::new(table, BTreeMap::new(), seating));
    loops.tell(|| Message::Routes(Arc::clone(&routes)));
    loops.tell(|| Message::Desired(Desired::Active));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let complete = runtime.block_on(async {
        let ended = |snapshot: &Snapshot| {
            board.show_stuck(stuck_after);
            snapshot.is_ended()
        };
        let (complete, drain) = tokio::select! {
            () = until(&board, ended) => (true, false),
            () = until(&board, hopeless) => (false, false),
            _ = daemon::signals::terminate() => (false, true),
        };
        if drain {
            loops.tell(|| Message::Desired(Desired::Draining));
            drop(tokio::time::timeout(DRAIN, until(&board, Snapshot::is_quiet)).await);
        }
        complete
    });
    loops.stop();
    let efforts = board.efforts.efforts(clock.now(), |_| None);
    let flows = board.flows.flows();
    Ok(Finished { snapshot: board.snapshot(), efforts, flows, complete })
}

/// Waits until the board shows something.
pub(crate) async fn until(board: &Board, holds: impl Fn(&Snapshot) -> bool) {
    while !holds(&board.snapshot()) {
        // Not all that is waited for wakes: counters are posted every 100 ms.
        drop(tokio::time::timeout(Duration::from_millis(50), board.changed.notified()).await);
    }
}

/// All executors of a topology, for one worker.
pub(crate) fn own_executors(topology: &Topology) -> Vec<OwnExecutor> {
    let own = |executor: topology_api::ExecutorDescription| OwnExecutor {
        index: u16::try_from(executor.index).expect("build() limits the executors"),
        component: executor.component,
        tasks: executor.tasks,
        incarnation: 0,
        ownership: 0,
    };
    topology.describe().executors().map(own).collect()
}

/// The routing table of a topology that one worker runs.
pub(crate) fn own_table(topology: &Topology, executors: &[OwnExecutor]) -> Table {
    let executors = executors
        .iter()
        .map(|executor| ExecutorPlace {
            index: executor.index,
            component: topology.components()[executor.component].name.clone(),
            tasks: executor.tasks.clone(),
            incarnation: executor.incarnation,
            ownership: 0,
            formers: Vec::new(),
        })
        .collect();
    let epoch = Epoch { revision: 1, restarts: 0 };
    let (address, released) = (String::new(), Released::default());
    Table::new(1, vec![Route { worker: 0, epoch, address, since_version: 1, executors, released }])
}

/// Runs a topology here and prints a summary.
pub(crate) fn run_and_tell(
    topology: Topology,
    arguments: Args,
) -> Result<ExitCode, super::entry::Problem> {
    daemon::logging::init_default();
    let clock = Clock::system();
    let started = clock.now();
    let name = topology.name().to_owned();
    // Who runs it by hand wants to know of a wrong file name now, not to wait for the file.
    let finished = run_unless(topology, arguments, |so_far| unopened(so_far).is_some());
    let finished = finished.map_err(|error| super::entry::Problem {
        code: 71,
        text: format!("the topology cannot run here: {error}"),
    })?;
    if let Some(text) = unopened(&finished.snapshot) {
        return Err(super::entry::Problem { code: EX_SOFTWARE, text });
    }
    let seconds = clock.now().saturating_duration_since(started).as_secs_f64();
    let how = if finished.complete { "finished" } else { "was stopped" };
    say(&format!("{name} {how} after {seconds:.1} s"));
    say(&summary(&finished.snapshot));
    for (task, json) in &finished.snapshot.results {
        let component = component_of(&finished.snapshot, *task);
        say(&format!("result of {component} (task {task}): {json}"));
    }
    errors(&finished.snapshot).iter().for_each(|text| complain(text));
    Ok(if finished.complete { ExitCode::SUCCESS } else { ExitCode::from(130) })
}

/// What to say if a component could not be opened.
fn unopened(snapshot: &Snapshot) -> Option<String> {
    let error = snapshot.errors.iter().find(|error| error.reason == "factory")?;
    let component = component_of(snapshot, error.task);
    Some(format!("{component} cannot start: {}", error.text))
}

fn component_of(snapshot: &Snapshot, task: u32) -> &str {
    let counters = snapshot.tasks.iter().find(|counters| counters.task == task);
    counters.map_or("a component", |counters| &counters.component)
}

/// The last error of each component and kind.
fn errors(snapshot: &Snapshot) -> Vec<String> {
    let mut kinds = BTreeMap::<(&str, &str), (&str, u64)>::new();
    for error in &snapshot.errors {
        let component = component_of(snapshot, error.task);
        let (text, count) = kinds.entry((component, error.reason)).or_default();
        *text = &error.text;
        *count += 1;
    }
    let told = kinds.into_iter().map(|((component, reason), (text, count))| match count {
        1 => format!("{component}: {reason}: {text}"),
        _ => format!("{component}: {reason}: {text} (and at least {} before it)", count - 1),
    });
    told.collect()
}

/// A table of what the components did, and below it what they counted themselves.
fn summary(snapshot: &Snapshot) -> String {
    let mut components: Vec<(String, [u64; 4])> = Vec::new();
    for task in &snapshot.tasks {
        let failed = task.failed.values().sum();
        let counts = [task.emitted, task.executed, task.acked, failed];
        match components.iter_mut().find(|(name, _)| *name == task.component) {
            None => components.push((task.component.clone(), counts)),
            Some((_, sums)) => sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count),
        }
    }
    let mut lines = vec![format!(
        "{:<20}{:>12}{:>12}{:>12}{:>10}",
        "component", "emitted", "executed", "acked", "failed"
    )];
    for (name, [emitted, executed, acked, failed]) in components {
        lines.push(format!("{name:<20}{emitted:>12}{executed:>12}{acked:>12}{failed:>10}"));
    }
    let mut counted = BTreeMap::<(&str, &str), u64>::new();
    for task in &snapshot.tasks {
        for (name, count) in &task.counters {
            *counted.entry((&task.component, name)).or_default() += count;
        }
    }
    let counted = counted.into_iter().filter(|(_, count)| *count > 0);
    lines.extend(counted.map(|((component, name), count)| format!("{component}: {name}={count}")));
    lines.join("\n")
}
