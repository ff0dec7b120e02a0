//! The executor of a spout: emits messages while there is room, and replays those that failed.
//!
//! Stands in for the worker's `executor::spout`, and for a source that keeps what is not acked.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use worker::engine::acking::{AckBatch, FREE_MIN, Ledger, Outcome, RootId};
use worker::executor::anchoring::{Anchoring, Roots};

use super::env::Env;
use super::exits::Cx;
use super::outbox::{Emitted, Outbox};
use super::plan::ExecutorPlan;

struct Cell {
    task: u32,
    /// Messages that are to be emitted.
    waiting: VecDeque<u32>,
    pending: u32,
    idle_until: u64,
}

/// Runs the tasks of one spout that one executor has.
pub(super) struct Spout {
    pub(super) index: u16,
    pub(super) ledger: Ledger,
    cells: Vec<Cell>,
    pub(super) outbox: Outbox,
    /// The emission of each open root, by slot.
    emissions: BTreeMap<u32, (u32, RootId)>,
    process: usize,
}

impl Spout {
    pub(super) fn new(
        executor: &ExecutorPlan,
        incarnation: u8,
        outbox: Outbox,
        (process, env): (usize, &Env),
    ) -> Self {
        let cells = executor.tasks.clone().map(|task| Cell {
            task,
            waiting: env.ghosts.unacked(task).into(),
            pending: 0,
            idle_until: 0,
        });
        let cells: Vec<Cell> = cells.collect();
        let (plan, index) = (&env.plan, executor.index);
        let roots = plan.max_pending * cells.len() as u32;
        let ledger = Ledger::with_generation(index, incarnation, roots, plan.generation);
        Self { index, ledger, cells, outbox, emissions: BTreeMap::new(), process }
    }

    /// Gives a task more messages.
    pub(super) fn give(&mut self, task: u32, messages: &[u32]) {
        let cell = self.cells.iter_mut().find(|cell| cell.task == task);
        cell.into_iter().for_each(|cell| cell.waiting.extend(messages));
    }

    pub(super) fn turn(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut worked = self.settle(cx);
        if cx.env.plan.generation != 1 && cx.env.chance(0.01) && self.ledger.has_room() {
            self.come_round(cx.env);
        }
        for at in 0..self.cells.len() {
            worked |= self.ask(at, cx);
        }
        self.outbox.flush(cx);
        worked
    }

    /// Many tuples that nobody reads: slots come round within the run, and generations.
    fn come_round(&mut self, env: &mut Env) {
        env.count("generations");
        for _ in 0..FREE_MIN {
            let root = self.ledger.open(0, env.now).expect("there is room");
            self.ledger.seal(root, 0);
            self.ledger.verdicts().expect("it is complete at once");
        }
    }

    /// Takes contributions from wherever; never waits.
    pub(super) fn apply(&mut self, batch: &AckBatch, forgets_generation: bool) {
        if forgets_generation {
            return self.ledger.apply(&self.renewed(batch));
        }
        self.ledger.apply(batch);
    }

    /// Sabotage: what is said of the trees that a slot had is said of the one it has.
    fn renewed(&self, batch: &AckBatch) -> AckBatch {
        let mut batch = batch.clone();
        for contribution in &mut batch.contributions {
            let slot = RootId::from_bits(contribution.root).map(RootId::slot);
            if let Some((_, root)) = slot.and_then(|slot| self.emissions.get(&slot)) {
                contribution.root = root.bits();
            }
        }
        batch
    }

    /// Adopts a routing table.
    pub(super) fn adopt(&mut self, retired_at: Option<u64>, cx: &mut Cx<'_>) {
        self.ledger.adopt(retired_at);
        self.outbox.place_away(cx);
    }

