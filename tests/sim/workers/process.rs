//! One life of a worker: its loops, and on them its executors.
//!
//! Stands in for the worker's `executor::core_loop` and `executor::plan`.

use std::collections::BTreeMap;
use std::rc::Rc;

use worker::engine::acking::AckBatch;
use worker::engine::links::Identity;
use worker::engine::placement::{PlacedExecutor, place};
use worker::engine::routing::{GroupingKind, Table};

use super::bolt::Bolt;
use super::env::Env;
use super::exits::{Cx, Exits, Mailbox};
use super::hub::{Hub, Message, Seat};
use super::outbox::Outbox;
use super::plan::{ExecutorPlan, MS, Plan};
use super::sabotage::Sabotage;
use super::spout::Spout;

/// How often timeouts are looked at.
const POST_EVERY: u64 = 100 * MS;

pub(super) enum Executor {
    Spout(Spout),
    Bolt(Bolt),
}

/// One loop of a process.
pub(super) struct CoreLoop {
    pub(super) executors: Vec<Executor>,
    pub(super) exits: Exits,
    next_post: u64,
}

/// One life of a worker.
pub(super) struct Process {
    pub(super) running: bool,
    /// The store names a later incarnation.
    pub(super) replaced: bool,
    /// It stands still until then.
    pub(super) paused_until: u64,
    pub(super) loops: Vec<CoreLoop>,
    pub(super) hub: Hub,
}

impl Process {
    /// Starts the executors, each with the incarnation that stands in its root ids.
    pub(super) fn new(
        me: Identity,
        process: usize,
        executors: &[(ExecutorPlan, u8)],
        env: &mut Env,
    ) -> Self {
        let loops = env.plan.loops.clamp(1, executors.len().max(1));
        let mut hub = Hub::new(me, process, loops);
        let ats = placed(&env.plan, executors, loops);
        let mut order: Vec<usize> = (0..executors.len()).collect();
        order.sort_by_key(|own| std::cmp::Reverse(executors[*own].0.component));
        let mut mailboxes: Vec<Vec<Mailbox>> = (0..loops).map(|_| Vec::new()).collect();
        for &own in &order {
            let (executor, at) = (&executors[own].0, ats[own]);
            let mailbox = Mailbox::default();
            let (place, gauge) = (mailboxes[at].len(), mailbox.gauge.clone());
            mailboxes[at].push(mailbox);
            for task in executor.tasks.clone() {
                hub.seats.insert(task, Seat { at, place, gauge: gauge.clone() });
            }
            if env.plan.components[executor.component].spout {
                hub.ledgers.insert(executor.index, at);
            }
        }
        let mut loops = Vec::new();
        for (at, mailboxes) in mailboxes.into_iter().enumerate() {
            let own = order.iter().filter(|own| ats[**own] == at).enumerate();
            let start = |(place, own): (usize, &usize)| {
                let (executor, incarnation) = &executors[*own];
                let outbox = Outbox::new(&env.plan, executor, (&hub, at));
                if env.plan.components[executor.component].spout {
                    Executor::Spout(Spout::new(executor, *incarnation, outbox, (process, env)))
                } else {
                    Executor::Bolt(Bolt::new(executor, place, outbox, env))
                }
            };
            let executors = own.map(start).collect();
            let exits = Exits::new(at, mailboxes, env);
            loops.push(CoreLoop { executors, exits, next_post: env.now });
        }
        Self { running: true, replaced: false, paused_until: 0, loops, hub }
    }

    /// Gives the executors of a loop their turns.
    pub(super) fn round(&mut self, at: usize, env: &mut Env) {
        if self.hub.rounds[at].is_none_or(|due| due > env.now) {
            return;
        }
        self.hub.rounds[at] = None;
        self.loops[at].round(&mut self.hub, env);
    }

    /// Is told a routing table; false if this incarnation is retired in it.
    pub(super) fn adopt(&mut self, table: &Rc<Table>, env: &mut Env) -> bool {
        if table.version() < self.hub.table.version() {
            return true;
        }
        let me = &self.hub.me;
        if table.worker(me.worker).is_some_and(|own| own.epoch > me.epoch) {
            return false;
        }
        self.hub.adopt(table, env);
        for at in 0..self.loops.len() {
            let links: BTreeMap<u32, usize> = self.hub.link_to.clone();
            self.hub.tell(at, Message::Routes(Rc::clone(table), links), env);
        }
        true
    }

    pub(super) fn spouts(&mut self) -> impl Iterator<Item = &mut Spout> {
        self.loops.iter_mut().flat_map(|it| &mut it.executors).filter_map(|it| match it {
            Executor::Spout(spout) => Some(spout),
            Executor::Bolt(_) => None,
        })
    }
}

/// The loop of each executor, as the worker's plan has it.
fn placed(plan: &Plan, executors: &[(ExecutorPlan, u8)], loops: usize) -> Vec<usize> {
    let own: Vec<PlacedExecutor> = executors
        .iter()
        .map(|(it, _)| PlacedExecutor { index: it.index, component: it.component })
        .collect();
    use GroupingKind::{LocalOrShuffle, None as NoGrouping, Shuffle};
    let stays = |kind| matches!(kind, Shuffle | NoGrouping | LocalOrShuffle);
    let joined: Vec<(usize, usize)> = (0..plan.components.len())
        .flat_map(|from| plan.readers(from).map(move |(reader, kind)| (from, reader, kind)))
        .filter(|(_, _, kind)| stays(*kind))
        .map(|(from, reader, _)| (from, reader))
        .collect();
    place(&own, &joined, loops)
}

