//! A supervisor: its engine, what is on its disk, and a stand-in for the loop around it.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::store::{Released, SupervisorRecord, WorkerRecord};
use proto::supervisor::WorkerReport;
use rand::RngExt;
use supervisor::engine::{
    Command, Engine, Epoch, Event, Exit, Instructions, Placement, Signal, Slot, SlotEvent, Timings,
};
use supervisor::watch::observe;

use super::disk::{Disk, Facts};
use super::env::{Env, Life, Node};
use super::events::{Answered, Event as Due, ProcessEvent, Said, Timer, Why};
use super::following::{Mirror, Session, alarm};
use super::plan::MS;
use super::process::Process;
use super::registrar::Registrar;
use super::sabotage::Sabotage;

/// Between two reports when nothing happens.
const BEAT: Duration = Duration::from_millis(400);

/// The lease lives so long without being kept alive.
const TTL: Duration = Duration::from_secs(10);

/// The incarnation of a worker that holds a slot.
pub(super) struct Incarnation {
    pub(super) epoch: Epoch,
    pub(super) token: u64,
    pub(super) process: Option<usize>,
    pub(super) stop: bool,
    pub(super) report: Option<WorkerReport>,
}

/// A supervisor, dead or alive.
pub(super) struct Supervisor {
    pub(super) life: Life,
    pub(super) machine: usize,
    pub(super) alive: bool,
    pub(super) paused_until: u64,
    pub(super) engine: Engine,
    pub(super) mirror: Mirror,
    session: Session,
    registrar: Registrar,
    pub(super) disk: Disk,
    pub(super) incarnations: BTreeMap<u32, Incarnation>,
    instructions: BTreeMap<u32, Instructions>,
    pub(super) sequence: u64,
    /// The nimbus it reports to, and when the last report arrives there.
    pub(super) leader: Option<usize>,
    pub(super) stream: u64,
}

impl Supervisor {
    /// Starts a supervisor on what an earlier life left.
    pub(super) fn new(machine: usize, life: u64, disk: Disk, env: &mut Env) -> Self {
        let slots = env.plan.machines[machine];
        let id = format!("m{machine}");
        let record = SupervisorRecord {
            id: id.clone(),
            host: id.clone(),
            slots,
            incarnation: life,
            ..SupervisorRecord::default()
        };
        let timings = Timings { hello: Duration::from_secs(8), ..Timings::default() };
        let mut engine = Engine::new(&id, slots, timings);
        for ((topology, worker), epoch) in &disk.retired {
            engine.retire(topology, *worker, *epoch);
        }
        let mut supervisor = Self {
            life: Life { node: Node::Machine(machine), number: life },
            machine,
            alive: true,
            paused_until: 0,
            engine,
            mirror: Mirror::new(),
            session: Session::new(TTL),
            registrar: Registrar::new(record),
            disk,
            incarnations: BTreeMap::new(),
            instructions: BTreeMap::new(),
            sequence: 0,
            leader: None,
            stream: 0,
        };
        supervisor.survey(env);
        Mirror::begin(supervisor.life, env);
        supervisor.session.beat(supervisor.life, env);
        alarm(env, supervisor.life, BEAT, Timer::Tick);
        supervisor
    }

    pub(super) fn timer(&mut self, timer: Timer, env: &mut Env) {
        match timer {
            Timer::Tick => {
                self.decide(Event::Tick, env);
                self.report(env);
                self.assert_stopped_are_found(env);
                let due = self.engine.deadline().map_or(BEAT, |at| {
                    at.saturating_duration_since(env.instant()).max(Duration::from_millis(20))
                });
                alarm(env, self.life, due.min(BEAT), Timer::Tick);
            }
            Timer::Mirror => Mirror::begin(self.life, env),
            Timer::Session => self.session.beat(self.life, env),
            Timer::Registrar => self.registrar.awake(self.life, env),
            Timer::Election => {}
        }
    }

    pub(super) fn answered(&mut self, why: Why, answered: Answered, env: &mut Env) {
        match why {
            Why::List | Why::Watch(_) => {
                let event = self.mirror.answered(why, answered, self.life, env);
                self.mirrored(event, env);
            }
            Why::Grant | Why::KeepAlive => {
                if self.session.answered(answered, self.life, env)
                    && let Some(lease) = self.session.lease
                {
                    self.registrar.renew(lease, self.life, env);
                }
            }
            _ => self.registrar.answered(why, answered, self.life, env),
        }
    }

    pub(super) fn mirrored(&mut self, event: Option<coordination::MirrorEvent>, env: &mut Env) {
        let Some(event) = event.and_then(|event| observe(&event, &env.keys)) else { return };
        let event = if env.does_wrong(Sabotage::ActBeforeFlip) { flipped(event) } else { event };
        self.decide(event, env);
    }

