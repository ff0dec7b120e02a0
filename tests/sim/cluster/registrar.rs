//! What a supervisor has written in the store, kept true: a stand-in for its `register`.

use std::collections::BTreeMap;
use std::time::Duration;

use coordination::{Error, Guard, LeaseId, Operation, Revision, Transaction, decode, put};
use daemon::Backoff;
use proto::store::{SupervisorRecord, WorkerRecord};
use supervisor::engine::Epoch;

use super::env::{Env, Life};
use super::events::{Answered, Ask, By, Got, Timer, Why};
use super::following::alarm;
use super::sabotage::Sabotage;

type Worker = (String, u32);

struct Wish {
    record: Option<WorkerRecord>,
    open: bool,
}

/// What is to be in the store, and how far that has come.
pub(super) struct Registrar {
    supervisor: SupervisorRecord,
    wishes: BTreeMap<Worker, Wish>,
    known: BTreeMap<String, Revision>,
    lease: Option<LeaseId>,
    /// The lease that keeps the supervisor's own record.
    registered: Option<LeaseId>,
    /// What the call on its way is to make true.
    asking: Option<Option<WorkerRecord>>,
    waiting: bool,
    backoff: Backoff,
}

impl Registrar {
    pub(super) fn new(supervisor: SupervisorRecord) -> Self {
        Self {
            supervisor,
            wishes: BTreeMap::new(),
            known: BTreeMap::new(),
            lease: None,
            registered: None,
            asking: None,
            waiting: false,
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
        }
    }

    pub(super) fn wish(
        &mut self,
        worker: Worker,
        record: Option<WorkerRecord>,
        whose: Life,
        env: &mut Env,
    ) {
        self.wishes.insert(worker, Wish { record, open: true });
        self.go_on(whose, env);
    }

    /// Everything again under a new lease: the keys of the old one are gone.
    pub(super) fn renew(&mut self, lease: LeaseId, whose: Life, env: &mut Env) {
        self.lease = Some(lease);
        self.registered = None;
        self.wishes.values_mut().for_each(|wish| wish.open = true);
        self.go_on(whose, env);
    }

    /// Waited long enough after a failure.
    pub(super) fn awake(&mut self, whose: Life, env: &mut Env) {
        self.waiting = false;
        self.go_on(whose, env);
    }

    fn go_on(&mut self, whose: Life, env: &mut Env) {
        let (Some(lease), None, false) = (self.lease, &self.asking, self.waiting) else { return };
        if self.registered != Some(lease) {
            let key = env.keys.supervisor(&self.supervisor.id);
            let operations = vec![put(key, &self.supervisor, Some(lease))];
            self.asking = Some(None);
            let transaction = Transaction { guards: Vec::new(), operations };
            return env.ask(whose, Why::Register(lease), Ask::Commit(transaction, By::Supervisor));
        }
        let open = self.wishes.iter().find(|(_, wish)| wish.open);
        let Some((worker, record)) = open.map(|(of, wish)| (of.clone(), wish.record.clone()))
        else {
            return;
        };
        let key = env.keys.worker(&worker.0, worker.1);
        let unknown = record.is_none() && !self.known.contains_key(&key);
        self.asking = Some(record);
        if unknown {
            env.ask(whose, Why::WishGet(worker), Ask::Get(key));
        } else {
            self.write(worker, lease, whose, env);
        }
    }

    fn write(&self, worker: Worker, lease: LeaseId, whose: Life, env: &mut Env) {
        let Some(record) = &self.asking else { return };
        let key = env.keys.worker(&worker.0, worker.1);
        let guard = match self.known.get(&key) {
            Some(revision) => Guard::ModifiedAt(key.clone(), *revision),
            None => Guard::Absent(key.clone()),
        };
        let guards = if env.does_wrong(Sabotage::OverwriteEpoch) { vec![] } else { vec![guard] };
        let operation = match record {
            Some(record) => put(key, record, Some(lease)),
            None => Operation::Delete(key),
        };
        let transaction = Transaction { guards, operations: vec![operation] };
        env.ask(whose, Why::Wish(worker), Ask::Commit(transaction, By::Supervisor));
    }

    pub(super) fn answered(&mut self, why: Why, answered: Answered, whose: Life, env: &mut Env) {
        let lease = self.lease.unwrap_or_default();
        match (why, answered) {
            (Why::Register(under), Ok(_)) => {
                self.registered = Some(under);
                self.done();
            }
            (Why::Wish(worker), Ok(Got::Done(revision))) => {
                let key = env.keys.worker(&worker.0, worker.1);
                let record = self.asking.take().flatten();
                match record {
                    Some(_) => drop(self.known.insert(key, revision)),
                    None => drop(self.known.remove(&key)),
                }
                self.fulfilled(&worker, record.as_ref());
            }
            (Why::Wish(worker), Err(Error::Conflict)) => {
                let key = env.keys.worker(&worker.0, worker.1);
                return env.ask(whose, Why::WishGet(worker), Ask::Get(key));
            }
            (Why::WishGet(worker), Ok(Got::Entry(entry))) => {
                let key = env.keys.worker(&worker.0, worker.1);
                let record = self.asking.clone().flatten();
                let epoch = |it: &WorkerRecord| it.epoch.map(Epoch::from).unwrap_or_default();
                let ours = match &entry {
                    None => {
                        self.known.remove(&key);
                        record.is_some()
                    }
                    Some(entry) => {
                        let there = decode::<WorkerRecord>(entry).unwrap_or_default();
                        match &record {
                            Some(record) => epoch(&there) <= epoch(record),
                            None => there.supervisor == self.supervisor.id,
                        }
                    }
                };
                if ours {
                    self.known.extend(entry.map(|entry| (key, entry.modified)));
                    return self.write(worker, lease, whose, env);
                }
                self.asking = None;
                self.fulfilled(&worker, record.as_ref());
            }
            (_, Err(_)) => {
                self.asking = None;
                self.waiting = true;
                let wait = self.backoff.next(0.5);
                return alarm(env, whose, wait, Timer::Registrar);
            }
            (why, Ok(got)) => unreachable!("{why:?} is not answered by {got:?}"),
        }
        self.go_on(whose, env);
    }

    fn done(&mut self) {
        self.asking = None;
        self.backoff.reset();
    }

    fn fulfilled(&mut self, worker: &Worker, record: Option<&WorkerRecord>) {
        self.done();
        // Another wish may have come in the meantime.
        if let Some(wish) = self.wishes.get_mut(worker)
            && wish.record.as_ref() == record
        {
            wish.open = false;
            if record.is_none() {
                self.wishes.remove(worker);
            }
        }
    }
}
