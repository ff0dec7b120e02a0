//! What a worker may use, as its topology asks, and how that is held: by its cgroup, or, for memory
//! only, by `RLIMIT_DATA`. What nobody holds is said aloud.
//!
//! `RLIMIT_DATA` counts what a process has asked the kernel for and may write to, used or not, so it
//! strikes earlier than a cgroup, and as a refused allocation instead of a kill.

use std::collections::BTreeMap;

use nix::sys::resource::rlim_t;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use topology_api::{TopologyConfig, format_size};

use crate::cgroup::{Group, Groups};

/// Set for workers that `RLIMIT_DATA` holds: their allocator must not ask for 1 GiB at once.
pub(crate) const FRUGAL: (&str, &str) = ("MIMALLOC_ARENA_EAGER_COMMIT", "0");

/// What a worker may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<u64>,
    /// Thousandths of a core.
    pub(crate) cpu: Option<u32>,
}

/// What holds a worker's process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bounds {
    /// Its cgroup, if it has one.
    pub(crate) group: Option<Group>,
    /// Its limit of memory, for people.
    pub(crate) memory: Option<String>,
    /// Which limits nobody holds, and why; empty if all are held.
    pub(crate) unheld: String,
}

impl Limits {
    /// Reads them from the settings of a topology.
    pub(crate) fn of(settings: &BTreeMap<String, String>) -> Self {
        let mut known = TopologyConfig::default();
        for key in ["worker.memory.limit", "worker.cpu.limit"] {
            // A topology of another version may set what this one refuses; its worker says so.
            if let Some(Err(error)) = settings.get(key).map(|value| known.set(key, value)) {
                tracing::debug!(%error, "a limit cannot be read");
            }
        }
        Self { memory: known.worker_memory_limit(), cpu: known.worker_cpu_limit() }
    }

    /// Whether `RLIMIT_DATA` will have to hold the memory.
    pub(crate) fn need_rlimit(&self, groups: Option<&Groups>) -> bool {
        self.memory.is_some() && !groups.is_some_and(Groups::has_memory)
    }

    /// Holds a process to them, as far as that is possible here.
    pub(crate) fn hold(&self, groups: Option<&Groups>, slot: u32, pid: u32) -> Bounds {
        let entered = groups.map(|groups| groups.enter(slot, pid, self).map(|it| (groups, it)));
        let (group, why) = match entered {
            Some(Ok((groups, group))) => (Some((groups, group)), "its cgroup has no `cpu`".into()),
            Some(Err(error)) => (None, format!("its cgroup cannot be made ({error})")),
            None => (None, "its supervisor has no cgroup to divide (see `--cgroup`)".to_owned()),
        };
        let mut unheld = Vec::new();
        let memory_is_held = group.as_ref().is_some_and(|(groups, _)| groups.has_memory());
        if let Some(bytes) = self.memory.filter(|_| !memory_is_held)
            && let Err(problem) = limit_data(pid, bytes)
        {
            unheld.push(format!("worker.memory.limit is not enforced: {problem}"));
        }
        let cpu_is_held = group.as_ref().is_some_and(|(groups, _)| groups.has_cpu());
        if self.cpu.is_some() && !cpu_is_held {
            unheld.push(format!("worker.cpu.limit is not enforced: {why}"));
        }
        Bounds {
            group: group.map(|(_, group)| group),
            memory: self.memory.map(format_size),
            unheld: unheld.join("; "),
        }
    }

    /// Says what holds a process of an earlier life of this supervisor, which is left as it is.
    pub(crate) fn found(&self, groups: Option<&Groups>, slot: u32, unheld: &str) -> Bounds {
        Bounds {
            group: groups.and_then(|groups| groups.find(slot)),
            memory: self.memory.map(format_size),
            unheld: unheld.to_owned(),
        }
    }
}

/// Sets `RLIMIT_DATA` of a process.
fn limit_data(pid: u32, bytes: rlim_t) -> Result<(), String> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or("it has no pid")?;
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    let set = prlimit(Some(pid), Resource::Data, limit);
    set.map(drop).map_err(|error| format!("RLIMIT_DATA cannot be set: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn limits_are_read_from_settings_and_what_is_no_limit_is_none() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, value)| ((*key).into(), (*value).into()));
            Limits::of(&pairs.collect())
        };
        assert_eq!(read(&[]), Limits::default());
        let limits = [("worker.memory.limit", "1GiB"), ("worker.cpu.limit", "0.5"), ("other", "x")];
        assert_eq!(read(&limits), Limits { memory: Some(1 << 30), cpu: Some(500) });
        let wrong = [("worker.memory.limit", "1"), ("worker.cpu.limit", "none")];
        assert_eq!(read(&wrong), Limits::default());
    }

    #[test]
    fn without_a_cgroup_memory_is_held_by_the_rlimit_and_cores_are_said_to_be_free() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let limits = Limits { memory: Some(64 << 20), cpu: Some(500) };
        assert!(limits.need_rlimit(None));
        let bounds = limits.hold(None, 0, child.id());
        assert_eq!(bounds.memory.as_deref(), Some("64MiB"));
        let text = "worker.cpu.limit is not enforced: its supervisor has no cgroup";
        assert!(bounds.unheld.starts_with(text), "{bounds:?}");
        let set = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let data = set.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert_eq!(data.matches("67108864").count(), 2, "soft and hard: {data}");
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        let gone = limits.hold(None, 0, 0).unheld;
        assert!(gone.contains("worker.memory.limit is not enforced"), "{gone}");
    }
}
