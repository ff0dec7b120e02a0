//! Every case runs and its sums add up; how fast it is, no test says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::process::{Command, Output};

use serde_json::Value;

/// Runs the bench with these words.
fn bench(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUALL_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(words).output().expect("it starts")
}

/// The only line of standard output.
fn line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "one line of JSON, not: {text}");
    serde_json::from_str(&text).expect("that is JSON")
}

/// Measures for a second and checks what holds at any speed.
fn measured(words: &[&str]) -> Value {
    let mut all = words.to_vec();
    all.extend(["--json", "--warm-up", "0", "--seconds", "1"]);
    let output = bench(&all);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
    assert_eq!(said.matches("core to core").count(), 2, "before and after: {said}");
    let figures = line(&output);
    for key in ["tuples_per_s", "p50_us", "p99_us", "cpu_cores", "rss_mib"] {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{words:?}: {key} in {figures}");
    }
    assert!(figures["p50_us"].as_f64() <= figures["p99_us"].as_f64(), "{figures}");
    figures
}

#[test]
fn every_case_runs_with_and_without_acks_and_its_sums_add_up() {
    for case in ["const-null", "const-id-null", "word-count", "fan-out", "skew", "payload", "mesh"]
    {
        let tracked = measured(&[case]);
        assert_eq!(tracked["case"], case);
        assert_eq!((&tracked["mode"], &tracked["acks"]), (&"local".into(), &"on".into()));
        assert!(tracked["acked_per_s"].as_f64().unwrap() > 0.0, "{tracked}");
        assert!(tracked["complete_p99_us"].as_f64().unwrap() > 0.0, "{tracked}");
        let untracked = measured(&[case, "--acks", "off"]);
        assert_eq!(untracked["acked_per_s"], Value::Null, "nothing is acked: {untracked}");
        assert!(untracked.get("complete_p50_us").is_none(), "{untracked}");
    }
}

#[test]
fn a_case_takes_settings_sizes_and_executors() {
    let words = ["word-count", "--parallelism", "2", "-c", "worker.cores=1"];
    let figures = measured(&words);
    assert_eq!(
        (&figures["parallelism"], &figures["set"]["worker.cores"]),
        (&2.into(), &"1".into())
    );
    let figures = measured(&["payload", "--bytes", "10240", "--parallelism", "3"]);
    assert_eq!(figures["bytes"], 10_240);
}

#[test]
fn the_busiest_counter_of_skewed_keys_has_more_than_its_share() {
    let figures = measured(&["skew"]);
    let busiest = figures["busiest"].as_f64().unwrap();
    // One key alone has 38 % of the tuples, and a quarter would be the share.
    assert!(busiest > 1.3, "{figures}");
}

#[test]
fn the_same_work_is_done_in_a_bare_loop() {
    for case in ["const-null", "const-id-null", "word-count", "payload"] {
        let output = bench(&["plain", case, "--threads", "2", "--seconds", "1"]);
        assert_eq!(output.status.code(), Some(0), "{case}: {output:?}");
        let figures = line(&output);
        assert_eq!((&figures["case"], &figures["mode"]), (&case.into(), &"plain".into()));
        assert!(figures["tuples_per_s"].as_f64().unwrap() > 0.0, "{figures}");
    }
}

#[test]
fn a_rate_is_kept_and_a_text_of_ones_own_is_counted() {
    let text = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(text.path(), "to be or not to be\nthat is the question\n").unwrap();
    let path = text.path().to_str().unwrap();
    let figures = measured(&["word-count", "--text", path, "--rate", "100"]);
    // Five words a line. The rate is a limit: a busy machine may stay below it.
    let words = figures["tuples_per_s"].as_f64().unwrap();
    assert!(words < 600.0, "100 lines a second, not as many as go: {figures}");
}

#[test]
fn two_processes_of_a_cluster_measure_together() {
    let figures = measured(&["const-id-null", "--mode", "cluster"]);
    assert_eq!(figures["mode"], "cluster");
    assert!(figures["acked_per_s"].as_f64().unwrap() > 0.0, "{figures}");
    let figures = measured(&["mesh", "--mode", "cluster"]);
    assert!(figures["acked_per_s"].as_f64().unwrap() > 0.0, "{figures}");
}

