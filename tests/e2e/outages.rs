//! Daemons that do not find what they need: an etcd, a port, a folder of their own.

use std::net::TcpListener;

use tests::{Cluster, Outcome, get, until};

use crate::{path, submit_audit, until_flowing};

/// Asserts that a command failed like this and says what to do.
#[track_caller]
fn assert_refused(arguments: &[&str], code: i32, parts: &[&str]) {
    let outcome = Outcome::of(arguments);
    assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.stderr);
    for part in parts.iter().chain(&["why:", "fix:"]) {
        assert!(outcome.stderr.contains(part), "{arguments:?} lacks {part:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_daemon_without_its_etcd_or_port_or_folder_ends_with_a_reason() {
    let cluster = Cluster::start(1, 1);
    let (etcd, folder) = (cluster.etcd_url(), cluster.scratch("daemon"));
    let folder = folder.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for daemon in ["nimbus", "supervisor"] {
        let nobody = [daemon, "--etcd", "http://127.0.0.1:1", "--data-dir", folder];
        assert_refused(&nobody, 69, &["http://127.0.0.1:1", "refused", "start etcd"]);
        let occupied = [daemon, "--etcd", &etcd, "--data-dir", folder, "--listen", &taken];
        assert_refused(&occupied, 69, &[&taken, "another process has the port"]);
        let unsafe_one = [daemon, "--etcd", &etcd, "--data-dir", folder, "--listen", "0.0.0.0:0"];
        assert_refused(&unsafe_one, 78, &["other machines", "--insecure"]);
        let nonsense = [daemon, "--etcd", &etcd, "--data-dir", folder, "--listen", "here"];
        assert_refused(&nonsense, 64, &["IP:PORT"]);
        let hostile = [daemon, "--etcd", &etcd, "--data-dir", folder, "--cluster", "../x"];
        assert_refused(&hostile, 78, &["../x"]);
    }
    let nimbus = ["nimbus", "--etcd", &etcd, "--listen", "127.0.0.1:0", "--data-dir"];
    let status = [&nimbus[..], &[folder, "--http", &taken]].concat();
    assert_refused(&status, 69, &[&taken, "another process has the port"]);
    let named = [&nimbus[..], &[folder, "--http", "127.0.0.1:0", "--id", "../x"]].concat();
    assert_refused(&named, 78, &["../x", "--id"]);
    let (used, used_too) = (cluster.nimbus_folder(), cluster.supervisor_folder(0));
    let same = [&nimbus[..], &[used.to_str().unwrap(), "--http", "127.0.0.1:0"]].concat();
    assert_refused(&same, 73, &["another nimbus uses", "--data-dir"]);
    let same = ["supervisor", "--etcd", &etcd, "--data-dir", used_too.to_str().unwrap()];
    assert_refused(&same, 73, &["another supervisor uses", "--data-dir"]);
    let [_, http] = cluster.addresses();
    for (not_a_nimbus, why) in [("127.0.0.1:1", "refused"), (http, "hangs up")] {
        assert_refused(&["list", "--nimbus", not_a_nimbus], 69, &["--nimbus", why]);
    }
}

#[test]
fn without_etcd_topologies_run_on_verbs_say_so_and_all_goes_on_when_it_is_back() {
    let mut cluster = Cluster::start(1, 2);
    let (flags, arguments) = (["-c", "max_pending=50"], ["--count=1000", "--until-end"]);
    let audit = submit_audit(&cluster, "audit", &flags, &arguments);
    until_flowing(&audit, "there is a load");
    let before = cluster.workers("audit");

    cluster.kill_etcd();
    let [_, http] = cluster.addresses();
    until("nimbus says that it is not ready, and why", || {
        let ready = get(http, "/readyz").unwrap_or_default();
        ready.0 == 503 && ready.1.contains("store cannot be used")
    });
    let healthy = get(http, "/healthz").map(|(code, _)| code);
    assert_eq!(healthy.ok(), Some(200), "it lives all the same");
    until_flowing(&audit, "tuples flow without an etcd");
    for arguments in
        [&["deactivate", "audit"][..], &["submit", &path("misbehave"), "--name", "new"]]
    {
        let refused = cluster.squall(arguments);
        assert_eq!(refused.code, 69, "{arguments:?}: {refused:?}");
        for part in ["etcd at http", "start etcd"] {
            assert!(refused.stderr.contains(part), "{arguments:?}: {}", refused.stderr);
        }
    }

    cluster.restart_etcd();
    until("nimbus leads again and hears of the same worker", || cluster.workers("audit") == before);
    let [_, http] = cluster.addresses();
    until("it is ready", || get(http, "/readyz").is_ok_and(|(code, _)| code == 200));
    cluster.does(&["submit", &path("misbehave"), "--name", "new", "--wait"]);
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);
    cluster.does(&["kill", "new", "--wait"]);
}
