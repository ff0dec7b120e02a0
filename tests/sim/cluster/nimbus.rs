//! A nimbus: its engine, and a stand-in for the loop, the writer and the candidate around it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use coordination::{Error, Guard, MirrorEvent, Operation, Revision, Transaction, put};
use nimbus::engine::Engine;
use nimbus::engine::command::{Command, Plan, Write};
use nimbus::engine::event::{Event, Now, Request, WriteFailure};
use nimbus::engine::liveness::Patience;
use nimbus::observe::observe;
use proto::store::LeaderRecord;

use super::env::{Env, Life, Node};
use super::events::{Answered, Ask, By, Event as Due, Got, Heard, Timer, What, Why};
use super::following::{Mirror, Session, alarm};
use super::plan::{MS, SECOND};
use super::sabotage::Sabotage;
use super::witness::Machine;

/// How often the engine is told that time has passed.
const TICK: Duration = Duration::from_millis(200);

/// How long its keys outlive it.
const TTL: Duration = Duration::from_secs(2);

/// How long answers are remembered.
const REQUEST_TTL: Duration = Duration::from_secs(3_600);

/// Who asked: a client, and its try.
type Asker = (usize, (u32, u32));

/// The write on its way.
struct Writing {
    plan: Box<Plan>,
    term: Revision,
    left: VecDeque<Transaction>,
}

/// A nimbus, dead or alive.
pub(super) struct Nimbus {
    pub(super) life: Life,
    pub(super) alive: bool,
    pub(super) paused_until: u64,
    pub(super) engine: Engine,
    pub(super) mirror: Mirror,
    session: Session,
    term: Option<Revision>,
    since: u64,
    tickets: BTreeMap<u64, Asker>,
    next_ticket: u64,
    plans: VecDeque<(Box<Plan>, Revision)>,
    writing: Option<Writing>,
    /// When each supervisor was last heard of.
    heard: BTreeMap<String, u64>,
    /// When a worker last reported by itself.
    pub(super) direct: BTreeMap<Machine, u64>,
    /// How far its wall clock is ahead.
    pub(super) ahead_ms: u64,
}

impl Nimbus {
    pub(super) fn new(at: usize, life: u64, env: &mut Env) -> Self {
        let life = Life { node: Node::Nimbus(at), number: life };
        let ahead_ms = env.below(0..10_000);
        let now = Now { at: env.instant(), wall_ms: ahead_ms };
        let patience = if env.does_wrong(Sabotage::NoPatience) {
            let none = Duration::from_millis(300);
            let grace = Duration::ZERO;
            Patience { severed: none, silent: none, alone: none, away: none, grace }
        } else {
            Patience::default()
        };
        let nimbus = Self {
            life,
            alive: true,
            paused_until: 0,
            engine: Engine::new(patience, now),
            mirror: Mirror::new(),
            session: Session::new(TTL),
            term: None,
            since: 0,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            plans: VecDeque::new(),
            writing: None,
            heard: BTreeMap::new(),
            direct: BTreeMap::new(),
            ahead_ms,
        };
        Mirror::begin(life, env);
        nimbus.session.beat(life, env);
        alarm(env, life, TICK, Timer::Tick);
        nimbus
    }

    fn now(&self, env: &Env) -> Now {
        Now { at: env.instant(), wall_ms: env.now / MS + self.ahead_ms }
    }

    pub(super) fn leads(&self) -> bool {
        self.alive && self.engine.is_leading()
    }

    fn record(&self) -> LeaderRecord {
        let address = format!("{:?}", self.life.node);
        LeaderRecord { nimbus_id: address.clone(), address, ..LeaderRecord::default() }
    }

    pub(super) fn timer(&mut self, timer: Timer, env: &mut Env) {
        match timer {
            Timer::Tick => {
                alarm(env, self.life, TICK, Timer::Tick);
                self.handle(Event::Tick, env);
            }
            Timer::Mirror => Mirror::begin(self.life, env),
            Timer::Session => self.session.beat(self.life, env),
            Timer::Election => match self.term {
                Some(_) => env.ask(self.life, Why::StillLeads, Ask::Get(env.keys.leader())),
                None => self.campaign(env),
            },
            Timer::Registrar => {}
        }
    }

    pub(super) fn answered(&mut self, why: Why, answered: Answered, env: &mut Env) {
        match why {
            Why::List | Why::Watch(_) => {
                let event = self.mirror.answered(why, answered, self.life, env);
                self.mirrored(event, env);
            }
            Why::Grant | Why::KeepAlive => {
                if self.session.answered(answered, self.life, env) && self.term.is_none() {
                    self.campaign(env);
                }
            }
            Why::RequestLease | Why::Write => self.written(answered, env),
            _ => self.elected(&why, answered, env),
        }
    }

