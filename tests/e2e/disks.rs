//! Disks that are full, read-only or damaged: what runs goes on, what cannot be done is refused with the
//! reason, and works when the disk does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Audit, Cluster, Disk, Signal, signal, until};

use crate::{note, path, submit_audit, until_flowing};

/// Room for the binaries of all topologies here, and to spare, in MiB.
const DISK_MIB: u32 = 320;

/// Runs a story with a disk; says so where the test has not the rights.
fn story(story: impl FnOnce(Disk) + Send + 'static) {
    if let Err(why) = Disk::story(story) {
        note(&format!("SKIPPED: this test needs mounts of its own, so root: {why}"));
    }
}

/// A cluster whose one supervisor has its folder on a small disk, with a topology that is audited and
/// one that logs without end.
fn cluster_on(disk: &mut Disk) -> (Cluster, Audit) {
    let mut cluster = Cluster::start(1, 4);
    cluster.kill_supervisor(0);
    disk.mount(&cluster.supervisor_folder(0), cluster.folder(), DISK_MIB);
    cluster.restart_supervisor(0);
    let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
    let trouble = path("trouble");
    let submit = ["submit", &trouble, "--name", "talks", "--wait", "-c", "worker.log.rate=64KiB"];
    cluster.does(&[&submit[..], &["--", "--trouble=chatters", "--count=100000000"]].concat());
    until_flowing(&audit, "tuples of the other topology flow");
    (cluster, audit)
}

fn reason(cluster: &Cluster, name: &str) -> String {
    cluster.status(name)["reason"].as_str().unwrap_or_default().to_owned()
}

fn until_runs(cluster: &Cluster, name: &str) {
    until(&format!("{name} runs"), || {
        let status = cluster.status(name);
        status["workers"][0]["state"] == "running" && status["reason"] == ""
    });
}

/// Bytes of the log of a topology's worker that were lost to the disk.
fn lost(cluster: &Cluster, name: &str) -> u64 {
    cluster.status(name)["workers"][0]["log_dropped"]["disk"].as_u64().unwrap_or(0)
}

#[track_caller]
fn assert_untouched(cluster: &Cluster, name: &str) {
    let status = cluster.status(name);
    assert_eq!(status["workers"][0]["restarts"], 0, "{name} was restarted: {status}");
    assert_eq!(status["totals"]["failed"], 0, "tuples of {name} failed: {status}");
}

/// Ends everything, and asserts that nothing was lost and nothing is left.
fn end(cluster: &Cluster, audit: &Audit, others: &[&str]) {
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
    for name in others.iter().chain(&["audit"]) {
        cluster.does(&["kill", name, "--wait", "--drain", "0s"]);
    }
    assert_eq!(cluster.worker_processes(), [0; 0], "a worker still runs");
    let left = fs::read_dir(cluster.supervisor_folder(0).join("workers"));
    assert_eq!(left.expect("its folder is there").count(), 0, "a folder is left");
}

/// The binaries below a data folder.
fn binaries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("binaries")).expect("the folder is there").flatten();
    let shown = |path: &PathBuf| path.file_name().is_none_or(|it| it.as_encoded_bytes()[0] != b'.');
    entries.map(|entry| entry.path()).filter(shown).collect()
}

#[test]
fn a_nimbus_without_room_refuses_submissions_keeps_nothing_of_them_and_takes_them_again() {
    story(|mut disk| {
        let cluster = Cluster::start(1, 2);
        let nimbus = cluster.nimbus_folder();
        disk.mount(&nimbus.join("binaries"), cluster.folder(), DISK_MIB);
        let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
        until_flowing(&audit, "there is a load");
        disk.fill();
        let misbehave = path("misbehave");
        let refused = cluster.squall(&["-o", "json", "submit", &misbehave, "--name", "late"]);
        assert_eq!(refused.code, 75, "{refused:?}");
        let error = refused.json()["error"].clone();
        for (part, text) in [("what", "misbehave"), ("why", "No space left"), ("fix", "make room")]
        {
            assert!(error[part].as_str().is_some_and(|it| it.contains(text)), "{part}: {error}");
        }
        assert_eq!(cluster.status("late"), Value::Null, "nothing of it is there");
        assert_eq!(binaries(&nimbus).len(), 1, "half a binary was kept: {:?}", binaries(&nimbus));
        until_flowing(&audit, "what runs does not notice");
        assert_untouched(&cluster, "audit");
        disk.make_room();
        cluster.does(&["submit", &misbehave, "--name", "late", "--wait"]);
        end(&cluster, &audit, &["late"]);
    });
}

