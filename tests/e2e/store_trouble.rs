//! An etcd in trouble: topologies run on at their pace, changes are refused with the reason, and
//! everything goes on by itself when it is well again.

use std::time::{Duration, Instant};

use daemon::Clock;
use tests::{Audit, Cluster, Several, Shape, get, until};

use crate::{note, path, until_flowing};

/// How many numbers each of the two spout tasks emits a second: far fewer than it could.
const PACE: usize = 400;

/// Submits an `audit` topology of two workers at this pace.
fn submit_audit(cluster: &Several) -> Audit {
    let audit = Audit::of(cluster.scratch("audit"));
    let (binary, folder, pace) = (path("audit"), audit.argument(), format!("--pace={PACE}"));
    let submit = ["submit", &binary, "--name", "audit", "--workers", "2", "--wait", "--"];
    cluster.does(&[&submit[..], &[&folder, &pace, "--count=1000", "--until-end"]].concat());
    until("there is a load", || audit.acked().len() > PACE);
    audit
}

/// What flowed while the store was in trouble.
struct Flow<'a> {
    audit: &'a Audit,
    clock: Clock,
    since: Instant,
    acked: usize,
}

impl<'a> Flow<'a> {
    fn begin(audit: &'a Audit) -> Self {
        let clock = Clock::system();
        Self { audit, since: clock.now(), acked: audit.acked().len(), clock }
    }

    /// Waits until so many seconds' worth of tuples were acked, and asserts that it took them no
    /// longer than it should: 95 of 100 flowed, save for half a second of a busy machine.
    fn assert_kept_up(&self, seconds: usize) {
        let wanted = self.acked + 2 * PACE * seconds;
        until("tuples flow without a well etcd", || self.audit.acked().len() >= wanted);
        self.assert_flowed();
    }

    /// Waits until so much time has passed, and asserts the same of what flowed in it.
    fn assert_kept_up_for(&self, time: Duration) {
        while self.clock.now().saturating_duration_since(self.since) < time {
            until_flowing(self.audit, "tuples flow without a well etcd");
        }
        self.assert_flowed();
    }

    fn assert_flowed(&self) {
        let passed = self.clock.now().saturating_duration_since(self.since).as_millis();
        let offered = usize::try_from(passed).unwrap_or(usize::MAX) * 2 * PACE / 1_000;
        let flowed = self.audit.acked().len() - self.acked;
        note(&format!("acked {flowed} of {offered} in {passed} ms"));
        assert!(flowed + PACE >= offered * 95 / 100, "{flowed} of {offered} in {passed} ms");
    }
}

/// Asserts that nothing was restarted, failed or lost, and lets the audit end.
fn end(cluster: &Several, audit: &Audit, before: &[(u64, String, u64)]) {
    until("the workers are those of before", || cluster.workers("audit") == before);
    let totals = cluster.status("audit")["totals"].clone();
    assert_eq!(totals["failed"], 0, "a tuple was affected: {totals}");
    audit.let_end();
    until("it is finished", || cluster.status("audit")["status"] == "finished");
    audit.assert_nothing_lost(2);
}

/// Asserts that a change is refused, as one that may be tried again.
#[track_caller]
fn assert_refused(cluster: &Several, parts: &[&str]) {
    let refused = cluster.squall(&["deactivate", "audit"]);
    assert!(matches!(refused.code, 69 | 75), "{refused:?}");
    for part in parts.iter().chain(&["why:", "fix:"]) {
        assert!(refused.stderr.contains(part), "{part:?} is missing: {}", refused.stderr);
    }
}

/// Submits, waits and kills: everything works.
fn assert_works(cluster: &Several) {
    cluster.does(&["submit", &path("misbehave"), "--name", "probe", "--wait"]);
    cluster.does(&["kill", "probe", "--wait"]);
}

fn is_ready(cluster: &Several, number: usize) -> bool {
    get(cluster.addresses(number)[1], "/readyz").is_ok_and(|(code, _)| code == 200)
}

