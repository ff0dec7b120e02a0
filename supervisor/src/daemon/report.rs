//! What the supervisor tells nimbus of its slots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use daemon::tls::Tls;
use proto::supervisor::{SlotReport, SupervisorReport, Turned, WorkerReport};

use super::Daemon;
use crate::engine::{Slot, State};

/// Errors of a worker that are told again until newer ones push them out: the report that carried
/// them may have been overtaken by the next one before it was sent.
const ERRORS_MAX: usize = 32;

impl Daemon {
    /// Puts the newest report where the reporter finds it.
    pub(crate) fn report(&mut self) {
        self.sequence += 1;
        let binaries = self.launcher.binaries.turned_away();
        let tls = self.launcher.config.security.tls();
        let report = SupervisorReport {
            supervisor: self.launcher.data.id.clone(),
            incarnation: self.launcher.data.incarnation,
            slots: self.engine.slots().map(|slot| self.slot_report(slot)).collect(),
            sequence: self.sequence,
            turned_away: self.turned_away.iter().chain(binaries.iter()).map(turned).collect(),
            leader_term: 0,
            refused: self.refused(),
            security: self.launcher.config.security.name().to_owned(),
            tls_refused: self.refusals(),
            tls_problem: tls.and_then(Tls::problem).unwrap_or_default(),
            letters: self.letters.reports().values().cloned().collect(),
            goes_on: false,
        };
        self.reports.send_replace(Arc::new(report));
    }

    /// Removes the dead letters of topologies that are gone.
    pub(super) fn forget_letters(&self) {
        let reports = self.letters.reports();
        for topology in reports.keys().filter(|topology| self.engine.is_gone(topology)) {
            let (letters, topology) = (self.letters.clone(), topology.clone());
            self.parts.spawn_until_asked(async move { letters.remove(topology).await });
        }
    }

    /// What was refused, by kind; nothing is said where nothing was.
    fn refused(&self) -> BTreeMap<String, u64> {
        let stale_leaders = self.stale_leaders.load(Ordering::Relaxed);
        let kinds = [
            ("old-generation", self.engine.refused_generations()),
            ("stale-leader-reply", stale_leaders),
        ];
        let counted = kinds.into_iter().filter(|(_, count)| *count > 0);
        counted.map(|(kind, count)| (kind.to_owned(), count)).collect()
    }

    /// Connections that were refused, here and in the workers that run now.
    fn refusals(&self) -> BTreeMap<String, u64> {
        let own = self.launcher.config.security.tls();
        let mut all = own.map(Tls::refusals).unwrap_or_default();
        let workers = self.incarnations.values().filter_map(|it| it.report.as_ref());
        for (reason, count) in workers.flat_map(|report| &report.tls_refused) {
            *all.entry(reason.clone()).or_default() += count;
        }
        all
    }

    fn slot_report(&self, slot: &Slot) -> SlotReport {
        let state = slot.state().name().to_owned();
        let Some(placement) = slot.placement() else {
            return SlotReport { slot: slot.number(), state, ..SlotReport::default() };
        };
        let running = !matches!(slot.state(), State::Fetching { .. } | State::BackingOff { .. });
        let incarnation = self.incarnations.get(&slot.number());
        let exit = slot.last_exit();
        SlotReport {
            slot: slot.number(),
            topology: placement.topology.clone(),
            worker: placement.worker,
            state,
            epoch: Some(slot.epoch().into()),
            pid: slot.pid().unwrap_or(0),
            address: slot.address().to_owned(),
            restarts: slot.epoch().restarts,
            last_exit: exit.reason.clone(),
            last_exit_ms: exit.at_ms,
            last_words: exit.last_words.clone(),
            started_ms: slot.started_ms(),
            unheld: incarnation.map(|it| it.unheld.clone()).unwrap_or_default(),
            report: incarnation
                .filter(|incarnation| running && incarnation.epoch == slot.epoch())
                .and_then(|incarnation| incarnation.report.clone()),
        }
    }
}

fn turned((who, epoch, why, count): (&str, &str, &'static str, u64)) -> Turned {
    Turned { who: who.to_owned(), epoch: epoch.to_owned(), why: why.to_owned(), count }
}

/// Replaces the newest report of a worker, keeping errors and results that only an earlier one
/// had; tells whether nimbus should hear of it at once.
pub(super) fn take(newest: &mut Option<WorkerReport>, mut report: WorkerReport) -> bool {
    let Some(before) = newest.take() else {
        let urgent = report.finished || report.drained;
        *newest = Some(report);
        return urgent;
    };
    let urgent = (report.finished && !before.finished) || (report.drained && !before.drained);
    if let Some(oldest) = report.errors.first().map_or(Some(u64::MAX), |e| Some(e.sequence)) {
        let mut errors: Vec<_> =
            before.errors.into_iter().filter(|error| error.sequence < oldest).collect();
        errors.append(&mut report.errors);
        errors.drain(..errors.len().saturating_sub(ERRORS_MAX));
        report.errors = errors;
    }
    for result in before.results {
        if !report.results.iter().any(|newer| newer.task == result.task) {
            report.results.push(result);
        }
    }
    *newest = Some(report);
    urgent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::store::TaskResult;
    use proto::supervisor::ErrorReport;

    fn report(errors: &[u64], results: &[u32]) -> WorkerReport {
        WorkerReport {
            errors: errors
                .iter()
                .map(|sequence| ErrorReport { sequence: *sequence, ..ErrorReport::default() })
                .collect(),
            results: results
                .iter()
                .map(|task| TaskResult { task: *task, ..TaskResult::default() })
                .collect(),
            ..WorkerReport::default()
        }
    }

    #[test]
    fn errors_of_an_overtaken_report_are_told_once() {
        let mut newest = None;
        take(&mut newest, report(&[1, 2], &[]));
        take(&mut newest, report(&[2, 3], &[]));
        take(&mut newest, report(&[], &[]));
        let errors: Vec<_> = newest.unwrap().errors.iter().map(|error| error.sequence).collect();
        assert_eq!(errors, [1, 2, 3]);
    }

    #[test]
    fn a_flood_of_errors_keeps_the_newest() {
        let mut newest = None;
        for sequence in 0..100 {
            take(&mut newest, report(&[sequence], &[]));
        }
        let errors = newest.unwrap().errors;
        assert_eq!((errors.len(), errors[31].sequence), (ERRORS_MAX, 99));
    }

    #[test]
    fn results_of_an_earlier_report_stay() {
        let mut newest = None;
        take(&mut newest, report(&[], &[4]));
        take(&mut newest, report(&[], &[]));
        assert_eq!(newest.unwrap().results.len(), 1, "the result was told once");
    }

    #[test]
    fn being_finished_or_drained_is_urgent_once() {
        let mut newest = None;
        assert!(!take(&mut newest, report(&[], &[])), "nothing new");
        let finished = WorkerReport { finished: true, ..WorkerReport::default() };
        assert!(take(&mut newest, finished.clone()), "just finished");
        assert!(!take(&mut newest, finished), "still finished");
    }
}
