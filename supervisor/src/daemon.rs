//! The loop: everything that happens comes in here, the engine decides, `apply` acts.
//!
//! One tokio task owns the engine and all that is known of the slots, so there is nothing to lock
//! and one order of events. It never waits for anything but the next message.

mod apply;
mod exits;
mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use daemon::{Shutdown, TurnedAway};
use proto::supervisor::{SupervisorReport, WorkerHello, WorkerReport};
use tokio::sync::{mpsc, watch};

use crate::adopt::Found;
use crate::control::{Attachment, Knock, Orders};
use crate::engine::{Engine, Epoch, Event, Instructions, Slot, SlotEvent};
use crate::launcher::{self, Launcher};
use crate::letters::{Letters, Replay};
use crate::limits::Limits;
use crate::looks::Look;
use crate::outlet::Outlet;
use crate::process::Process;
use crate::register::Registrar;
use crate::reports::Leader;
use exits::Alive;

/// Between two reports when nothing happens, and between two looks at the clock.
const BEAT: Duration = Duration::from_millis(250);

/// A deadline that is due is not looked at more often than this.
const DEADLINE_MIN: Duration = Duration::from_millis(2);

/// How long the store may take to hear that the supervisor is gone.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// How long the parts may take to end.
const PARTS_MAX: Duration = Duration::from_secs(3);

/// Letters that wait for a worker to replay them.
const REPLAYS_MAX: usize = 1024;

/// What people ask of a worker that was not told yet.
const LOOKS_MAX: usize = 16;

/// What comes into the loop.
#[derive(Debug)]
pub(crate) enum Message {
    /// For the engine as it is.
    Engine(Event),
    /// A process exists.
    Launched { slot: u32, epoch: Epoch, process: Process, started_ms: u64, unheld: String },
    /// A worker says hello.
    Hello(Knock),
    /// A worker reports.
    Report { slot: u32, attachment: u64, report: Box<WorkerReport> },
    /// A conversation with a worker broke off.
    Detached { slot: u32, attachment: u64 },
    /// A worker is to replay a dead letter.
    Replay(Replay),
    /// Somebody asks something of a worker.
    Look(Look),
    /// An incarnation that was replaced hands over a dead letter.
    Outdated { slot: u32, epoch: String },
}

/// The incarnation of a worker that holds a slot.
#[derive(Debug)]
struct Incarnation {
    epoch: Epoch,
    token: String,
    process: Option<Process>,
    /// Which limits nobody holds it to, and why.
    unheld: String,
    orders: watch::Sender<Orders>,
    /// What it writes last.
    outlet: Outlet,
    /// Number of its newest conversation.
    attachment: u64,
    /// Letters to replay, for that conversation.
    replays: mpsc::Sender<Replay>,
    /// What people ask of it, for that conversation.
    looks: mpsc::Sender<Look>,
    report: Option<WorkerReport>,
}

impl Incarnation {
    fn new(epoch: Epoch, token: String, instructions: Option<Instructions>) -> Self {
        let (orders, _) = watch::channel(Orders { instructions, stop: None });
        let (replays, _) = mpsc::channel(1);
        let (looks, _) = mpsc::channel(1);
        let (process, unheld, outlet, attachment, report) = Default::default();
        Self { epoch, token, process, unheld, orders, outlet, attachment, replays, looks, report }
    }
}

/// The loop's own state.
pub(crate) struct Daemon {
    pub(crate) engine: Engine,
    pub(crate) launcher: Launcher,
    pub(crate) registrar: Registrar,
    /// Where what the loop started sends its news.
    pub(crate) messages: mpsc::Sender<Message>,
    pub(crate) reports: watch::Sender<Arc<SupervisorReport>>,
    pub(crate) leader: watch::Sender<Option<Leader>>,
    /// How often a nimbus took reports that leads no more.
    pub(crate) stale_leaders: Arc<AtomicU64>,
    /// Where all nimbuses are, the leading one first: for workers, should this process go away.
    nimbuses: watch::Sender<Vec<String>>,
    /// What serves and follows; stopped after the workers.
    pub(crate) parts: Shutdown,
    incarnations: BTreeMap<u32, Incarnation>,
    /// What the engine wants the worker of a slot to know, also before there is one.
    instructions: BTreeMap<u32, Instructions>,
    /// The dead letters that are kept here.
    letters: Letters,
    /// Who was turned away at the door, and binaries that were not what they should be.
    turned_away: TurnedAway,
    sequence: u64,
}