    fn settle(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut settled = false;
        while let Some(verdict) = self.ledger.verdicts() {
            settled = true;
            let emission = self.emissions.remove(&verdict.slot);
            let (emission, _) = emission.expect("I1: a verdict for a root that is not open");
            let at = self.cells.iter().position(|cell| cell.task == verdict.task);
            self.end(at.expect("a verdict names its task"), emission, verdict.outcome, cx);
        }
        settled
    }

    /// Takes the verdict of an emission.
    fn end(&mut self, at: usize, emission: u32, outcome: Outcome, cx: &mut Cx<'_>) {
        cx.env.note(|| format!("emission {emission}: {outcome:?}"));
        let again = cx.env.ghosts.verdict(emission, self.process, outcome);
        let cell = &mut self.cells[at];
        cell.pending -= 1;
        if again {
            cell.waiting.push_back(cx.env.ghosts.message_of(emission));
        }
    }

    /// Asks a task for tuples; false if it must not be asked now, or has nothing.
    fn ask(&mut self, at: usize, cx: &mut Cx<'_>) -> bool {
        let over_share = self.outbox.is_over_share(cx);
        let cell = &mut self.cells[at];
        let room = cx.env.plan.max_pending.saturating_sub(cell.pending).min(self.ledger.room());
        let active = cx.exits.table.version() > 0;
        if !active || over_share || room == 0 || cx.env.now < cell.idle_until {
            return false;
        }
        let count = cx.env.below(1..4).min(u64::from(room)) as usize;
        let count = count.min(cell.waiting.len());
        let messages: Vec<u32> = cell.waiting.drain(..count).collect();
        if messages.is_empty() {
            return false;
        }
        cell.idle_until = cx.env.now + cx.env.below(0..cx.env.plan.pace);
        cell.pending += messages.len() as u32;
        let most = cx.env.plan.max_pending;
        assert!(cell.pending <= most, "I6: {} trees are open, {most} may be", cell.pending);
        let task = cell.task;
        let (mut fresh, mut emitted) = (Vec::new(), Vec::new());
        for (anchor, message) in (0..).zip(messages) {
            let emission = cx.env.ghosts.emit(self.process, message);
            fresh.push(emission);
            let tuples = if cx.env.chance(0.9) { 1 } else { cx.env.below(0..3) };
            let tuple = Emitted { emissions: Rc::new([emission]), anchor };
            emitted.extend((0..tuples).map(|_| tuple.clone()));
        }
        let (mut roots, mut given) = (vec![0; fresh.len()], vec![0; fresh.len()]);
        let (ledger, now_ns) = (&mut self.ledger, cx.env.now);
        let (opened, ids) = (&mut roots[..], &mut given[..]);
        let opening = Roots { ledger, task, now_ns, roots: opened, given: ids };
        self.outbox.route(&emitted, &mut Anchoring::Roots(opening), cx);
        for ((root, given), emission) in roots.into_iter().zip(given).zip(fresh) {
            let Some(root) = RootId::from_bits(root) else {
                // Nobody reads what came of it: it is done with.
                self.end(at, emission, Outcome::Acked, cx);
                continue;
            };
            cx.env.note(|| format!("emission {emission}: root {root}"));
            let before = self.emissions.insert(root.slot(), (emission, root));
            assert!(before.is_none(), "I1: slot {} was given out twice", root.slot());
            self.ledger.seal(root, given);
        }
        true
    }

    /// When it wants a turn without having been sent anything.
    pub(super) fn wakes_at(&self, env: &Env) -> Option<u64> {
        let asks = |cell: &&Cell| !cell.waiting.is_empty() && cell.pending < env.plan.max_pending;
        self.cells.iter().filter(asks).map(|cell| cell.idle_until).filter(|at| *at > env.now).min()
    }

    pub(super) fn assert_at_rest(&self) {
        let pending = self.ledger.pending();
        assert_eq!(pending, 0, "I6: the ledger of executor {} keeps {pending} roots", self.index);
        assert!(self.outbox.is_empty(), "executor {} still has output", self.index);
    }
}
