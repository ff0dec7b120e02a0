//! What is kept of reports, whose incarnation is gone, and what is never.

use daemon::Clock;
use proto::store::{AssignedRecord, AssignmentRecord, Epoch as EpochRecord, TopologyRecord};
use proto::supervisor::TaskReport;

use super::super::view::Versioned;
use super::*;

fn view() -> View {
    let mut view = View::default();
    let record = TopologyRecord::default();
    view.topologies.insert("t".to_owned(), Versioned { record, revision: 1 }.into());
    view.assigned.insert("t".to_owned(), AssignedRecord { generation: 1, workers: 1 });
    let record = AssignmentRecord { epoch_revision: 5, ..AssignmentRecord::default() };
    view.assignments.insert(("t".to_owned(), 1, 0), Versioned { record, revision: 5 });
    view
}

fn report(restarts: u64, emitted: u64, errors: &[u64]) -> SupervisorReport {
    let task = TaskReport { component: "lines".to_owned(), emitted, ..TaskReport::default() };
    let error = |sequence: &u64| ErrorReport {
        sequence: *sequence,
        text: "é".repeat(ERROR_BYTES_MAX),
        ..ErrorReport::default()
    };
    let report = WorkerReport {
        tasks: vec![task],
        errors: errors.iter().map(error).collect(),
        ..WorkerReport::default()
    };
    let slot = SlotReport {
        topology: "t".to_owned(),
        state: "running".to_owned(),
        epoch: Some(EpochRecord { revision: 5, restarts }),
        report: Some(report),
        ..SlotReport::default()
    };
    SupervisorReport {
        supervisor: "a".to_owned(),
        slots: vec![slot],
        ..SupervisorReport::default()
    }
}

#[test]
fn totals_of_a_dead_incarnation_are_kept_once() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    assert!(reports.take(report(0, 10, &[]), &view(), now), "a new worker is news");
    assert!(!reports.take(report(0, 12, &[]), &view(), now), "new numbers are not");
    reports.take(report(1, 3, &[]), &view(), now);
    reports.take(report(0, 99, &[]), &view(), now);
    let told = &reports.topologies["t"];
    assert_eq!(told.dead["lines"].emitted, 12, "the last word of the first incarnation");
    assert_eq!(told.live[&0].work.tasks[0].totals[0], 3, "the old one is not listened to");
}

#[test]
fn a_report_that_goes_on_brings_counts_and_leaves_the_slots_as_they_are() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    let mut whole = report(0, 10, &[]);
    whole.slots.push(SlotReport { slot: 1, state: "empty".to_owned(), ..SlotReport::default() });
    reports.take(whole, &view(), now);
    let portion = SupervisorReport { goes_on: true, ..report(0, 12, &[]) };
    assert!(!reports.take(portion, &view(), now), "new numbers are no news");
    assert_eq!(reports.topologies["t"].live[&0].work.tasks[0].totals[0], 12);
    assert_eq!(reports.supervisors["a"].report.slots.len(), 2);
    let mut retired = report(0, 13, &[]);
    retired.slots[0].epoch = Some(EpochRecord { revision: 4, restarts: 0 });
    reports.take(retired.clone(), &view(), now);
    reports.take(SupervisorReport { goes_on: true, ..retired }, &view(), now);
    let counts: Vec<u64> = reports.turned_away.iter().map(|(.., count)| count).collect();
    assert_eq!(counts, [1], "it was counted with the report itself");
}

#[test]
fn an_error_is_shown_once_and_not_at_any_length() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    reports.take(report(0, 0, &[1, 2]), &view(), now);
    reports.take(report(0, 0, &[2, 3]), &view(), now);
    reports.take(report(1, 0, &[1]), &view(), now);
    let errors = &reports.topologies["t"].errors;
    let sequences: Vec<u64> = errors.iter().map(|shown| shown.error.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 1], "the next incarnation counts from 1 again");
    assert!(errors[0].error.text.len() < ERROR_BYTES_MAX + 4);
}

#[test]
fn what_is_left_out_of_a_report_is_as_it_was_told_before() {
    let (mut reports, clock) = (Reports::default(), Clock::manual());
    let first = clock.now();
    reports.take(report(0, 10, &[]), &view(), first);
    clock.advance(std::time::Duration::from_millis(250));
    let mut thin = report(0, 0, &[]);
    for worker in thin.slots.iter_mut().filter_map(|slot| slot.report.as_mut()) {
        worker.tasks.clear();
        (worker.tasks_left_out, worker.rss_bytes) = (true, 7);
    }
    reports.take(thin, &view(), clock.now());
    let live = &reports.topologies["t"].live[&0];
    assert_eq!((live.work.tasks[0].totals[0], live.report.rss_bytes), (10, 7));
    assert_eq!((live.at, live.counted), (clock.now(), first), "it lives, and counted before");
}

#[test]
fn only_the_newest_errors_are_kept() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    let all: Vec<u64> = (1..=250).collect();
    reports.take(report(0, 0, &all), &view(), now);
    let errors = &reports.topologies["t"].errors;
    assert_eq!((errors.len(), errors[0].error.sequence), (ERRORS_MAX, 151));
}

#[test]
fn a_worker_that_is_to_stop_is_not_counted_again() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    reports.take(report(0, 10, &[]), &view(), now);
    let mut finished = view();
    finished.assigned.clear();
    reports.prune(&finished);
    reports.take(report(0, 10, &[]), &finished, now);
    reports.prune(&finished);
    assert_eq!(reports.topologies["t"].dead["lines"].emitted, 10);
}

#[test]
fn a_topology_that_the_store_does_not_know_leaves_no_trace() {
    let (mut reports, now) = (Reports::default(), Clock::manual().now());
    reports.take(report(0, 1, &[]), &View::default(), now);
    assert!(reports.topologies.is_empty());
    reports.take(report(0, 1, &[]), &view(), now);
    reports.prune(&View::default());
    assert!(reports.topologies.is_empty(), "it was killed");
}
