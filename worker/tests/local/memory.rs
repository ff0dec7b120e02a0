//! What a worker holds is bounded, and what stands still holds up only what leads to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use daemon::Clock;
use topology_api::prelude::*;
use worker::{Finished, run_here};

use crate::vocabulary::{Number, fused_and_not, topology};

/// Bytes of a tuple's ballast.
const BALLAST: u64 = 4 << 10;

#[derive(Clone, Debug, Tuple)]
struct Heavy {
    n: u64,
    ballast: Vec<u8>,
}

impl Heavy {
    fn new(n: u64, ballast: u64) -> Self {
        Self { n, ballast: vec![0; ballast as usize] }
    }
}

/// What a test sees and says while its topology runs.
#[derive(Debug, Default)]
struct Branch {
    emitted: AtomicU64,
    pulled: AtomicU64,
    executed: AtomicU64,
    sum: AtomicU64,
    acked: AtomicU64,
    failed: AtomicU64,
    /// The sink may take tuples.
    open: AtomicBool,
    /// The spout may end.
    enough: AtomicBool,
}

impl Branch {
    fn emitted(&self) -> u64 {
        self.emitted.load(Ordering::SeqCst)
    }

    fn executed(&self) -> u64 {
        self.executed.load(Ordering::SeqCst)
    }

    fn assert_nothing_is_lost(&self, of: &str) {
        let count = self.emitted();
        assert_eq!(self.failed.load(Ordering::SeqCst), 0, "{of}: nothing fails");
        assert_eq!(self.acked.load(Ordering::SeqCst), count, "{of}: every tuple is acked");
        assert_eq!(self.executed(), count, "{of}: every tuple comes once");
        let sum = self.sum.load(Ordering::SeqCst);
        assert_eq!(sum, count * (count.saturating_sub(1)) / 2, "{of}: and each is another");
    }
}

/// Emits until it is enough.
struct Source(Arc<Branch>, u64);

impl Spout for Source {
    type Output = Heavy;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Heavy, u64>) -> SpoutResult {
        if self.0.enough.load(Ordering::SeqCst) {
            return Ok(Next::Finished);
        }
        let n = self.0.emitted.fetch_add(1, Ordering::SeqCst);
        out.emit(n, Heavy::new(n, self.1));
        Ok(Next::Emitted)
    }

    fn ack(&mut self, _: u64) {
        self.0.acked.fetch_add(1, Ordering::SeqCst);
    }

    fn fail(&mut self, _: u64, _: FailReason) {
        self.0.failed.fetch_add(1, Ordering::SeqCst);
    }
}

/// Passes on.
struct Relay;

impl Bolt for Relay {
    type Input = Heavy;
    type Output = Heavy;

    fn execute(&mut self, heavy: Heavy, out: &mut Output<Heavy>) -> BoltResult {
        out.emit(heavy);
        Ok(())
    }
}

/// Counts and adds up.
struct Sum(Arc<Branch>);

impl Bolt for Sum {
    type Input = Heavy;
    type Output = NoOutput;

