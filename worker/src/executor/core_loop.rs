//! One loop a core: gives every executor with something to do one turn a round, and sleeps when
//! none has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::runtime::{Calls, Kind};

use crate::engine::acking::AckBatch;
use crate::executor::bolt::BoltExecutor;
use crate::executor::exits::{Exits, ExitsStart, Place};
use crate::executor::inbox::{Desired, Inbox, Message};
use crate::executor::mailbox::{Mailbox, StreamRef};
use crate::executor::outbox::{EdgeStart, Outbox};
use crate::executor::plan::{OwnExecutor, Plan};
use crate::executor::routes::Routes;
use crate::executor::spout::SpoutExecutor;
use crate::transport::Transport;

/// How often counters are posted and timeouts looked at.
const POST_EVERY: Duration = Duration::from_millis(100);

/// Rounds without work before the loop goes to sleep: how many is found out, within these bounds.
const IDLE_ROUNDS: (u32, u32) = (4, 96);

/// Of those, the first spin and the others yield.
const SPIN_ROUNDS: u32 = 20;

/// A pause shorter than this was not worth a sleep: the loop looks for work for longer in the next.
const SHORT_PAUSE: Duration = Duration::from_micros(30);

/// A thread that did not get on for so long stood still: the process was stopped, the machine is out of
/// breath, or a call took as long.
const STANDSTILL: Duration = Duration::from_secs(1);

/// What a loop starts from.
pub struct LoopStart {
    /// Which loop it is.
    pub at: usize,
    /// What the worker runs.
    pub plan: Arc<Plan>,
    /// All loops of the worker.
    pub loops: Arc<[Arc<Inbox>]>,
    /// The way to other workers.
    pub transport: Option<Transport>,
    /// What tells the time.
    pub clock: daemon::Clock,
    /// What times are counted from: the same for all loops.
    pub epoch: Instant,
}

/// One loop of a worker.
pub struct CoreLoop {
    plan: Arc<Plan>,
    inbox: Arc<Inbox>,
    /// The spouts by place; the bolts are in `exits`, where they can call each other.
    spouts: Vec<Option<Box<SpoutExecutor>>>,
    exits: Exits,
    messages: Vec<Message>,
    next_post: Instant,
    /// Something was done that is not on the board.
    unposted: bool,
    /// How long the oldest tuple waits in other workers.
    waiting_ns: u64,
    /// When this loop last got on, or was to.
    alive: Instant,
    /// How long it stood still last, and until when that is added to the timeout: what waited for
    /// this thread meanwhile could not be acked.
    stood_still: (Duration, Instant),
    stopping: bool,
}

