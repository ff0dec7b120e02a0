//! A world: takes one event after another until all has come to rest, then looks back.

use worker::engine::flow::WINDOW;

use super::cluster::Cluster;
use super::env::{Env, Event};
use super::plan::{Fault, LONG_TIMEOUT, MS};
use super::process::Process;
use super::sabotage::Sabotage;
use super::wires::{Side, Up};

/// More events than any world should need.
const EVENTS_MAX: u64 = 3_000_000;

/// How often it is looked whether all is calm.
const LOOK_EVERY: u64 = 50 * MS;

/// The longest that it takes until all is calm once nothing goes wrong any more.
const CALM_WITHIN: u64 = 60_000 * MS;

/// The longest that a replaced process goes on.
const ZOMBIE: u64 = 2_000 * MS;

/// The longest that a process stands still.
const PAUSE: u64 = 3_000 * MS;

/// The longest that a process takes to catch up after it stood still.
const AFTER_PAUSE: u64 = 200 * MS;

/// The longest that it takes until a process is told a table.
const LATE: [u64; 4] = [20 * MS, 400 * MS, 1_500 * MS, MS];

/// All there is.
pub(super) struct World {
    pub(super) env: Env,
    cluster: Cluster,
    processes: Vec<Process>,
}

impl World {
    pub(super) fn new(seed: u64, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let mut env = Env::new(seed, sabotage, traced);
        let spouts = env.plan.components.iter().filter(|it| it.spout);
        let tasks: Vec<u32> = spouts.flat_map(|it| it.tasks.clone()).collect();
        for task in tasks {
            env.ghosts.add_messages(task, env.plan.messages.0);
        }
        let cluster = Cluster::new(&env.plan);
        for (worker, assigned) in &cluster.workers {
            let (revision, restarts) = (assigned.epoch.revision, assigned.epoch.restarts);
            env.schedule_in(0..50 * MS, Event::Start { worker: *worker, revision, restarts });
        }
        for at in 0..env.plan.faults.len() {
            env.schedule(env.plan.faults[at].0, Event::Fault(at));
        }
        env.schedule(env.plan.faults_end, Event::Calm);
        Self { env, cluster, processes: Vec::new() }
    }

    /// Runs to the end, and checks what must hold there.
    pub(super) fn run(&mut self) {
        self.until_rest();
        let processes = &self.processes;
        let lives = |process: usize| processes[process].running;
        self.env.ghosts.assert_all_ended(lives);
        self.assert_at_rest();
        // A connection begins with all grants, so after one the credits are exact.
        for wire in 0..self.env.wires.len() {
            self.env.cut(wire);
        }
        self.until_rest();
        self.assert_at_rest();
        self.assert_no_credit_is_lost();
    }

    fn until_rest(&mut self) {
        let mut events = 0;
        while let Some(event) = self.env.next_event() {
            events += 1;
            assert!(events < EVENTS_MAX, "it does not come to rest");
            self.take(event);
        }
    }

    /// The process that an event concerns; it sleeps through it while it stands still.
    fn concerned(&self, event: Event) -> Option<usize> {
        let of_wire = |wire: usize, side| match side {
            Side::Sender => self.env.wires[wire].sender.0,
            Side::Receiver => self.env.wires[wire].receiver,
        };
        match event {
            Event::Round { process, .. }
            | Event::Dial { process, .. }
            | Event::News { process, .. }
            | Event::Table { process, .. } => Some(process),
            Event::Arrive { wire, side } | Event::Broken { wire, side } => {
                Some(of_wire(wire, side))
            }
            Event::Answer { wire } => Some(of_wire(wire, Side::Sender)),
            _ => None,
        }
    }

