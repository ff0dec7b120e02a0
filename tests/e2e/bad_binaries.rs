//! Binaries that are no topology, that misbehave, or that there is no room for.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Cluster, Outcome, until};

use crate::{path, submit_audit, until_flowing};

/// Writes a program of these bytes.
fn program_of(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("the folder of the test can be written to");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("it is ours");
    path
}

/// Asserts that a command failed like this, in both forms, and said what, why and what to do.
#[track_caller]
fn assert_fails(cluster: &Cluster, arguments: &[&str], code: i32, reason: &str) {
    let said = cluster.squall(arguments);
    assert_eq!(said.code, code, "{arguments:?}: {}", said.stderr);
    assert!(said.stderr.contains(reason), "{arguments:?} lacks {reason:?}: {}", said.stderr);
    assert!(said.stdout.is_empty(), "{arguments:?}: {}", said.stdout);
    let coded = cluster.squall(&[&["-o", "json"], arguments].concat());
    assert_eq!(coded.code, code, "{arguments:?}: {coded:?}");
    for part in ["what", "why", "fix"] {
        let text = coded.json()["error"][part].as_str().unwrap_or_default().to_owned();
        assert!(!text.is_empty(), "{arguments:?} lacks {part}: {coded:?}");
    }
}

/// The first worker in the status of a topology.
fn worker(status: &Value) -> &Value {
    &status["workers"][0]
}

/// The reason that the list gives for the state of a topology.
fn listed_reason(cluster: &Cluster, name: &str) -> String {
    let list = cluster.squall(&["list", "-o", "json"]).json();
    let found = list["items"].as_array().and_then(|list| list.iter().find(|it| it["name"] == name));
    found.and_then(|it| it["reason"].as_str()).unwrap_or_default().to_owned()
}

#[test]
fn what_is_no_topology_is_refused_with_its_reason_and_leaves_nothing() {
    let cluster = Cluster::start(1, 1);
    let folder = cluster.scratch("binaries");
    let own = std::fs::read(path("misbehave")).unwrap();
    let mut foreign = own.clone();
    foreign[18..20].copy_from_slice(&40_u16.to_le_bytes());
    let folder_path = folder.to_str().unwrap();
    let script = program_of(&folder, "script", b"#!/bin/sh\nexec yes\n");
    let foreign = program_of(&folder, "foreign", &foreign);
    let truncated = program_of(&folder, "truncated", &own[..own.len() / 3]);
    let empty = program_of(&folder, "empty", b"");
    for (binary, reason) in [
        (folder_path, "directory"),
        (script.to_str().unwrap(), "script"),
        (foreign.to_str().unwrap(), "another machine"),
        (truncated.to_str().unwrap(), "cut off"),
        (empty.to_str().unwrap(), "empty"),
        ("/dev/zero", "not a regular file"),
        ("/bin/true", "without a description"),
        ("/usr/bin/yes", "1 MiB"),
    ] {
        assert_fails(&cluster, &["submit", binary], 65, reason);
    }
    let misbehave = path("misbehave");
    for (argument, reason) in [
        ("--say-nothing", "without a description"),
        ("--say=rubbish", "without a description"),
        ("--say={", "cannot be read"),
        ("--say={\"some\":\"json\"}", "without a description"),
        ("--say={\"squall\":1,\"topology\":{\"name\":\"../x\"}}", "cannot be read"),
        ("--say={\"squall\":99}", "format 99"),
    ] {
        assert_fails(&cluster, &["submit", &misbehave, "--", argument], 65, reason);
    }
    assert_fails(&cluster, &["submit", "/no/such/binary"], 66, "No such file");
    assert_eq!(cluster.squall(&["list", "-o", "json"]).json()["items"], Value::Array(Vec::new()));
    let kept = std::fs::read_dir(cluster.nimbus_folder().join("binaries")).unwrap().count();
    assert_eq!(kept, 0, "the nimbus kept a binary that nobody uses");
}

#[test]
fn a_binary_that_keeps_ending_backs_off_says_why_and_holds_up_nobody() {
    let cluster = Cluster::start(1, 3);
    let misbehave = path("misbehave");
    let submit = |name: &str, arguments: &[&str]| {
        cluster.does(&[&["submit", &misbehave, "--name", name, "--"], arguments].concat());
    };
    submit("at-once", &["--exit=3"]);
    submit("later", &["--exit=4", "--after-ms=5000"]);
    let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
    until_flowing(&audit, "tuples of another topology flow");

    for (name, exit, restarts) in [("at-once", "exit code 3", 3), ("later", "exit code 4", 2)] {
        let mut status = Value::Null;
        until(&format!("{name} backs off"), || {
            status = cluster.status(name);
            let it = worker(&status);
            it["state"] == "backing-off" && it["restarts"].as_u64().unwrap_or(0) >= restarts
        });
        assert_eq!(worker(&status)["last_exit"], exit, "{status}");
        let described = cluster.does(&["describe", name]);
        for part in ["backing-off", exit, "this is how it ends", "keeps ending"] {
            assert!(described.contains(part), "{name} lacks {part:?}:\n{described}");
        }
        until("the list says so too", || {
            listed_reason(&cluster, name) == format!("worker 0 keeps ending: {exit}")
        });
    }
    let waited = cluster.squall(&[
        "submit",
        &misbehave,
        "--name",
        "no-room",
        "--wait",
        "--timeout",
        "300ms",
    ]);
    assert_eq!(waited.code, 75, "there is no slot left: {waited:?}");
    assert_eq!(worker(&cluster.status("audit"))["restarts"], 0, "it was restarted with them");
    until_flowing(&audit, "tuples of another topology still flow");
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);

    for name in ["at-once", "later", "no-room"] {
        cluster.does(&["kill", name, "--wait", "--drain", "0s"]);
    }
    assert_eq!(cluster.worker_processes(), [0; 0], "a worker still runs");
}

