//! The engine: decides what runs where, and never acts.
//!
//! [`Engine::handle`] takes an event and the time, and returns what is to be done. It believes what
//! the store shows ([`View`]) and what supervisors report ([`Reports`]), and nothing else: a write
//! it asked for counts when the store shows it. There is never more than one write on its way, so
//! every decision is made on a view that holds all decisions before it.
//!
//! | module | knows |
//! |---|---|
//! | `view` | what the store says |
//! | `reports`, `counters` | what supervisors and workers report |
//! | `insight`, `history`, `figures`, `findings`, `events`, `traces` | what topologies did, what is wrong, what happened |
//! | `evidence`, `liveness`, `flapping` | what is heard of a machine, who is lost, who comes and goes |
//! | `health` | whether the store answers, takes writes, and is the one that was decided on |
//! | `copies` | which binaries this nimbus is to hold, and which topologies lack theirs |
//! | `lifecycle` | what may happen to a topology when |
//! | `reconcile` | what has to happen by itself |
//! | `requests`, `transactions` | what people ask for, and how a plan is written |
//! | `parallelism`, `scheduler`, `generation` | which executors there are, where they go, and how that is written down |

pub mod command;
mod copies;
pub mod counters;
pub mod event;
pub mod events;
mod evidence;
pub mod figures;
pub mod findings;
pub mod flapping;
mod generation;
mod health;
pub mod history;
mod insight;
pub mod lifecycle;
pub mod liveness;
mod moves;
pub mod parallelism;
mod placing;
mod reconcile;
pub mod reports;
mod requests;
pub mod scheduler;
mod shown;
pub mod traces;
mod transactions;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use coordination::Revision;
use proto::store::{SupervisorRecord, TopologyStatus};

use command::{Command, Plan, Refusal, RefusalKind, Reply};
use copies::Copies;
use event::{Event, Now, Request, Stale, WriteFailure};
use flapping::{Caution, Flapping};
use health::StoreHealth;
use insight::Insight;
use liveness::{Liveness, Patience, Verdict};
use reports::Reports;
use view::View;

/// Requests that wait for the write before them.
const WAITING_MAX: usize = 1_000;

/// How long to let the store be after it failed.
const HOLD: Duration = Duration::from_millis(250);

/// How long to leave a topology alone whose records the store refused.
const QUARANTINE: Duration = Duration::from_secs(30);

/// Decides what runs where.
#[derive(Debug)]
pub struct Engine {
    /// Which nimbus this is.
    id: String,
    view: View,
    reports: Reports,
    insight: Insight,
    liveness: Liveness,
    flapping: Flapping,
    caution: Caution,
    /// Every supervisor that is registered, or was and is not lost yet.
    supervisors: BTreeMap<String, SupervisorRecord>,
    /// Revision of this nimbus's election, while it leads.
    elected: Option<Revision>,
    store: StoreHealth,
    copies: Copies,
    /// How often something of an earlier leader or incarnation was refused.
    refused: BTreeMap<Stale, u64>,
    /// The write on its way.
    writing: Option<Writing>,
    /// No write before this.
    hold_until: Option<Instant>,
    /// Requests, in the order they came.
    waiting: VecDeque<(u64, Request)>,
    /// The highest generation this engine has tried to write, by topology.
    attempted: BTreeMap<String, u64>,
    /// What each topology is going through.
    phases: BTreeMap<String, Phase>,
    /// Why a topology has no workers, where that is so.
    unplaced: BTreeMap<String, String>,
    /// Workers whose slot was given to another one later: topology and number.
    crowded: BTreeSet<(String, u32)>,
    /// Topologies whose records the store refused: left alone until then, for the sake of others,
    /// and why.
    quarantined: BTreeMap<String, (Instant, String)>,
    /// When this engine last had something to take in.
    last: Instant,
}

/// A write on its way, and what follows it.
#[derive(Debug)]
struct Writing {
    topology: String,
    /// Who asked for it, and what to answer.
    reply: Option<(u64, Reply)>,
    /// The revision that shows it; `None` while it is not done.
    done: Option<Revision>,
}

/// What a topology is going through, and since when this engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    status: TopologyStatus,
    /// The generation in force.
    generation: Option<u64>,
    since: Instant,
}

/// A decision: what to write, and what follows.
struct Decision {
    plan: Plan,
    reply: Option<Reply>,
}

