//! What a supervisor is told at its start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;

use daemon::listen::Security;

use crate::Error;
use crate::engine::Timings;

/// Most bytes of binaries kept for the next start.
const BINARIES_BYTES_MAX: u64 = 2 << 30;

/// What a supervisor is told at its start.
///
/// ```
/// use supervisor::Config;
///
/// let config = Config { slots: 2, ..Config::new("test", "/var/lib/squall/supervisor") };
/// assert!(config.listen.ip().is_loopback(), "nothing is open to others unless asked for");
/// assert!(config.problems().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster.
    pub cluster: String,
    /// Where the supervisor keeps what must outlive it. Belongs to one supervisor alone.
    pub data_dir: PathBuf,
    /// How many workers run here at most.
    pub slots: u32,
    /// Where the supervisor listens; its workers listen on the same address.
    pub listen: SocketAddr,
    /// The host others reach this machine by; the listen address if not given.
    pub advertise: Option<String>,
    /// Ports for the workers, both included; any free port if not given.
    pub worker_ports: Option<(u16, u16)>,
    /// Who may reach it and its workers, and whether all their connections have TLS.
    pub security: Security,
    /// Loops of each worker; the machine's cores divided by the slots if not given.
    pub cores_per_worker: Option<u32>,
    /// The cgroup (version 2) below which each worker gets one of its own; if not given, the parent
    /// of the supervisor's own, should that be called `supervisor`.
    pub cgroup: Option<PathBuf>,
    /// Whether workers log JSON objects whose topology does not say.
    pub json_logs: bool,
    /// Most bytes of binaries kept for the next start.
    pub binaries_bytes_max: u64,
    /// Whether it writes down how far it has seen the store, and after a restart does not believe
    /// one that went back. For a store that outlives the process.
    pub remember_store: bool,
    /// How long the engine waits for what.
    pub timings: Timings,
}

impl Config {
    /// Makes the configuration of a supervisor with four slots that only its own machine can reach.
    #[must_use]
    pub fn new(cluster: &str, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            cluster: cluster.to_owned(),
            data_dir: data_dir.into(),
            slots: 4,
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertise: None,
            worker_ports: None,
            security: Security::Loopback,
            cores_per_worker: None,
            cgroup: None,
            json_logs: false,
            binaries_bytes_max: BINARIES_BYTES_MAX,
            remember_store: false,
            timings: Timings::default(),
        }
    }

    /// Returns all that is wrong with it. Whether it may listen where it should is for
    /// `daemon::listen` to say.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.slots == 0 {
            problems.push("a supervisor without slots can run nothing: give it at least 1".into());
        }
        if self.worker_ports.is_some_and(|(first, last)| first == 0 || first > last) {
            problems.push("the range of worker ports is empty".into());
        }
        if self.cores_per_worker == Some(0) {
            problems.push("a worker needs at least 1 core".into());
        }
        problems
    }

    /// Refuses a configuration that cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(Error::Config(problems.join("; "))),
        }
    }

    /// Returns the host others reach this machine by.
    pub(crate) fn host(&self) -> String {
        self.advertise.clone().unwrap_or_else(|| self.listen.ip().to_string())
    }

    /// Returns where workers listen: `ip:port` or `ip:first-last`.
    pub(crate) fn worker_listen(&self) -> String {
        let first = self.worker_ports.map_or(0, |(first, _)| first);
        let address = SocketAddr::new(self.listen.ip(), first);
        match self.worker_ports {
            Some((first, last)) if last > first => format!("{address}-{last}"),
            _ => address.to_string(),
        }
    }

    /// Returns how many loops each worker runs.
    pub(crate) fn cores(&self) -> u32 {
        let all = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = u32::try_from(all).unwrap_or(u32::MAX) / self.slots.max(1);
        self.cores_per_worker.unwrap_or(share).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_reported_at_once() {
        let config = Config {
            slots: 0,
            worker_ports: Some((9, 3)),
            cores_per_worker: Some(0),
            ..Config::new("c", "/d")
        };
        assert_eq!(config.problems().len(), 3, "{:?}", config.problems());
    }

    #[test]
    fn workers_listen_where_their_supervisor_does() {
        let config = Config::new("c", "/d");
        assert_eq!(config.worker_listen(), "127.0.0.1:0");
        let ranged = Config { worker_ports: Some((7000, 7009)), ..config };
        assert_eq!(ranged.worker_listen(), "127.0.0.1:7000-7009");
        let six = Config { listen: "[::1]:0".parse().unwrap(), ..ranged };
        assert_eq!((six.worker_listen(), six.host()), ("[::1]:7000-7009".into(), "::1".into()));
    }
}
