//! Processes of the operating system: who lives, who is who, and signals.
//!
//! A pid alone names nobody: it is used again. A process is named by its pid and the time it
//! started. Where the system has no `/proc`, the start time is unknown (0) and the pid must do.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use rustix::process::PidfdFlags;

use crate::engine::Epoch;

/// One process, for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its pid; it leads the process group of this number.
    pub(crate) pid: u32,
    /// When it started, in the kernel's units; 0 if the system does not say.
    pub(crate) start_time: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    zombie: bool,
    stopped: bool,
    group: u32,
    start_time: u64,
}

impl Process {
    /// Names the process that has this pid now.
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid, start_time: stat(pid).map_or(0, |stat| stat.start_time) }
    }

    /// Tells whether it still runs; one that only waits to be reaped does not.
    pub(crate) fn lives(self) -> bool {
        if self.start_time == 0 {
            return self.pid != 0 && signal::kill(id(self.pid), None) != Err(Errno::ESRCH);
        }
        stat(self.pid).is_some_and(|stat| !stat.zombie && stat.start_time == self.start_time)
    }

    /// Opens what the kernel makes readable when it ends; none if it has ended, or there is no such
    /// thing (before Linux 5.3).
    pub(crate) fn pidfd(self) -> Option<OwnedFd> {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw)?;
        let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Now that the pid cannot pass on unnoticed: it is still the same process.
        self.lives().then_some(opened)
    }

    /// Tells whether a signal has stopped it, so that it does nothing at all.
    pub(crate) fn is_stopped(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.stopped && stat.start_time == self.start_time)
    }

    /// Sends a signal to its whole group, if it still lives.
    pub(crate) fn signal(self, signal: Signal) {
        if self.lives() {
            signal_group(self.pid, signal);
        }
    }
}

/// Kills what is left of the group of a process that has ended.
pub(crate) fn kill_rest(group: u32) {
    signal_group(group, Signal::SIGKILL);
}

fn signal_group(group: u32, signal: Signal) {
    // 0 and 1 would mean this process's own group, and init.
    if group > 1 && signal::killpg(id(group), signal).is_err_and(|error| error != Errno::ESRCH) {
        tracing::warn!(group, %signal, "cannot signal a process group");
    }
}

fn id(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(0))
}

/// A process that carries the token of a worker in its environment.
#[derive(Debug)]
pub(crate) struct Started {
    /// The token.
    pub(crate) token: String,
    /// Its pid.
    pub(crate) pid: u32,
    /// Its process group.
    pub(crate) group: u32,
    /// Which worker it was started as or by.
    pub(crate) worker: Option<(String, u32, Epoch)>,
}

impl Started {
    /// Kills this process alone.
    pub(crate) fn kill(&self) {
        if let Err(error) = signal::kill(id(self.pid), Signal::SIGKILL) {
            tracing::debug!(pid = self.pid, %error, "cannot kill a stray process");
        }
    }
}

/// Returns every process that was started with `SQUALL_SOCKET=socket`, by a worker or as one.
pub(crate) fn started_by(socket: &str) -> Vec<Started> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir("/proc") else { return found };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid == std::process::id() {
            continue;
        }
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let variables = variables(&environment);
        if variables.get("SQUALL_SOCKET").is_none_or(|value| *value != socket) {
            continue;
        }
        let Some(token) = variables.get("SQUALL_TOKEN") else { continue };
        if let Some(stat) = stat(pid).filter(|stat| !stat.zombie) {
            let worker = worker(&variables);
            let token = (*token).to_owned();
            found.push(Started { token, pid, group: stat.group, worker });
        }
    }
    found
}

fn worker(variables: &BTreeMap<&str, &str>) -> Option<(String, u32, Epoch)> {
    let topology = (*variables.get("SQUALL_TOPOLOGY")?).to_owned();
    let worker = variables.get("SQUALL_WORKER")?.parse().ok()?;
    let (revision, restarts) = variables.get("SQUALL_EPOCH")?.split_once('.')?;
    let epoch = Epoch { revision: revision.parse().ok()?, restarts: restarts.parse().ok()? };
    Some((topology, worker, epoch))
}

fn variables(environment: &[u8]) -> BTreeMap<&str, &str> {
    environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses, and may hold both spaces and
/// parentheses: everything is counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let state = *fields.first()?;
    Some(Stat {
        zombie: state == "Z" || state == "X",
        // `t` is another matter: somebody looks at it with a debugger.
        stopped: state == "T",
        group: fields.get(2)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_confuse() {
        let text = "42 (a) Z (b) S 1 77 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.zombie, stat.stopped), (false, false));
        assert_eq!((stat.group, stat.start_time), (77, 987_654));
        assert!(parse_stat("42 (cut").is_none());
        assert!(parse_stat("42 (cut) Z 1").is_none());
    }

    #[test]
    fn a_process_is_named_by_pid_and_start_time() {
        let own = Process::of(std::process::id());
        assert!(own.lives(), "this very process");
        let earlier = Process { start_time: own.start_time.saturating_sub(1).max(1), ..own };
        assert!(!earlier.lives(), "the pid belonged to another process then");
    }
}
