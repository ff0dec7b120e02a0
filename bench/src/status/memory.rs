//! What nimbus keeps of a large cluster when its histories are full: the memory of this process before
//! anything was reported, and after a day.
//!
//! Its engine is told as the daemon tells it, of reports that were decoded as they come from the
//! network. The day passes in leaps, in which points of histories are gaps; they take as much room.
//! Everything counts that the allocator has not given back: what was needed for a moment too.

use std::time::Duration;

use nimbus::engine::event::{Event, Request, Submission, Verb};
use nimbus::engine::liveness::Patience;
use nimbus::engine::view::epoch_revision;
use nimbus::status::Query;
use nimbus::status::history::history;
use prost::Message;
use proto::supervisor::SupervisorReport;
use serde::Serialize;

use super::reports::{Place, Shape, count_on, report, topology_name};
use crate::figures::{as_f64, rounded};
use crate::meter::now_ns;
use crate::problem::Problem;
use crate::world::World;

/// What is kept.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// Before anything was reported: the program, what was submitted and placed, the reports to come.
    before_mib: f64,
    after_mib: f64,
    /// Metrics, status and history.
    pub(super) kept_mib: f64,
    /// Bytes of one report of one supervisor.
    report_bytes: usize,
    /// Most time that the engine took for such a report.
    pub(super) report_ms: f64,
    /// Most time that it took for the second that was over.
    pub(super) second_ms: f64,
    /// A history of an hour, as it is shown: bytes, and time to make it.
    history_bytes: usize,
    history_ms: f64,
}

/// Nobody is lost though a day passes in leaps.
const PATIENCE: Patience = Patience {
    silent: Duration::from_hours(100),
    alone: Duration::from_hours(100),
    away: Duration::from_hours(100),
    grace: Duration::ZERO,
};

/// Reports for a day, and measures.
pub(super) fn measure(shape: Shape) -> Result<Memory, Problem> {
    let mut world = World::new(&shape.supervisors(), shape.topologies, PATIENCE);
    let places = submit(&mut world, shape)?;
    let mut reports = Vec::new();
    for supervisor in shape.supervisors() {
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == supervisor).collect();
        reports.push(report(shape, &here)?.encode_to_vec());
    }
    // The allocator has room for them then.
    reports.iter().try_for_each(|bytes| decode(bytes).map(drop))?;
    let before = resident()?;
    let (mut report_ms, mut second_ms) = (0.0_f64, 0.0_f64);
    let leaps = [Duration::from_mins(23 * 60 + 5), Duration::from_secs(3_590)];
    let seconds = || std::iter::repeat_n(Duration::from_secs(1), 15);
    let steps = seconds().chain([leaps[0]]).chain(seconds()).chain([leaps[1]]).chain(seconds());
    for (step, number) in steps.zip(1..) {
        world.clock.advance(step);
        for bytes in &reports {
            let mut report = decode(bytes)?;
            count_on(&mut report, number);
            report_ms = report_ms.max(timed(&mut world, Event::Report(Box::new(report))));
        }
        second_ms = second_ms.max(timed(&mut world, Event::Tick));
    }
    let begun = now_ns();
    let name = topology_name(0);
    let shown = history(&world.engine, &name, &Query::of("from=0"), world.now());
    let shown = shown.map_err(|refusal| Problem::failed("there is no history", refusal.why))?;
    let json = serde_json::to_string(&shown)
        .map_err(|error| Problem::failed("the history cannot be shown", error))?;
    let history_ms = as_f64(now_ns() - begun) / 1e6;
    if shown.emitted.len() < 3_600 {
        return Err(Problem::failed("the histories are not full", shown.emitted.len()));
    }
    let after = resident()?;
    Ok(Memory {
        before_mib: before,
        after_mib: after,
        kept_mib: rounded(after - before),
        report_bytes: reports.first().map_or(0, Vec::len),
        report_ms: rounded(report_ms),
        second_ms: rounded(second_ms),
        history_bytes: json.len(),
        history_ms: rounded(history_ms),
    })
}

/// Submits all topologies, and returns where their workers are.
fn submit(world: &mut World, shape: Shape) -> Result<Vec<Place>, Problem> {
    for number in 0..shape.topologies {
        for supervisor in shape.supervisors() {
            let report = SupervisorReport { supervisor, ..SupervisorReport::default() };
            world.tell(Event::Report(Box::new(report)));
        }
        let submission = Submission {
            spec: shape.spec(number),
            digest: "d".repeat(64),
            workers: shape.workers,
            ..Submission::default()
        };
        let verb = Verb::Submit(Box::new(submission));
        world.tell(Event::Asked { ticket: 0, request: Request { id: String::new(), verb } });
        world.clock.advance(Duration::from_secs(1));
        world.tell(Event::Tick);
    }
    let places = world.engine.view().all_in_force().map(|held| Place {
        topology: held.record.topology.clone(),
        supervisor: held.record.supervisor.clone(),
        worker: held.record.worker,
        slot: held.record.slot,
        revision: epoch_revision(held),
    });
    let places: Vec<Place> = places.collect();
    let wanted = (shape.topologies * shape.workers) as usize;
    if places.len() == wanted {
        return Ok(places);
    }
    Err(Problem::failed("not everything was placed", format!("{} of {wanted}", places.len())))
}

fn timed(world: &mut World, event: Event) -> f64 {
    let begun = now_ns();
    world.tell(event);
    as_f64(now_ns() - begun) / 1e6
}

fn decode(bytes: &[u8]) -> Result<SupervisorReport, Problem> {
    SupervisorReport::decode(bytes)
        .map_err(|error| Problem::failed("a report cannot be read", error))
}

/// The memory that this process has in use, in MiB.
fn resident() -> Result<f64, Problem> {
    let bytes = Some(tests::rss_bytes(std::process::id())).filter(|bytes| *bytes > 0);
    let bytes =
        bytes.ok_or_else(|| Problem::failed("cannot measure memory", "no VmRSS in /proc"))?;
    Ok(rounded(as_f64(bytes) / 1_048_576.0))
}