    pub(super) fn mirrored(&mut self, event: Option<MirrorEvent>, env: &mut Env) {
        let Some(event) = event else { return };
        if env.does_wrong(Sabotage::LeaseIsDeath)
            && let MirrorEvent::Changes(changes) = &event
        {
            // Whoever's key is gone is not listened to any more.
            let gone = changes.iter().filter_map(|change| match change {
                coordination::Change::Deleted { key, .. } => env.keys.parse(key),
                coordination::Change::Put(_) => None,
            });
            for key in gone {
                if let coordination::Key::Supervisor { id } = key {
                    env.witness.deaf.insert(id, env.now + 8 * SECOND);
                }
            }
        }
        let event = observe(event, &env.keys);
        self.handle(event, env);
    }

    fn campaign(&self, env: &mut Env) {
        let Some(lease) = self.session.lease else { return };
        let key = env.keys.leader();
        let guards = vec![Guard::Absent(key.clone())];
        let operations = vec![put(key, &self.record(), Some(lease))];
        let transaction = Transaction { guards, operations };
        env.ask(self.life, Why::Campaign, Ask::Commit(transaction, By::Election));
    }

    fn elected(&mut self, why: &Why, answered: Answered, env: &mut Env) {
        let soon = Duration::from_millis(50 + env.below(0..350));
        match (why, answered) {
            (Why::Campaign, Ok(Got::Done(created))) if self.term.is_none() => {
                env.count("elections");
                env.note(|| format!("{:?} leads from {created}", self.life));
                self.term = Some(created);
                self.since = env.now;
                self.handle(Event::Leads { elected: created }, env);
                alarm(env, self.life, soon, Timer::Election);
            }
            (Why::Campaign, Err(Error::Conflict)) => {
                env.ask(self.life, Why::WhoLeads, Ask::Get(env.keys.leader()));
            }
            (Why::WhoLeads, Ok(Got::Entry(Some(held)))) if self.term.is_none() => {
                let ours = prost::Message::encode_to_vec(&self.record());
                if held.value == ours {
                    // Of an earlier life, or of a try whose answer was lost.
                    let guards = vec![Guard::CreatedAt(held.key.clone(), held.created)];
                    let operations = vec![Operation::Delete(held.key)];
                    let transaction = Transaction { guards, operations };
                    env.ask(self.life, Why::GiveUp, Ask::Commit(transaction, By::Election));
                } else {
                    alarm(env, self.life, soon, Timer::Election);
                }
            }
            (Why::StillLeads, Ok(Got::Entry(held))) => {
                let still = held.is_some_and(|held| Some(held.created) == self.term);
                if !still && self.term.take().is_some() {
                    env.note(|| format!("{:?} no longer leads", self.life));
                    self.handle(Event::Follows, env);
                }
                alarm(env, self.life, soon, Timer::Election);
            }
            _ => alarm(env, self.life, soon, Timer::Election),
        }
    }

    pub(super) fn reported(
        &mut self,
        report: Box<proto::supervisor::SupervisorReport>,
        env: &mut Env,
    ) {
        let deaf = env.witness.deaf.get(&report.supervisor).is_some_and(|until| *until > env.now);
        if self.leads() && !deaf {
            env.witness.hung_up.remove(&report.supervisor);
            // Who is neither registered nor runs anything is nobody.
            let id = &report.supervisor;
            let runs = self.engine.view().all_in_force().any(|held| held.record.supervisor == *id);
            if runs || self.engine.supervisors().contains_key(id) {
                self.heard.insert(id.clone(), env.now);
            }
            self.handle(Event::Report(Box::new((*report).into())), env);
        } else if deaf {
            env.witness.talks.insert(report.supervisor.clone(), env.now);
        }
    }

    pub(super) fn hung_up(&mut self, supervisor: String, env: &mut Env) {
        env.witness.hung_up.insert(supervisor.clone());
        self.handle(Event::HungUp(supervisor), env);
    }

