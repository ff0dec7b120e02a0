//! What people ask for: check, decide, answer; one function each.
//!
//! A request that was carried out is remembered under its id, in the same transaction, so that a
//! repetition gets the first answer and changes nothing.

mod forecast;
mod log_level;

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;
use proto::SpecError;
use proto::nimbus::{Done, SubmitReply};
use proto::store::pending_action::Kind;
use proto::store::{PendingAction, RequestRecord, TopologyRecord, TopologySpec, TopologyStatus};
use topology_api::runtime::did_you_mean;
use topology_api::{Description, check_name};

use super::command::{Plan, Refusal, RefusalKind, Reply, Write};
use super::event::{Now, Request, Submission, Verb};
use super::lifecycle::{self, Move};
use super::reconcile::{done, plan};
use super::view::{Versioned, status};
use super::{Decision, Engine};

/// The most workers a topology may have.
pub(super) const WORKERS_MAX: u32 = 4_096;

/// The largest specification, encoded: it has to fit into one transaction with room to spare.
pub(super) const SPEC_BYTES_MAX: usize = 512 << 10;

/// The most that all arguments together may take.
pub(super) const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

/// How long a kill may wait for trees to end.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Engine {
    /// Decides what a request leads to.
    ///
    /// # Errors
    ///
    /// The answer, if there is nothing to write: a refusal, or what was answered before.
    pub(super) fn request(
        &self,
        request: &Request,
        now: Now,
    ) -> Result<Decision, Result<Reply, Refusal>> {
        if let Some(answer) = self.answered_before(request) {
            return Err(answer);
        }
        let mut decision = match &request.verb {
            Verb::Submit(submission) => self.submit(submission, now),
            Verb::Activate(name) => self.switch(name, Move::Activate),
            Verb::Deactivate(name) => self.switch(name, Move::Deactivate),
            Verb::Kill { name, wait } => self.ask_to_kill(name, *wait, now),
            Verb::Rebalance { name, workers, executors } => {
                self.ask_to_rebalance(name, *workers, executors, now)
            }
            Verb::LogLevel { name, filter, time } => self.set_log_level(name, filter, (*time, now)),
        }
        .map_err(Err)?;
        if let (Some(reply), false) = (&decision.reply, request.id.is_empty()) {
            let reply = match reply {
                Reply::Submitted(reply) => reply.encode_to_vec(),
                Reply::Done(reply) => reply.encode_to_vec(),
            };
            let record = RequestRecord { verb: request.verb.word().to_owned(), reply };
            decision.plan.request = Some((request.id.clone(), record));
        }
        Ok(decision)
    }

    fn answered_before(&self, request: &Request) -> Option<Result<Reply, Refusal>> {
        if request.id.is_empty() {
            return None;
        }
        let verb = request.verb.word();
        if let Err(error) = check_name("request", &request.id) {
            let fix = "choose another request id";
            return Some(Err(refuse(RefusalKind::Invalid, verb, error.to_string(), fix)));
        }
        let record = self.view.requests.get(&request.id)?;
        if record.verb != verb {
            let why = format!("its request id was used for `{}` before", record.verb);
            let fix = "choose a new request id for a new request";
            return Some(Err(refuse(RefusalKind::Invalid, verb, why, fix)));
        }
        let reply = match request.verb {
            Verb::Submit(_) => SubmitReply::decode(&record.reply[..]).map(Reply::Submitted),
            _ => Done::decode(&record.reply[..]).map(Reply::Done),
        };
        Some(reply.map_err(|error| {
            let why = format!("its first answer cannot be read: {error}");
            refuse(RefusalKind::Invalid, verb, why, "look at the status for what was done")
        }))
    }

    fn submit(&self, submission: &Submission, now: Now) -> Result<Decision, Refusal> {
        check(submission)?;
        let name = &submission.spec.name;
        if let Some(id) = self.view.names.get(name) {
            let dying = self.view.topologies.get(id).map(|known| status(&known.record))
                == Some(TopologyStatus::Killed);
            let (why, fix) = if dying {
                ("it is being killed", "submit again when it is gone".to_owned())
            } else {
                let fix = format!("choose another name, or `squall kill {name}` first");
                ("a topology of this name runs already", fix)
            };
            let what = format!("failed to submit `{name}`");
            return Err(Refusal::new(RefusalKind::AlreadyExists, what, why, fix));
        }
        let id = format!("{name}-{}-{}", self.view.revision, base32(submission.random));
        let begin =
            if submission.inactive { TopologyStatus::Inactive } else { TopologyStatus::Active };
        let record = TopologyRecord {
            id: id.clone(),
            name: name.clone(),
            status: begin.into(),
            spec: Some(submission.spec.clone()),
            digest: submission.digest.clone(),
            binary_bytes: submission.binary_bytes,
            arguments: submission.arguments.clone(),
            workers: submission.workers.max(1),
            submitted_ms: now.wall_ms,
            ..TopologyRecord::default()
        };
        let decide = vec![Write::Topology(Box::new(record)), Write::Name(name.clone())];
        let plan = Plan { purpose: "submit", topology: id.clone(), decide, ..Plan::default() };
        let reply = Reply::Submitted(SubmitReply { topology_id: id, name: name.clone() });
        Ok(Decision { plan, reply: Some(reply) })
    }

    fn switch(&self, name: &str, action: Move) -> Result<Decision, Refusal> {
        let (verb, word) = match action {
            Move::Activate => ("activate", "active"),
            _ => ("deactivate", "inactive"),
        };
        let topology = self.topology(verb, name)?;
        let next = allowed(verb, topology, action)?;
        let mut record = topology.record.clone();
        record.status = next.into();
        let text = format!("`{}` is {word}", record.name);
        Ok(decision(verb, topology, record, text))
    }

    fn ask_to_kill(&self, name: &str, wait: Duration, now: Now) -> Result<Decision, Refusal> {
        let topology = self.topology("kill", name)?;
        let next = allowed("kill", topology, Move::Kill)?;
        let mut record = topology.record.clone();
        let wait_ms = millis(wait.min(WAIT_MAX));
        let text = format!("`{}` is being killed", record.name);
        // A second kill may only be more impatient than the first.
        let before = record.pending.as_ref().filter(|pending| pending.kind() == Kind::Kill);
        record.pending = Some(PendingAction {
            kind: Kind::Kill.into(),
            since_ms: before.map_or(now.wall_ms, |before| before.since_ms),
            wait_ms: before.map_or(wait_ms, |before| before.wait_ms.min(wait_ms)),
            ..PendingAction::default()
        });
        record.status = next.into();
        record.reason = "asked to".to_owned();
        Ok(decision("kill", topology, record, text))
    }

    fn ask_to_rebalance(
        &self,
        name: &str,
        workers: u32,
        executors: &BTreeMap<String, u32>,
        now: Now,
    ) -> Result<Decision, Refusal> {
        let topology = self.topology("rebalance", name)?;
        let next = allowed("rebalance", topology, Move::Rebalance)?;
        let mut record = topology.record.clone();
        let spec = record.spec.clone().unwrap_or_default();
        let problems = problems_of_rebalance(&spec, workers, executors);
        if !problems.is_empty() {
            let why = problems.join("; ");
            let fix = format!("`squall describe {name}` shows its components and their tasks");
            return Err(refuse(RefusalKind::Invalid, &format!("rebalance `{name}`"), why, fix));
        }
        // One that is under way is ended first; what else was asked for meanwhile is done with this.
        let under_way = record.pending.take().filter(|_| status(&record) == next);
        let before = under_way.as_ref().filter(|before| !before.placed).cloned();
        let mut pending = before.unwrap_or_default();
        pending.kind = Kind::Rebalance.into();
        pending.since_ms = now.wall_ms;
        pending.resume = under_way.map_or(record.status, |under_way| under_way.resume);
        if workers > 0 {
            pending.workers = workers;
        }
        pending.executors.extend(executors.clone());
        record.pending = Some(pending);
        record.status = next.into();
        record.reason = "asked to".to_owned();
        let text = format!("`{}` is being rebalanced", record.name);
        Ok(decision("rebalance", topology, record, text))
    }

    /// Finds the topology that people call `name`.
    ///
    /// # Errors
    ///
    /// That there is none, and which one was probably meant.
    pub fn topology(&self, verb: &str, name: &str) -> Result<&Versioned<TopologyRecord>, Refusal> {
        self.view.find(name).ok_or_else(|| {
            let shown: String = name.chars().take(128).collect();
            let hint = did_you_mean(name, self.view.names.keys().map(String::as_str));
            let why = format!("there is no topology of this name{hint}");
            let what = format!("failed to {verb} `{shown}`");
            Refusal::new(RefusalKind::NotFound, what, why, "`squall list` shows what there is")
        })
    }
}