    /// Returns the lease that keeps what it wrote.
    pub(super) fn lease(&self) -> Option<coordination::LeaseId> {
        self.session.lease
    }

    pub(super) fn decide(&mut self, event: Event, env: &mut Env) {
        let commands = self.engine.handle(event, env.instant());
        if let Some(leader) = self.engine.leader() {
            let of = |at: &usize| leader.record.address == format!("{:?}", Node::Nimbus(*at));
            let leader = (0..env.plan.nimbuses).find(of);
            if leader != self.leader {
                (self.leader, self.stream) = (leader, env.now);
            }
        }
        let mut report = false;
        for command in commands {
            report |= command == Command::Report;
            self.apply(command, env);
        }
        if report {
            self.report(env);
        }
    }

    fn apply(&mut self, command: Command, env: &mut Env) {
        match command {
            Command::Fetch { .. } | Command::Clean { .. } => {
                let to = self.life;
                env.soon(100 * MS, Due::Later { to, command: Box::new(command) });
            }
            Command::Launch { slot, placement, epoch } => self.launch(slot, *placement, epoch, env),
            Command::Announce { topology, worker, epoch, address, pid, released } => {
                let wish = WorkerRecord {
                    topology: topology.clone(),
                    worker,
                    epoch: Some(epoch.into()),
                    address,
                    pid,
                    started_ms: env.now / MS,
                    supervisor: format!("m{}", self.machine),
                    released: Some(released),
                };
                self.registrar.wish((topology, worker), Some(wish), self.life, env);
            }
            Command::Withdraw { topology, worker } => {
                self.registrar.wish((topology, worker), None, self.life, env);
            }
            Command::Instruct { slot, instructions } => {
                self.instructions.insert(slot, instructions);
                self.tell(slot, env);
            }
            Command::AskToStop { slot, .. } => {
                if let Some(incarnation) = self.incarnations.get_mut(&slot) {
                    incarnation.stop = true;
                }
                self.tell(slot, env);
            }
            Command::Signal { slot, pid, signal } => self.signal(slot, pid, signal, env),
            Command::Look { slot, pid } => self.look(slot, pid, env),
            Command::Warn { .. } | Command::Report => {}
        }
    }

    fn signal(&self, slot: u32, pid_meant: u32, signal: Signal, env: &mut Env) {
        let process = self.incarnations.get(&slot).and_then(|it| it.process);
        let Some(process) = process.filter(|process| pid(*process) == pid_meant) else { return };
        if signal == Signal::Kill {
            self.judge_kill(slot, process, env);
        }
        let what = match signal {
            Signal::Terminate => ProcessEvent::Terminate,
            Signal::Kill => ProcessEvent::End,
        };
        env.soon(5 * MS, Due::Process { process, what });
        if env.does_wrong(Sabotage::StartBeforeEnd) {
            // The signal is taken for the end.
            let epoch = env.processes[process].epoch;
            let event = SlotEvent::Exited { epoch, exit: Exit::default() };
            env.schedule(env.now, Due::Slot { to: self.life, slot, event });
        }
    }

    /// What takes time is done.
    pub(super) fn later(&mut self, command: Command, env: &mut Env) {
        match command {
            Command::Fetch { slot, digest } => {
                let reachable = self.leader.is_some_and(|at| {
                    env.blocked_until(Node::Machine(self.machine), Node::Nimbus(at)).is_none()
                });
                self.disk.has_binary |= reachable && (env.healed || env.chance(0.95));
                let problem = (!self.disk.has_binary).then(|| "no nimbus leads".to_owned());
                self.on(slot, SlotEvent::Fetched { digest, problem }, env);
            }
            Command::Clean { slot, topology, worker, epoch } => {
                self.incarnations.remove(&slot);
                self.instructions.remove(&slot);
                let worker = (topology, worker);
                if !env.does_wrong(Sabotage::ForgetRetired) {
                    self.disk.retired.insert(worker.clone(), epoch);
                }
                self.disk.facts.remove(&worker);
                self.on(slot, SlotEvent::Cleaned, env);
            }
            Command::Launch { slot, placement, epoch } => {
                // It was counted on disk; now it runs.
                let token = self.incarnations.get(&slot).map_or(0, |it| it.token);
                let process = env.processes.len();
                Process::start(self.machine, (*placement, epoch, token), env);
                if let Some(incarnation) = self.incarnations.get_mut(&slot) {
                    incarnation.process = Some(process);
                }
                let event = SlotEvent::Launched { epoch, pid: pid(process), started_ms: 1 };
                env.soon(20 * MS, Due::Slot { to: self.life, slot, event });
            }
            _ => {}
        }
    }