    fn execute(&mut self, heavy: Heavy, _: &mut Output<NoOutput>) -> BoltResult {
        self.0.sum.fetch_add(heavy.n, Ordering::SeqCst);
        self.0.executed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Adds a spout, relays and sinks; the sinks are there once they may be.
fn add_branch(t: &mut TopologyBuilder, name: &str, (tasks, ballast): (u32, u64)) -> Arc<Branch> {
    let branch = Arc::new(Branch::default());
    let (of_source, of_sink) = (Arc::clone(&branch), Arc::clone(&branch));
    let source =
        t.spout(&format!("{name}-source"), move |_| Source(Arc::clone(&of_source), ballast));
    let heavy = source.stream();
    let relay = t.bolt(&format!("{name}-relay"), |_| Relay).parallelism(tasks).shuffle(&heavy);
    let relayed = relay.stream();
    let sink = move |_: &Context| match of_sink.open.load(Ordering::SeqCst) {
        true => Ok(Sum(Arc::clone(&of_sink))),
        false => Err("stands still"),
    };
    t.bolt(&format!("{name}-sink"), sink).parallelism(tasks).fields(&relayed, |heavy| &heavy.n);
    branch
}

/// Runs a topology while `watch` looks at it.
fn run_watched(t: TopologyBuilder, watch: impl FnOnce()) -> Finished {
    let topology = t.build().unwrap();
    let running = std::thread::spawn(|| run_here(topology, Args::default()).unwrap());
    watch();
    let finished = running.join().unwrap();
    assert!(finished.complete, "it ends by itself");
    finished
}

/// Waits until the condition holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = Clock::system();
    let deadline = clock.now() + Duration::from_secs(60);
    while !holds() {
        assert!(clock.now() < deadline, "it never happened: {what}");
        std::thread::yield_now();
    }
}

/// Waits until a branch has moved while another one did not.
fn until_still(still: &Branch, moving: &Branch) {
    until("one branch stands still while the other goes on", || {
        let (before, moved) = (still.emitted(), moving.executed() + 2_000);
        until("the other branch goes on", || moving.executed() > moved);
        before == still.emitted()
    });
}

fn heavy_topology(name: &str, fusion: bool, memory: &str) -> TopologyBuilder {
    let mut t = topology(name, fusion);
    t.config("worker.memory", memory).unwrap();
    // So that nothing but the memory bounds what is under way.
    t.config("max_pending", "1000000").unwrap();
    t.config("message_timeout", "10m").unwrap();
    t
}

#[test]
fn a_sink_that_stands_still_holds_up_its_branch_within_the_budget_and_nothing_is_lost() {
    fused_and_not(|fusion| {
        let mut t = heavy_topology("stall", fusion, "64MiB");
        let (still, moving) = (
            add_branch(&mut t, "still", (24, BALLAST)),
            add_branch(&mut t, "moving", (2, BALLAST)),
        );
        moving.open.store(true, Ordering::SeqCst);
        run_watched(t, || {
            until_still(&still, &moving);
            assert_eq!(still.executed(), 0, "its sink has not begun");
            let held = still.emitted() * BALLAST;
            assert!(held < 64 << 20, "{held} bytes wait for the sink that stands still");
            assert!(held > 4 << 20, "{held} bytes: all its queues are full");
            still.open.store(true, Ordering::SeqCst);
            until("the branch that stood still goes on", || {
                still.executed() > still.acked.load(Ordering::SeqCst).min(20_000)
                    && still.executed() >= 20_000
            });
            [&still, &moving].iter().for_each(|branch| branch.enough.store(true, Ordering::SeqCst));
        });
        still.assert_nothing_is_lost("the branch that stood still");
        moving.assert_nothing_is_lost("the other branch");
    });
}

/// Bytes of a tuple that is larger than the share of a queue.
const HUGE: u64 = 1 << 20;

#[test]
fn what_does_not_keep_to_shares_stops_the_spouts_until_it_has_drained() {
    fused_and_not(|fusion| {
        let mut t = heavy_topology("huge", fusion, "64MiB");
        let branch = add_branch(&mut t, "huge", (48, HUGE));
        run_watched(t, || {
            // The 48 mailboxes alone would take 48 MiB, and as much could wait before them.
            until("three quarters of the budget wait", || branch.emitted() * HUGE >= 40 << 20);
            branch.open.store(true, Ordering::SeqCst);
            let mut most = 0;
            until("all goes on", || {
                most = most.max(branch.emitted() - branch.executed());
                branch.executed() >= 1_000
            });
            // What is in hand does not count: a batch of a few of them on each loop.
            assert!(most * HUGE < 72 << 20, "{most} MiB waited");
            branch.enough.store(true, Ordering::SeqCst);
        });
        branch.assert_nothing_is_lost("the branch");
    });
}

/// Gives very many at each tick, and at the end.
struct Pours {
    branch: Arc<Branch>,
    ticked: bool,
}

const POURED: u64 = 60_000;

impl Pours {
    fn pour(&self) -> impl Iterator<Item = Heavy> + Send + 'static {
        let branch = Arc::clone(&self.branch);
        (0..POURED).map(move |n| {
            branch.pulled.fetch_add(1, Ordering::SeqCst);
            Heavy::new(n, BALLAST)
        })
    }
}

impl Bolt for Pours {
    type Input = Number;
    type Output = Heavy;

    fn execute(&mut self, _: Number, _: &mut Output<Heavy>) -> BoltResult {
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Heavy>) {
        if !std::mem::replace(&mut self.ticked, true) {
            out.emit_from(self.pour());
        }
    }

    fn finish(&mut self, out: &mut Output<Heavy>) {
        out.emit_from(self.pour());
    }
}

/// Notes how far behind it is.
struct Behind {
    branch: Arc<Branch>,
    most: Arc<AtomicU64>,
}

impl Bolt for Behind {
    type Input = Heavy;
    type Output = NoOutput;

    fn execute(&mut self, heavy: Heavy, _: &mut Output<NoOutput>) -> BoltResult {
        let executed = self.branch.executed.fetch_add(1, Ordering::SeqCst) + 1;
        self.branch.sum.fetch_add(heavy.n, Ordering::SeqCst);
        let pulled = self.branch.pulled.load(Ordering::SeqCst);
        self.most.fetch_max(pulled - executed, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn iterators_of_ticks_and_finish_are_pulled_as_there_is_room() {
    fused_and_not(|fusion| {
        let (branch, most) = (Arc::new(Branch::default()), Arc::new(AtomicU64::new(0)));
        let mut t = heavy_topology("pours", fusion, "512MiB");
        let (of_source, of_pours) = (Arc::clone(&branch), Arc::clone(&branch));
        // Ends once the tick has begun to pour.
        let numbers = t.spout("numbers", move |_| {
            let branch = Arc::clone(&of_source);
            let going = move |_: &u64| branch.pulled.load(Ordering::SeqCst) == 0;
            topology_api::IterSpout::new((0..).take_while(going).map(|n| Number { n }))
        });
        let pours = move |_: &Context| Pours { branch: Arc::clone(&of_pours), ticked: false };
        let poured = t
            .bolt("pours", pours)
            .parallelism(2)
            .tick_every(Duration::from_millis(10))
            .shuffle(&numbers.stream())
            .stream();
        let (of_sink, of_most) = (Arc::clone(&branch), Arc::clone(&most));
        let behind =
            move |_: &Context| Behind { branch: Arc::clone(&of_sink), most: Arc::clone(&of_most) };
        t.bolt("behind", behind).global(&poured);
        run_watched(t, || ());
        let pulled = branch.pulled.load(Ordering::SeqCst);
        // The other task may have ended before its first tick.
        assert!([3, 4].contains(&(pulled / POURED)), "{pulled} of the ticks and of `finish`");
        assert_eq!(branch.executed(), pulled, "and each came");
        let most = most.load(Ordering::SeqCst) * BALLAST;
        assert!(most < 8 << 20, "{most} bytes were pulled and not executed");
    });
}
