//! The binary as a user meets it: exit codes, what goes to which stream, which setting wins.
//!
//! Nothing here needs a cluster; what needs one is in `tests/e2e`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `squall` with nothing of our own environment that could change what it does.
fn squall(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUALL_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(environment.iter().copied());
    command.output().expect("squall starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("standard output is UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("standard error is UTF-8")
}

/// Asserts a failure of this kind that says what, why and how to fix it; returns its text.
fn fails(arguments: &[&str], environment: &[(&str, &str)], code: i32) -> String {
    let output = squall(arguments, environment);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty(), "{arguments:?} wrote to standard output");
    for part in ["squall: ", "\n  why: ", "\n  fix: "] {
        assert!(text.contains(part), "{arguments:?} lacks {part:?}: {text}");
    }
    text
}

fn write(folder: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, content).expect("the file can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("it is ours");
    path
}

#[test]
fn help_and_version_are_data_not_failures() {
    for arguments in [&["--help"][..], &["--version"], &["submit", "--help"], &["help", "demo"]] {
        let output = squall(arguments, &[]);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        assert!(stdout(&output).contains("squall"), "{arguments:?}: {}", stdout(&output));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_wrong_command_line_is_64_and_says_what_was_meant() {
    let text = fails(&["sumbit", "x"], &[], 64);
    assert!(text.contains("submit"), "no suggestion: {text}");
    fails(&[], &[], 64);
    fails(&["list", "--bogus"], &[], 64);
    fails(&["supervisor", "--etcd", "http://127.0.0.1:1"], &[], 64);
    fails(&["nimbus", "--data-dir", "/tmp"], &[], 64);
}

#[test]
fn with_json_a_failure_is_the_only_thing_on_standard_output() {
    for arguments in [
        &["list", "-o", "json", "--nimbus", "127.0.0.1:1"][..],
        &["list", "--bogus", "-o", "json"],
        &["demo", "--json", "/no/such/file"],
        &["-o", "json", "submit", "/no/such/file"],
    ] {
        let output = squall(arguments, &[]);
        assert!(!output.status.success(), "{arguments:?}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
        for part in ["code", "what", "why", "fix"] {
            let text = document["error"][part].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{arguments:?} lacks {part}: {document}");
        }
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("squall.toml");
    std::fs::write(&file, "[client]\nnimbus = [\"127.0.0.1:3\"]\n").unwrap();
    let file = file.to_str().unwrap();
    let environment = [("SQUALL_NIMBUS", "127.0.0.1:2")];
    for (arguments, environment, address) in [
        (
            &["list", "--config", file, "--nimbus", "127.0.0.1:1"][..],
            &environment[..],
            "127.0.0.1:1",
        ),
        (&["list", "--config", file], &environment, "127.0.0.1:2"),
        (&["list", "--config", file], &[], "127.0.0.1:3"),
        (&["list"], &[("SQUALL_CONFIG_FILE", file)], "127.0.0.1:3"),
    ] {
        let text = fails(arguments, environment, 69);
        assert!(text.contains(address), "{arguments:?} {environment:?} asked {text}");
    }
}

#[test]
fn settings_of_daemons_come_from_flags_environment_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("squall.toml");
    let data = folder.path().join("data");
    let text = format!("etcd = [\"http://127.0.0.1:3\"]\n[nimbus]\ndata-dir = {data:?}\n");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let environment = [("SQUALL_ETCD", "http://127.0.0.1:2")];
    for (arguments, environment, address) in [
        (&["nimbus", "--config", file, "--etcd", "http://127.0.0.1:1"][..], &environment[..], ":1"),
        (&["nimbus", "--config", file], &environment, ":2"),
        (&["nimbus", "--config", file], &[], ":3"),
    ] {
        let text = fails(arguments, environment, 69);
        assert!(text.contains(address), "{arguments:?} {environment:?} asked {text}");
        assert!(text.contains("squall dev"), "no way out: {text}");
    }
}

#[test]
fn a_configuration_file_nobody_understands_is_78() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "squall.toml", b"[client]\nnimbuss = []\n", 0o644);
    let text = fails(&["list", "--config", file.to_str().unwrap()], &[], 78);
    assert!(text.contains("nimbuss") && text.contains("line 2"), "{text}");
    fails(&["list", "--config", "/no/such/file.toml"], &[], 78);
    fails(&["list", "--nimbus", "http://x"], &[], 78);
}

#[test]
fn what_is_no_topology_binary_is_65_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let script = write(folder.path(), "script", b"#!/bin/sh\nexit 0\n", 0o755);
    let own = std::fs::read(env!("CARGO_BIN_EXE_squall")).unwrap();
    let truncated = write(folder.path(), "truncated", &own[..own.len() / 2], 0o755);
    let plain = write(folder.path(), "plain", &own[..4096], 0o644);
    for (path, reason) in [
        (folder.path(), "directory"),
        (script.as_path(), "script"),
        (truncated.as_path(), "cut off"),
        (plain.as_path(), "not executable"),
        (Path::new("/bin/true"), "without a description"),
        (Path::new("/usr/bin/yes"), "1 MiB"),
    ] {
        let text = fails(&["submit", path.to_str().unwrap()], &[], 65);
        assert!(text.contains(reason), "{}: {text}", path.display());
    }
    fails(&["submit", "/no/such/binary"], &[], 66);
}