impl Daemon {
    pub(crate) fn new(
        (engine, letters): (Engine, Letters),
        launcher: Launcher,
        registrar: Registrar,
        messages: mpsc::Sender<Message>,
        parts: Shutdown,
    ) -> Self {
        Self {
            engine,
            launcher,
            registrar,
            messages,
            reports: watch::Sender::default(),
            leader: watch::Sender::default(),
            stale_leaders: Arc::default(),
            nimbuses: watch::Sender::default(),
            parts,
            incarnations: BTreeMap::new(),
            instructions: BTreeMap::new(),
            letters,
            turned_away: TurnedAway::default(),
            sequence: 0,
        }
    }

    /// Takes over workers of an earlier life.
    pub(crate) fn adopt(&mut self, found: Vec<Found>) {
        for worker in found {
            let slot = worker.slot();
            let Found { remembered, epoch, token, process, unheld } = worker;
            let (topology, number) = (&remembered.placement.topology, remembered.placement.worker);
            if let Some(process) = process {
                tracing::info!(%topology, worker = number, pid = process.pid, "worker adopted");
                let mut incarnation = Incarnation::new(epoch, token, None);
                incarnation.process = Some(process);
                incarnation.unheld.clone_from(&unheld);
                let outlet = incarnation.outlet.clone();
                self.incarnations.insert(slot, incarnation);
                let folder = self.launcher.data.worker(topology, number);
                let limits = Limits::of(&remembered.placement.config);
                let bounds = limits.found(self.launcher.groups.as_ref(), slot, &unheld);
                let worker = (topology.clone(), number);
                let alive = Alive { slot, worker, epoch, process, folder, bounds, outlet };
                let (clock, messages) = (self.launcher.clock.clone(), self.messages.clone());
                self.parts.spawn_until_asked(async move { alive.outlive(&clock, &messages).await });
            } else {
                tracing::warn!(%topology, worker = number, "worker ended in the meantime");
            }
            self.decide(Event::Remembered(Box::new(remembered)));
        }
    }

