//! A small cluster on plain data: spouts, bolts, tuples under way, tables, deaths.
//!
//! It does what executors and links do, one random step after another, with the parts they use. A
//! ghost of every emission counts the tuples of its tree that nobody has processed; no ledger knows
//! it. Whatever happens, an emission that is acked must have a count of zero, and in the end every
//! emission must have exactly one verdict.

use std::collections::HashMap;

use super::actors::{Copy, Incarnation, Spout};
use crate::engine::acking::{AckBatch, Edge, Outcome, splitmix64};
use crate::engine::routing::{Epoch, ExecutorPlace, Route, Table};

/// What kind of world it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Decides everything that is left to chance.
    pub(super) seed: u64,
    pub(super) spouts: u16,
    pub(super) workers: u32,
    /// Tuples that each spout emits.
    pub(super) emissions: u32,
    /// The longest way from a spout to a leaf.
    pub(super) depth: u32,
    /// The most tuples that come of one.
    pub(super) fan_out: u32,
    /// In a hundred: tuples that a bolt keeps, and joins with others.
    pub(super) kept: u32,
    /// In a hundred: hops that are fused.
    pub(super) fused: u32,
    /// In a hundred: tuples that a bolt fails.
    pub(super) failing: u32,
    /// Workers that are killed, or retired while they go on.
    pub(super) deaths: u32,
    /// Workers that leave for good.
    pub(super) departures: u32,
    /// Spouts that start again.
    pub(super) restarts: u32,
    /// Generation that the slots of ledgers begin with.
    pub(super) generation: u32,
}

/// One emission of a spout, as only this test sees it.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    /// Its spout, and how many that had emitted before.
    pub(super) name: (usize, u32),
    /// Tuples of its tree that were emitted and not processed.
    pub(super) outstanding: u32,
    /// Its spout has died: it gets no verdict.
    pub(super) vanished: bool,
    pub(super) outcome: Option<Outcome>,
}

pub(super) struct World {
    pub(super) plan: Plan,
    draw: u64,
    pub(super) ghosts: Vec<Ghost>,
    pub(super) spouts: Vec<Spout>,
    pub(super) incarnations: Vec<Incarnation>,
    /// Every version, the latest last.
    pub(super) tables: Vec<Table>,
    flying: Vec<Copy>,
    /// Ack batches under way: who sent it, to which spout.
    sent: Vec<(usize, u16, AckBatch)>,
    /// Tuples that were processed, fused or not.
    pub(super) processed: u64,
}