#[test]
fn a_supervisor_without_room_drops_logs_starts_nobody_and_touches_nobody_until_there_is_room() {
    story(|mut disk| {
        let (cluster, audit) = cluster_on(&mut disk);
        disk.fill();
        until("what finds no room is counted", || lost(&cluster, "talks") > 0);
        let (trouble, misbehave) = (path("trouble"), path("misbehave"));
        let cached = ["submit", &trouble, "--name", "cached", "--", "--trouble=slow"];
        cluster.does(&[&cached[..], &["--count=100000"]].concat());
        cluster.does(&["submit", &misbehave, "--name", "new"]);
        for (name, parts) in [
            ("cached", ["worker 0 could not start: ", "No space left on device"]),
            ("new", ["worker 0 is waiting for the binary: ", "No space left on device"]),
        ] {
            until(&format!("{name} says why it does not run"), || {
                let reason = reason(&cluster, name);
                parts.iter().all(|part| reason.contains(part))
            });
        }
        until_flowing(&audit, "what runs goes on");
        let before = lost(&cluster, "talks");
        until("it talks on", || lost(&cluster, "talks") > before);
        ["audit", "talks"].iter().for_each(|name| assert_untouched(&cluster, name));

        disk.make_room();
        ["cached", "new"].iter().for_each(|name| until_runs(&cluster, name));
        until("the log says what is missing", || {
            let log = cluster.does(&["logs", "talks", "--tail", "4MiB"]);
            log.contains("==> lost ") && log.contains("No space left on device")
        });
        ["audit", "talks"].iter().for_each(|name| assert_untouched(&cluster, name));
        end(&cluster, &audit, &["talks", "cached", "new"]);
    });
}

#[test]
fn a_worker_whose_disk_is_read_only_starts_when_it_is_not_and_a_damaged_binary_is_fetched_again() {
    story(|mut disk| {
        let (cluster, audit) = cluster_on(&mut disk);
        let kept = binaries(&cluster.supervisor_folder(0));
        let right = fs::read(path("trouble")).expect("the binary of the test is there");
        let is_right = |path: &PathBuf| fs::read(path).is_ok_and(|found| found == right);
        let binary = kept.into_iter().find(is_right).expect("it runs from there");
        let before = cluster.workers("talks");

        disk.make_read_only();
        assert!(signal(before[0].0, Signal::SIGKILL), "it ran");
        until("it says why it does not run", || {
            let reason = reason(&cluster, "talks");
            reason.contains("could not start: ") && reason.contains("Read-only file system")
        });
        until_flowing(&audit, "what runs goes on");
        disk.make_writable();
        until_runs(&cluster, "talks");

        let mut damaged = right.clone();
        damaged[right.len() / 2] ^= 1;
        // A program that runs cannot be written to; another file can take its place.
        fs::remove_file(&binary).expect("it is ours");
        fs::write(&binary, damaged).expect("the disk can be written to");
        let mode = fs::Permissions::from_mode(0o500);
        fs::set_permissions(&binary, mode).expect("it is ours");
        let before = cluster.workers("talks");
        assert!(signal(before[0].0, Signal::SIGKILL), "it ran");
        until("another one runs", || {
            let now = cluster.workers("talks");
            now[0].0 != 0 && now[0].1 != before[0].1
        });
        until_runs(&cluster, "talks");
        assert!(is_right(&binary), "it was fetched again");
        assert_untouched(&cluster, "audit");
        end(&cluster, &audit, &["talks"]);
    });
}

