//! What this machine offers: its kernel's limits, its clock, its disk, its ports.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use daemon::Clock;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::Finding;
use crate::config::{HTTP_PORT, NIMBUS_PORT, loopback};
use crate::output::bytes;

/// Open files a daemon or worker needs with many workers: connections to each of them.
const FILES_MIN: u64 = 4_096;

/// Processes and threads a supervisor needs.
const PROCESSES_MIN: u64 = 1_024;

/// Below this a disk is as good as full: a binary and a day's logs.
const DISK_MIN: u64 = 1 << 30;

/// No machine that runs this had an earlier clock: 2025 began.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);

/// Looks at this machine.
pub(super) fn checks(folder: &Path) -> Vec<Finding> {
    vec![
        system(),
        clock(),
        limit("open files", Resource::RLIMIT_NOFILE, FILES_MIN, "ulimit -n 65536, or LimitNOFILE="),
        limit("processes", Resource::RLIMIT_NPROC, PROCESSES_MIN, "ulimit -u 4096, or LimitNPROC="),
        disk(folder),
        port("port of nimbus", NIMBUS_PORT),
        port("port of status", HTTP_PORT),
    ]
}

fn system() -> Finding {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let kernel = read("/proc/sys/kernel/osrelease");
    if kernel.is_empty() {
        let fix = "run it on Linux, with /proc mounted: supervisors read it";
        return Finding::fails("system", "there is no /proc", fix);
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cgroup = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "cgroup 2"
    } else {
        "no cgroup 2, so cores of workers cannot be limited"
    };
    let architecture = std::env::consts::ARCH;
    Finding::ok("system", format!("Linux {kernel}, {architecture}, {cores} cores, {cgroup}"))
}

fn clock() -> Finding {
    let now = Duration::from_millis(Clock::system().wall_ms());
    if now < EARLIEST {
        return Finding::fails(
            "clock",
            "it says a year before 2025",
            "set it: `timedatectl set-ntp true`",
        );
    }
    Finding::ok("clock", format!("{} s since 1970", now.as_secs()))
}

fn limit(check: &'static str, resource: Resource, least: u64, fix: &str) -> Finding {
    match getrlimit(resource) {
        Ok((soft, _)) if soft >= least => {
            let all = if soft == u64::MAX { "no limit".to_owned() } else { soft.to_string() };
            Finding::ok(check, all)
        }
        Ok((soft, hard)) => {
            let saw = format!("{soft} (up to {hard} may be set), {least} are needed");
            Finding::warning(check, saw, fix)
        }
        Err(error) => Finding::warning(check, error.to_string(), fix),
    }
}

fn disk(folder: &Path) -> Finding {
    // One that does not exist yet is made on the disk of what it lies in.
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match statvfs(there) {
        Ok(disk) => {
            let free = disk.blocks_available().saturating_mul(disk.fragment_size());
            let saw = format!("{} free in {}", bytes(free), folder.display());
            if free < DISK_MIN {
                let fix = "make room, or choose another --data-dir";
                return Finding::warning("disk", saw, fix);
            }
            Finding::ok("disk", saw)
        }
        Err(error) => Finding::fails(
            "disk",
            format!("{}: {error}", folder.display()),
            "choose another folder",
        ),
    }
}

fn port(check: &'static str, port: u16) -> Finding {
    match TcpListener::bind(loopback(port)) {
        Ok(_) => Finding::ok(check, format!("{port} is free")),
        // That is well if a nimbus runs here, which the checks of the cluster show.
        Err(error) => Finding::ok(check, format!("{port}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_a_warning_with_a_way_out() {
        let found = limit("open files", Resource::RLIMIT_NOFILE, u64::MAX - 1, "raise it");
        assert!(found.health == Health::Warning || found.saw == "no limit", "{found:?}");
        assert_eq!(limit("open files", Resource::RLIMIT_NOFILE, 1, "raise it").health, Health::Ok);
    }

    #[test]
    fn a_folder_that_is_yet_to_be_made_is_looked_at_where_it_will_be() {
        let folder = tempfile::tempdir().unwrap();
        let found = disk(&folder.path().join("not/there"));
        assert!(found.saw.contains("free in"), "{found:?}");
    }
}
