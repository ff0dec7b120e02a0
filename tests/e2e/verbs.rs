//! The commands of `squall` against a real cluster: exit codes, messages, JSON.

use serde_json::Value;
use tests::{Cluster, Outcome, until};

use crate::{path, submit_audit, until_flowing};

/// The names of all topologies, with their status.
fn listed(cluster: &Cluster) -> Vec<(String, String)> {
    let list = cluster.squall(&["list", "-o", "json"]).json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
    let list = list["items"].as_array().expect("a list of topologies");
    list.iter().map(|it| (text(&it["name"]), text(&it["status"]))).collect()
}

#[test]
fn a_topology_is_submitted_described_paused_rebalanced_and_killed_by_its_verbs() {
    let cluster = Cluster::start(2, 2);
    assert_eq!(listed(&cluster), [], "nothing runs yet");
    let flags = ["--workers", "1", "-c", "max_pending=200"];
    let audit = submit_audit(&cluster, "audit", &flags, &["--count=5000", "--until-end"]);
    assert_eq!(listed(&cluster), [("audit".into(), "active".into())]);
    until_flowing(&audit, "tuples flow");

    let described = cluster.does(&["describe", "audit"]);
    for word in ["numbers", "relay", "sink", "active"] {
        assert!(described.to_lowercase().contains(word), "{word} is missing:\n{described}");
    }
    let described = cluster.squall(&["describe", "audit", "-o", "json"]).json();
    assert_eq!(described["name"], "audit");
    assert_eq!(described["components"].as_array().map(Vec::len), Some(3), "{described}");
    let whole = cluster.squall(&["describe", "-o", "json"]).json();
    assert_eq!(whole["cluster"]["slots"], 4, "{whole}");

    cluster.does(&["deactivate", "audit"]);
    until("what was under way is acked", || {
        cluster.status("audit")["totals"]["pending"] == 0 && listed(&cluster)[0].1 == "inactive"
    });
    let mut paused = audit.written();
    until("a paused topology comes to rest", || {
        let before = std::mem::replace(&mut paused, audit.written());
        before == paused
    });
    let done = cluster.squall(&["activate", "audit", "-o", "json"]).json();
    assert!(done["done"].is_string(), "{done}");
    until_flowing(&audit, "tuples flow again");

    cluster.does(&["rebalance", "audit", "--workers", "3"]);
    until("three workers run", || {
        let status = cluster.status("audit");
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        let running = workers.iter().filter(|it| it["state"] == "running");
        running.count() == 3 && listed(&cluster)[0].1 == "active"
    });
    until_flowing(&audit, "tuples flow on three workers");
    audit.let_end();
    cluster.until_finished("audit");
    audit.assert_nothing_lost(2);

    cluster.does(&["kill", "audit", "--wait"]);
    assert_eq!(listed(&cluster), [], "it is gone");
    assert_eq!(cluster.squall(&["describe", "audit"]).code, 66, "there is none of that name");
}

#[test]
fn a_name_that_is_taken_is_refused_until_it_is_free() {
    let cluster = Cluster::start(1, 1);
    submit_audit(&cluster, "taken", &["--inactive"], &[]);
    assert_eq!(listed(&cluster), [("taken".into(), "inactive".into())]);
    let (binary, folder) = (path("audit"), cluster.scratch("again"));
    let folder = format!("--folder={}", folder.display());
    let again = ["submit", &binary, "--name", "taken", "--", &folder];
    let refused = cluster.squall(&again);
    assert_eq!(refused.code, 73, "{}", refused.stderr);
    assert!(refused.stderr.contains("taken") && refused.stderr.contains("fix:"), "{refused:?}");
    let refused = cluster.squall(&[&["-o", "json"], &again[..]].concat());
    assert!(refused.json()["error"]["why"].is_string(), "{refused:?}");

    cluster.does(&["kill", "taken", "--wait"]);
    cluster.does(&again);
    assert_eq!(listed(&cluster).len(), 1, "the name was free again");
}

#[test]
fn a_file_that_the_demo_cannot_read_is_66() {
    let outcome = Outcome::of(&["demo", "/no/such/file.txt"]);
    assert_eq!(outcome.code, 66, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("/no/such/file.txt"), "{}", outcome.stderr);
}

#[test]
fn a_topology_that_is_not_there_is_66_for_every_verb() {
    let cluster = Cluster::start(1, 1);
    for verb in ["describe", "activate", "deactivate", "kill", "rebalance"] {
        let outcome = cluster.squall(&[verb, "nobody"]);
        assert_eq!(outcome.code, 66, "{verb}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("nobody"), "{verb}: {}", outcome.stderr);
    }
}
