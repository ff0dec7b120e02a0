//! What nimbus keeps of a large cluster when its histories are full: the memory of this process before
//! anything was reported, and after a day.
//!
//! Its engine is told as the daemon tells it, of reports that were decoded as they come from the
//! network, at first whole and then in parts, and packed before the engine has them. The day passes in leaps, in which points of histories are gaps; they take as much room.
//! Everything counts that the allocator has not given back: what was needed for a moment too.

use std::time::Duration;

use nimbus::engine::event::{Event, Request, Submission, Verb};
use nimbus::engine::liveness::Patience;
use nimbus::engine::reports::incoming::Incoming;
use nimbus::engine::view::epoch_revision;
use nimbus::status::Query;
use nimbus::status::history::history;
use prost::Message;
use proto::supervisor::SupervisorReport;
use serde::Serialize;

use super::reports::{PARTS, Place, Shape, count_on, part, report, topology_name};
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
    /// Bytes of one whole report of one supervisor.
    report_bytes: usize,
    /// Most time that packing such a report took, or a part of it: others have their turns meanwhile.
    pub(super) packing_ms: f64,
    /// Most time that packing what one worker reports took.
    pub(super) packing_worker_ms: f64,
    /// Most time that the engine took for a report.
    pub(super) report_ms: f64,
    /// Most time that it took for a tenth of the second that was over.
    pub(super) tenth_ms: f64,
    /// A history of an hour, as it is shown: bytes, and time to make it.
    history_bytes: usize,
    history_ms: f64,
}

/// The daemon tells the engine ten times a second that time has passed.
const TENTHS: u64 = 10;

/// Nobody is lost though a day passes in leaps.
const PATIENCE: Patience = Patience {
    severed: Duration::from_hours(100),
    silent: Duration::from_hours(100),
    alone: Duration::from_hours(100),
    away: Duration::from_hours(100),
    grace: Duration::ZERO,
};

/// Reports for a day, and measures.
pub(super) fn measure(shape: Shape) -> Result<Memory, Problem> {
    let mut world = World::new(&shape.supervisors(), shape.topologies, PATIENCE);
    let places = submit(&mut world, shape)?;
    // On a thread of its own: what it leaves of its memory is not there for what is measured.
    let made = std::thread::spawn(move || reports(shape, &places)).join();
    let Reports { whole, parts } =
        made.map_err(|_| Problem::failed("the reports could not be made", "it panicked"))??;
    // The allocator has room for them then.
    whole.iter().try_for_each(|bytes| decode(bytes).map(drop))?;
    let before = resident()?;
    let mut took = Took::default();
    whole.iter().try_for_each(|bytes| took.report(&mut world, bytes, 1))?;
    let leaps = [Duration::from_mins(23 * 60 + 5), Duration::from_secs(3_590)];
    let seconds = || std::iter::repeat_n(Duration::ZERO, 15);
    let leaps = seconds().chain([leaps[0]]).chain(seconds()).chain([leaps[1]]).chain(seconds());
    for (leap, number) in leaps.zip(2..) {
        world.clock.advance(leap);
        took.second(&mut world, &parts, number)?;
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
        report_bytes: whole.first().map_or(0, Vec::len),
        packing_ms: rounded(took.packing),
        packing_worker_ms: rounded(took.packing_worker),
        report_ms: rounded(took.report),
        tenth_ms: rounded(took.tenth),
        history_bytes: json.len(),
        history_ms: rounded(history_ms),
    })
}

/// What all supervisors tell, as it comes from the network.
struct Reports {
    whole: Vec<Vec<u8>>,
    /// By turn.
    parts: Vec<Vec<Vec<u8>>>,
}

fn reports(shape: Shape, places: &[Place]) -> Result<Reports, Problem> {
    let mut reports = Reports { whole: Vec::new(), parts: Vec::new() };
    reports.parts.resize_with(usize::try_from(PARTS).unwrap_or_default(), Vec::new);
    for supervisor in shape.supervisors() {
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == supervisor).collect();
        let report = report(shape, &here)?;
        reports.whole.push(report.encode_to_vec());
        for (turn, parts) in (0..).zip(&mut reports.parts) {
            let mut report = report.clone();
            part(&mut report, turn);
            parts.push(report.encode_to_vec());
        }
    }
    Ok(reports)
}

/// Submits all topologies, and returns where their workers are.
fn submit(world: &mut World, shape: Shape) -> Result<Vec<Place>, Problem> {
    for number in 0..shape.topologies {
        for supervisor in shape.supervisors() {
            let report = SupervisorReport { supervisor, ..SupervisorReport::default() };
            world.tell(Event::Report(Box::new(report.into())));
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

/// What took longest of each, in ms.
#[derive(Debug, Default)]
struct Took {
    packing: f64,
    packing_worker: f64,
    report: f64,
    tenth: f64,
}

impl Took {
    /// A second in which every supervisor reports of each part of its workers once.
    fn second(
        &mut self,
        world: &mut World,
        parts: &[Vec<Vec<u8>>],
        number: u64,
    ) -> Result<(), Problem> {
        for tenth in 0..TENTHS {
            world.clock.advance(Duration::from_millis(1_000 / TENTHS));
            for (turn, parts) in (0..).zip(parts) {
                if turn * TENTHS / PARTS == tenth {
                    parts.iter().try_for_each(|bytes| self.report(world, bytes, number))?;
                }
            }
            let begun = now_ns();
            world.tell(Event::Tick);
            self.tenth = self.tenth.max(ms_since(begun));
        }
        Ok(())
    }

    fn report(&mut self, world: &mut World, bytes: &[u8], number: u64) -> Result<(), Problem> {
        let mut report = decode(bytes)?;
        count_on(&mut report, number);
        let mut incoming = Incoming::new(report);
        let begun = now_ns();
        loop {
            let begun = now_ns();
            if !incoming.pack_next() {
                break;
            }
            self.packing_worker = self.packing_worker.max(ms_since(begun));
        }
        self.packing = self.packing.max(ms_since(begun));
        let begun = now_ns();
        world.tell(Event::Report(Box::new(incoming)));
        self.report = self.report.max(ms_since(begun));
        Ok(())
    }
}

fn ms_since(begun: u64) -> f64 {
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