    fn launch(&mut self, slot: u32, placement: Placement, epoch: Epoch, env: &mut Env) {
        let token: u64 = env.rng.random();
        let incarnation = Incarnation { epoch, token, process: None, stop: false, report: None };
        self.incarnations.insert(slot, incarnation);
        let worker = (placement.topology.clone(), placement.worker);
        self.disk.facts.insert(worker, Facts { placement: placement.clone(), epoch, token });
        if !env.healed && env.chance(0.03) {
            let exit = Exit { reason: "could not start".to_owned(), ..Exit::default() };
            let event = SlotEvent::Exited { epoch, exit };
            return env.soon(50 * MS, Due::Slot { to: self.life, slot, event });
        }
        let command = Command::Launch { slot, placement: Box::new(placement), epoch };
        env.soon(50 * MS, Due::Later { to: self.life, command: Box::new(command) });
    }

    /// Sends a worker its orders, if it listens.
    fn tell(&self, slot: u32, env: &mut Env) {
        let Some(incarnation) = self.incarnations.get(&slot) else { return };
        let Some(process) = incarnation.process else { return };
        if env.processes[process].attached != Some(self.life.number) {
            return;
        }
        let instructions = self.instructions.get(&slot).cloned();
        let what = ProcessEvent::Orders { instructions, stop: incarnation.stop };
        let at = env.now + MS;
        env.schedule(at, Due::Process { process, what });
    }

    pub(super) fn on(&mut self, slot: u32, event: SlotEvent, env: &mut Env) {
        self.decide(Event::Slot(slot, event), env);
    }

    /// A process says something.
    pub(super) fn said(&mut self, process: usize, said: Said, env: &mut Env) {
        let Process { placement, epoch, token, .. } = &env.processes[process];
        let (epoch, token) = (*epoch, *token);
        let is_it = |slot: &&Slot| slot.placement().is_some_and(|it| it.same_worker(placement));
        let slot = self.engine.slots().find(is_it).map(Slot::number);
        let incarnation = slot.and_then(|slot| self.incarnations.get_mut(&slot));
        let known = incarnation.filter(|it| it.epoch == epoch && it.token == token);
        let (Some(slot), Some(incarnation)) = (slot, known) else {
            // It is refused, and told to stop.
            env.count("hellos refused");
            env.processes[process].attached = None;
            let what = ProcessEvent::Orders { instructions: None, stop: true };
            return env.soon(5 * MS, Due::Process { process, what });
        };
        env.processes[process].heard = env.now;
        match said {
            Said::Report(report) if env.processes[process].attached == Some(self.life.number) => {
                let report = *report;
                let (drained, released) = (report.drained, report.released.clone());
                let before = incarnation.report.replace(report);
                self.on(slot, SlotEvent::Heard { drained, released }, env);
                if drained && !before.is_some_and(|before| before.drained) {
                    self.report(env);
                }
            }
            said => {
                let released = match said {
                    Said::Hello(released) => released,
                    Said::Report(report) => report.released,
                };
                incarnation.process = Some(process);
                env.processes[process].attached = Some(self.life.number);
                let address = format!("m{}:{process}", self.machine);
                let released = match self.engine.slot(slot).and_then(Slot::placement) {
                    Some(placement) if env.does_wrong(Sabotage::AdoptedHasNothing) => {
                        let generation = placement.assignment.generation;
                        Some(Released { generation, holding: Vec::new() })
                    }
                    _ => released,
                };
                let attached = SlotEvent::Attached { pid: pid(process), address, released };
                self.on(slot, attached, env);
                self.tell(slot, env);
            }
        }
    }

    /// A process of this machine has ended.
    pub(super) fn ended(&mut self, process: usize, env: &mut Env) {
        let Process { epoch, token, .. } = env.processes[process];
        let of = self.incarnations.iter().find(|(_, it)| it.token == token);
        if let Some(slot) = of.map(|(slot, _)| *slot) {
            self.on(slot, SlotEvent::Exited { epoch, exit: Exit::default() }, env);
        }
    }
}

/// Process ids are never 0.
pub(super) fn pid(process: usize) -> u32 {
    u32::try_from(process).expect("few processes") + 1
}

/// Sabotage: what is prepared counts as if it were in force.
fn flipped(event: Event) -> Event {
    use proto::store::AssignedRecord;
    use supervisor::engine::{Fact, Stamped};
    let Event::Store(mut facts) = event else { return event };
    let prepared: Vec<Fact> = facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::Assignment { topology, generation, record: Some(stamped), .. } => {
                let record = AssignedRecord { generation: *generation, workers: 1 };
                let stamped = Stamped { record, revision: stamped.revision };
                Some(Fact::Assigned(topology.clone(), Some(stamped)))
            }
            _ => None,
        })
        .collect();
    facts.extend(prepared);
    Event::Store(facts)
}
