//! Several nimbuses: one leads, the others answer and take over, and binaries are on all of them.

use std::fs;

use daemon::Clock;
use tests::{Audit, Several, Shape, Signal, get, signal, until};

use crate::{note, path, until_flowing};

/// Submits an `audit` topology and waits until it runs.
fn submit_audit(cluster: &Several, name: &str, flags: &[&str], arguments: &[&str]) -> Audit {
    let audit = Audit::of(cluster.scratch(name));
    let (binary, folder) = (path("audit"), audit.argument());
    let submit = ["submit", &binary, "--name", name, "--wait"];
    cluster.does(&[&submit[..], flags, &["--", &folder], arguments].concat());
    audit
}

/// Lets an audit end and asserts that nothing was lost.
fn end(cluster: &Several, audit: &Audit, name: &str) {
    audit.let_end();
    until("it is finished", || cluster.status(name)["status"] == "finished");
    audit.assert_nothing_lost(2);
}

const UNTIL_END: [&str; 2] = ["--count=1000", "--until-end"];

/// The names of the topologies, as `squall list` shows them.
fn names(cluster: &Several) -> Vec<String> {
    let list = cluster.does(&["-o", "json", "list"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("a JSON document");
    let name = |it: &serde_json::Value| it["name"].as_str().map(str::to_owned);
    list["items"].as_array().into_iter().flatten().filter_map(name).collect()
}

#[test]
fn a_standby_answers_questions_says_so_and_points_writers_to_the_leader() {
    let mut cluster = Several::start(Shape::default());
    let audit = submit_audit(&cluster, "audit", &[], &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let leader = cluster.leader();
    let standby = 1 - leader;

    let topology = cluster.document(standby, "/api/v1/topologies/audit");
    assert_eq!(topology["status"], "active", "{topology}");
    assert_eq!(topology["standby"]["id"], format!("nimbus-{standby}").as_str());
    assert_eq!(topology["standby"]["leader"], cluster.addresses(leader)[0]);
    assert!(topology["standby"]["unknown"].as_str().is_some_and(|it| it.contains("counters")));
    assert_eq!(topology["totals"]["executed"], 0, "live counts go to the leader alone");
    assert_eq!(cluster.document(standby, "/api/v1/supervisors")[0]["status"], "unknown");
    let told = cluster.squall_at(standby, &["-o", "json", "describe", "audit"]).json();
    assert!(told["standby"].is_null(), "the command went to the leader by itself: {told}");
    let logs = cluster.squall_at(standby, &["logs", "audit"]);
    assert!(logs.stdout.contains("worker starts"), "{logs:?}");
    let done = cluster.squall_at(standby, &["deactivate", "audit"]);
    assert_eq!(done.code, 0, "a change is passed on to the leader: {}", done.stderr);
    cluster.does(&["activate", "audit"]);

    // A leader that hangs: its lease goes on for a while, and nobody else leads yet.
    assert!(signal(cluster.nimbus(leader).id(), Signal::SIGSTOP), "the leader was there");
    let told = cluster.squall_at(standby, &["list"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("audit"), "{told:?}");
    until("the standby leads", || cluster.leads(standby));
    assert!(signal(cluster.nimbus(leader).id(), Signal::SIGCONT), "the old leader was there");
    until("the old leader follows", || {
        !cluster.document(leader, "/api/v1/cluster")["standby"].is_null()
    });
    assert!(cluster.leads(standby), "the new leader still leads");
    cluster.kill_nimbus(standby);
    until("the old leader leads again", || cluster.leads(leader));
    end(&cluster, &audit, "audit");
}

#[test]
fn binaries_are_on_as_many_nimbuses_as_wanted_before_a_submission_is_acknowledged() {
    let shape = Shape { nimbus_flags: &["--replication", "2"], ..Shape::default() };
    let mut cluster = Several::start(shape);
    let leader = cluster.leader();
    let standby = 1 - leader;
    let misbehave = path("misbehave");
    cluster.does(&["submit", &misbehave, "--name", "first"]);
    let there = [cluster.binaries(leader), cluster.binaries(standby)];
    assert_eq!(there[0].len(), 1);
    assert_eq!(there[0], there[1], "both have it when the submission is acknowledged");

    cluster.kill_nimbus(standby);
    let second =
        ["submit", &path("audit"), "--name", "second", "--inactive", "--", "--folder=/tmp"];
    let refused = cluster.squall(&second);
    assert_eq!(refused.code, 75, "{refused:?}");
    for part in ["1 of 2 nimbuses", "--replication", "fix:"] {
        assert!(refused.stderr.contains(part), "{part} is missing: {}", refused.stderr);
    }
    assert_eq!(names(&cluster), ["first"], "what was refused left nothing");
    until("its binary neither", || cluster.binaries(leader).len() == 1);

    // The binary is lost to the standby while it is away: it copies it again.
    let binary = there[0][0].as_str();
    fs::remove_file(cluster.nimbus_folder(standby).join("binaries").join(binary)).unwrap();
    cluster.restart_nimbus(standby);
    until("the standby has copied what it lacked", || cluster.binaries(standby) == [binary]);
    cluster.kill_nimbus(leader);
    until("the standby leads", || cluster.leads(standby));
    cluster.restart_nimbus(leader);
    cluster.does(&second);
    for topology in ["first", "second"] {
        cluster.does(&["kill", topology, "--wait"]);
    }
    until("no nimbus keeps a binary that nobody uses", || {
        (0..2).all(|number| cluster.binaries(number).is_empty())
    });
}

#[test]
fn a_topology_without_its_binary_is_quarantined_alone_until_it_is_back() {
    let cluster = Several::start(Shape { nimbuses: 1, slots: 3, ..Shape::default() });
    let audit = submit_audit(&cluster, "audit", &[], &UNTIL_END);
    cluster.does(&["submit", &path("misbehave"), "--name", "broken", "--inactive", "--wait"]);
    let digest = |name: &str| {
        let binaries = cluster.binaries(0);
        let there = binaries.iter().find(|it| {
            let kept = cluster.nimbus_folder(0).join("binaries").join(it);
            fs::read(kept).ok() == fs::read(path(name)).ok()
        });
        there.expect("the nimbus has it").clone()
    };
    let file = cluster.nimbus_folder(0).join("binaries").join(digest("misbehave"));
    let content = fs::read(&file).unwrap();
    fs::write(&file, "damaged").unwrap();
    until("it is quarantined, with the reason", || {
        let status = cluster.status("broken");
        let reason = status["reason"].as_str().unwrap_or_default();
        status["status"] == "quarantined" && reason.contains("missing or damaged")
    });
    assert_eq!(cluster.status("audit")["status"], "active", "nobody else is touched");
    until_flowing(&audit, "tuples flow");
    assert!(cluster.leads(0), "nor is the leadership");
    fs::write(&file, content).unwrap();
    until("it is as before when its binary is back", || {
        cluster.status("broken")["status"] == "inactive"
    });
    fs::remove_file(&file).unwrap();
    until("it is quarantined again", || cluster.status("broken")["status"] == "quarantined");
    cluster.does(&["kill", "broken", "--wait"]);
    assert_eq!(names(&cluster), ["audit"]);
    end(&cluster, &audit, "audit");
}

/// What the leader is doing when it is killed.
#[derive(Clone, Copy, Debug)]
enum Amid {
    Upload,
    Submit,
    Rebalance,
    Kill,
}

/// Runs a command whose leader dies while the write is on its way: etcd stands still, so it is
/// neither done nor refused. Asserts that the command succeeds all the same, by its request id.
fn killed_amid(cluster: &mut Several, amid: Amid) {
    let leader = cluster.leader();
    let other = path("misbehave");
    let arguments = match amid {
        Amid::Upload | Amid::Submit => vec!["submit", &other, "--name", "new", "--inactive"],
        Amid::Rebalance => vec!["rebalance", "new", "--workers", "2"],
        Amid::Kill => vec!["kill", "new", "--wait"],
    };
    let (is_upload, uploaded) = (matches!(amid, Amid::Upload), cluster.binaries(leader).len());
    if !is_upload && !matches!(amid, Amid::Submit) {
        cluster.etcd.freeze(0);
    }
    let mut command = cluster.start_squall(&arguments);
    match amid {
        Amid::Upload => until("the binary is on its way, or there", || {
            cluster.binaries(leader).len() > uploaded
        }),
        Amid::Submit => {
            until("the binary is there", || {
                let there = cluster.binaries(leader);
                there.len() > uploaded && !there.iter().any(|name| name.ends_with(".part"))
            });
            cluster.etcd.freeze(0);
        }
        Amid::Rebalance | Amid::Kill => {}
    }
    if !is_upload {
        until("the change is on its way to the store", || {
            cluster.metrics(leader).contains("squall_store_writing 1")
        });
    }
    cluster.kill_nimbus(leader);
    if !is_upload {
        cluster.etcd.thaw(0);
    }
    until("another nimbus leads", || (0..3).any(|it| it != leader && cluster.leads(it)));
    let done = match amid {
        Amid::Upload | Amid::Submit => "new is submitted",
        Amid::Rebalance => "`new` is being rebalanced",
        Amid::Kill => "`new` is being killed",
    };
    command.line(done);
    cluster.restart_nimbus(leader);
}

#[test]
fn a_leader_that_is_killed_amid_a_change_leaves_it_done_or_absent_and_the_command_succeeds() {
    let shape = Shape { nimbuses: 3, slots: 4, ..Shape::default() };
    let mut cluster = Several::start(shape);
    let audit = submit_audit(&cluster, "audit", &["--workers", "2"], &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");

    for amid in [Amid::Upload, Amid::Submit] {
        killed_amid(&mut cluster, amid);
        assert_eq!(names(&cluster).len(), 2, "it is there once, {amid:?}");
        if matches!(amid, Amid::Upload) {
            cluster.does(&["kill", "new", "--wait"]);
        }
    }
    killed_amid(&mut cluster, Amid::Rebalance);
    until("the rebalance is finished by whoever leads", || {
        let status = cluster.status("new");
        status["status"] == "inactive" && status["workers"].as_array().map(Vec::len) == Some(2)
    });
    killed_amid(&mut cluster, Amid::Kill);
    assert_eq!(names(&cluster), ["audit"], "nothing is left of it");
    until("the other topology's workers are the same", || cluster.workers("audit") == before);
    until_flowing(&audit, "tuples flow");
    end(&cluster, &audit, "audit");
}

#[test]
fn a_nimbus_leader_that_is_lost_is_replaced_within_seconds_and_nothing_moves() {
    let mut cluster = Several::start(Shape::default());
    let audit = submit_audit(&cluster, "audit", &["--workers", "2"], &UNTIL_END);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");
    let clock = Clock::system();
    let mut took = Vec::new();
    for round in 0..5 {
        let leader = cluster.leader();
        let since = clock.now();
        if round % 3 == 2 {
            assert_eq!(cluster.stop_nimbus(leader), Some(0), "it ends in good order");
        } else {
            cluster.kill_nimbus(leader);
        }
        until("the other nimbus leads and takes reports", || {
            let leads = cluster.leads(1 - leader);
            let supervisors = cluster.document(1 - leader, "/api/v1/supervisors");
            leads && supervisors[0]["last_report_ms"].is_u64()
        });
        took.push(clock.now().saturating_duration_since(since).as_millis());
        cluster.restart_nimbus(leader);
    }
    note(&format!("leader lost to another that serves, in ms: {took:?}"));
    assert_eq!(cluster.workers("audit"), before, "no worker was touched");
    until_flowing(&audit, "tuples flow");
    let failed = cluster.status("audit")["totals"]["failed"].clone();
    assert_eq!(failed, 0, "no tuple was affected");
    end(&cluster, &audit, "audit");
}

#[test]
fn what_a_leader_that_slept_still_wants_is_refused_counted_and_shown() {
    let mut cluster = Several::start(Shape::default());
    let leader = cluster.leader();
    let standby = 1 - leader;
    // Neither knows when it wakes: its write meets the guard, and its peer knows a later election.
    assert!(signal(cluster.nimbus(leader).id(), Signal::SIGSTOP), "the leader was there");
    let mut command =
        cluster.start_squall_at(leader, &["submit", &path("misbehave"), "--name", "late"]);
    until("another leads", || cluster.leads(standby));
    assert!(signal(cluster.nimbus(leader).id(), Signal::SIGCONT), "the old leader was there");
    command.line("late is submitted");
    assert_eq!(names(&cluster), ["late"], "it was done once, by the new leader");
    until("the old one points to the new one", || {
        let cluster = cluster.document(leader, "/api/v1/cluster");
        cluster["leader"]["id"] == format!("nimbus-{standby}").as_str()
    });

    // An old leader that writes an old generation straight into the store: supervisors refuse it.
    cluster.does(&["kill", "late", "--wait"]);
    let audit = submit_audit(&cluster, "audit", &[], &UNTIL_END);
    cluster.does(&["rebalance", "audit"]);
    until("it has its second generation", || cluster.status("audit")["generation"] == 2);
    until_flowing(&audit, "tuples flow");
    let (id, before) = (cluster.status("audit")["id"].clone(), cluster.workers("audit"));
    let key = format!("/squall/v1/default/assigned/{}", id.as_str().expect("it has an id"));
    // Generation 1, of 1 worker.
    assert!(cluster.etcd.put(&key, &[8, 1, 16, 1]), "etcd takes it");
    until("the supervisor has refused it, and nimbus shows that", || {
        let refused = cluster.document(standby, "/api/v1/cluster")["refused"].clone();
        refused["old-generation"] == 1
            && cluster.metrics(standby).contains("squall_refused_total{what=\"old-generation\"} 1")
    });
    until_flowing(&audit, "the workers go on");
    assert_eq!(pids(&before), pids(&cluster.workers("audit")), "no worker was touched");
    let answers = get(cluster.addresses(standby)[1], "/readyz").map(|(code, _)| code);
    assert_eq!(answers.ok(), Some(200));
}

fn pids(workers: &[(u64, String, u64)]) -> Vec<u64> {
    workers.iter().map(|(pid, _, _)| *pid).collect()
}