#[test]
fn a_setting_no_topology_has_is_found_before_anything_runs() {
    let text = fails(&["submit", "/bin/true", "-c", "max_pendign=5"], &[], 64);
    assert!(text.contains("max_pending"), "no suggestion: {text}");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_73() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "in-the-way", b"", 0o644);
    let data = file.join("data");
    let data = data.to_str().unwrap();
    fails(&["dev", "--data-dir", data], &[], 73);
    fails(&["nimbus", "--etcd", "http://127.0.0.1:1", "--data-dir", data], &[], 73);
}

#[test]
fn a_file_the_demo_cannot_read_is_66_before_anything_starts() {
    let text = fails(&["demo", "Cargo.toml", "/no/such/file.txt"], &[], 66);
    assert!(text.contains("/no/such/file.txt"), "{text}");
    assert!(!text.contains("status"), "the cluster was started: {text}");
}

#[test]
fn every_error_has_a_code_that_can_be_explained() {
    let text = fails(&["submit", "/no/such/binary"], &[], 66);
    let code = text.strip_prefix("squall: ").and_then(|rest| rest.split(':').next()).unwrap();
    assert!(code.starts_with("SQ66"), "{text}");
    let explained = squall(&["explain-error", &code.to_lowercase()], &[]);
    assert!(stdout(&explained).contains("fix "), "{}", stdout(&explained));
    let document = squall(&["explain-error", code, "-o", "json"], &[]);
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!((&document["exit_code"], &document["schema_version"]), (&66.into(), &1.into()));
    let text = fails(&["explain-error", "SQ6699"], &[], 64);
    assert!(text.contains("SQ6600"), "no code near it: {text}");
}

#[test]
fn documents_can_be_yaml_and_failures_too() {
    let output = squall(&["list", "--nimbus", "127.0.0.1:1", "-o", "yaml"], &[]);
    let text = stdout(&output);
    assert!(text.starts_with("---\nerror:\n  code: SQ6901\n"), "{text}");
    assert!(text.contains("schema_version: 1"), "{text}");
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn completions_and_manual_pages_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = squall(&["completions", shell], &[]);
        assert!(stdout(&output).contains("SQUALL_COMPLETE"), "{shell}");
    }
    let asks = [("SQUALL_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", "1"), ("_CLAP_IFS", " ")];
    let verbs = stdout(&squall(&["--", "squall", ""], &asks));
    for verb in ["rebalance", "dead-letters", "explain-error"] {
        assert!(verbs.contains(verb), "`{verb}` is not completed: {verbs}");
    }
    fails(&["completions", "cmd"], &[], 64);
    assert!(stdout(&squall(&["man"], &[])).contains(".TH"), "no page");
    assert!(stdout(&squall(&["man", "submit"], &[])).contains("workers"), "no page of a verb");
    assert!(fails(&["man", "sumbit"], &[], 64).contains("submit"), "no suggestion");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert!(squall(&["man", "--dir", pages.to_str().unwrap()], &[]).status.success());
    assert!(pages.join("squall-submit.1").is_file(), "the pages are not there");
}

