//! What the tests of delivery are told with: numbers that are emitted, passed on and audited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use topology_api::prelude::*;
use topology_api::{NoOutput, SpoutDeclarer};
use worker::engine::flow::Budget;
use worker::executor::core_loop::{CoreLoop, LoopStart};
use worker::executor::counters::Board;
use worker::executor::inbox::{Desired, Inbox, Message};
use worker::executor::plan::{OwnExecutor, Plan};
use worker::{Finished, run_here};

#[derive(Clone, Debug, Tuple)]
pub(crate) struct Number {
    pub(crate) n: u64,
}

/// Emits 0..count; what fails is emitted again.
pub(crate) struct Numbers {
    next: u64,
    count: u64,
    again: Vec<u64>,
    acked: Arc<Mutex<HashMap<u64, u32>>>,
    failed: Arc<Mutex<Vec<(u64, &'static str)>>>,
}

impl Spout for Numbers {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        let n = match self.again.pop() {
            Some(n) => n,
            None if self.next == self.count => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(n, Number { n });
        Ok(Next::Emitted)
    }

    fn ack(&mut self, id: u64) {
        *self.acked.lock().unwrap().entry(id).or_default() += 1;
    }

    fn fail(&mut self, id: u64, reason: FailReason) {
        self.failed.lock().unwrap().push((id, reason.name()));
        self.again.push(id);
    }
}

/// What tests look at afterwards.
#[derive(Clone, Default)]
pub(crate) struct Audit {
    pub(crate) acked: Arc<Mutex<HashMap<u64, u32>>>,
    pub(crate) failed: Arc<Mutex<Vec<(u64, &'static str)>>>,
    pub(crate) seen: Arc<Mutex<Vec<(u32, u64)>>>,
}

impl Audit {
    pub(crate) fn spout(&self, t: &mut TopologyBuilder, count: u64) -> Stream<Number> {
        self.declare(t, count).stream()
    }

    /// The spout, to say more about.
    pub(crate) fn declare(&self, t: &mut TopologyBuilder, count: u64) -> SpoutDeclarer<Number> {
        let Self { acked, failed, .. } = self.clone();
        let numbers = move |_: &Context| Numbers {
            next: 0,
            count,
            again: Vec::new(),
            acked: Arc::clone(&acked),
            failed: Arc::clone(&failed),
        };
        t.spout("numbers", numbers)
    }

    pub(crate) fn sink(&self) -> impl Fn(&Context) -> Sink + Send + Sync + 'static {
        let seen = Arc::clone(&self.seen);
        move |cx| Sink { task: cx.task_index(), seen: Arc::clone(&seen) }
    }

    pub(crate) fn assert_each_acked_once(&self, count: u64) {
        let acked = self.acked.lock().unwrap();
        assert_eq!(acked.len() as u64, count, "every tuple is acked in the end");
        assert!(acked.values().all(|times| *times == 1), "none is acked twice");
    }
}

pub(crate) struct Sink {
    task: u32,
    seen: Arc<Mutex<Vec<(u32, u64)>>>,
}

impl Bolt for Sink {
    type Input = Number;
    type Output = NoOutput;

    fn execute(&mut self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.seen.lock().unwrap().push((self.task, number.n));
        Ok(())
    }
}

/// Passes numbers on, or does what `trouble` says first.
pub(crate) struct Pass<F> {
    pub(crate) trouble: F,
}

impl<F> Bolt for Pass<F>
where
    F: FnMut(u64) -> BoltResult + Send + 'static,
{
    type Input = Number;
    type Output = Number;

    fn execute(&mut self, number: Number, out: &mut Output<Number>) -> BoltResult {
        (self.trouble)(number.n)?;
        out.emit(number);
        Ok(())
    }
}

pub(crate) fn run(t: TopologyBuilder) -> Finished {
    let finished = run_here(t.build().unwrap(), Args::default()).unwrap();
    assert!(finished.complete, "it ends by itself");
    finished
}

/// Starts a topology.
pub(crate) fn topology(name: &str, fusion: bool) -> TopologyBuilder {
    let mut t = TopologyBuilder::new(name);
    t.config("fusion", if fusion { "true" } else { "false" }).unwrap();
    t
}

/// Runs a test with batches handed over inside the call that emitted them, and through mailboxes.
#[expect(clippy::print_stderr, reason = "the output of a failed test tells which way it was")]
pub(crate) fn fused_and_not(test: impl Fn(bool)) {
    for fusion in [true, false] {
        eprintln!("fusion: {fusion}");
        test(fusion);
    }
}

/// A loop that runs a topology of one task a component, until it is stopped.
pub(crate) struct Alone {
    inbox: Arc<Inbox>,
    running: JoinHandle<()>,
}

impl Alone {
    pub(crate) fn start(t: TopologyBuilder) -> (Self, Arc<Board>) {
        let clock = daemon::Clock::system();
        let board = Arc::new(Board::new(clock.clone()));
        let topology = t.build().unwrap();
        let description = topology.describe();
        let own = description.executors().map(|executor| OwnExecutor {
            index: executor.index.try_into().unwrap(),
            component: executor.component,
            tasks: executor.tasks,
            incarnation: 0,
            ownership: 0,
        });
        let budget = Arc::new(Budget::new(topology.config().worker_memory(), 1));
        let (own, loops) = (own.collect(), (1, Arc::clone(&board), budget));
        let plan = Arc::new(Plan::new(topology, Args::default(), 0, own, loops));
        let (inbox, epoch) = (Arc::clone(&plan.inboxes[0]), clock.now());
        let loops = Arc::clone(&plan.inboxes);
        let start = LoopStart { at: 0, plan, loops, transport: None, clock, epoch };
        let running = std::thread::spawn(move || CoreLoop::new(start).run());
        inbox.send(Message::Desired(Desired::Active));
        (Self { inbox, running }, board)
    }

    pub(crate) fn stop(self) {
        self.inbox.send(Message::Stop);
        self.running.join().unwrap();
    }
}