    /// Takes a request; `None` asks for a list.
    pub(super) fn requested(&mut self, asker: Asker, request: Option<Request>, env: &mut Env) {
        let Some(request) = request else {
            let what = if self.engine.is_leading() && self.engine.is_current() {
                let topologies = self.engine.view().topologies.values();
                let listed = topologies.map(|it| (it.record.name.clone(), it.record.status));
                What::Listed(listed.collect())
            } else {
                What::Answer(Err(self.engine.not_leading()))
            };
            return self.answer(asker, what, env);
        };
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, asker);
        self.handle(Event::Asked { ticket: self.next_ticket, request }, env);
    }

    fn answer(&self, (client, number): Asker, what: What, env: &mut Env) {
        let leads = self.term.is_some() && self.term == env.witness.leader;
        let heard = Heard { what, leads };
        let Node::Nimbus(from) = self.life.node else { return };
        if let Some(at) = env.travel(self.life.node, Node::Client(client)) {
            env.schedule(at, Due::Heard { client, number, from, heard });
        }
    }

    pub(super) fn handle(&mut self, event: Event, env: &mut Env) {
        for command in self.engine.handle(event, self.now(env)) {
            match command {
                Command::Write(plan) => {
                    let heard = (&self.heard, &self.direct, self.since);
                    env.witness.judge_moves(&plan, self.engine.view(), heard, env.now);
                    env.note(|| {
                        format!("{:?} wants: {} {}", self.life, plan.purpose, plan.topology)
                    });
                    let Some(term) = self.term else { continue };
                    self.plans.push_back((plan, term));
                    self.write_next(env);
                }
                Command::Answer { ticket, answer } => {
                    if let Some(asker) = self.tickets.remove(&ticket) {
                        self.answer(asker, What::Answer(answer), env);
                    }
                }
                Command::RemoveBinary { .. } => env.count("binaries freed"),
                // Each nimbus has every binary.
                Command::FetchBinary { .. } => {}
            }
        }
    }

    fn write_next(&mut self, env: &mut Env) {
        if self.writing.is_some() {
            return;
        }
        let Some((plan, term)) = self.plans.pop_front() else { return };
        let asked = plan.request.is_some();
        self.writing = Some(Writing { plan, term, left: VecDeque::new() });
        if asked {
            env.ask(self.life, Why::RequestLease, Ask::Grant(REQUEST_TTL));
        } else {
            self.begin_write(None, env);
        }
    }

    fn begin_write(&mut self, lease: Option<coordination::LeaseId>, env: &mut Env) {
        let Some(writing) = &mut self.writing else { return };
        let leader = Guard::CreatedAt(env.keys.leader(), writing.term);
        let mut plan = writing.plan.clone();
        if env.does_wrong(Sabotage::ForgetRequest) {
            plan.request = None;
        }
        if env.does_wrong(Sabotage::ForgetFormers) {
            for write in &mut plan.prepare {
                if let Write::Assignment(record) = write {
                    record.executors.iter_mut().for_each(|executor| executor.formers.clear());
                }
            }
        }
        let mut transactions = plan.transactions(&env.keys, &leader, lease);
        if transactions.len() == 1 && !plan.prepare.is_empty() && env.chance(0.3) {
            // As it would be written if it were larger: what prepares comes first.
            let decide = transactions[0].operations.split_off(plan.prepare.len());
            let guards = transactions[0].guards.clone();
            transactions.push(Transaction { guards, operations: decide });
        }
        for transaction in &mut transactions {
            if env.does_wrong(Sabotage::NoLeaderGuard) {
                transaction.guards.retain(|guard| *guard != leader);
            }
            if env.does_wrong(Sabotage::NoRecordGuard) {
                transaction.guards.retain(|guard| *guard == leader);
            }
        }
        writing.left = transactions.into();
        self.send_next(env);
    }

    fn send_next(&mut self, env: &mut Env) {
        let Some(writing) = &mut self.writing else { return };
        let Some(transaction) = writing.left.pop_front() else { return };
        let request = writing.plan.request.as_ref().map(|(id, _)| id.clone());
        let request = request.filter(|_| writing.left.is_empty());
        let by = By::Plan { term: writing.term, purpose: writing.plan.purpose, request };
        env.ask(self.life, Why::Write, Ask::Commit(transaction, by));
    }

    fn written(&mut self, answered: Answered, env: &mut Env) {
        let Some(writing) = &self.writing else { return };
        let believes = env.does_wrong(Sabotage::BelieveSilence);
        let event = match answered {
            Ok(Got::Lease(lease)) => return self.begin_write(Some(lease), env),
            Ok(Got::Done(_)) if !writing.left.is_empty() => return self.send_next(env),
            Ok(Got::Done(revision)) => Event::Written { revision },
            Err(Error::Conflict) => {
                env.count("conflicts");
                Event::NotWritten(WriteFailure::Conflict)
            }
            Err(_) if believes => Event::Written { revision: 0 },
            Err(error @ (Error::Refused(_) | Error::Malformed { .. })) => {
                Event::NotWritten(WriteFailure::Refused(error.to_string()))
            }
            Err(error) => Event::NotWritten(WriteFailure::Unavailable(error.to_string())),
            Ok(got) => unreachable!("a write is not answered by {got:?}"),
        };
        let term = writing.term;
        self.writing = None;
        if self.term == Some(term) {
            self.handle(event, env);
        }
        self.write_next(env);
    }
}