    fn take(&mut self, event: Event) {
        if let Some(process) = self.concerned(event) {
            let process = &self.processes[process];
            if !process.running {
                return;
            }
            if process.paused_until > self.env.now {
                // What waited on several connections is taken in any order.
                let at = process.paused_until + self.env.below(0..AFTER_PAUSE);
                return self.env.schedule(at, event);
            }
        }
        let env = &mut self.env;
        match event {
            Event::Round { process, at } => self.processes[process].round(at, env),
            Event::Dial { process, link } => self.processes[process].hub.dial(link, env),
            Event::News { process, peer } => self.processes[process].hub.tell_news(peer, env),
            Event::Table { process, table } => {
                if !self.processes[process].adopt(&self.cluster.tables[table], env) {
                    self.stop(process);
                }
            }
            Event::Arrive { wire, side } => self.arrive(wire, side),
            Event::Broken { wire, side: Side::Sender } => {
                let (process, link) = env.wires[wire].sender;
                self.processes[process].hub.redial(wire, link, env);
            }
            Event::Broken { wire, side: Side::Receiver } => {
                self.processes[env.wires[wire].receiver].hub.left(wire);
            }
            Event::Answer { wire } => {
                let (process, link) = env.wires[wire].sender;
                self.processes[process].hub.answer_due(wire, link, env);
            }
            Event::Stop { process } => self.stop(process),
            Event::Found { process } => self.found(process),
            Event::Start { worker, revision, restarts } => {
                self.start(worker, (revision, restarts));
            }
            Event::Fault(at) => self.fault(at),
            Event::Calm => self.look(),
        }
    }

    fn arrive(&mut self, wire: usize, side: Side) {
        let env = &mut self.env;
        match side {
            Side::Receiver => {
                if let Some(message) = env.wires[wire].up.pop_front() {
                    let receiver = env.wires[wire].receiver;
                    self.processes[receiver].hub.take(wire, message, env);
                }
            }
            Side::Sender => {
                if let Some(message) = env.wires[wire].down.pop_front() {
                    let (process, link) = env.wires[wire].sender;
                    self.processes[process].hub.hear(wire, link, message, env);
                }
            }
        }
    }

    /// Tells every process of the latest table, each in its time.
    fn announce(&mut self) {
        let table = self.cluster.tables.len() - 1;
        self.env.note(|| format!("table {}", self.cluster.version()));
        for process in (0..self.processes.len()).filter(|at| self.processes[*at].running) {
            let lates = if self.env.plan.stale { &LATE[2..] } else { &LATE[..] };
            let late = self.env.pick(lates).unwrap_or(MS);
            self.env.schedule_in(0..late, Event::Table { process, table });
        }
    }

    /// A process ends: its connections break, and all it knew is gone.
    fn stop(&mut self, process: usize) {
        let it = &mut self.processes[process];
        if !it.running {
            return;
        }
        let fenced = it.hub.retired && !it.replaced;
        assert!(!fenced, "p{process} was fenced, and is the latest incarnation");
        it.running = false;
        it.loops = Vec::new();
        self.env.note(|| format!("p{process} (w{}) ended", it.hub.me.worker));
        self.env.ports.retain(|_, listener| *listener != process);
        for wire in 0..self.env.wires.len() {
            let it = &self.env.wires[wire];
            if it.sender.0 == process || it.receiver == process {
                self.env.cut(wire);
            }
        }
        if !self.processes[process].replaced {
            self.env.schedule_in(MS..300 * MS, Event::Found { process });
        }
    }

    /// A supervisor finds that a process has ended, or thinks so: the next incarnation begins.
    fn found(&mut self, process: usize) {
        if self.processes[process].replaced {
            return;
        }
        self.processes[process].replaced = true;
        let worker = self.processes[process].hub.me.worker;
        let epoch = self.cluster.restart(worker, &mut self.env);
        self.announce();
        let (revision, restarts) = (epoch.revision, epoch.restarts);
        self.env.schedule_in(MS..400 * MS, Event::Start { worker, revision, restarts });
    }