/// A submission that is refused for what the disk says, and leaves nothing.
#[track_caller]
fn assert_not_taken(cluster: &Cluster, why: &str) {
    let refused = cluster.squall(&["submit", &path("misbehave"), "--name", "late"]);
    assert!(refused.code == 75 && refused.stderr.contains(why), "{refused:?}");
    assert_eq!(cluster.status("late"), Value::Null, "nothing of it is there");
}

/// A daemon that is started where it cannot work: it says why and what to do, and ends.
#[track_caller]
fn assert_does_not_start(cluster: &Cluster, daemon: &str, (folder, why): (&Path, &str)) {
    let (folder, etcd) = (folder.to_str().expect("it is UTF-8"), cluster.etcd_url());
    let start = [daemon, "--etcd", &etcd, "--data-dir", folder, "--listen", "127.0.0.1:0"];
    let http = ["--http", "127.0.0.1:0"];
    let http = if daemon == "nimbus" { &http[..] } else { &[] };
    let mut started = cluster.start_squall(&[&start[..], http].concat());
    assert_eq!(started.wait(), Some(73), "{}", started.log());
    for part in [why, folder, "make room there and make it writable"] {
        assert!(started.log().contains(part), "it does not say `{part}`: {}", started.log());
    }
}

#[test]
fn a_nimbus_on_a_read_only_disk_takes_no_binaries_does_all_else_and_starts_when_it_is_writable() {
    story(|mut disk| {
        let mut cluster = Cluster::start(1, 2);
        cluster.kill_nimbus();
        let nimbus = cluster.nimbus_folder();
        disk.mount(&nimbus, cluster.folder(), DISK_MIB);
        cluster.restart_nimbus();
        let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
        until_flowing(&audit, "there is a load");
        disk.make_read_only();
        assert_not_taken(&cluster, "Read-only file system");
        cluster.does(&["deactivate", "audit"]);
        cluster.does(&["activate", "audit"]);
        until_flowing(&audit, "what needs no disk is done");
        assert_untouched(&cluster, "audit");

        cluster.kill_nimbus();
        assert_does_not_start(&cluster, "nimbus", (&nimbus, "Read-only file system"));
        until_flowing(&audit, "what runs needs no nimbus");
        disk.make_writable();
        cluster.restart_nimbus();
        until("it knows what runs", || cluster.status("audit")["status"] == "active");
        cluster.does(&["submit", &path("misbehave"), "--name", "late", "--wait"]);
        end(&cluster, &audit, &["late"]);
    });
}

#[test]
fn daemons_started_on_a_full_disk_work_or_say_why_not_and_what_ran_before_goes_on() {
    story(|mut disk| {
        let mut cluster = Cluster::start(1, 2);
        cluster.kill_nimbus();
        disk.mount(&cluster.nimbus_folder(), cluster.folder(), DISK_MIB);
        cluster.restart_nimbus();
        let mut second = Disk::default();
        cluster.kill_supervisor(0);
        second.mount(&cluster.supervisor_folder(0), cluster.folder(), DISK_MIB);
        cluster.restart_supervisor(0);
        let audit = submit_audit(&cluster, "audit", &[], &["--count=5000", "--until-end"]);
        until_flowing(&audit, "there is a load");

        disk.fill();
        cluster.kill_nimbus();
        cluster.restart_nimbus();
        until("a nimbus knows what runs", || cluster.status("audit")["status"] == "active");
        assert_not_taken(&cluster, "No space left");
        cluster.does(&["deactivate", "audit"]);
        cluster.does(&["activate", "audit"]);
        disk.make_room();

        second.fill();
        let (folder, before) = (cluster.supervisor_folder(0), cluster.workers("audit"));
        cluster.kill_supervisor(0);
        assert_does_not_start(&cluster, "supervisor", (&folder, "No space left"));
        until_flowing(&audit, "its workers go on");
        second.make_room();
        cluster.restart_supervisor(0);
        until("it adopts them", || cluster.workers("audit") == before);
        assert_untouched(&cluster, "audit");
        cluster.does(&["submit", &path("misbehave"), "--name", "late", "--wait"]);
        end(&cluster, &audit, &["late"]);
    });
}
