//! Workers that stand still: what the system says of them, and that a supervisor ends those that are
//! stopped, soon, and nobody else.

use supervisor::engine::{SlotEvent, State};

use super::env::Env;
use super::events::Event;
use super::plan::{MS, SECOND};
use super::sabotage::Sabotage;
use super::supervisor::{Supervisor, pid};

/// A supervisor that lives and does not stand still itself needs no longer to see that a worker is
/// stopped.
const FOUND_WITHIN: u64 = 3 * SECOND;

/// Who is not stopped is ended for a silence of so long, and no shorter one.
const SILENT: u64 = 9_900 * MS;

impl Supervisor {
    /// The system says whether a process is stopped.
    pub(super) fn look(&self, slot: u32, pid_meant: u32, env: &mut Env) {
        let process = self.incarnations.get(&slot).and_then(|it| it.process);
        let Some(process) = process.filter(|process| pid(*process) == pid_meant) else { return };
        let it = &env.processes[process];
        let stopped = it.alive && it.is_stopped(env.now);
        let stopped = match env.sabotage {
            Some(Sabotage::BlindLook) => false,
            Some(Sabotage::HastyLook) => true,
            _ => stopped,
        };
        let event = SlotEvent::Looked { stopped };
        env.schedule(env.now, Event::Slot { to: self.life, slot, event });
    }

    /// A worker that runs is killed: it must have been stopped, or have said nothing for long.
    pub(super) fn judge_kill(&self, slot: u32, process: usize, env: &mut Env) {
        let runs = |state| matches!(state, State::Running { .. });
        let it = &env.processes[process];
        if !it.alive || !self.engine.slot(slot).is_some_and(|slot| runs(slot.state())) {
            return;
        }
        let silence = env.now - it.heard;
        let (stopped, ms) = (it.is_stopped(env.now), silence / MS);
        let evidence = stopped || silence >= SILENT;
        assert!(evidence, "p{process} was killed, which reported {ms} ms ago and is not stopped");
        if stopped && silence < SILENT {
            env.count("stopped and killed");
        }
    }

    /// No worker of this supervisor is stopped for long.
    pub(super) fn assert_stopped_are_found(&self, env: &Env) {
        for slot in self.engine.slots().filter(|it| matches!(it.state(), State::Running { .. })) {
            let held = self.incarnations.get(&slot.number());
            let Some(process) = held.and_then(|held| held.process) else { continue };
            let it = &env.processes[process];
            let attached = it.attached == Some(self.life.number);
            let since = it.stopped.0.max(self.paused_until).max(it.heard);
            let stopped = it.alive && attached && it.is_stopped(env.now);
            let late = stopped && env.now > since + FOUND_WITHIN;
            assert!(!late, "p{process} is stopped since {} ms, and is not replaced", since / MS);
        }
    }
}