/// Spouts are on workers of their own, with numbers from here.
pub(super) const SPOUT_WORKERS: u32 = 1_000;

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let mut draw = plan.seed;
        let route = |worker, executors| Route {
            worker,
            epoch: Epoch { revision: 1, restarts: 0 },
            address: String::new(),
            since_version: 1,
            executors,
            released: Default::default(),
        };
        let place = |index: u16| ExecutorPlace {
            index,
            component: "spout".into(),
            tasks: u32::from(index)..u32::from(index) + 1,
            incarnation: 63,
            ownership: 0,
            formers: Vec::new(),
        };
        let bolts = (0..plan.workers).map(|worker| route(worker, Vec::new()));
        let spouts =
            (0..plan.spouts).map(|at| route(SPOUT_WORKERS + u32::from(at), vec![place(at)]));
        let table = Table::new(1, bolts.chain(spouts).collect());
        let start = |worker| Incarnation::new(worker, table.workers()[0].epoch, 0, plan.spouts);
        let mut incarnations: Vec<Incarnation> = (0..plan.workers).map(start).collect();
        let mut spouts: Vec<Spout> =
            (0..plan.spouts).map(|at| Spout::new(at, 63, 0, plan.generation)).collect();
        incarnations.iter_mut().for_each(|incarnation| incarnation.seed_ids(splitmix64(&mut draw)));
        spouts.iter_mut().for_each(|spout| spout.seed_ids(splitmix64(&mut draw)));
        Self {
            plan,
            draw,
            ghosts: Vec::new(),
            spouts,
            incarnations,
            tables: vec![table],
            flying: Vec::new(),
            sent: Vec::new(),
            processed: 0,
        }
    }

    pub(super) fn random(&mut self) -> u64 {
        splitmix64(&mut self.draw)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.random() % end.max(1) as u64) as usize
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent as usize
    }

    /// Runs until every tuple and every contribution has arrived or is lost.
    pub(super) fn run(&mut self) {
        let mut deaths = self.plan.deaths;
        let (mut departures, mut restarts) = (self.plan.departures, self.plan.restarts);
        let mut emitted = vec![0; self.spouts.len()];
        while emitted.iter().any(|&emitted| emitted < self.plan.emissions) {
            let spout = self.below(emitted.len());
            match self.below(16) {
                0..3 if emitted[spout] < self.plan.emissions => {
                    emitted[spout] += u32::from(self.emit(spout, emitted[spout]));
                }
                3 if deaths > 0 && self.chance(20) => {
                    deaths -= 1;
                    self.kill();
                }
                4 if departures > 0 && self.chance(20) => {
                    departures -= 1;
                    self.depart();
                }
                5 if restarts > 0 && self.chance(20) => {
                    restarts -= 1;
                    self.restart_spout(spout);
                }
                6 => self.adopt(),
                _ => self.step(),
            }
        }
        self.settle();
    }

    /// One step of tuples or contributions.
    fn step(&mut self) {
        match self.below(10) {
            0..5 => self.deliver(),
            5 => self.flush(),
            6 => self.seal(),
            7 => self.settle_kept(),
            8 => self.take_verdicts(),
            _ => self.deliver_acks(),
        }
    }

    /// Lets everything arrive, and everyone learn of the latest table.
    fn settle(&mut self) {
        loop {
            for at in 0..self.incarnations.len() {
                self.incarnations[at].table = self.tables.len() - 1;
            }
            (0..self.spouts.len()).for_each(|spout| self.adopt_at(spout, self.tables.len() - 1));
            for _ in 0..20 {
                self.step();
            }
            let under_way = self.flying.len() + self.sent.len();
            let kept = |incarnation: &Incarnation| {
                incarnation.running && !(incarnation.kept.is_empty() && incarnation.is_flushed())
            };
            let unsealed = self.spouts.iter().any(|spout| !spout.unsealed.is_empty());
            if under_way == 0 && !unsealed && !self.incarnations.iter().any(kept) {
                break;
            }
        }
        self.take_verdicts();
    }

    /// Emits a tuple with a message id, to any number of targets; it is sealed later.
    fn emit(&mut self, at: usize, nth: u32) -> bool {
        let now = self.ghosts.len();
        // By its name alone, so that the same tree grows in every world with this seed.
        let mut seed = self.plan.seed ^ (at as u64) << 32 ^ u64::from(nth);
        let seed = splitmix64(&mut seed);
        let copies = seed % u64::from(self.plan.fan_out + 1);
        let Some(root) = self.spouts[at].ledger.open(at as u32, now as u64) else {
            return false;
        };
        self.ghosts.push(Ghost { name: (at, nth), ..Ghost::default() });
        let before = self.spouts[at].messages.insert(root.slot(), now);
        assert_eq!(before, None, "slot {} is given out twice", root.slot());
        let mut edges = 0;
        for child in 0..copies {
            let id = self.spouts[at].ids.next();
            edges ^= id;
            let edge = Edge { root: root.bits(), id };
            let seed = seed.wrapping_add(child + 1);
            self.send(self.spouts[at].table, &[edge], &[now], (1, seed));
        }
        self.spouts[at].unsealed.push((root, edges));
        true
    }

    /// Brings a spout's own contribution, perhaps long after the acks of its copies.
    fn seal(&mut self) {
        let spout = self.below(self.spouts.len());
        if !self.spouts[spout].unsealed.is_empty() {
            let at = self.below(self.spouts[spout].unsealed.len());
            let (root, edges) = self.spouts[spout].unsealed.swap_remove(at);
            self.spouts[spout].ledger.seal(root, edges);
        }
    }

    /// Sends a copy to a worker, as the sender's table has it.
    pub(super) fn send(
        &mut self,
        table: usize,
        edges: &[Edge],
        ghosts: &[usize],
        (depth, seed): (u32, u64),
    ) {
        let routes: Vec<(u32, Epoch)> = self.tables[table]
            .workers()
            .iter()
            .filter(|route| route.worker < SPOUT_WORKERS)
            .map(|route| (route.worker, route.epoch))
            .collect();
        let (worker, epoch) = routes[self.below(routes.len())];
        let is_target =
            |incarnation: &Incarnation| (incarnation.worker, incarnation.epoch) == (worker, epoch);
        let to = self.incarnations.iter().position(is_target).expect("tables name incarnations");
        let (edges, ghosts) = (edges.to_vec(), ghosts.to_vec());
        ghosts.iter().for_each(|&ghost| self.ghosts[ghost].outstanding += 1);
        self.flying.push(Copy { to, edges, ghosts, depth, seed });
    }

    /// Gives any tuple under way to its bolt; if that has died, the tuple is lost.
    fn deliver(&mut self) {
        if self.flying.is_empty() {
            return;
        }
        let at = self.below(self.flying.len());
        let copy = self.flying.swap_remove(at);
        let (retired, running) = {
            let incarnation = &self.incarnations[copy.to];
            (incarnation.retired, incarnation.running)
        };
        if running && !(retired && self.chance(50)) {
            self.execute(copy);
        }
    }

    /// Sends what one incarnation has gathered for one spout, where its table says that goes.
    fn flush(&mut self) {
        let at = self.below(self.incarnations.len());
        let spout = self.below(self.spouts.len());
        let incarnation = &mut self.incarnations[at];
        if !incarnation.running {
            return;
        }
        let gathered = incarnation.buffers[spout].take();
        let sorted = self.tables[incarnation.table].sort_verdicts(gathered);
        incarnation.buffers[spout].put_back(sorted.wait);
        if let Some((_, batch)) = sorted.deliver {
            self.sent.push((at, spout as u16, batch));
        }
    }

    /// Lets any ack batch arrive, sometimes its failures twice; those of the dead may be lost.
    fn deliver_acks(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.below(self.sent.len());
        let (from, spout, batch) = self.sent.swap_remove(at);
        if !self.incarnations[from].running && self.chance(50) {
            return;
        }
        let twice = self.chance(20);
        let ledger = &mut self.spouts[usize::from(spout)].ledger;
        ledger.apply(&batch);
        if twice {
            batch.failures.iter().for_each(|failure| ledger.fail(failure.root, failure.reason));
        }
    }

    fn take_verdicts(&mut self) {
        for spout in &mut self.spouts {
            while let Some(verdict) = spout.ledger.verdicts() {
                let emission = spout.messages.remove(&verdict.slot);
                let emission = emission.expect("one verdict for each message");
                let ghost = &mut self.ghosts[emission];
                assert_eq!(ghost.outcome, None, "emission {emission} has a second verdict");
                ghost.outcome = Some(verdict.outcome);
                if verdict.outcome == Outcome::Acked {
                    let left = ghost.outstanding;
                    assert_eq!(left, 0, "emission {emission} was acked with {left} tuples left");
                }
            }
        }
    }

    /// Every emission has its verdict, and no ledger has anything left.
    pub(super) fn assert_all_ended(&self) {
        for (emission, ghost) in self.ghosts.iter().enumerate() {
            assert!(ghost.vanished || ghost.outcome.is_some(), "emission {emission} hangs");
        }
        for spout in &self.spouts {
            assert_eq!(spout.ledger.pending(), 0, "a ledger holds roots of no emission");
        }
    }

    /// How many emissions ended in each way.
    pub(super) fn outcomes(&self) -> HashMap<Outcome, usize> {
        let mut outcomes = HashMap::new();
        for outcome in self.ghosts.iter().filter_map(|ghost| ghost.outcome) {
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }
}
