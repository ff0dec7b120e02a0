//! How long the engine of a nimbus is held up by what a large cluster reports, and by histories that
//! are full.
//!
//! It is told as the daemon tells it, of reports as they come from the network, at first whole and then as
//! supervisors send them, read and packed before the engine has them. The day passes in leaps, in which points of
//! histories are gaps.

use std::time::Duration;

use bytes::Bytes;
use daemon::Clock;
use nimbus::engine::event::{Event, Request, Submission, Verb};
use nimbus::engine::liveness::Patience;
use nimbus::engine::reports::incoming::Incoming;
use nimbus::engine::view::epoch_revision;
use nimbus::status::Query;
use nimbus::status::history::history;
use prost::{DecodeError, Message};
use proto::received::Received;
use proto::supervisor::SupervisorReport;
use serde::Serialize;
use supervisor::Portions;

use super::answers::REPORT_EVERY;
use super::reports::{EACH_SECOND, Place, Shape, VALUES, count_on, report, topology_name};
use crate::figures::{as_f64, rounded};
use crate::meter::now_ns;
use crate::problem::Problem;
use crate::world::World;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Engine {
    /// Bytes of one whole report of one supervisor.
    report_bytes: usize,
    /// Most time that reading and packing such a report took, or a part of it: others have their turns meanwhile.
    pub(super) packing_ms: f64,
    /// Most time that reading and packing what one worker reports took.
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
pub(super) fn measure(shape: Shape) -> Result<Engine, Problem> {
    let mut world = World::new(&shape.supervisors(), shape.topologies, PATIENCE);
    let places = submit(&mut world, shape)?;
    let Reports { whole, portions } = reports(shape, &places)?;
    let mut took = Took::default();
    whole.iter().try_for_each(|bytes| took.report(&mut world, bytes, 1))?;
    let leaps = [Duration::from_mins(23 * 60 + 5), Duration::from_secs(3_590)];
    let seconds = || std::iter::repeat_n(Duration::ZERO, 15);
    let leaps = seconds().chain([leaps[0]]).chain(seconds()).chain([leaps[1]]).chain(seconds());
    for (leap, number) in leaps.zip(2..) {
        world.clock.advance(leap);
        took.second(&mut world, &portions, number)?;
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
    Ok(Engine {
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
    /// What goes out in a second, by turn.
    portions: Vec<Vec<Vec<u8>>>,
}

fn reports(shape: Shape, places: &[Place]) -> Result<Reports, Problem> {
    let mut reports = Reports { whole: Vec::new(), portions: Vec::new() };
    reports.portions.resize_with(usize::try_from(EACH_SECOND).unwrap_or_default(), Vec::new);
    for supervisor in shape.supervisors() {
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == supervisor).collect();
        let report = report(shape, &here, VALUES)?;
        reports.whole.push(report.encode_to_vec());
        let (mut portions, clock) = (Portions::default(), Clock::manual());
        for turn in &mut reports.portions {
            let sent = portions.of(report.clone(), clock.now());
            turn.extend(sent.iter().map(Message::encode_to_vec));
            clock.advance(REPORT_EVERY);
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
    /// A second in which every supervisor tells of each of its workers once.
    fn second(
        &mut self,
        world: &mut World,
        portions: &[Vec<Vec<u8>>],
        number: u64,
    ) -> Result<(), Problem> {
        for tenth in 0..TENTHS {
            world.clock.advance(Duration::from_millis(1_000 / TENTHS));
            for (turn, portions) in (0..).zip(portions) {
                if turn * TENTHS / EACH_SECOND == tenth {
                    portions.iter().try_for_each(|bytes| self.report(world, bytes, number))?;
                }
            }
            let begun = now_ns();
            world.tell(Event::Tick);
            self.tenth = self.tenth.max(ms_since(begun));
        }
        Ok(())
    }

    fn report(&mut self, world: &mut World, bytes: &[u8], number: u64) -> Result<(), Problem> {
        let mut report = SupervisorReport::decode(bytes).map_err(|error| unreadable(&error))?;
        count_on(&mut report, number);
        let bytes = Bytes::from(report.encode_to_vec());
        let received = Received::decode(bytes).map_err(|error| unreadable(&error))?;
        let mut incoming = Incoming::from(received);
        let begun = now_ns();
        loop {
            let begun = now_ns();
            if !incoming.pack_next().map_err(|error| unreadable(&error))? {
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

fn unreadable(error: &DecodeError) -> Problem {
    Problem::failed("a report cannot be read", error)
}
