//! One loop a core: gives every executor with something to do one turn a round, and sleeps when
//! none has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::acking::AckBatch;
use crate::executor::bolt::BoltExecutor;
use crate::executor::counters::TaskCounters;
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

/// Rounds without work before the loop goes to sleep: the first spin, the others yield.
const IDLE_ROUNDS: u32 = 40;
const SPIN_ROUNDS: u32 = 20;

enum Executor {
    Spout(Box<SpoutExecutor>),
    Bolt(Box<BoltExecutor>),
}

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
    executors: Vec<Executor>,
    exits: Exits,
    messages: Vec<Message>,
    next_post: Instant,
    /// How long the oldest tuple waits anywhere in this worker.
    waiting_ns: u64,
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
        let exits = Exits::new(ExitsStart {
            at: start.at,
            loops: Arc::clone(&start.loops),
            mailboxes,
            ledgers: spouts.map(|(executor, seat)| (executor.index, seat.at)).collect(),
            transport: start.transport,
            seed: rand::random(),
            clock: start.clock,
            epoch: start.epoch,
        });
        let executors = seated
            .iter()
            .map(|(executor, seat)| {
                let outbox = Outbox::new(edges(&plan, executor, start.at));
                if plan.topology.components()[executor.component].is_spout() {
                    let spout = SpoutExecutor::new(&plan, executor.index, outbox, exits.now);
                    Executor::Spout(Box::new(spout))
                } else {
                    let bolt =
                        BoltExecutor::new(&plan, executor.index, seat.place, outbox, exits.now);
                    Executor::Bolt(Box::new(bolt))
                }
            })
            .collect();
        Self {
            inbox: Arc::clone(&start.loops[start.at]),
            executors,
            next_post: exits.now,
            exits,
            messages: Vec::new(),
            waiting_ns: 0,
            stopping: false,
            plan,
        }
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        self.inbox.attach(std::thread::current());
        let mut idle = 0;
        while !self.stopping {
            if self.round() {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < SPIN_ROUNDS {
                std::hint::spin_loop();
            } else if idle < IDLE_ROUNDS {
                std::thread::yield_now();
            } else {
                self.sleep();
            }
        }
        for executor in &mut self.executors {
            match executor {
                Executor::Spout(spout) => spout.close(&self.plan.board),
                Executor::Bolt(bolt) => bolt.close(&self.plan.board),
            }
        }
        self.post();
    }

    /// One turn for every executor; tells whether any got something done.
    fn round(&mut self) -> bool {
        let now = self.exits.read_clock();
        let mut worked = self.take_messages();
        for executor in &mut self.executors {
            worked |= match executor {
                Executor::Spout(spout) => spout.turn(&self.plan, &mut self.exits),
                Executor::Bolt(bolt) => bolt.turn(&self.plan, &mut self.exits),
            };
        }
        self.exits.flush();
        let own = std::mem::take(&mut self.exits.own_acks);
        worked |= !own.is_empty();
        for (owner, batch) in own {
            self.apply(owner, &batch);
        }
        if now >= self.next_post {
            self.next_post = now + POST_EVERY;
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
                Message::Acks(owner, batch) => self.apply(owner, &batch),
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

    fn apply(&mut self, owner: u16, batch: &AckBatch) {
        for executor in &mut self.executors {
            if let Executor::Spout(spout) = executor
                && spout.index == owner
            {
                spout.apply(batch);
                return;
            }
        }
        self.exits.late += batch.len() as u64;
    }

    fn desire(&mut self, desired: Desired) {
        for executor in &mut self.executors {
            if let Executor::Spout(spout) = executor {
                spout.desire(desired);
            }
        }
    }

    fn adopt(&mut self, routes: Arc<Routes>) {
        let before = Arc::clone(&self.exits.routes);
        if routes.table.version() < before.table.version() {
            return;
        }
        // A ledger that starts under this table must know which incarnations were lost before:
        // a bolt with an older table may still send to them.
        let retired_at = if before.table.version() == 0 {
            routes.table.retired_before()
        } else {
            before.table.retired_since(&routes.table)
        };
        let restarted = |task: u32| {
            let epoch =
                |routes: &Routes| routes.table.worker_of_task(task).map(|route| route.epoch);
            let was = epoch(&before);
            was.is_some() && was != epoch(&routes)
        };
        self.exits.adopt(Arc::clone(&routes));
        for executor in &mut self.executors {
            match executor {
                Executor::Spout(spout) => spout.adopt(retired_at, &restarted, &self.exits),
                Executor::Bolt(bolt) => bolt.adopt(&restarted, &self.exits),
            }
        }
    }

    fn expire(&mut self) {
        for executor in &mut self.executors {
            if let Executor::Spout(spout) = executor {
                spout.expire(self.waiting_ns, &self.exits);
            }
        }
    }

    /// Posts what the tasks counted.
    fn post(&mut self) {
        let oldest = self.exits.mailboxes.iter().filter_map(Mailbox::oldest).min();
        let waiting =
            oldest.map_or(Duration::ZERO, |since| self.exits.now.saturating_duration_since(since));
        let exits = &self.exits;
        let tasks = self.executors.iter_mut().flat_map(|executor| {
            let counters: Box<dyn Iterator<Item = &TaskCounters>> = match executor {
                Executor::Spout(spout) => Box::new(spout.counters()),
                Executor::Bolt(bolt) => Box::new(bolt.counters(exits)),
            };
            counters
        });
        let waiting = u64::try_from(waiting.as_nanos()).unwrap_or(u64::MAX);
        self.plan.board.post(exits.at, tasks, waiting);
    }

    /// Sleeps until something comes in, or an executor wants a turn.
    fn sleep(&mut self) {
        self.post();
        let wakes = self.executors.iter().filter_map(|executor| match executor {
            Executor::Spout(spout) => {
                let watch = spout.has_open_trees().then(|| self.exits.now + POST_EVERY);
                spout.wakes_at().into_iter().chain(watch).min()
            }
            Executor::Bolt(bolt) if bolt.is_busy(&self.exits) => Some(self.exits.now),
            Executor::Bolt(bolt) => bolt.wakes_at(),
        });
        let wake = wakes.min();
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
                targets: targets.collect(),
                seed: rand::random(),
            });
        }
    }
    edges
}
