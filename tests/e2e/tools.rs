//! What `squall` says of a topology that runs: plans, events, errors, explanations, live views.

use tests::{Cluster, until};

use crate::{path, submit_audit, until_flowing};

/// A light load.
const LOAD: [&str; 2] = ["-c", "max_pending=200"];

/// It runs until it is killed.
const ENDLESS: [&str; 2] = ["--count=5000", "--until-end"];

#[test]
fn a_plan_says_what_a_submit_and_a_rebalance_then_do() {
    let cluster = Cluster::start(2, 2);
    let (binary, folder) = (path("audit"), cluster.scratch("planned"));
    let folder = format!("--folder={}", folder.display());
    let plan = ["plan", "submit", &binary, "--workers", "2", "-o", "json", "--", &folder];
    let plan = cluster.squall(&plan).json();
    assert_eq!(plan["after"].as_array().map(Vec::len), Some(2), "{plan}");
    assert_eq!((&plan["changes"], &plan["schema_version"]), (&true.into(), &1.into()), "{plan}");
    assert_eq!(cluster.squall(&["list", "-o", "json"]).json()["items"], serde_json::json!([]));

    let audit =
        submit_audit(&cluster, "audit", &[&LOAD[..], &["--workers", "2"]].concat(), &ENDLESS);
    until_flowing(&audit, "tuples flow");
    let status = cluster.status("audit");
    for (at, worker) in plan["after"].as_array().into_iter().flatten().enumerate() {
        assert_eq!(worker["supervisor"], status["workers"][at]["supervisor"], "{plan}");
    }
    let same = cluster.squall(&["plan", "rebalance", "audit", "-o", "json"]).json();
    assert_eq!(same["changes"], false, "{same}");
    let text = cluster.does(&["plan", "rebalance", "audit", "--workers", "1"]);
    assert!(text.contains("would move") && text.contains('+') && text.contains('-'), "{text}");
    assert_eq!(cluster.squall(&["plan", "rebalance", "audti"]).code, 66, "a wrong name");
    assert_eq!(cluster.status("audit")["generation"], status["generation"], "nothing was done");
}

#[test]
fn a_running_topology_is_explained_watched_and_looked_after() {
    let cluster = Cluster::start(1, 1);
    let audit = submit_audit(&cluster, "audit", &LOAD, &ENDLESS);
    until_flowing(&audit, "tuples flow");

    until("its start is told", || cluster.does(&["events", "audit"]).contains("worker"));
    let events = cluster.squall(&["events", "audit", "--limit", "1", "-o", "json"]).json();
    assert_eq!(events["events"].as_array().map(Vec::len), Some(1), "{events}");
    let errors = cluster.squall(&["errors", "audit", "-o", "json"]).json();
    assert!(errors["errors"].is_array(), "{errors}");

    until("times are known", || {
        let top = cluster.squall(&["top", "audit", "-o", "json"]).json();
        let all = top["components"].as_array().cloned().unwrap_or_default();
        all.len() == 3 && all.iter().all(|it| it["busy"].is_number())
    });
    let table = cluster.does(&["top", "--sort", "name", "--filter", "rel"]);
    assert!(table.contains("relay") && !table.contains("sink"), "{table}");

    let explained = cluster.does(&["explain", "audit"]);
    for part in
        ["`audit` is active", "WHAT IS WRONG", "relay: busy", "1 of 1 workers", "worker 0 on"]
    {
        assert!(explained.contains(part), "`{part}` is missing:\n{explained}");
    }
    let yaml = cluster.does(&["explain", "audit", "-o", "yaml"]);
    assert!(yaml.starts_with("---\n") && yaml.contains("\nstatus: active\n"), "{yaml}");
    let wide = cluster.does(&["list", "-o", "wide"]);
    assert!(wide.contains("audit-"), "the id is missing: {wide}");

    let etcd = cluster.etcd_url();
    let doctor = cluster.squall(&["doctor", "--etcd", &etcd, "-o", "json"]);
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let checks = doctor.json();
    for check in ["etcd", "nimbus", "store", "versions", "supervisors", "slots", "clocks"] {
        let found = checks["checks"].as_array().into_iter().flatten();
        let found = found.into_iter().find(|it| it["check"] == check);
        assert!(found.is_some_and(|it| it["health"] != "fails"), "{check}: {checks}");
    }
}

