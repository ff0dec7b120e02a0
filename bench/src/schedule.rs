//! How long the nimbus takes to decide where the executors of one large topology go.
//!
//! Its engine is asked as the daemon asks it, and believes a store that does what the plans say.
//! Nothing is started and nothing is written to disk: this times decisions, not etcd.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use nimbus::engine::command::{Plan, Write};
use nimbus::engine::event::{Event, Request, Submission, Verb};
use nimbus::engine::liveness::Patience;
use proto::supervisor::SupervisorReport;
use serde::Serialize;
use topology_api::TopologyBuilder;

use crate::bolts::{Null, Passed};
use crate::cases::{Constants, Datum};
use crate::figures::{median, rounded};
use crate::options::case_of_words;
use crate::problem::Problem;
use crate::run::{print, tell_machine};
use crate::source::Source;
use crate::world::{Planned, World};

/// Components of the topology, one behind the other.
const COMPONENTS: u32 = 4;

/// Name of the topology.
const NAME: &str = "large";

/// The flags of `schedule`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Schedule {
    /// Tasks of the topology, one an executor
    #[arg(long, value_name = "N", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(4..=16_000))]
    tasks: u32,
    /// Supervisors of the cluster
    #[arg(long, value_name = "N", default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    supervisors: u32,
    /// Slots of each
    #[arg(long, value_name = "N", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    slots: u32,
    /// Workers of the topology [default: one a supervisor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_000))]
    workers: Option<u32>,
    /// How often everything is decided
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Show failures as JSON too
    #[arg(long)]
    json: bool,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
struct Figures {
    case: &'static str,
    tasks: u32,
    supervisors: u32,
    workers: u32,
    rounds: u32,
    decisions: BTreeMap<&'static str, Decided>,
}

/// What one kind of decision took.
#[derive(Debug, Default, Serialize)]
struct Decided {
    median_ms: f64,
    greatest_ms: f64,
    /// Records of workers that are written, for each worker; and all others, for the topology.
    writes_per_worker: f64,
    other_writes: usize,
}

/// A decision: what it took, and the plan.
struct Timed {
    kind: &'static str,
    ms: f64,
    plan: Plan,
}

/// Decides again and again, and prints what it took.
pub(crate) fn measure(schedule: &Schedule) -> Result<(), Problem> {
    let before = tell_machine("before");
    let workers = schedule.workers.unwrap_or(schedule.supervisors);
    let mut timed = Vec::new();
    for _ in 0..schedule.rounds {
        timed.extend(decide(schedule, workers)?);
    }
    let after = tell_machine("after");
    let mut decisions = BTreeMap::new();
    for kind in ["submit", "rebalance", "lost_supervisor"] {
        let of_kind: Vec<&Timed> = timed.iter().filter(|timed| timed.kind == kind).collect();
        let ms: Vec<f64> = of_kind.iter().map(|timed| timed.ms).collect();
        let Some(last) = of_kind.last() else {
            return Err(Problem::failed("cannot time decisions", format!("no {kind} was decided")));
        };
        let is_worker = |write: &&Write| matches!(write, Write::Assignment(_));
        let records = last.plan.prepare.iter().filter(is_worker).count();
        let placed = last.plan.decide.iter().find_map(|write| match write {
            Write::Assigned(assigned) => Some(assigned.workers),
            _ => None,
        });
        let decided = Decided {
            median_ms: rounded(median(&ms).unwrap_or_default()),
            greatest_ms: rounded(ms.iter().copied().fold(0.0, f64::max)),
            writes_per_worker: crate::figures::as_f64(records as u64)
                / f64::from(placed.unwrap_or(workers)),
            other_writes: last.plan.prepare.len() - records + last.plan.decide.len(),
        };
        decisions.insert(kind, decided);
    }
    let Schedule { tasks, supervisors, rounds, .. } = *schedule;
    let figures = Figures { case: "schedule", tasks, supervisors, workers, rounds, decisions };
    print(&figures, [before, after])
}

/// Submits the topology, rebalances it, and loses a supervisor.
fn decide(schedule: &Schedule, workers: u32) -> Result<Vec<Timed>, Problem> {
    let mut rounds = Rounds::new(schedule);
    let spec = (&description(schedule.tasks)?).into();
    let submission = Submission { spec, digest: "d".repeat(64), workers, ..Submission::default() };
    rounds.ask("submit", Verb::Submit(Box::new(submission)));
    let rebalance = Verb::Rebalance {
        name: NAME.to_owned(),
        // One less, so that the executors of one worker have to go elsewhere.
        workers: workers.saturating_sub(1).max(1),
        executors: BTreeMap::new(),
    };
    rounds.ask("rebalance", rebalance);
    rounds.lose_a_supervisor();
    Ok(rounds.timed)
}

/// A topology of that many tasks.
fn description(tasks: u32) -> Result<topology_api::Description, Problem> {
    let case = case_of_words("const-null")?;
    let mut t = TopologyBuilder::new(NAME);
    let each = tasks / COMPONENTS;
    let own = case.clone();
    let spout = t.spout("spout", move |cx| Source::new(&own, Constants::new(), cx));
    let data = spout.parallelism(tasks - each * (COMPONENTS - 1)).stream();
    for number in 1..COMPONENTS {
        let own = case.clone();
        let sink =
            t.bolt(&format!("sink-{number}"), move |cx| Null::<Datum>::new(Passed::new(&own, cx)));
        sink.parallelism(each).shuffle(&data);
    }
    let topology = t.build();
    topology
        .map(|topology| topology.describe())
        .map_err(|error| Problem::failed("cannot build a topology", error))
}

/// An engine that is asked, and what it decided.
struct Rounds {
    world: World,
    supervisors: Vec<String>,
    timed: Vec<Timed>,
}

impl Rounds {
    fn new(schedule: &Schedule) -> Self {
        let supervisors = (0..schedule.supervisors).map(|number| format!("supervisor-{number:05}"));
        let supervisors: Vec<String> = supervisors.collect();
        let world = World::new(&supervisors, schedule.slots, Patience::default());
        Self { world, supervisors, timed: Vec::new() }
    }

    fn tell(&mut self, kind: &'static str, event: Event) {
        let places =
            |plan: &Plan| plan.prepare.iter().any(|write| matches!(write, Write::Assignment(_)));
        let planned = self.world.tell(event).into_iter().filter(|it| places(&it.plan));
        self.timed.extend(planned.map(|Planned { ms, plan }| Timed { kind, ms, plan }));
    }

    fn ask(&mut self, kind: &'static str, verb: Verb) {
        let request = Request { id: String::new(), verb };
        self.tell(kind, Event::Asked { ticket: 0, request });
        self.pass(kind, Duration::from_secs(1), 0);
    }

    /// Lets time pass; all supervisors but the first `silent` report.
    fn pass(&mut self, kind: &'static str, time: Duration, silent: usize) {
        let step = Duration::from_millis(500);
        let mut passed = Duration::ZERO;
        while passed < time {
            passed += step;
            self.world.clock.advance(step);
            for supervisor in self.supervisors.clone().into_iter().skip(silent) {
                let report = SupervisorReport { supervisor, ..SupervisorReport::default() };
                self.tell(kind, Event::Report(Box::new(report.into())));
            }
            self.tell(kind, Event::Tick);
        }
    }

    fn lose_a_supervisor(&mut self) {
        self.pass("lost_supervisor", Patience::default().alone * 2, 1);
    }
}