#[test]
fn every_tuple_sent_over_a_bare_stream_arrives() {
    for (carrier, tuples, codec) in [
        ("tonic", "const-null", "on"),
        ("tonic", "word-count", "on"),
        ("tonic", "const-null", "off"),
        ("tcp", "payload", "on"),
        ("tcp", "const-null", "off"),
    ] {
        let words = ["stream", carrier, "--tuples", tuples, "--codec", codec];
        let output = bench(&[&words[..], &["--seconds", "1", "--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        let figures = line(&output);
        assert_eq!((&figures["mode"], &figures["codec"]), (&carrier.into(), &codec.into()));
        assert!(figures["tuples_per_s"].as_f64().unwrap() > 0.0, "{figures}");
    }
}

#[test]
fn a_large_topology_is_placed_with_one_write_a_worker() {
    let words = ["schedule", "--tasks", "1000", "--supervisors", "50", "--rounds", "1"];
    let figures = line(&bench(&words));
    for decision in ["submit", "rebalance", "lost_supervisor"] {
        let decided = &figures["decisions"][decision];
        assert_eq!(decided["writes_per_worker"], 1.0, "{decision} in {figures}");
        assert!(decided["median_ms"].as_f64().unwrap() > 0.0, "{decision} in {figures}");
    }
}

#[test]
fn every_stage_has_a_cost_and_is_drawn() {
    let output = bench(&["stages", "--rounds", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stages = line(&output);
    let stages = stages["stages"].as_array().unwrap();
    for stage in ["emit", "route", "hand over", "execute", "ack", "encode", "decode"] {
        let of_stage = stages.iter().filter(|it| it["stage"] == stage);
        let costs: Vec<f64> = of_stage.map(|it| it["median_ns"].as_f64().unwrap()).collect();
        assert!(!costs.is_empty() && costs.iter().all(|cost| *cost > 0.0), "{stage}: {costs:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (results, page) = (folder.path().join("results"), folder.path().join("page.md"));
    std::fs::create_dir(&results).unwrap();
    std::fs::write(results.join("stages.jsonl"), &output.stdout).unwrap();
    std::fs::write(&page, "# Page\n<!-- stages: made by `bench draw` -->\n<!-- end -->\nafter\n")
        .unwrap();
    let flags = ["--results", results.to_str().unwrap(), "--page", page.to_str().unwrap()];
    let output = bench(&[&["draw"], &flags[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(page.contains("(page/stages.svg)") && page.contains("| hand over |"), "{page}");
    assert!(page.ends_with("<!-- end -->\nafter\n"), "{page}");
    let picture = std::fs::read_to_string(folder.path().join("page/stages.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.contains("hand over"), "{picture}");
}

#[test]
fn commands_are_run_in_turn_and_compared() {
    let shell = "echo '{\"tuples_per_s\": 1.0, \"version\": \"of echo\"}'";
    let plain = ["bench", "plain", "const-null", "--seconds", "1"];
    // Whatever this machine is like at the moment.
    let mut words = vec!["compare", "--rounds", "2", "--far-ns", "1e9", "--json", "--"];
    words.extend(plain);
    words.extend(["--vs", shell]);
    let output = bench(&words);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = line(&output);
    assert_eq!((&summary["rounds"], &summary["far_rounds"]), (&2.into(), &0.into()));
    assert!(summary["ratio"]["tuples_per_s"].as_f64().unwrap() > 1.0, "{summary}");
    assert_eq!(summary["sides"][1]["says"]["version"], "of echo");
    assert_eq!(summary["sides"][0]["figures"]["tuples_per_s"]["each"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_run_is_said_before_anything_starts() {
    for (words, code, named) in [
        (&["const-nul"][..], 64, "const-nul"),
        (&["const-null", "--seconds", "many"], 64, "many"),
        (&["const-null", "--rate", "0"], 64, "0"),
        (&["const-null", "-c", "fusoin=false"], 64, "did you mean `fusion`"),
        (&["compare", "--", "true", "--vs"], 64, "--vs"),
        (&["compare", "--", "/no/such/program", "--vs", "true"], 64, "/no/such/program"),
        (&[], 64, "COMMAND"),
        (&["word-count", "--text", "/no/such/file"], 66, "/no/such/file"),
        (&["word-count", "--text", "/dev/null"], 65, "empty"),
    ] {
        let output = bench(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(output.stdout.is_empty(), "{words:?}");
        assert!(said.contains(named) && said.contains("fix:"), "{words:?}: {said}");
        let output = bench(&[words, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{words:?} --json");
        assert!(line(&output)["error"]["why"].is_string(), "{words:?} --json");
    }
}