impl CoreLoop {
    /// Makes the executors that sit on this loop.
    #[must_use]
    pub fn new(start: LoopStart) -> Self {
        let plan = start.plan;
        let mut seated: Vec<_> = plan.seated().filter(|(_, seat)| seat.at == start.at).collect();
        seated.sort_by_key(|(_, seat)| seat.place);
        let mailboxes =
            seated.iter().map(|(_, seat)| Mailbox::new(Arc::clone(&seat.gauge))).collect();
        let spouts = plan
            .seated()
            .filter(|(executor, _)| plan.topology.components()[executor.component].is_spout());
        let mut exits = Exits::new(ExitsStart {
            at: start.at,
            plan: Arc::clone(&plan),
            loops: Arc::clone(&start.loops),
            mailboxes,
            ledgers: spouts.map(|(executor, seat)| (executor.index, seat.at)).collect(),
            transport: start.transport,
            seed: rand::random(),
            clock: start.clock,
            epoch: start.epoch,
        });
        let mut spouts = Vec::new();
        for (executor, seat) in &seated {
            let outbox = Outbox::new(edges(&plan, executor, start.at));
            let (mut spout, mut bolt) = (None, None);
            if plan.topology.components()[executor.component].is_spout() {
                spout = Some(SpoutExecutor::new(&plan, executor.index, outbox, exits.now));
            } else {
                let (index, place) = (executor.index, seat.place);
                bolt = Some(BoltExecutor::new(&plan, index, place, outbox, exits.now));
            }
            spouts.push(spout.map(Box::new));
            exits.bolts.push(bolt.map(Box::new));
        }
        Self {
            inbox: Arc::clone(&start.loops[start.at]),
            spouts,
            next_post: exits.now,
            unposted: true,
            exits,
            messages: Vec::new(),
            waiting_ns: 0,
            alive: start.epoch,
            stood_still: (Duration::ZERO, start.epoch),
            stopping: false,
            plan,
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        self.inbox.attach(std::thread::current());
        daemon::sharpen_sleep();
        let mut idle = 0;
        let mut patience = IDLE_ROUNDS.1;
        let mut since = self.exits.now;
        while !self.stopping {
            if self.round() {
                idle = 0;
                continue;
            }
            if idle == 0 {
                since = self.exits.now;
            }
            idle += 1;
            if idle < SPIN_ROUNDS.min(patience) {
                std::hint::spin_loop();
            } else if idle < patience {
                std::thread::yield_now();
            } else {
                self.sleep();
                let (least, most) = IDLE_ROUNDS;
                let was_short = self.exits.now.saturating_duration_since(since) < SHORT_PAUSE;
                patience = if was_short { most.min(patience * 2) } else { least.max(patience / 2) };
            }
        }
        self.close();
    }

    /// Closes all components. What bolts still hold fails, and the spouts of this loop are told.
    fn close(&mut self) {
        let mut bolts = std::mem::take(&mut self.exits.bolts);
        bolts.iter_mut().flatten().for_each(|bolt| bolt.close(&self.plan, &mut self.exits));
        self.exits.bolts = bolts;
        self.exits.flush();
        for (owner, batch) in std::mem::take(&mut self.exits.own_acks) {
            self.apply(owner, batch);
        }
        for spout in self.spouts.iter_mut().flatten() {
            spout.close(&self.plan, &self.exits);
        }
        self.post();
    }

    /// One turn for every executor; tells whether any got something done.
    fn round(&mut self) -> bool {
        let now = self.exits.read_clock();
        self.note_standstill(now);
        let mut worked = self.take_messages();
        for place in 0..self.spouts.len() {
            if let Some(spout) = &mut self.spouts[place] {
                worked |= spout.turn(&self.plan, &mut self.exits);
            } else if let Some(mut bolt) = self.exits.bolts[place].take() {
                worked |= bolt.turn(&self.plan, &mut self.exits);
                self.exits.bolts[place] = Some(bolt);
            }
        }
        self.exits.flush();
        let own = std::mem::take(&mut self.exits.own_acks);
        worked |= !own.is_empty();
        for (owner, batch) in own {
            self.apply(owner, batch);
        }
        self.exits.note_round(worked);
        self.exits.publish_memory();
        self.unposted |= worked;
        if now >= self.next_post {
            self.expire();
            self.post();
        }
        worked
    }

    fn take_messages(&mut self) -> bool {
        let mut messages = std::mem::take(&mut self.messages);
        self.inbox.drain(&mut messages);
        let any = !messages.is_empty();
        for message in messages.drain(..) {
            match message {
                Message::Item { executor, item } => self.exits.mailboxes[executor].push(item),
                Message::Acks(owner, batch) => self.apply(owner, batch),
                Message::Routes(routes) => self.adopt(routes),
                Message::Desired(desired) => self.desire(desired),
                Message::Lost(items, reason) => self.exits.fail_items(&items, reason),
                Message::Waiting(ns) => self.waiting_ns = ns,
                Message::Stop => self.stopping = true,
            }
        }
        self.messages = messages;
        any
    }

    fn apply(&mut self, owner: u16, batch: AckBatch) {
        match self.spouts.iter_mut().flatten().find(|spout| spout.index == owner) {
            Some(spout) => spout.apply(&batch, self.exits.now_ns()),
            None => self.exits.late += batch.len() as u64,
        }
        self.exits.give_acks(batch);
    }

    fn desire(&mut self, desired: Desired) {
        self.spouts.iter_mut().flatten().for_each(|spout| spout.desire(desired));
    }

    fn adopt(&mut self, routes: Arc<Routes>) {
        let before = Arc::clone(&self.exits.routes);
        if routes.table.version() < before.table.version() {
            return;
        }
        // A ledger that starts under this table must know which incarnations were lost before:
        // a bolt with an older table may still send to them.
        let retired_at = before.table.retired_since(&routes.table);
        let restarted = |task: u32| {
            let epoch =
                |routes: &Routes| routes.table.worker_of_task(task).map(|route| route.epoch);
            let was = epoch(&before);
            was.is_some() && was != epoch(&routes)
        };
        self.exits.adopt(Arc::clone(&routes));
        for spout in self.spouts.iter_mut().flatten() {
            spout.adopt(retired_at, &restarted, &self.exits);
        }
        let mut bolts = std::mem::take(&mut self.exits.bolts);
        bolts.iter_mut().flatten().for_each(|bolt| bolt.adopt(&restarted, &self.exits));
        self.exits.bolts = bolts;
    }

    /// Notes that this thread did not run, or not return from a call, for longer than is usual.
    fn note_standstill(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(std::mem::replace(&mut self.alive, now));
        if gap > STANDSTILL {
            let timeout = self.plan.topology.config().message_timeout();
            self.stood_still = (gap, now + timeout);
        }
    }

    fn expire(&mut self) {
        let mut waiting = self.waiting_ns.max(self.plan.waiting_ns(self.exits.now));
        let (gap, until) = self.stood_still;
        if self.exits.now < until {
            waiting = waiting.saturating_add(u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX));
        }
        for spout in self.spouts.iter_mut().flatten() {
            spout.expire(waiting, &self.exits);
        }
    }