#[test]
fn members_may_die_or_hang_and_without_a_quorum_topologies_run_on_for_a_minute() {
    let shape = Shape { members: 3, slots: 3, ..Shape::default() };
    let mut cluster = Several::start(shape);
    let audit = submit_audit(&cluster);
    let before = cluster.workers("audit");

    let flow = Flow::begin(&audit);
    let killed = cluster.etcd.leader();
    cluster.etcd.kill_member(killed);
    assert_works(&cluster);
    cluster.etcd.restart_member(killed);
    let frozen = cluster.etcd.leader();
    cluster.etcd.freeze(frozen);
    assert_works(&cluster);
    cluster.etcd.thaw(frozen);
    flow.assert_kept_up(5);

    let flow = Flow::begin(&audit);
    for number in [0, 1] {
        cluster.etcd.kill_member(number);
    }
    until("the nimbuses say that they are not ready", || {
        (0..2).all(|number| !is_ready(&cluster, number))
    });
    assert_refused(&cluster, &["etcd"]);
    let list = cluster.does(&["list"]);
    assert!(list.contains("audit"), "questions are answered from memory: {list}");
    flow.assert_kept_up_for(Duration::from_secs(60));
    assert_refused(&cluster, &["etcd"]);
    for number in [0, 1] {
        cluster.etcd.restart_member(number);
    }
    until("all are ready again", || (0..2).all(|number| is_ready(&cluster, number)));
    assert_works(&cluster);
    end(&cluster, &audit, &before);
}

#[test]
fn an_etcd_that_is_slow_compacted_or_full_moves_nothing_and_is_named() {
    let quota = ["--quota-backend-bytes", "8388608"];
    let shape = Shape { slots: 3, etcd_flags: &quota, ..Shape::default() };
    let cluster = Several::start(shape);
    let audit = submit_audit(&cluster);
    let before = cluster.workers("audit");

    let flow = Flow::begin(&audit);
    for _ in 0..3 {
        let acked = audit.acked().len();
        cluster.etcd.freeze(0);
        until("a second passes", || audit.acked().len() > acked + 2 * PACE);
        cluster.etcd.thaw(0);
        until("half a second passes", || audit.acked().len() > acked + 3 * PACE);
    }
    assert_works(&cluster);
    let leader = cluster.leader();
    assert!(tests::signal(cluster.nimbus(1 - leader).id(), tests::Signal::SIGSTOP));
    assert_works(&cluster);
    cluster.etcd.compact();
    assert!(tests::signal(cluster.nimbus(1 - leader).id(), tests::Signal::SIGCONT));
    assert_works(&cluster);

    cluster.etcd.fill();
    until("the status says that the store is read-only, and why", || {
        let store = cluster.document(cluster.leader(), "/api/v1/cluster")["store"].clone();
        store.as_str().is_some_and(|it| it.starts_with("read-only") && it.contains("NOSPACE"))
    });
    assert!(cluster.metrics(cluster.leader()).contains("squall_store_read_only 1"));
    assert_refused(&cluster, &["read-only", "alarm disarm"]);
    flow.assert_kept_up(10);
    cluster.etcd.make_room();
    until("all are ready again", || (0..2).all(|number| is_ready(&cluster, number)));
    assert_works(&cluster);
    end(&cluster, &audit, &before);
}

#[test]
fn an_etcd_that_was_wiped_is_not_acted_on_until_people_accept_it() {
    let mut cluster = Several::start(Shape { slots: 3, ..Shape::default() });
    let audit = submit_audit(&cluster);
    let premature = cluster.squall(&["recover"]);
    assert_eq!(premature.code, 75, "{premature:?}");
    assert!(premature.stderr.contains("has not gone back"), "{premature:?}");

    let flow = Flow::begin(&audit);
    cluster.etcd.wipe();
    let says_so = |cluster: &Several, number: usize| {
        let store = cluster.document(number, "/api/v1/cluster")["store"].clone();
        store.as_str().is_some_and(|it| it.contains("went back from revision"))
    };
    until("both nimbuses say what happened", || (0..2).all(|it| says_so(&cluster, it)));
    assert_refused(&cluster, &["went back", "squall recover"]);
    cluster.kill_nimbus(0);
    cluster.restart_nimbus(0);
    until("a restart accepts nothing", || {
        let ready = get(cluster.addresses(0)[1], "/readyz");
        ready.is_ok_and(|(code, text)| code == 503 && text.contains("went back"))
    });
    let list = cluster.squall_at(1, &["list"]);
    assert!(list.stdout.contains("audit"), "what was decided is still known: {list:?}");
    flow.assert_kept_up(8);
    audit.assert_acked_were_executed();

    cluster.does(&["recover"]);
    until("all follow the new store", || (0..2).all(|number| is_ready(&cluster, number)));
    until("what is not in it has stopped, without a restart of a daemon", || {
        tests::processes_below(&cluster.scratch("..").join("s0").join("workers")).is_empty()
    });
    let list = cluster.squall(&["-o", "json", "list"]).json();
    assert_eq!(list["items"], serde_json::json!([]));
    until("the supervisor is back with its slots", || {
        cluster.document(cluster.leader(), "/api/v1/cluster")["slots"] == 3
    });
    assert_works(&cluster);
}

