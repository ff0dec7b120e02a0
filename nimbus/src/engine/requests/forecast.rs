//! What a submission or a rebalance would change, without doing it.
//!
//! The request is checked and placed by the same functions that would carry it out, on what the
//! engine knows now; the plan that comes of it is read and thrown away.

use std::collections::BTreeMap;

use proto::store::{AssignmentRecord, TopologyRecord};
use serde::Serialize;

use super::super::Engine;
use super::super::command::{Refusal, RefusalKind, Write};
use super::super::event::{Now, Request, Verb};

/// What would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Forecast {
    /// The topology's name.
    pub(crate) topology: String,
    /// Whether anything would change.
    pub(crate) changes: bool,
    /// What a person should know: what it would wait for, or why it gets less than was asked for.
    pub(crate) explanation: String,
    /// How many tasks would move from one worker to another.
    pub(crate) tasks_moved: u32,
    /// How many would run that do not now.
    pub(crate) tasks_started: u32,
    /// The workers there are now.
    pub(crate) before: Vec<Planned>,
    /// The workers there would be; none if it would wait.
    pub(crate) after: Vec<Planned>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// Its number.
    pub(crate) worker: u32,
    /// Its supervisor.
    pub(crate) supervisor: String,
    /// Its slot there.
    pub(crate) slot: u32,
    /// How many executors of each component it runs.
    pub(crate) executors: BTreeMap<String, u32>,
}

/// A worker as the records have it.
type Where<'a> = (u32, &'a str, u32);

impl Engine {
    /// Foresees what a submission or a rebalance would change.
    ///
    /// # Errors
    ///
    /// The refusal it would get.
    pub(crate) fn forecast(&self, request: &Request, now: Now) -> Result<Forecast, Refusal> {
        self.foresee(request, now)?;
        let (record, respread) = self.wanted(request, now)?;
        let name = record.name.clone();
        let running: Vec<_> = self.view.in_force(&record.id).map(|it| &it.record).collect();
        let running: Vec<AssignmentRecord> = running.into_iter().cloned().collect();
        let before = running.iter().filter(|it| !it.executors.is_empty()).map(planned).collect();
        let plan = match self.place(record, respread, now) {
            Ok(plan) => plan,
            Err(explanation) => {
                let topology = name;
                return Ok(Forecast { topology, explanation, before, ..Forecast::default() });
            }
        };
        let explanation = plan.decide.iter().find_map(|write| match write {
            Write::Topology(record) => Some(record.reason.clone()),
            _ => None,
        });
        let placed: Vec<AssignmentRecord> = plan
            .prepare
            .into_iter()
            .filter_map(|write| match write {
                // A worker that would be emptied is none that would be.
                Write::Assignment(record) => Some(record).filter(|it| !it.executors.is_empty()),
                _ => None,
            })
            .collect();
        let after: Vec<Planned> = placed.iter().map(planned).collect();
        let (tasks_moved, tasks_started) = moved(&running, &placed);
        Ok(Forecast {
            topology: name,
            changes: before != after || tasks_moved > 0,
            explanation: explanation.unwrap_or_default(),
            tasks_moved,
            tasks_started,
            before,
            after,
        })
    }

    /// The record as it would be placed, and whether its workers may leave crowded supervisors.
    fn wanted(&self, request: &Request, now: Now) -> Result<(TopologyRecord, bool), Refusal> {
        match &request.verb {
            Verb::Submit(submission) => {
                let decision = self.submit(submission, now)?;
                let record = decision.plan.decide.into_iter().find_map(|write| match write {
                    Write::Topology(record) => Some(*record),
                    _ => None,
                });
                Ok((record.unwrap_or_default(), false))
            }
            Verb::Rebalance { name, workers, executors } => {
                let mut record = self.topology("plan", name)?.record.clone();
                if *workers > 0 {
                    record.workers = *workers;
                }
                record.executors.extend(executors.clone());
                Ok((record, true))
            }
            other => {
                let what = format!("failed to plan to {}", other.word());
                let (why, fix) = ("it places nothing", "plan a submit or a rebalance");
                Err(Refusal::new(RefusalKind::Invalid, what, why, fix))
            }
        }
    }
}

fn planned(record: &AssignmentRecord) -> Planned {
    let mut executors: BTreeMap<String, u32> = BTreeMap::new();
    for executor in &record.executors {
        *executors.entry(executor.component.clone()).or_default() += 1;
    }
    let AssignmentRecord { worker, supervisor, slot, .. } = record;
    Planned { worker: *worker, supervisor: supervisor.clone(), slot: *slot, executors }
}

/// How many tasks change their worker, and how many have none before.
fn moved(before: &[AssignmentRecord], after: &[AssignmentRecord]) -> (u32, u32) {
    let (before, after) = (owners(before), owners(after));
    let started = after.keys().filter(|task| !before.contains_key(task)).count();
    let differs = |(task, owner): &(&u32, &Where<'_>)| {
        before.get(task).is_some_and(|earlier| earlier != *owner)
    };
    let moved = after.iter().filter(differs).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    (count(moved), count(started))
}

/// Where each task runs.
fn owners(records: &[AssignmentRecord]) -> BTreeMap<u32, Where<'_>> {
    let of = |record: &AssignmentRecord| {
        let ranges = record.executors.iter().map(|it| it.first_task..it.end_task);
        ranges.flatten().collect::<Vec<_>>()
    };
    let owner = |record| (record, of(record));
    let owned = records.iter().map(owner).flat_map(|(record, tasks)| {
        let place = (record.worker, record.supervisor.as_str(), record.slot);
        tasks.into_iter().map(move |task| (task, place))
    });
    owned.collect()
}