    /// Starts the incarnation of a worker, if no later one is called for by now.
    fn start(&mut self, worker: u32, epoch: (u64, u64)) {
        let Some(assigned) = self.cluster.workers.get(&worker) else { return };
        if (assigned.epoch.revision, assigned.epoch.restarts) != epoch {
            return;
        }
        let process = self.processes.len();
        let (me, executors) = self.cluster.start(worker, &self.env.plan);
        self.env.note(|| format!("p{process} is w{worker} {epoch:?}"));
        let started = Process::new(me, process, &executors, &mut self.env);
        self.processes.push(started);
        // It may get the port of one that has ended, which others still dial.
        let port = (0..).map(|port| format!("{port}")).find(|it| !self.env.ports.contains_key(it));
        let port = port.expect("there are ports enough");
        self.env.ports.insert(port.clone(), process);
        self.cluster.listens(worker, (process, port), &mut self.env);
        self.announce();
    }

    fn fault(&mut self, at: usize) {
        let fault = self.env.fault(at);
        let current: Vec<usize> =
            self.cluster.workers.values().filter_map(|assigned| assigned.process).collect();
        let current: Vec<usize> =
            current.into_iter().filter(|at| self.processes[*at].running).collect();
        let victim = self.env.pick(&current);
        self.env.note(|| format!("{fault:?} {victim:?}"));
        match (fault, victim) {
            (Fault::Crash, Some(process)) => {
                self.env.count("crashes");
                self.stop(process);
            }
            (Fault::Zombie, Some(process)) => {
                self.env.count("zombies");
                self.found(process);
                self.env.schedule_in(0..ZOMBIE, Event::Stop { process });
                if self.env.chance(0.3) {
                    self.pause(process);
                }
            }
            (Fault::Pause, Some(process)) => self.pause(process),
            (Fault::Move, _) => self.rebalance(),
            (Fault::Crash | Fault::Zombie | Fault::Pause, None) => {}
            (fault, _) => self.break_link(fault),
        }
    }

    fn pause(&mut self, process: usize) {
        self.env.count("pauses");
        self.processes[process].paused_until = self.env.now + self.env.below(0..PAUSE);
    }

    fn rebalance(&mut self) {
        self.env.count("moves");
        let moved_before = self.env.ghosts.never_time_out < usize::MAX;
        self.env.ghosts.never_time_out = if moved_before { 0 } else { self.processes.len() };
        let (ending, starting) = self.cluster.rebalance(&mut self.env);
        for process in ending {
            self.processes[process].replaced = true;
            self.env.schedule_in(0..ZOMBIE, Event::Stop { process });
        }
        for process in &mut self.processes {
            // Whoever has ended and was not found yet is not restarted, but started anew.
            let worker = process.hub.me.worker;
            let assigned = self.cluster.workers.get(&worker);
            process.replaced |= assigned.is_none_or(|it| it.epoch > process.hub.me.epoch);
        }
        for (worker, epoch) in starting {
            let (revision, restarts) = (epoch.revision, epoch.restarts);
            self.env.schedule_in(MS..600 * MS, Event::Start { worker, revision, restarts });
        }
        self.announce();
    }

    fn break_link(&mut self, fault: Fault) {
        let wires = self.env.wires.iter().enumerate();
        let open = wires.filter(|(_, it)| !it.closed && (fault == Fault::Cut || !it.up.is_empty()));
        let open: Vec<usize> = open.map(|(at, _)| at).collect();
        let Some(wire) = self.env.pick(&open) else { return };
        let broke = match fault {
            Fault::Drop => self.env.tamper(wire, |_, _| Vec::new()),
            Fault::Duplicate => self.env.tamper(wire, |number, frame| {
                vec![Up::Frame(number, frame.clone()), Up::Frame(number, frame.clone())]
            }),
            Fault::Corrupt => self.env.tamper(wire, |number, frame| {
                vec![Up::Frame(number, frame.slice(..frame.len() - 1))]
            }),
            _ => {
                self.env.count("cuts");
                self.env.cut(wire);
                true
            }
        };
        self.env.wires[wire].tampered |= broke;
        self.env.note(|| format!("{fault:?} on wire {wire}: {broke}"));
    }

