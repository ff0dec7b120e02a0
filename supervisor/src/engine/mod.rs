//! Decides what the slots of one machine do; never acts.
//!
//! [`Engine::handle`] takes what happened and the time, and returns what is to be done. It reads
//! no clock, no file and no socket, so a test (or a simulation) can drive it through any history.
//! `plan` turns the store's records into what each slot is to run, `slot` brings one slot there,
//! `table` builds the routing tables that the workers need.

mod command;
mod epoch;
mod event;
mod letters;
mod plan;
mod slot;
mod state;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::store::LeaderRecord;
use proto::supervisor::desired_state::State as DesiredState;

pub use command::{Command, Instructions, Signal};
pub use epoch::Epoch;
pub use event::{Event, Exit, Fact, Remembered, SlotEvent, Stamped};
pub use letters::{Keep, Letters, Place, chosen};
pub use plan::{InForce, Placement, Plan, View, revision_of};
pub use slot::Slot;
pub use state::{Stage, State, Timings};
pub use table::Routes;

/// A gap between two ticks that only a stopped supervisor, or a machine out of breath, can explain:
/// they come each 250 ms.
const STOOD_STILL: Duration = Duration::from_millis(600);

/// The slots of one supervisor, and all it knows.
///
/// ```
/// use std::time::Duration;
/// use supervisor::engine::{Engine, Event, State, Timings};
///
/// let clock = daemon::Clock::manual();
/// let mut engine = Engine::new("machine-1", 2, Timings::default());
/// let commands = engine.handle(Event::Snapshot(Vec::new()), clock.now());
/// assert!(commands.is_empty(), "an empty store asks for nothing");
/// assert!(engine.slots().all(|slot| slot.state() == State::Empty));
/// ```
#[derive(Debug)]
pub struct Engine {
    supervisor: String,
    timings: Timings,
    view: View,
    /// More than there should be only while workers of an earlier life are being stopped.
    slots: BTreeMap<u32, Slot>,
    count: u32,
    routes: BTreeMap<String, Routes>,
    /// Last epochs of workers that ended here: if they come back, they count on from there.
    retired: BTreeMap<(String, u32), Epoch>,
    /// What each worker was told last.
    told: BTreeMap<u32, Instructions>,
    ticked: Option<Instant>,
    shutdown: bool,
}

impl Engine {
    /// Makes the engine of the supervisor with this id: `slots` empty slots.
    #[must_use]
    pub fn new(supervisor: &str, slots: u32, timings: Timings) -> Self {
        Self {
            supervisor: supervisor.to_owned(),
            timings,
            view: View::default(),
            slots: (0..slots).map(|number| (number, Slot::new(number, timings))).collect(),
            count: slots,
            routes: BTreeMap::new(),
            retired: BTreeMap::new(),
            told: BTreeMap::new(),
            ticked: None,
            shutdown: false,
        }
    }

    /// Remembers the last epoch of a worker that ended here: it is never used again.
    pub fn retire(&mut self, topology: &str, worker: u32, epoch: Epoch) {
        let last = self.retired.entry((topology.to_owned(), worker)).or_default();
        *last = epoch.max(*last);
    }