    /// Runs until `shutdown` is asked and every worker has ended.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>, shutdown: Shutdown) {
        let clock = self.launcher.clock.clone();
        let mut next_beat = clock.now();
        let mut asked = false;
        while !self.engine.is_over() {
            let soonest = clock.now() + DEADLINE_MIN;
            let due = self.engine.deadline().map_or(next_beat, |at| at.min(next_beat));
            tokio::select! {
                message = messages.recv() => {
                    self.take(message.expect("the loop holds a sender itself"));
                }
                () = clock.sleep_until(due.max(soonest)) => {
                    self.decide(Event::Tick);
                    if clock.now() >= next_beat {
                        next_beat = clock.now() + BEAT;
                        self.forget_letters();
                        self.report();
                    }
                }
                () = shutdown.asked(), if !asked => {
                    asked = true;
                    tracing::info!("supervisor stops: its workers drain");
                    self.decide(Event::Shutdown);
                }
            }
        }
        self.end().await;
    }

    async fn end(self) {
        let settled = tokio::time::timeout(FAREWELL_MAX, self.registrar.settled()).await;
        if settled.is_err() {
            tracing::warn!("the store did not take the last changes: they go with the lease");
        }
        self.parts.ask();
        if let Err(stuck) = self.parts.wait(PARTS_MAX).await {
            tracing::warn!(%stuck, "stopping anyway");
        }
        self.launcher.data.remove_socket();
        tracing::info!("supervisor stopped");
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Engine(event) => {
                if matches!(event, Event::Restored(_)) {
                    self.letters.store_went_back(&self.parts);
                }
                self.decide(event);
            }
            Message::Launched { slot, epoch, process, started_ms, unheld } => {
                if let Some(incarnation) = self.incarnation(slot, epoch) {
                    incarnation.process = Some(process);
                    incarnation.unheld = unheld;
                }
                let pid = process.pid;
                self.decide(Event::Slot(slot, SlotEvent::Launched { epoch, pid, started_ms }));
            }
            Message::Hello(knock) => self.answer(knock),
            Message::Report { slot, attachment, report } => {
                let Some(incarnation) = self.incarnations.get_mut(&slot) else { return };
                if incarnation.attachment != attachment {
                    return;
                }
                let (drained, released) = (report.drained, report.released.clone());
                let hung = report.hung.clone();
                let urgent = report::take(&mut incarnation.report, *report);
                self.decide(Event::Slot(slot, SlotEvent::Heard { drained, released }));
                if !hung.is_empty() {
                    self.decide(Event::Slot(slot, SlotEvent::Hung(hung)));
                }
                if urgent {
                    self.report();
                }
            }
            Message::Detached { slot, attachment } => {
                let known = self.incarnations.get(&slot);
                if known.is_some_and(|incarnation| incarnation.attachment == attachment) {
                    self.decide(Event::Slot(slot, SlotEvent::Detached));
                }
            }
            Message::Replay(replay) => {
                let slot = self.slot_of(&replay.topology, replay.worker);
                let incarnation = slot.and_then(|slot| self.incarnations.get(&slot));
                if let Some(incarnation) = incarnation {
                    // What is not taken is dropped, and who waits for its outcome hears that.
                    drop(incarnation.replays.try_send(replay));
                }
            }
            Message::Look(look) => {
                let slot = self.slot_of(&look.topology, look.worker);
                if let Some(incarnation) = slot.and_then(|slot| self.incarnations.get(&slot)) {
                    // As above.
                    drop(incarnation.looks.try_send(look));
                }
            }
            Message::Outdated { slot, epoch } => {
                let placement = self.engine.slot(slot).and_then(Slot::placement);
                let who = placement.map_or_else(
                    || format!("slot {slot}"),
                    |it| format!("worker {} of {}", it.worker, it.topology),
                );
                self.turned_away.note(&who, &epoch, "retired");
            }
        }
    }

    /// The slot that a worker is assigned to.
    fn slot_of(&self, topology: &str, worker: u32) -> Option<u32> {
        let mut slots = self.engine.slots();
        let slot = slots.find(|slot| {
            slot.placement().is_some_and(|p| p.topology == topology && p.worker == worker)
        });
        slot.map(Slot::number)
    }

    /// Tells the engine what happened and does what it says.
    fn decide(&mut self, event: Event) {
        let commands = self.engine.handle(event, self.launcher.clock.now());
        self.leader.send_if_modified(|known| {
            // While nobody leads, the one who led last may still answer.
            let Some(leader) = self.engine.leader() else { return false };
            let leader = Leader { address: leader.record.address.clone(), term: leader.revision };
            let changed = known.as_ref() != Some(&leader);
            *known = Some(leader);
            changed
        });
        self.nimbuses.send_if_modified(|known| {
            let nimbuses = self.engine.nimbuses();
            let changed = !nimbuses.is_empty() && *known != nimbuses;
            if changed {
                *known = nimbuses;
            }
            changed
        });
        self.apply(commands);
    }

    /// Checks who says hello, and tells it where its orders come from.
    fn answer(&mut self, knock: Knock) {
        let Knock { hello, reply } = knock;
        let attached = self.attach(&hello).map_err(|(why, reason)| {
            let epoch = hello.epoch.map(Epoch::from).unwrap_or_default().to_string();
            let who = format!("worker {} of {}", hello.worker, hello.topology);
            self.turned_away.note(&who, &epoch, why);
            reason.to_owned()
        });
        // Who hung up in the meantime dials again.
        drop(reply.send(attached));
    }

    /// Attaches a worker, or says why not: in a word, and in a sentence.
    fn attach(&mut self, hello: &WorkerHello) -> Result<Attachment, (&'static str, &'static str)> {
        let slot = self.slot_of(&hello.topology, hello.worker);
        let slot = slot.ok_or(("unassigned", "this worker is not assigned here"))?;
        let epoch = hello.epoch.map(Epoch::from).unwrap_or_default();
        let nimbuses = self.nimbuses.subscribe();
        let newer = ("retired", "another incarnation of this worker has taken its place");
        let incarnation = self.incarnation(slot, epoch).ok_or(newer)?;
        if !launcher::same_token(&incarnation.token, &hello.token) {
            return Err(("token", "this is not the token the worker was started with"));
        }
        incarnation.outlet.open(hello.pid);
        incarnation.attachment += 1;
        let number = incarnation.attachment;
        let orders = incarnation.orders.subscribe();
        let (sender, replays) = mpsc::channel(REPLAYS_MAX);
        incarnation.replays = sender;
        let (sender, looks) = mpsc::channel(LOOKS_MAX);
        incarnation.looks = sender;
        let WorkerHello { pid, address, released, topology, worker, .. } = hello.clone();
        let attachment =
            Attachment { slot, number, topology, worker, epoch, orders, nimbuses, replays, looks };
        let event = SlotEvent::Attached { pid, address, released };
        self.decide(Event::Slot(slot, event));
        Ok(attachment)
    }

    fn incarnation(&mut self, slot: u32, epoch: Epoch) -> Option<&mut Incarnation> {
        self.incarnations.get_mut(&slot).filter(|incarnation| incarnation.epoch == epoch)
    }
}
