//! Does what the engine says. Whatever takes time is spawned and answers with a message.

use std::time::Duration;

use nix::sys::signal::Signal as UnixSignal;
use proto::store::WorkerRecord;
use tokio::sync::mpsc;

use super::exits::Alive;
use super::{Daemon, Incarnation, Message};
use crate::engine::{Command, Epoch, Event, Exit, Instructions, Placement, Signal, SlotEvent};
use crate::launcher::{self, Launched};
use crate::process::Process;

/// What a worker started may still write while its folder is removed.
const CLEAN_TRIES: u32 = 5;
const CLEAN_WAIT: Duration = Duration::from_millis(100);

impl Daemon {
    pub(super) fn apply(&mut self, commands: Vec<Command>) {
        let mut report = false;
        for command in commands {
            match command {
                Command::Fetch { slot, digest } => self.fetch(slot, digest),
                Command::Launch { slot, placement, epoch } => self.launch(slot, *placement, epoch),
                Command::Announce { topology, worker, epoch, address, pid, released } => {
                    self.registrar.announce(WorkerRecord {
                        topology,
                        worker,
                        epoch: Some(epoch.into()),
                        address,
                        pid,
                        started_ms: self.launcher.clock.wall_ms(),
                        supervisor: self.launcher.data.id.clone(),
                        released: Some(released),
                    });
                }
                Command::Withdraw { topology, worker } => self.registrar.withdraw(topology, worker),
                Command::Instruct { slot, instructions } => self.instruct(slot, instructions),
                Command::AskToStop { slot, reason } => {
                    if let Some(incarnation) = self.incarnations.get(&slot) {
                        incarnation.orders.send_modify(|orders| orders.stop = Some(reason));
                    }
                }
                Command::Signal { slot, pid, signal } => self.signal(slot, pid, signal),
                Command::Look { slot, pid } => self.look(slot, pid),
                Command::Clean { slot, topology, worker, epoch } => {
                    self.clean(slot, topology, (worker, epoch));
                }
                Command::Warn { slot, text } => self.warn(slot, &text),
                Command::Report => report = true,
            }
        }
        if report {
            self.report();
        }
    }

    fn fetch(&self, slot: u32, digest: String) {
        let binaries = self.launcher.binaries.clone();
        let mut from = self.engine.holders(&digest);
        // The one who led last may still answer.
        let leader = self.leader.borrow().as_ref().map(|leader| leader.address.clone());
        from.extend(leader.filter(|leader| !from.contains(leader)));
        let placements = self.engine.slots().filter_map(|slot| slot.placement());
        let in_use = placements.map(|placement| placement.digest.clone()).collect();
        let messages = self.messages.clone();
        self.parts.spawn_until_asked(async move {
            let problem = binaries.ensure(&digest, &from, in_use).await.err();
            if let Some(problem) = &problem {
                tracing::warn!(slot, %digest, %problem, "cannot fetch a binary");
            }
            say(&messages, slot, SlotEvent::Fetched { digest, problem }).await;
        });
    }

    fn launch(&mut self, slot: u32, placement: Placement, epoch: Epoch) {
        let token = launcher::new_token();
        let instructions = self.instructions.get(&slot).cloned();
        let incarnation = Incarnation::new(epoch, token.clone(), instructions);
        let outlet = incarnation.outlet.clone();
        self.incarnations.insert(slot, incarnation);
        let (launcher, messages) = (self.launcher.clone(), self.messages.clone());
        self.parts.spawn(async move {
            let topology = placement.topology.clone();
            let worker = placement.worker;
            let launched = match launcher.launch(&placement, epoch, &token).await {
                Ok(launched) => launched,
                Err(problem) => {
                    tracing::warn!(%topology, worker, %problem, "cannot start a worker");
                    let reason = format!("could not start: {problem}");
                    let at_ms = launcher.clock.wall_ms();
                    let exit = Exit { reason, last_words: String::new(), at_ms };
                    return say(&messages, slot, SlotEvent::Exited { epoch, exit }).await;
                }
            };
            let Launched { child, process, started_ms, folder, bounds } = launched;
            tracing::info!(%topology, worker, %epoch, pid = process.pid, "worker started");
            let unheld = bounds.unheld.clone();
            if !unheld.is_empty() {
                tracing::warn!(%topology, worker, %unheld, "a worker runs without a limit it should have");
            }
            let news = Message::Launched { slot, epoch, process, started_ms, unheld };
            drop(messages.send(news).await);
            let (worker, folder) = ((topology, worker), Some(folder));
            let alive = Alive { slot, worker, epoch, process, folder, bounds, outlet };
            alive.reap(child, &launcher.clock, &messages).await;
        });
    }

    fn instruct(&mut self, slot: u32, instructions: Instructions) {
        if let Some(incarnation) = self.incarnations.get(&slot) {
            let instructions = instructions.clone();
            incarnation.orders.send_modify(|orders| orders.instructions = Some(instructions));
        }
        self.instructions.insert(slot, instructions);
    }

    fn signal(&self, slot: u32, pid: u32, signal: Signal) {
        let signal = match signal {
            Signal::Terminate => UnixSignal::SIGTERM,
            Signal::Kill => UnixSignal::SIGKILL,
        };
        let process = self.incarnations.get(&slot).and_then(|incarnation| incarnation.process);
        if let Some(process) = process.filter(|process| process.pid == pid) {
            tracing::info!(slot, pid, %signal, "signalling a worker");
            process.signal(signal);
        }
    }

    /// Asks the system whether a silent process is stopped.
    fn look(&mut self, slot: u32, pid: u32) {
        let process = self.incarnations.get(&slot).and_then(|incarnation| incarnation.process);
        let process = process.filter(|process| process.pid == pid);
        let stopped = process.is_some_and(Process::is_stopped);
        self.decide(Event::Slot(slot, SlotEvent::Looked { stopped }));
    }

    fn clean(&mut self, slot: u32, topology: String, (worker, epoch): (u32, Epoch)) {
        self.incarnations.remove(&slot);
        self.instructions.remove(&slot);
        let (launcher, messages) = (self.launcher.clone(), self.messages.clone());
        self.parts.spawn(async move {
            for _ in 0..CLEAN_TRIES {
                let (data, id) = (launcher.data.clone(), topology.clone());
                // The epoch is remembered before the facts that hold it are gone.
                let removed = tokio::task::spawn_blocking(move || {
                    data.retired.add(&id, worker, epoch)?;
                    data.remove_worker(&id, worker)
                });
                let Ok(Err(error)) = removed.await else { break };
                tracing::warn!(%topology, worker, %error, "cannot remove a worker's folder");
                launcher.clock.sleep(CLEAN_WAIT).await;
            }
            tracing::info!(%topology, worker, "worker gone");
            say(&messages, slot, SlotEvent::Cleaned).await;
        });
    }

    fn warn(&self, slot: u32, text: &str) {
        let placement = self.engine.slot(slot).and_then(|slot| slot.placement());
        if let Some(placement) = placement {
            tracing::warn!(topology = %placement.topology, worker = placement.worker, "{text}");
        }
    }
}

/// Tells the loop; if it has ended there is nobody to care.
pub(super) async fn say(messages: &mpsc::Sender<Message>, slot: u32, event: SlotEvent) {
    drop(messages.send(Message::Engine(Event::Slot(slot, event))).await);
}