impl CoreLoop {
    fn round(&mut self, hub: &mut Hub, env: &mut Env) {
        let mut worked = self.take_messages(hub, env);
        let mut cx = Cx { exits: &mut self.exits, hub, env };
        for executor in &mut self.executors {
            worked |= match executor {
                Executor::Spout(spout) => spout.turn(&mut cx),
                Executor::Bolt(bolt) => bolt.turn(&mut cx),
            };
        }
        cx.flush();
        let own = std::mem::take(&mut self.exits.own_acks);
        worked |= !own.is_empty();
        own.iter().for_each(|(owner, batch)| self.apply(*owner, batch));
        if env.now >= self.next_post {
            self.next_post = env.now + POST_EVERY;
            worked |= self.expire(hub, env);
        }
        let at = self.exits.at;
        if worked {
            hub.wake(at, env);
        } else if let Some(time) = self.wakes_at(hub, env) {
            hub.wake_at(at, time, env);
        }
    }

    fn wakes_at(&mut self, hub: &mut Hub, env: &mut Env) -> Option<u64> {
        let post = self.next_post;
        let cx = Cx { exits: &mut self.exits, hub, env };
        let wakes = self.executors.iter().filter_map(|executor| match executor {
            Executor::Spout(spout) => {
                let watch = (spout.ledger.open_count() > 0).then_some(post);
                spout.wakes_at(cx.env).into_iter().chain(watch).min()
            }
            Executor::Bolt(bolt) => bolt.wakes_at(&cx),
        });
        wakes.min()
    }

    fn take_messages(&mut self, hub: &mut Hub, env: &mut Env) -> bool {
        let messages = std::mem::take(&mut hub.inboxes[self.exits.at]);
        let any = !messages.is_empty();
        for message in messages {
            match message {
                Message::Batch(place, delivery) => {
                    self.exits.mailboxes[place].batches.push_back(delivery);
                }
                Message::Acks(owner, batch) => self.apply(owner, &batch),
                Message::Routes(table, links) => self.adopt((table, links), hub, env),
                Message::Lost(items, reason) => self.exits.fail_items(&items, reason),
            }
        }
        any
    }

    fn apply(&mut self, owner: u16, batch: &AckBatch) {
        let forgets = self.exits.does_wrong(Sabotage::ForgetGeneration);
        for executor in &mut self.executors {
            if let Executor::Spout(spout) = executor
                && spout.index == owner
            {
                spout.apply(batch, forgets);
            }
        }
    }

    fn adopt(
        &mut self,
        (table, links): (Rc<Table>, BTreeMap<u32, usize>),
        hub: &mut Hub,
        env: &mut Env,
    ) {
        if table.version() < self.exits.table.version() {
            return;
        }
        let retired_at = self.exits.table.retired_since(&table);
        let retired_at = retired_at.filter(|_| !env.does_wrong(Sabotage::MissRetirement));
        let mut cx = Cx { exits: &mut self.exits, hub, env };
        cx.adopt(table, links);
        for executor in &mut self.executors {
            match executor {
                Executor::Spout(spout) => spout.adopt(retired_at, &mut cx),
                Executor::Bolt(bolt) => bolt.adopt(&mut cx),
            }
        }
    }

    /// Fails trees that are open for longer than the timeout and what this process knows to wait.
    fn expire(&mut self, hub: &mut Hub, env: &Env) -> bool {
        let oldest = self
            .exits
            .mailboxes
            .iter()
            .filter_map(|it| it.batches.front())
            .min_by_key(|it| it.since);
        hub.waiting[self.exits.at] = oldest.map_or(0, |batch| env.now - batch.since);
        let waiting = hub.waiting.iter().max().copied().unwrap_or(0);
        let mut expired = false;
        for executor in &mut self.executors {
            if let Executor::Spout(spout) = executor {
                let before = spout.ledger.open_count();
                spout.ledger.expire(env.now, env.plan.timeout, waiting + env.plan.holds());
                expired |= spout.ledger.open_count() < before;
            }
        }
        expired
    }

    pub(super) fn assert_at_rest(&self) {
        for mailbox in &self.exits.mailboxes {
            let tuples = mailbox.gauge.tuples();
            let empty = mailbox.batches.is_empty() && tuples == 0;
            assert!(empty, "I6: a mailbox counts {tuples} tuples at rest");
        }
        for (owner, buffer) in &self.exits.acks {
            let kept = buffer.len();
            assert_eq!(kept, 0, "I6: {kept} acks for executor {owner} wait for ever");
        }
        for executor in &self.executors {
            match executor {
                Executor::Spout(spout) => spout.assert_at_rest(),
                Executor::Bolt(bolt) => bolt.assert_at_rest(),
            }
        }
    }
}
