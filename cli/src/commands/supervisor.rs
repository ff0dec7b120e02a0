//! `squall supervisor`: the daemon that keeps the workers of one machine running.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::args::{address, size};
use crate::commands::Globals;
use crate::config::{SLOTS, bad_value, loopback, required, size_in_file};
use crate::daemons::{self, LogFlags, StoreFlags};
use crate::embedded::data_dir;
use crate::error::Failure;

/// Flags of `squall supervisor`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall supervisor --etcd http://127.0.0.1:2379 --data-dir /var/lib/squall/supervisor \
        --slots 8\n  \
    squall supervisor --etcd http://db1:2379 --data-dir /data/supervisor --slots 8 \\\n    \
        --listen 0.0.0.0:6700 --advertise machine7 \\\n    \
        --tls-cert machine7.pem --tls-key machine7-key.pem --tls-ca ca.pem")]
pub(crate) struct Supervisor {
    /// The coordination store, and what both daemons share.
    #[command(flatten)]
    store: StoreFlags,
    /// What its log looks like.
    #[command(flatten)]
    log: LogFlags,
    /// Where binaries, logs and the folders of workers are
    #[arg(long, value_name = "DIR", env = "SQUALL_SUPERVISOR_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// How many workers it takes [default: 4]
    #[arg(long, value_name = "N", env = "SQUALL_SUPERVISOR_SLOTS", hide_env_values = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
    /// Where it is reached; its workers listen there too [default: 127.0.0.1, any port]
    #[arg(long, value_name = "ADDR", env = "SQUALL_SUPERVISOR_LISTEN", hide_env_values = true,
        value_parser = address)]
    listen: Option<SocketAddr>,
    /// The name others reach this machine under [default: the listen address]
    #[arg(long, value_name = "HOST", env = "SQUALL_SUPERVISOR_ADVERTISE", hide_env_values = true)]
    advertise: Option<String>,
    /// Cores each worker gets [default: the machine's, shared out over the slots]
    #[arg(long, value_name = "N", env = "SQUALL_SUPERVISOR_CORES_PER_WORKER", hide_env_values = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    cores_per_worker: Option<u32>,
    /// Ports of its workers [default: any that is free]
    #[arg(long, value_name = "FIRST-LAST", env = "SQUALL_SUPERVISOR_WORKER_PORTS", hide_env_values = true,
        value_parser = ports)]
    worker_ports: Option<(u16, u16)>,
    /// The cgroup, of version 2, to divide among its workers [default: see operating]
    #[arg(long, value_name = "CGROUP", env = "SQUALL_SUPERVISOR_CGROUP", hide_env_values = true)]
    cgroup: Option<PathBuf>,
    /// How much room binaries that no topology uses now may take [default: 2GiB]
    #[arg(long, value_name = "SIZE", env = "SQUALL_SUPERVISOR_BINARIES_MAX", hide_env_values = true, value_parser = size)]
    binaries_max: Option<u64>,
}

/// Reads `first-last`.
fn ports(text: &str) -> Result<(u16, u16), String> {
    let range = text.split_once('-').unwrap_or((text, text));
    match (range.0.trim().parse(), range.1.trim().parse()) {
        (Ok(first), Ok(last)) if first > 0 && first <= last => Ok((first, last)),
        _ => Err("write it as FIRST-LAST, for example 6701-6799".into()),
    }
}

/// Runs it until it is asked to stop.
pub(crate) async fn run(supervisor: Supervisor, globals: &Globals) -> Result<(), Failure> {
    daemons::log(supervisor.log.json(&globals.file), globals.format)?;
    let config = config(&supervisor, globals)?;
    let etcd = supervisor.store.etcd(&globals.file)?;
    let security = config.security.clone();
    daemons::run("supervisor", (&etcd, &security), async |store, clock, shutdown| {
        let running = supervisor::start(config, store, clock, shutdown)
            .await
            .map_err(|error| daemons::supervisor_failure(&error))?;
        let text = format!("supervisor {} listens on {}", running.id, running.address);
        globals.show_ready(&text, &json!({ "id": running.id, "address": running.address }))
    })
    .await
}

fn config(supervisor: &Supervisor, globals: &Globals) -> Result<supervisor::Config, Failure> {
    let file = &globals.file;
    let section = &file.supervisor;
    let dir = supervisor.data_dir.clone().or(section.data_dir.clone());
    let dir = required(dir, "--data-dir", "SQUALL_SUPERVISOR_DATA_DIR", "supervisor.data-dir")?;
    let ports_in_file = section.worker_ports.as_deref().map(ports).transpose();
    let ports_in_file = ports_in_file.map_err(|why| bad_value("supervisor.worker-ports", why))?;
    let binaries_max = match supervisor.binaries_max {
        None => size_in_file("supervisor.binaries-max", section.binaries_max.as_deref())?,
        given => given,
    };
    let defaults = supervisor::Config::new(&supervisor.store.cluster(file), data_dir(&dir)?);
    Ok(supervisor::Config {
        slots: supervisor.slots.or(section.slots).unwrap_or(SLOTS),
        listen: supervisor.listen.or(section.listen).unwrap_or(loopback(0)),
        advertise: supervisor.advertise.clone().or(section.advertise.clone()),
        security: globals.security(supervisor.store.insecure(file))?,
        cores_per_worker: supervisor.cores_per_worker.or(section.cores_per_worker),
        worker_ports: supervisor.worker_ports.or(ports_in_file),
        cgroup: supervisor.cgroup.clone().or(section.cgroup.clone()),
        binaries_bytes_max: binaries_max.unwrap_or(defaults.binaries_bytes_max),
        json_logs: supervisor.log.json(file).unwrap_or(false),
        remember_store: true,
        ..defaults
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_read_as_people_write_it() {
        assert_eq!(ports("6701-6799"), Ok((6701, 6799)));
        assert_eq!(ports("6701"), Ok((6701, 6701)));
        for bad in ["", "0-9", "9-3", "a-b", "1-70000"] {
            assert!(ports(bad).is_err(), "{bad} was taken");
        }
    }
}