#[test]
fn an_etcd_restored_to_an_older_backup_stops_nothing_until_people_accept_it() {
    let mut cluster = Several::start(Shape { slots: 3, ..Shape::default() });
    let audit = submit_audit(&cluster);
    let backup = cluster.scratch("backup");
    cluster.etcd.back_up(&backup);
    until("all are ready again", || (0..2).all(|number| is_ready(&cluster, number)));
    cluster.does(&["submit", &path("misbehave"), "--name", "later", "--wait"]);
    let workers = cluster.scratch("..").join("s0").join("workers");
    let running = || {
        let mut running = tests::processes_below(&workers);
        running.sort_unstable();
        running
    };
    let before = running();
    assert_eq!(before.len(), 3, "two workers of one topology and one of the other");

    let flow = Flow::begin(&audit);
    // Nobody who decides is there to see it.
    cluster.kill_nimbus(0);
    cluster.kill_nimbus(1);
    cluster.etcd.restore(&backup);
    cluster.restart_nimbus(0);
    cluster.restart_nimbus(1);
    for number in 0..2 {
        until("each nimbus says what happened", || {
            let ready = get(cluster.addresses(number)[1], "/readyz");
            ready.is_ok_and(|(code, text)| code == 503 && text.contains("went back"))
        });
    }
    assert_refused(&cluster, &["went back", "squall recover"]);
    flow.assert_kept_up(6);
    assert_eq!(running(), before, "nothing that ran was stopped or started again");

    cluster.does(&["recover"]);
    until("all follow the restored store", || (0..2).all(|number| is_ready(&cluster, number)));
    until("what was decided before runs anew, and nothing else", || {
        let now = running();
        now.len() == 2 && now.iter().all(|process| !before.contains(process))
    });
    until_flowing(&audit, "what was decided before goes on");
    let list = cluster.does(&["list"]);
    assert!(list.contains("audit") && !list.contains("later"), "{list}");
    assert_works(&cluster);
    audit.let_end();
    until("it is finished", || cluster.status("audit")["status"] == "finished");
    audit.assert_nothing_lost(2);
}

#[test]
fn after_a_power_cut_of_everything_at_once_all_starts_again_by_itself() {
    let mut cluster = Cluster::start(2, 2);
    let flags = ["--workers", "2", "-c", "max_pending=200"];
    let arguments = ["--count=1000", "--until-end"];
    let audit = crate::submit_audit(&cluster, "audit", &flags, &arguments);
    until_flowing(&audit, "there is a load");
    cluster.kill_etcd();
    cluster.kill_nimbus();
    cluster.kill_supervisor(0);
    cluster.kill_supervisor(1);
    for worker in cluster.worker_processes() {
        tests::signal(worker, tests::Signal::SIGKILL);
    }
    let (clock, since) = (Clock::system(), Clock::system().now());
    cluster.restart_etcd();
    cluster.restart_nimbus();
    cluster.restart_supervisor(0);
    cluster.restart_supervisor(1);
    until_flowing(&audit, "tuples flow without anybody's help");
    let took = clock.now().saturating_duration_since(since).as_millis();
    note(&format!("cold start of everything to flowing tuples: {took} ms"));
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
}