    /// Posts what the tasks counted.
    fn post(&mut self) {
        let mut bolts = std::mem::take(&mut self.exits.bolts);
        let exits = &self.exits;
        let spouts = self.spouts.iter().flatten().filter_map(|spout| spout.oldest());
        let oldest = bolts.iter().flatten().filter_map(|bolt| bolt.oldest(exits));
        let oldest = oldest.chain(spouts).min();
        let of_spouts = self.spouts.iter_mut().flatten().flat_map(|spout| spout.counters());
        let of_bolts = bolts.iter_mut().flatten().flat_map(|bolt| bolt.counters(exits));
        self.plan.board.post(exits.at, of_spouts.chain(of_bolts), oldest);
        self.exits.bolts = bolts;
        self.exits.ended = false;
        self.unposted = false;
        self.next_post = self.exits.now + POST_EVERY;
    }

    /// Sleeps until something comes in, or an executor wants a turn.
    fn sleep(&mut self) {
        // Posting copies histograms, too much to do before each of many short sleeps.
        if self.exits.ended {
            self.post();
        }
        let post = self.unposted.then_some(self.next_post);
        let spouts = self.spouts.iter().flatten().filter_map(|spout| {
            let watch = spout.has_open_trees().then(|| self.exits.now + POST_EVERY);
            spout.wakes_at(&self.exits).into_iter().chain(watch).min()
        });
        let bolts = self.exits.bolts.iter().flatten().filter_map(|bolt| {
            if bolt.is_busy(&self.exits) {
                Some(self.exits.now)
            } else {
                bolt.wakes_at(&self.exits)
            }
        });
        let wake = spouts.chain(bolts).chain(post).min();
        if !self.inbox.may_park() {
            return;
        }
        match wake {
            None => std::thread::park(),
            Some(at) => {
                let wait = at.saturating_duration_since(self.exits.read_clock());
                if !wait.is_zero() {
                    std::thread::park_timeout(wait);
                }
            }
        }
        self.inbox.awake();
        let now = self.exits.read_clock();
        self.alive = wake.map_or(now, |at| at.min(now));
    }
}

/// The subscriptions of an executor's streams, with the targets of this worker placed.
fn edges<'a>(plan: &'a Plan, executor: &OwnExecutor, at: usize) -> Vec<EdgeStart<'a>> {
    let components = plan.topology.components();
    let mut edges = Vec::new();
    for (reader, component) in components.iter().enumerate() {
        for input in component.inputs.iter().filter(|input| input.component == executor.component) {
            let targets = plan.topology.tasks(reader).map(|task| {
                let place = match plan.seat_of(task) {
                    None => Place::Nowhere,
                    Some(seat) if seat.at == at => Place::Here(seat.place),
                    Some(seat) => Place::Loop {
                        at: seat.at,
                        executor: seat.place,
                        gauge: Arc::clone(&seat.gauge),
                    },
                };
                (task, place)
            });
            edges.push(EdgeStart {
                from: StreamRef { component: input.component, stream: input.stream },
                output: &components[input.component].outputs[input.stream],
                grouping: &input.grouping,
                in_call: component.calls == Calls::Short && component.kind == Kind::Bolt,
                targets: targets.collect(),
                seed: rand::random(),
            });
        }
    }
    edges
}
