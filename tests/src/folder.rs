//! The logs of a cluster of real processes: one a life of a daemon, all below one folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How many lines of each log are shown when a test fails.
const LINES_SHOWN: usize = 40;

/// A log for the next life of a daemon.
pub(crate) fn new_log(folder: &Path, who: &str) -> PathBuf {
    let mut logs = (0..).map(|life| folder.join(format!("{who}-{life}.log")));
    logs.find(|log| !log.exists()).expect("numbers do not end")
}

/// Writes the end of every log below a folder to standard error.
pub(crate) fn show_logs(folder: &Path) {
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
