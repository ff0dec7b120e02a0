//! The demo as a user meets it, on its own cluster: how it ends, and what it leaves.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts the demo with `temporary` as its folder for everything.
fn demo(temporary: &Path, file: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_squall"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SQUALL_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(["demo", "--json"]).arg(file).env("TMPDIR", temporary);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("squall starts")
}

/// Writes so many lines that nobody has counted their words before we interrupt.
fn long_file(folder: &Path) -> PathBuf {
    let path = folder.join("long.txt");
    let line = "to be or not to be that is the question\n";
    std::fs::write(&path, line.repeat(2_000_000)).expect("the file can be written");
    path
}

/// Processes whose program or arguments name this folder.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("a plain path");
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let command_lines =
        processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    command_lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder))
        .collect()
}

#[test]
fn an_interrupted_demo_leaves_no_process_and_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let file = long_file(folder.path());
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut child = demo(&temporary, &file);
        let stderr = BufReader::new(child.stderr.take().expect("it was asked for"));
        let mut lines = stderr.lines().map_while(Result::ok);
        let counting =
            lines.find(|line| line.contains("workers=2/2") && !line.contains("acked=0 "));
        assert!(counting.is_some(), "it never counted");
        assert!(!processes_of(&temporary).is_empty(), "its workers run below its folder");
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        kill(pid, signal).expect("it runs");
        lines.for_each(drop);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stdout.is_empty(), "there is no result to print");
        let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().collect();
        assert!(left.is_empty(), "{signal} left {left:?}");
        assert_eq!(processes_of(&temporary), [""; 0], "{signal} left processes");
    }
}