#[test]
fn a_submission_without_a_free_slot_is_accepted_and_waits_for_one() {
    let cluster = Cluster::start(1, 1);
    let misbehave = path("misbehave");
    cluster.does(&["submit", &misbehave, "--name", "first", "--wait"]);
    cluster.does(&["submit", &misbehave, "--name", "second"]);
    let reason = || cluster.status("second")["reason"].as_str().unwrap_or_default().to_owned();
    until("the status says what it waits for", || reason() == "waiting: no slot is free");
    assert_eq!(listed_reason(&cluster, "second"), "waiting: no slot is free");
    assert!(cluster.does(&["describe", "second"]).contains("no slot is free"));

    let third = ["submit", &misbehave, "--name", "third", "--wait", "--timeout", "300ms"];
    let waited = cluster.squall(&third);
    assert_eq!(waited.code, 75, "{waited:?}");
    for part in ["no slot is free", "start a supervisor", "kill"] {
        assert!(waited.stderr.contains(part), "{part:?} is missing: {}", waited.stderr);
    }
    cluster.does(&["kill", "third", "--wait"]);
    cluster.does(&["kill", "first", "--wait"]);
    until("it runs in the slot that was freed", || {
        worker(&cluster.status("second"))["state"] == "running" && reason().is_empty()
    });
}

#[test]
fn of_two_submissions_of_one_name_at_once_exactly_one_wins() {
    let cluster = Cluster::start(1, 2);
    let misbehave = path("misbehave");
    for round in 0..3 {
        let name = format!("twin-{round}");
        let submit = || cluster.squall(&["submit", &misbehave, "--name", &name, "-o", "json"]);
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let both = [scope.spawn(submit), scope.spawn(submit)];
            both.map(|thread| thread.join().expect("a submission ends")).into()
        });
        let mut codes: Vec<i32> = outcomes.iter().map(|outcome| outcome.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 73], "{outcomes:?}");
        let winner = outcomes.iter().find(|outcome| outcome.code == 0).unwrap().json();
        assert_eq!(cluster.status(&name)["id"], winner["id"], "the other one runs");
        cluster.does(&["kill", &name, "--wait", "--drain", "0s"]);
    }
}

#[test]
fn a_setting_or_component_that_does_not_exist_is_named_with_what_was_meant() {
    let cluster = Cluster::start(1, 1);
    let misbehave = path("misbehave");
    for (setting, part) in [
        ("max_pendng=3", "did you mean `max_pending`"),
        ("max_pending=lots", "a whole number from 1"),
        ("message_timeout=soon", "250ms, 30s or 1m30s"),
        ("acking=maybe", "true or false"),
        ("=3", "key=value"),
    ] {
        assert_fails(&cluster, &["submit", &misbehave, "-c", setting], 64, part);
    }
    let file = cluster.scratch("config").join("squall.toml");
    for (text, code, part) in [
        ("[topology]\nmax_pendng = 3\n", 64, "did you mean `max_pending`"),
        ("[topologie]\nmax_pending = 3\n", 78, "topologie"),
        ("[client\n", 78, "line 1"),
    ] {
        std::fs::write(&file, text).unwrap();
        let submit = ["--config", file.to_str().unwrap(), "submit", &misbehave];
        assert_fails(&cluster, &submit, code, part);
    }
    cluster.does(&["submit", &misbehave, "--name", "sound"]);
    for (arguments, code, part) in [
        (["rebalance", "sound", "-e", "sayy=1"], 65, "did you mean `say`"),
        (["rebalance", "sound", "-e", "say=99"], 65, "it has 2 tasks"),
        (["rebalance", "sound", "--workers", "0"], 64, "0 is not in 1.."),
        (["logs", "sound", "--component", "sayy"], 66, "did you mean `say`"),
    ] {
        assert_fails(&cluster, &arguments, code, part);
    }
    assert_fails(&cluster, &["describe", "sonud"], 66, "did you mean `sound`");
}
