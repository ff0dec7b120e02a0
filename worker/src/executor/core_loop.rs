//! One loop a core: gives every executor with something to do one turn a round, and sleeps when
//! none has.

mod moves;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::acking::{AckBatch, FailReason};
use crate::executor::exits::{Exits, ExitsStart};
use crate::executor::inbox::{Desired, Inbox, Message};
use crate::executor::plan::Plan;
use crate::executor::spout::SpoutExecutor;
use crate::transport::Transport;
use moves::Leaving;

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
    /// The places, in the order of their turns.
    order: Vec<usize>,
    /// Executors whose tasks are somebody else's, and that end what they have.
    leaving: Vec<Leaving>,
    /// Items for places that the next routes will tell of.
    early: Vec<Message>,
    desired: Desired,
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
        let exits = Exits::new(ExitsStart {
            at: start.at,
            plan: Arc::clone(&plan),
            loops: Arc::clone(&start.loops),
            transport: start.transport,
            seed: rand::random(),
            clock: start.clock,
            epoch: start.epoch,
        });
        let mut new = Self {
            inbox: Arc::clone(&start.loops[start.at]),
            spouts: Vec::new(),
            order: Vec::new(),
            leaving: Vec::new(),
            early: Vec::new(),
            desired: Desired::Inactive,
            next_post: exits.now,
            unposted: true,
            exits,
            messages: Vec::new(),
            waiting_ns: 0,
            alive: start.epoch,
            stood_still: (Duration::ZERO, start.epoch),
            stopping: false,
            plan,
        };
        new.seat();
        new
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        self.inbox.attach(std::thread::current());
        self.exits.watch.note_thread(None);
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
        for bolt in bolts.iter_mut().flatten() {
            bolt.close(FailReason::Shutdown, &self.plan, &mut self.exits);
        }
        self.exits.bolts = bolts;
        self.exits.flush();
        for (owner, batch) in std::mem::take(&mut self.exits.own_acks) {
            self.apply(owner, batch);
        }
        for spout in self.spouts.iter_mut().flatten() {
            spout.close(&self.plan, &mut self.exits);
        }
        self.exits.tracer.flush();
        self.post();
    }

    /// One turn for every executor; tells whether any got something done.
    fn round(&mut self) -> bool {
        let now = self.exits.read_clock();
        self.exits.efforts.turn_to(None);
        self.exits.tracer.look();
        self.note_standstill(now);
        let mut worked = self.take_messages();
        for turn in 0..self.order.len() {
            let place = self.order[turn];
            if let Some(spout) = &mut self.spouts[place] {
                worked |= spout.turn(&self.plan, &mut self.exits);
                self.exits.efforts.stands(place, spout.stand(), self.exits.now);
            } else if let Some(mut bolt) = self.exits.bolts[place].take() {
                worked |= bolt.turn(&self.plan, &mut self.exits);
                self.exits.efforts.stands(place, bolt.stand(), self.exits.now);
                self.exits.bolts[place] = Some(bolt);
            }
        }
        if !self.leaving.is_empty() {
            self.let_go();
        }
        // Before the acks: who hears of the end of a tree can fetch the rest of it.
        self.exits.tracer.flush();
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
                Message::Item { executor, item } if self.is_taken(executor) => {
                    self.exits.mailboxes[executor].push(item);
                }
                Message::Item { executor, item } => self.misdirected(executor, item),
                Message::Acks(owner, batch) => self.apply(owner, batch),
                Message::Routes(routes) => self.adopt(routes),
                Message::Desired(desired) => self.desire(desired),
                Message::Lost(items, reason) => self.exits.fail_items(&items, reason),
                Message::Waiting(ns) => self.waiting_ns = ns,
                Message::Adopted(worker, version) => {
                    self.exits.adopted.insert(worker, version);
                }
                Message::Stop => self.stopping = true,
            }
        }
        self.messages = messages;
        any
    }

    fn apply(&mut self, owner: u16, batch: AckBatch) {
        let mut spouts = self.spouts.iter_mut().flatten();
        match spouts.find(|spout| spout.index == owner && !spout.leaves()) {
            Some(spout) => spout.apply(&batch, self.exits.now_ns()),
            None => self.exits.late += batch.len() as u64,
        }
        self.exits.give_acks(batch);
    }

    fn desire(&mut self, desired: Desired) {
        self.desired = desired;
        self.spouts.iter_mut().flatten().for_each(|spout| spout.desire(desired));
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
        let flows = &mut self.exits.flows;
        self.spouts.iter_mut().flatten().for_each(|spout| spout.gather(flows));
        bolts.iter_mut().flatten().for_each(|bolt| bolt.gather(flows));
        self.plan.board.flows.post(self.exits.at, flows);
        self.exits.bolts = bolts;
        let (efforts, now) = (&mut self.exits.efforts, self.exits.now);
        self.plan.board.efforts.post(self.exits.at, efforts, &self.exits.watch, now);
        self.exits.ended = false;
        self.unposted = false;
        self.next_post = self.exits.now + POST_EVERY;
    }

    /// Sleeps until something comes in, or an executor wants a turn.
    fn sleep(&mut self) {
        self.exits.efforts.turn_to(None);
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
        let leaving = self.leaving.iter().map(|leaving| leaving.deadline);
        let wake = spouts.chain(bolts).chain(post).chain(leaving).min();
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
