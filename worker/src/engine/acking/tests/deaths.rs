//! Workers die, are retired while they go on, leave for good; spouts start again.

use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::actors::{Incarnation, Spout};
use super::trees::plan;
use super::world::{Plan, SPOUT_WORKERS, World};
use crate::engine::acking::{FailReason, Outcome};
use crate::engine::routing::{Route, Table};

impl World {
    fn latest(&self) -> &Table {
        self.tables.last().expect("there is a first table")
    }

    /// Adds a version, with what `change` makes of the one before.
    fn publish(&mut self, change: impl FnOnce(&mut Vec<Route>, u64)) {
        let version = self.latest().version() + 1 + self.below(3) as u64;
        let mut workers = self.latest().workers().to_vec();
        change(&mut workers, version);
        self.tables.push(Table::new(version, workers));
    }

    /// A worker with bolts, and the place of its latest incarnation.
    fn victim(&mut self) -> (u32, usize) {
        let routes = self.latest().workers().iter();
        let workers: Vec<u32> =
            routes.map(|route| route.worker).filter(|&worker| worker < SPOUT_WORKERS).collect();
        let worker = workers[self.below(workers.len())];
        let of_worker = |incarnation: &Incarnation| incarnation.worker == worker;
        let at = self.incarnations.iter().rposition(of_worker);
        (worker, at.expect("a worker has incarnations"))
    }

    /// Ends an incarnation; half of them do not know, and go on.
    fn end(&mut self, at: usize) {
        self.incarnations[at].retired = true;
        self.incarnations[at].running = self.chance(50);
    }

    /// A worker dies, or is thought dead, and starts again.
    pub(super) fn kill(&mut self) {
        let (worker, at) = self.victim();
        self.end(at);
        // It stays where it is, or goes to another machine. A spout's new ledger cannot tell the
        // latter from a first start (`Table::retired_since`).
        let moves = self.plan.restarts == 0 && self.chance(50);
        let mut epoch = self.incarnations[at].epoch;
        self.publish(|workers, version| {
            let route = workers.iter_mut().find(|route| route.worker == worker);
            let route = route.expect("the victim is in the table");
            if moves {
                (route.epoch.revision, route.epoch.restarts) = (version, 0);
            } else {
                route.epoch.restarts += 1;
            }
            route.since_version = version;
            epoch = route.epoch;
        });
        let spouts = self.spouts.len() as u16;
        let mut next = Incarnation::new(worker, epoch, self.tables.len() - 1, spouts);
        next.seed_ids(self.random());
        self.incarnations.push(next);
    }

    /// A worker leaves the topology, unless it is the last.
    pub(super) fn depart(&mut self) {
        let bolts = self.latest().workers().len() - self.spouts.len();
        if bolts > 1 {
            let (worker, at) = self.victim();
            self.end(at);
            self.publish(|workers, _| workers.retain(|route| route.worker != worker));
        }
    }

    /// A spout's worker dies and starts again; its open roots vanish.
    pub(super) fn restart_spout(&mut self, spout: usize) {
        for &emission in self.spouts[spout].messages.values() {
            self.ghosts[emission].vanished = true;
        }
        let mut incarnation = 0;
        self.publish(|workers, version| {
            let worker = SPOUT_WORKERS + spout as u32;
            let route = workers.iter_mut().find(|route| route.worker == worker);
            let route = route.expect("spouts stay in the table");
            route.epoch.restarts += 1;
            route.since_version = version;
            let place = &mut route.executors[0];
            place.incarnation = (place.incarnation + 1) % 64;
            incarnation = place.incarnation;
        });
        let (table, generation) = (self.tables.len() - 1, self.plan.generation);
        let mut next = Spout::new(spout as u16, incarnation, table, generation);
        next.ledger.adopt(Table::default().retired_since(self.latest()));
        next.seed_ids(self.random());
        self.spouts[spout] = next;
    }

    /// Somebody learns of a later table, perhaps not of the latest, perhaps not of all between.
    pub(super) fn adopt(&mut self) {
        let latest = self.tables.len() - 1;
        let one = self.below(self.spouts.len() + self.incarnations.len());
        if one < self.spouts.len() {
            let table = self.spouts[one].table;
            let table = table + self.below(latest - table + 1);
            self.adopt_at(one, table);
        } else {
            let at = one - self.spouts.len();
            let table = self.incarnations[at].table;
            self.incarnations[at].table = table + self.below(latest - table + 1);
        }
    }

    /// A spout goes over to a table: its ledger and its routes in one step.
    pub(super) fn adopt_at(&mut self, spout: usize, table: usize) {
        let (before, after) = (&self.tables[self.spouts[spout].table], &self.tables[table]);
        self.spouts[spout].ledger.adopt(before.retired_since(after));
        self.spouts[spout].table = table;
    }
}

/// Worlds in which workers die or leave.
fn deadly() -> impl Strategy<Value = Plan> {
    let deaths = prop_oneof![
        (1_u32..5, 0_u32..2).prop_map(|(deaths, departures)| (deaths, departures, 0)),
        (0_u32..4, 1_u32..4).prop_map(|(deaths, restarts)| (deaths, 0, restarts)),
    ];
    (plan(), deaths).prop_map(|(plan, (deaths, departures, restarts))| Plan {
        // Without fan-out nothing is under way, so nothing can be lost.
        fan_out: plan.fan_out + 1,
        deaths,
        departures,
        restarts,
        ..plan
    })
}

proptest! {
    #[test]
    fn every_tree_ends_and_none_is_acked_that_lost_a_tuple(plan in deadly()) {
        let mut world = World::new(plan);
        world.run();
        world.assert_all_ended();
        for outcome in world.outcomes().into_keys() {
            let known =
                matches!(outcome, Outcome::Acked | Outcome::Failed(FailReason::WorkerLost));
            assert!(known, "nobody gave the reason {outcome:?}");
        }
    }

    #[test]
    fn deaths_and_failures_together_leave_no_tree_open(plan in deadly(), failing in 1_u32..40) {
        let mut world = World::new(Plan { failing, ..plan });
        world.run();
        world.assert_all_ended();
    }
}