#[test]
fn nothing_is_killed_or_dropped_for_good_unless_somebody_says_that_it_is_meant() {
    let cluster = Cluster::start(1, 2);
    cluster.does(&[
        "submit",
        &path("trouble"),
        "--name",
        "it",
        "--",
        "--trouble=slow",
        "--count=100000",
    ]);
    let nimbus = cluster.addresses()[0];
    let does = |arguments: &[&str], yes: Option<&str>| {
        let mut command = tests::squall();
        command.args(arguments).args(["--nimbus", nimbus]).env_remove("SQUALL_YES");
        command.envs(yes.map(|yes| ("SQUALL_YES", yes)));
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        tests::Outcome::from(output)
    };
    let drop_all = ["dead-letters", "it", "drop", "--all"];
    for arguments in [&["kill", "it"][..], &drop_all, &drop_all[..3], &["recover"]] {
        let arguments = [arguments, &["m.1"][..usize::from(arguments.len() == 3)]].concat();
        for yes in [None, Some("no")] {
            let refused = does(&arguments, yes);
            assert_eq!(refused.code, 64, "{arguments:?}: {refused:?}");
            for part in ["SQ6403", "no terminal", "--yes"] {
                assert!(refused.stderr.contains(part), "{arguments:?} lacks `{part}`: {refused:?}");
            }
        }
    }
    assert!(does(&["list"], None).stdout.contains("it "), "nothing was done");
    let dropped = does(&drop_all, Some("1"));
    assert_eq!(dropped.code, 0, "{dropped:?}");
    let killed = does(&["kill", "it", "--yes", "--drain", "0s"], None);
    assert!(killed.code == 0 && killed.stderr.contains("kills `it`: "), "{killed:?}");
}

#[test]
fn a_program_is_checked_without_a_cluster() {
    let outcome = tests::Outcome::of(&["validate", &path("word_count"), "--", "in.txt"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("split"), "{}", outcome.stdout);
    let outcome = tests::Outcome::of(&["validate", "/bin/true"]);
    assert_eq!(outcome.code, 65, "{outcome:?}");
    assert!(outcome.stderr.contains("SQ65"), "{}", outcome.stderr);
}

/// What the function that `squall completions bash` defines completes the last word to.
fn completed(cluster: &Cluster, words: &[&str]) -> Vec<String> {
    let script = "source <(squall completions bash) && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) \
                  COMP_TYPE=9 && _clap_complete_squall squall \"${@: -1}\" && \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let squall = tests::program("squall");
    let folder = squall.parent().expect("a program lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = std::process::Command::new("bash")
        .args(["-c", script, "bash", "squall"])
        .args(words)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("SQUALL_NIMBUS", cluster.addresses()[0])
        .output()
        .expect("there is a bash");
    assert!(output.stderr.is_empty(), "{words:?}: {output:?}");
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = words.split(['\n', '\u{b}']).map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_shell_completes_the_topologies_and_components_that_the_cluster_has() {
    let cluster = Cluster::start(1, 2);
    cluster.does(&[
        "submit",
        &path("trouble"),
        "--name",
        "storms",
        "--",
        "--trouble=slow",
        "--count=100000",
    ]);
    for (words, expected) in [
        (&["describe", "st"][..], &["storms"][..]),
        (&["kill", "--yes", "s"], &["storms"]),
        (&["tap", "storms", "tr"], &["troubled"]),
        (&["rebalance", "storms", "-e", "co"], &["count="]),
        (&["plan", "rebalance", "storms", "--executors", "n"], &["numbers="]),
        (&["logs", "storms", "--component", "t"], &["troubled"]),
        (&["describ"], &["describe"]),
        (&["kill", "--dr"], &["--drain"]),
    ] {
        // An answer that takes long on a busy machine is none.
        until("names are completed", || completed(&cluster, words) == expected);
    }
    let away = completed(&cluster, &["--nimbus", "127.0.0.1:1", "describe", "st"]);
    assert_eq!(away, [""; 0], "nobody answers, and nothing is said");
}