/// What zsh would offer: its own script of completions, with the two functions of zsh that it calls.
const ZSH: &str = r"
compdef() { completer=$1 }
_describe() { print -rl -- ${(P)argv[-1]} }
source $1
words=(squall reb) CURRENT=2
$completer
";

#[test]
#[ignore = "needs shells that a bare machine lacks: ./test --servers"]
fn shells_offer_what_their_scripts_complete() {
    let folder = tempfile::tempdir().unwrap();
    let script = |shell: &str| {
        write(folder.path(), shell, &squall(&["completions", shell], &[]).stdout, 0o600)
    };
    let offered = |arguments: &[&OsStr]| {
        let mut shells = Command::new("../tests/servers/shells");
        let bin = Path::new(env!("CARGO_BIN_EXE_squall")).parent().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
        shells.arg("run").args(arguments).env("PATH", std::env::join_paths(path).unwrap());
        let output = shells.output().expect("the shell starts");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let mut source = OsString::from("source ");
    source.push(script("fish"));
    source.push("; complete --do-complete 'squall reb'");
    let fish = offered(&["fish".as_ref(), "--no-config".as_ref(), "-c".as_ref(), &source]);
    let zsh = write(folder.path(), "offer.zsh", ZSH.as_bytes(), 0o600);
    let zsh = offered(&["zsh".as_ref(), "-f".as_ref(), zsh.as_ref(), script("zsh").as_ref()]);
    for (shell, offered) in [("fish", fish), ("zsh", zsh)] {
        assert!(offered.starts_with("rebalance"), "{shell} offers: {offered}");
        assert_eq!(offered.lines().count(), 1, "{shell} offers: {offered}");
    }
}

#[test]
fn the_doctor_looks_at_this_machine_without_a_cluster_and_misses_one_that_is_asked_for() {
    let output = squall(&["doctor", "--local", "-o", "json"], &[]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = document["checks"].as_array().unwrap();
    for check in ["system", "clock", "open files", "disk", "port of nimbus"] {
        assert!(checks.iter().any(|it| it["check"] == check), "{check} is missing: {document}");
    }
    let arguments = ["doctor", "--nimbus", "127.0.0.1:1", "--etcd", "http://127.0.0.1:1"];
    let output = squall(&arguments, &[]);
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    assert!(stdout(&output).contains("fails"), "{}", stdout(&output));
    assert!(stderr(&output).contains("SQ6904"), "{}", stderr(&output));
}

#[test]
fn a_new_project_is_a_package_that_nothing_is_overwritten_for() {
    let folder = tempfile::tempdir().unwrap();
    let new = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
        command.arg("new").args(arguments).current_dir(folder.path());
        command.output().expect("squall starts")
    };
    let made = new(&["mine"]);
    assert!(made.status.success(), "{}", stderr(&made));
    let project = folder.path().join("mine");
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--offline", "--depth", "1", "--prefix", "none"]).current_dir(&project);
    let known = cargo.output().expect("cargo starts");
    assert!(known.status.success(), "{}", stderr(&known));
    for name in ["mine v0", "topology-api v", "worker v"] {
        assert!(stdout(&known).contains(name), "{name} is not found: {}", stdout(&known));
    }
    let again = new(&["mine"]);
    assert_eq!(again.status.code(), Some(73), "{}", stderr(&again));
    assert_eq!(new(&["../mine"]).status.code(), Some(64));
    assert_eq!(new(&["other", "--squall-path", "/tmp"]).status.code(), Some(66));
    assert!(!folder.path().join("other").exists(), "nothing is left of what failed");
}