    /// Decides what follows from an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Snapshot(facts) => self.view.replace(facts),
            Event::Restored(facts) => {
                for slot in self.slots.values_mut() {
                    commands.extend(slot.handle(SlotEvent::Wanted(None), now));
                }
                self.routes.clear();
                self.view = View::default();
                self.view.replace(facts);
            }
            Event::Store(facts) => facts.into_iter().for_each(|fact| self.view.apply(fact)),
            Event::Remembered(found) => {
                let number = found.placement.slot;
                let slot = self.slots.entry(number);
                let slot = slot.or_insert_with(|| Slot::new(number, self.timings));
                commands.extend(slot.remember(*found, now));
            }
            Event::Slot(number, event) => {
                let frequent = matches!(event, SlotEvent::Heard { .. });
                if let Some(slot) = self.slots.get_mut(&number) {
                    commands.extend(slot.handle(event, now));
                }
                if frequent {
                    return commands;
                }
            }
            Event::Tick => return self.tick(now),
            Event::Shutdown => {
                self.shutdown = true;
                for slot in self.slots.values_mut() {
                    commands.extend(slot.handle(SlotEvent::Shutdown, now));
                }
            }
        }
        commands.extend(self.reconcile(now));
        commands.extend(self.instruct());
        for command in &commands {
            if let Command::Clean { topology, worker, epoch, .. } = command {
                self.retire(topology, *worker, *epoch);
            }
        }
        commands
    }

    fn tick(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        let since = self.ticked.replace(now).map_or(Duration::ZERO, |then| now - then);
        for slot in self.slots.values_mut() {
            if since >= STOOD_STILL {
                commands.extend(slot.handle(SlotEvent::StoodStill(since), now));
            }
            commands.extend(slot.handle(SlotEvent::Tick, now));
        }
        commands
    }

    /// Tells every slot what it is to run.
    fn reconcile(&mut self, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        if !self.view.is_seen() {
            return commands;
        }
        let mut plan = self.view.plan(&self.supervisor);
        self.retired.retain(|(topology, _), _| self.view.knows(topology));
        for wanted in plan.wanted.values_mut() {
            let retired = self.retired.get(&(wanted.topology.clone(), wanted.worker));
            if let Some(epoch) = retired.filter(|epoch| epoch.revision == wanted.revision) {
                wanted.restarts_min = wanted.restarts_min.max(epoch.next().restarts);
            }
        }
        let places: BTreeMap<(String, u32), u32> = self
            .slots
            .values()
            .filter_map(|slot| slot.placement().map(|p| (slot.number(), p)))
            .map(|(number, p)| ((p.topology.clone(), p.worker), number))
            .collect();
        for (number, slot) in &mut self.slots {
            let wanted = plan.wanted.remove(number).filter(|_| *number < self.count);
            let held = slot.placement().is_some_and(|p| plan.held.contains(&p.topology));
            if wanted.is_none() && held {
                continue;
            }
            // A worker that moves from slot to slot leaves the one before it enters the other:
            // they share a folder.
            let wanted = wanted.filter(|wanted| {
                let place = places.get(&(wanted.topology.clone(), wanted.worker));
                place.is_none_or(|place| place == number)
            });
            commands.extend(slot.handle(SlotEvent::Wanted(wanted.map(Box::new)), now));
        }
        let count = self.count;
        self.slots.retain(|number, slot| *number < count || slot.state() != State::Empty);
        commands
    }

    /// Tells every worker what changed for it.
    fn instruct(&mut self) -> Vec<Command> {
        self.rebuild_tables();
        let mut commands = Vec::new();
        for (number, slot) in &self.slots {
            let Some(placement) = slot.placement() else {
                self.told.remove(number);
                continue;
            };
            let told = self.told.get(number);
            let state = match self.view.desired_state(&placement.topology) {
                _ if slot.is_draining() => Some(DesiredState::Draining),
                Some(state) => Some(state),
                None => told.and_then(|told| told.state),
            };
            let table = self.routes.get(&placement.topology).and_then(Routes::table).cloned();
            let assignment = Arc::clone(&placement.assignment);
            let log = match self.view.topology(&placement.topology) {
                Some(record) => record.log_filter.clone(),
                None => told.and_then(|told| told.log.clone()),
            };
            let instructions = Instructions { assignment, table, state, log };
            if told != Some(&instructions) {
                self.told.insert(*number, instructions.clone());
                commands.push(Command::Instruct { slot: *number, instructions });
            }
        }
        commands
    }

    fn rebuild_tables(&mut self) {
        let here: Vec<&str> = self
            .slots
            .values()
            .filter_map(|slot| slot.placement().map(|p| p.topology.as_str()))
            .collect();
        self.routes.retain(|topology, _| here.contains(&topology.as_str()));
        for topology in here {
            let InForce::Complete(workers, assigned) = self.view.in_force(topology) else {
                continue;
            };
            let routes = self.routes.entry(topology.to_owned()).or_default();
            routes.update(&workers, assigned, self.view.workers(topology));
        }
    }

    /// Returns when the engine next has something to do, if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.values().filter_map(Slot::deadline).min()
    }

    /// Returns the slots, by number.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// Returns one slot.
    #[must_use]
    pub fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(&number)
    }

    /// Returns the leading nimbus.
    #[must_use]
    pub fn leader(&self) -> Option<&Stamped<LeaderRecord>> {
        self.view.leader()
    }

    /// Returns where the nimbuses are, the leading one first.
    #[must_use]
    pub fn nimbuses(&self) -> Vec<String> {
        self.view.nimbuses()
    }

    /// Returns where to fetch a binary: the nimbuses that have it, the leader last.
    #[must_use]
    pub fn holders(&self, digest: &str) -> Vec<String> {
        self.view.holders(digest)
    }

    /// Tells whether the store shows that there is no such topology.
    #[must_use]
    pub fn is_gone(&self, topology: &str) -> bool {
        self.view.is_seen() && !self.view.knows(topology)
    }

    /// Returns how often a generation was refused because a newer one is in force.
    #[must_use]
    pub fn refused_generations(&self) -> u64 {
        self.view.refused()
    }

    /// Tells whether the supervisor was asked to stop and every slot is empty.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shutdown && self.slots.values().all(|slot| slot.state() == State::Empty)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