fn allowed(
    verb: &str,
    topology: &Versioned<TopologyRecord>,
    action: Move,
) -> Result<TopologyStatus, Refusal> {
    let status = status(&topology.record);
    lifecycle::next(status, action, TopologyStatus::Active).map_err(|why| {
        let name = &topology.record.name;
        let fix = match status {
            TopologyStatus::Rebalancing => "try again when that is done".to_owned(),
            TopologyStatus::Finished => format!("`squall kill {name}` removes it"),
            _ => "submit it again when it is gone".to_owned(),
        };
        refuse(RefusalKind::NotNow, &format!("{verb} `{name}`"), why, fix)
    })
}

/// Says all that is wrong with a submission.
fn check(submission: &Submission) -> Result<(), Refusal> {
    let mut problems = match Description::try_from(submission.spec.clone()) {
        Ok(_) => Vec::new(),
        Err(SpecError::Invalid(problems)) => problems,
        Err(error @ SpecError::Config(_)) => vec![error.to_string()],
    };
    let spec_bytes = submission.spec.encoded_len();
    if spec_bytes > SPEC_BYTES_MAX {
        problems.push(format!("its description takes {spec_bytes} bytes of {SPEC_BYTES_MAX}"));
    }
    let arguments: usize = submission.arguments.iter().map(String::len).sum();
    if arguments > ARGUMENTS_BYTES_MAX {
        problems.push(format!("its arguments take {arguments} bytes of {ARGUMENTS_BYTES_MAX}"));
    }
    if submission.arguments.iter().any(|argument| argument.contains('\0')) {
        problems.push("an argument holds a NUL character".to_owned());
    }
    if submission.workers > WORKERS_MAX {
        problems.push(format!("{} workers are more than {WORKERS_MAX}", submission.workers));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let name: String = submission.spec.name.chars().take(128).collect();
    let fix = "correct the topology or the flags, then submit again";
    let what = format!("submit {name:?}");
    Err(refuse(RefusalKind::Invalid, &what, problems.join("; "), fix))
}

fn problems_of_rebalance(
    spec: &TopologySpec,
    workers: u32,
    executors: &BTreeMap<String, u32>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if workers > WORKERS_MAX {
        problems.push(format!("{workers} workers are more than {WORKERS_MAX}"));
    }
    for (name, count) in executors {
        let component = spec.components.iter().find(|component| component.name == *name);
        match component {
            None => {
                let known = spec.components.iter().map(|component| component.name.as_str());
                let name: String = name.chars().take(128).collect();
                let hint = did_you_mean(&name, known);
                problems.push(format!("it has no component `{name}`{hint}"));
            }
            Some(_) if *count == 0 => {
                problems.push(format!("`{name}` cannot have 0 executors"));
            }
            Some(component) if *count > component.tasks => problems.push(format!(
                "`{name}` cannot have {count} executors: it has {} tasks",
                component.tasks
            )),
            Some(_) => {}
        }
    }
    problems
}

fn decision(
    purpose: &'static str,
    topology: &Versioned<TopologyRecord>,
    record: TopologyRecord,
    text: String,
) -> Decision {
    let decide = vec![Write::Topology(Box::new(record))];
    let plan = Plan { decide, ..plan(purpose, topology) };
    Decision { plan, reply: Some(done(text)) }
}

fn refuse(
    kind: RefusalKind,
    what: &str,
    why: impl Into<String>,
    fix: impl Into<String>,
) -> Refusal {
    Refusal::new(kind, format!("failed to {what}"), why, fix)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Writes 20 bits as four characters that cannot be mistaken for each other.
fn base32(bits: u32) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digit = |shift: u32| char::from(ALPHABET[(bits >> shift & 31) as usize]);
    [15, 10, 5, 0].map(digit).iter().collect()
}
