//! The folder of a cluster of real processes: the logs, one a life of a daemon, the files of the test
//! itself, and what runs below it and ends with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use crate::{Process, processes_below, signal};

/// How many lines of each log are shown when a test fails.
const LINES_SHOWN: usize = 40;

/// A log for the next life of a daemon.
pub(crate) fn new_log(folder: &Path, who: &str) -> PathBuf {
    let mut logs = (0..).map(|life| folder.join(format!("{who}-{life}.log")));
    logs.find(|log| !log.exists()).expect("numbers do not end")
}

/// Writes the end of every log below a folder to standard error.
fn show_logs(folder: &Path) {
    let mut logs = Vec::new();
    collect_logs(folder, &mut logs);
    for log in logs {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        drop(writeln!(std::io::stderr(), "== {}\n{end}", log.display()));
    }
}

/// Finds every log below a folder.
pub(crate) fn collect_logs(folder: &Path, logs: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect_logs(&path, logs);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
}

/// A folder for the test's own files.
///
/// # Panics
///
/// If it cannot be made.
pub(crate) fn scratch(folder: &Path, name: &str) -> PathBuf {
    let scratch = folder.join("scratch").join(name);
    std::fs::create_dir_all(&scratch).expect("the folder of the test can be written to");
    scratch
}

/// Ends a cluster: its daemons in this order, which has those who would start workers again before
/// the workers. Says first what they logged if the test failed.
pub(crate) fn end<'a>(folder: &Path, daemons: impl Iterator<Item = &'a mut Process>) {
    if std::thread::panicking() {
        show_logs(folder);
    }
    daemons.for_each(Process::kill);
    for worker in processes_below(folder) {
        signal(worker, Signal::SIGKILL);
    }
}