impl Engine {
    /// Knows nothing yet: the first event is to be a snapshot.
    #[must_use]
    pub fn new(patience: Patience, now: Now) -> Self {
        Self {
            id: String::new(),
            view: View::default(),
            reports: Reports::default(),
            insight: Insight::default(),
            liveness: Liveness::new(patience, now.at),
            flapping: Flapping::default(),
            caution: Caution::new(now.at),
            supervisors: BTreeMap::new(),
            elected: None,
            store: StoreHealth::default(),
            copies: Copies::default(),
            refused: BTreeMap::new(),
            writing: None,
            hold_until: None,
            waiting: VecDeque::new(),
            attempted: BTreeMap::new(),
            phases: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            crowded: BTreeSet::new(),
            quarantined: BTreeMap::new(),
            last: now.at,
        }
    }

    /// Says which nimbus of the cluster this is: its own record is no other nimbus.
    #[must_use]
    pub fn named(self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self }
    }

    /// Takes in what happened and returns what to do, in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Command> {
        let mut commands = Vec::new();
        self.note_standstill(now);
        if self.take(event, now, &mut commands) {
            self.decide(now, &mut commands);
            self.copy_binaries(now.at, &mut commands);
        }
        commands
    }

    /// Takes an event in and tells whether there may be something to decide.
    fn take(&mut self, event: Event, now: Now, commands: &mut Vec<Command>) -> bool {
        match event {
            Event::Snapshot { facts, revision } => {
                self.view.replace(facts, revision);
                self.store.follows();
                self.look(now);
            }
            Event::Changes(facts) => {
                for fact in facts {
                    self.view.apply(fact);
                }
                self.look(now);
            }
            Event::StoreSilent(reason) => self.store.fell_silent(reason),
            Event::StoreWentBack { seen, found } => {
                self.store.fell_back(seen, found);
                // What was written before will never be shown.
                if self.writing.as_ref().is_some_and(|writing| writing.done.is_some()) {
                    let lost = WriteFailure::Unavailable("the store went back".to_owned());
                    self.not_written(lost, now, commands);
                }
            }
            Event::StoreHealth(health) => self.store.looked(health),
            Event::Holds(digests) => self.copies.holds(digests),
            Event::Promised(digest) => self.copies.promise(digest, now.at),
            Event::Refused(what) => *self.refused.entry(what).or_default() += 1,
            Event::Leads { elected } => self.lead(elected, now),
            Event::Follows => self.follow(commands),
            Event::Report(report) => return self.take_report(*report, now),
            Event::HungUp(supervisor) => self.liveness.hung_up(supervisor),
            Event::WorkerHungUp(name, worker) => self.reports.worker_hung_up(&name, worker),
            Event::News(news) => return self.hear(*news, now),
            Event::Asked { ticket, request } => self.ask(ticket, request, commands),
            Event::Written { revision } => {
                if let Some(writing) = &mut self.writing {
                    writing.done = Some(revision);
                }
            }
            Event::NotWritten(failure) => self.not_written(failure, now, commands),
            Event::Tick => self.look_on(now),
        }
        true
    }

    /// Becomes leader: whoever was silent gets time to report, and every wait starts anew.
    fn lead(&mut self, elected: Revision, now: Now) {
        self.elected = Some(elected);
        self.startle(now);
        for phase in self.phases.values_mut() {
            phase.since = now.at;
        }
    }

    /// Stops leading: another nimbus hears the reports now.
    fn follow(&mut self, commands: &mut Vec<Command>) {
        self.elected = None;
        (self.reports, self.insight) = (Reports::default(), Insight::default());
        self.unplaced.clear();
        let refusal = self.not_leading();
        let asked = self.writing.take().and_then(|writing| writing.reply);
        let tickets = asked.map(|(ticket, _)| ticket).into_iter();
        for ticket in tickets.chain(self.waiting.drain(..).map(|(ticket, _)| ticket)) {
            commands.push(Command::Answer { ticket, answer: Err(refusal.clone()) });
        }
    }

    fn ask(&mut self, ticket: u64, request: Request, commands: &mut Vec<Command>) {
        let refusal = if self.elected.is_none() {
            self.not_leading()
        } else if let Some(refusal) = self.store.refusal() {
            refusal
        } else if self.waiting.len() >= WAITING_MAX {
            let what = format!("failed to {}", request.verb.word());
            let why = format!("{WAITING_MAX} requests are waiting already");
            Refusal::new(RefusalKind::Exhausted, what, why, "try again later")
        } else {
            self.waiting.push_back((ticket, request));
            return;
        };
        commands.push(Command::Answer { ticket, answer: Err(refusal) });
    }

    fn not_written(&mut self, failure: WriteFailure, now: Now, commands: &mut Vec<Command>) {
        self.hold_until = Some(now.at + HOLD);
        let Some(writing) = self.writing.take() else { return };
        match &failure {
            WriteFailure::Refused(reason) => {
                let (until, why) = (now.at + QUARANTINE, format!("the store refuses it: {reason}"));
                self.quarantined.insert(writing.topology, (until, why));
            }
            WriteFailure::Fenced => *self.refused.entry(Stale::Write).or_default() += 1,
            WriteFailure::Conflict | WriteFailure::Unavailable(_) => {}
        }
        let Some((ticket, _)) = writing.reply else { return };
        let refusal = match failure {
            WriteFailure::Fenced => {
                let why = "another nimbus leads since";
                Refusal::new(RefusalKind::Unavailable, "nothing was done", why, "try again")
            }
            WriteFailure::Conflict => {
                let why = "the cluster changed at the same moment";
                Refusal::new(RefusalKind::Unavailable, "nothing was done", why, "try again")
            }
            WriteFailure::Unavailable(reason) => Refusal::new(
                RefusalKind::Unavailable,
                "it is not known whether it was done",
                reason,
                "repeat the request, under the same id, when the store answers",
            ),
            WriteFailure::Refused(reason) => {
                let fix = "make the topology or the request smaller";
                Refusal::new(RefusalKind::Invalid, "nothing was done", reason, fix)
            }
        };
        commands.push(Command::Answer { ticket, answer: Err(refusal) });
    }

    /// Looks at what the store shows now: new supervisors, and topologies in new phases.
    fn look(&mut self, now: Now) {
        for (id, record) in &self.view.supervisors {
            let known = self.supervisors.insert(id.clone(), record.clone());
            if known.as_ref().is_none_or(|known| known.incarnation != record.incarnation) {
                self.liveness.heard(id, now.at);
                if known.is_some() {
                    self.flapping.restarted(id, now.at);
                }
            }
        }
        let (view, old) = (&self.view, std::mem::take(&mut self.phases));
        for (id, topology) in &view.topologies {
            let phase = Phase {
                status: view::status(&topology.record),
                generation: view.assigned.get(id).map(|assigned| assigned.generation),
                since: now.at,
            };
            let before = old.get(id).filter(|before| {
                (before.status, before.generation) == (phase.status, phase.generation)
            });
            self.phases.insert(id.clone(), before.copied().unwrap_or(phase));
        }
        self.attempted.retain(|id, _| view.topologies.contains_key(id));
        self.unplaced.retain(|id, _| view.topologies.contains_key(id));
        self.quarantined.retain(|_, (until, _)| *until > now.at);
        self.reports.prune(view);
        self.crowded = view.crowded();
    }

    /// Makes the next decision, if there is one to make and none on its way.
    fn decide(&mut self, now: Now, commands: &mut Vec<Command>) {
        self.settle(commands);
        let Some(elected) = self.elected else { return };
        let held = self.hold_until.is_some_and(|until| now.at < until);
        let unsound = self.store.problem().is_some() || self.view.revision < elected;
        if self.writing.is_some() || held || unsound {
            return;
        }
        self.forget_supervisors(now);
        while let Some((ticket, request)) = self.waiting.pop_front() {
            match self.request(&request, now) {
                Ok(decision) => return self.write(decision, Some(ticket), commands),
                Err(answer) => commands.push(Command::Answer { ticket, answer }),
            }
        }
        self.give_up_lost(now);
        if let Some(decision) = self.reconcile(now) {
            self.write(decision, None, commands);
        }
    }

    /// Ends the write on its way once the store shows it.
    fn settle(&mut self, commands: &mut Vec<Command>) {
        let shown = |writing: &mut Writing| {
            writing.done.is_some_and(|revision| self.view.revision >= revision)
        };
        let Some(writing) = self.writing.take_if(|writing| shown(writing)) else { return };
        if let Some((ticket, reply)) = writing.reply {
            commands.push(Command::Answer { ticket, answer: Ok(reply) });
        }
    }

    fn write(&mut self, decision: Decision, ticket: Option<u64>, commands: &mut Vec<Command>) {
        let Decision { plan, reply } = decision;
        self.insight.events.note(&plan);
        self.writing =
            Some(Writing { topology: plan.topology.clone(), reply: ticket.zip(reply), done: None });
        commands.push(Command::Write(Box::new(plan)));
    }

    /// Forgets supervisors that are lost, no longer registered, and have nothing assigned.
    fn forget_supervisors(&mut self, now: Now) {
        let gone: Vec<String> = self
            .supervisors
            .keys()
            .filter(|id| !self.view.supervisors.contains_key(*id))
            .filter(|id| self.verdict(id, now) == Verdict::Lost)
            .filter(|id| self.view.all_in_force().all(|held| held.record.supervisor != **id))
            .cloned()
            .collect();
        for id in gone {
            self.supervisors.remove(&id);
            self.reports.supervisors.remove(&id);
            self.liveness.forget(&id);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