    /// Is all calm? Then the spouts get their last messages, and none of these may fail.
    fn look(&mut self) {
        for wire in 0..self.env.wires.len() {
            if self.env.wires[wire].tampered {
                self.env.cut(wire);
            }
        }
        if let Some(not_calm) = self.not_calm() {
            let late = self.env.plan.faults_end + CALM_WITHIN;
            assert!(self.env.now < late, "it does not become calm: {not_calm}");
            return self.env.schedule(self.env.now + LOOK_EVERY, Event::Calm);
        }
        self.env.note(|| "calm".to_owned());
        self.env.ghosts.calm = true;
        // A short timeout has shown by now what it does; nobody may run into a long one.
        self.env.plan.timeout = LONG_TIMEOUT;
        let spouts = self.env.plan.components.iter().filter(|it| it.spout);
        let tasks: Vec<u32> = spouts.flat_map(|it| it.tasks.clone()).collect();
        for task in tasks {
            let messages = self.env.ghosts.add_messages(task, self.env.plan.messages.1);
            for process in self.processes.iter_mut().filter(|it| it.running) {
                process.spouts().for_each(|spout| spout.give(task, &messages));
                process.hub.wake_all(&mut self.env);
            }
        }
    }

    /// Why all is not calm yet: everyone must run, know the latest table and be connected.
    fn not_calm(&self) -> Option<String> {
        let (now, version) = (self.env.now, self.cluster.version());
        for (at, process) in self.processes.iter().enumerate().filter(|(_, it)| it.running) {
            let adopted = |it: &super::process::CoreLoop| it.exits.table.version() == version;
            let connected = |link: usize| {
                let link = &process.hub.links[link];
                link.is_welcome() && link.wire.is_some_and(|wire| !self.env.wires[wire].closed)
            };
            let mut unconnected = process.hub.link_to.iter().filter(|(_, link)| !connected(**link));
            if process.replaced || process.paused_until > now {
                return Some(format!("p{at} goes on, or stands still"));
            } else if !process.loops.iter().all(adopted) {
                return Some(format!("p{at} does not know table {version}"));
            } else if let Some((worker, _)) = unconnected.next() {
                return Some(format!("p{at} is not connected to w{worker}"));
            }
        }
        let runs = |process: Option<usize>| process.is_some_and(|at| self.processes[at].running);
        let missing = self.cluster.workers.iter().find(|(_, it)| !runs(it.process));
        missing.map(|(worker, _)| format!("w{worker} does not run"))
    }

    /// I6: nothing is kept that nobody waits for.
    fn assert_at_rest(&self) {
        for (at, process) in self.processes.iter().enumerate().filter(|(_, it)| it.running) {
            process.loops.iter().for_each(|it| it.assert_at_rest());
            for link in &process.hub.links {
                let (frames, bytes) = (link.frames.len(), link.frames.bytes());
                let none = frames == 0 && bytes == 0;
                assert!(none, "I6: p{at} keeps {frames} frames for w{}", link.peer);
            }
        }
    }

    /// I6: when nothing is under way, every window is open to its full width.
    fn assert_no_credit_is_lost(&self) {
        for (at, process) in self.processes.iter().enumerate().filter(|(_, it)| it.running) {
            let links = process.hub.link_to.values().map(|link| &process.hub.links[*link]);
            for (link, (task, gate)) in links.flat_map(|it| it.gates.iter().map(move |g| (it, g))) {
                let name = format!("from p{at} to task {task} of w{}", link.peer);
                assert!(link.is_welcome(), "not connected {name}");
                assert_eq!(gate.left(), WINDOW.tuples, "I6: tuples' credit is lost {name}");
                gate.took(0, WINDOW.bytes - 1);
                assert!(gate.may_send(), "I6: bytes' credit is lost {name}");
                gate.took(0, 1);
                assert!(!gate.may_send(), "I6: bytes' credit came from nowhere {name}");
            }
        }
    }
}
