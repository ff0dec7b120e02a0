//! `squall nimbus`: the daemon that decides which tasks run where.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use topology_api::check_name;

use crate::args::{address, size};
use crate::commands::Globals;
use crate::config::{HTTP_PORT, NIMBUS_PORT, bad_value, loopback, required, size_in_file};
use crate::daemons::{self, LogFlags, StoreFlags};
use crate::embedded::data_dir;
use crate::error::{Exit, Failure};

/// Flags of `squall nimbus`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall nimbus --etcd http://127.0.0.1:2379 --data-dir /var/lib/squall/nimbus\n  \
    squall nimbus --etcd http://db1:2379,http://db2:2379 --data-dir /data/nimbus \\\n    \
        --listen 0.0.0.0:6627 --advertise nimbus1 \\\n    \
        --tls-cert nimbus1.pem --tls-key nimbus1-key.pem --tls-ca ca.pem")]
pub(crate) struct Nimbus {
    /// The coordination store, and what both daemons share.
    #[command(flatten)]
    store: StoreFlags,
    /// What its log looks like.
    #[command(flatten)]
    log: LogFlags,
    /// Name of this nimbus [default: made once and kept in its data folder]
    #[arg(long, value_name = "ID", env = "SQUALL_NIMBUS_ID", hide_env_values = true)]
    id: Option<String>,
    /// Where binaries are kept
    #[arg(long, value_name = "DIR", env = "SQUALL_NIMBUS_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Where clients and supervisors reach it [default: 127.0.0.1:6627]
    #[arg(long, value_name = "ADDR", env = "SQUALL_NIMBUS_LISTEN", hide_env_values = true,
        value_parser = address)]
    listen: Option<SocketAddr>,
    /// Where its status endpoint is [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "SQUALL_NIMBUS_HTTP", hide_env_values = true,
        value_parser = address)]
    http: Option<SocketAddr>,
    /// With TLS: let everybody read the status, also without a certificate
    #[arg(long, env = "SQUALL_NIMBUS_HTTP_OPEN_READ", hide_env_values = true)]
    http_open_read: bool,
    /// More names by which browsers may reach its status endpoint, joined by commas
    #[arg(
        long,
        value_name = "HOST",
        env = "SQUALL_NIMBUS_HTTP_HOST",
        hide_env_values = true,
        value_delimiter = ','
    )]
    http_host: Vec<String>,
    /// The name others reach it under [default: the listen address]
    #[arg(long, value_name = "HOST", env = "SQUALL_NIMBUS_ADVERTISE", hide_env_values = true)]
    advertise: Option<String>,
    /// The largest binary that may be submitted [default: 512MiB]
    #[arg(long, value_name = "SIZE", env = "SQUALL_NIMBUS_BINARY_MAX", hide_env_values = true,
        value_parser = size)]
    binary_max: Option<u64>,
    /// How many nimbuses hold a binary before its submission is acknowledged [default: 1]
    #[arg(long, value_name = "N", env = "SQUALL_NIMBUS_REPLICATION", hide_env_values = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    replication: Option<u32>,
    /// OpenTelemetry collector that metrics are pushed to, over OTLP/gRPC [default: none]
    #[arg(long, value_name = "URL", env = "SQUALL_NIMBUS_OTEL_ENDPOINT", hide_env_values = true)]
    otel_endpoint: Option<String>,
    /// Authorities that sign for the OpenTelemetry collector, in PEM; for an endpoint with https
    #[arg(long, value_name = "FILE", env = "SQUALL_NIMBUS_OTEL_CA", hide_env_values = true)]
    otel_ca: Option<PathBuf>,
    /// Push a sample of tuple trees there too
    #[arg(long, env = "SQUALL_NIMBUS_OTEL_TRACES", hide_env_values = true)]
    otel_traces: bool,
}

/// Runs it until it is asked to stop.
pub(crate) async fn run(nimbus: Nimbus, globals: &Globals) -> Result<(), Failure> {
    daemons::log(nimbus.log.json(&globals.file), globals.format)?;
    daemon::take_small_pages();
    let config = config(&nimbus, globals)?;
    let etcd = nimbus.store.etcd(&globals.file)?;
    let security = config.security.clone();
    daemons::run("nimbus", (&etcd, &security), async |store, clock, shutdown| {
        let running = ::nimbus::start(config, store, clock, shutdown)
            .await
            .map_err(|error| daemons::nimbus_failure(&error))?;
        let ::nimbus::Running { address, http_address } = running;
        let scheme = security.scheme();
        let text =
            format!("nimbus listens on {address}, its status is at {scheme}://{http_address}");
        let document = json!({ "address": address, "http_address": http_address });
        globals.show_ready(&text, &document)
    })
    .await
}

fn config(nimbus: &Nimbus, globals: &Globals) -> Result<::nimbus::Config, Failure> {
    let file = &globals.file;
    let section = &file.nimbus;
    let dir = nimbus.data_dir.clone().or(section.data_dir.clone());
    let dir = required(dir, "--data-dir", "SQUALL_NIMBUS_DATA_DIR", "nimbus.data-dir")?;
    let binary_max = match nimbus.binary_max {
        None => size_in_file("nimbus.binary-max", section.binary_max.as_deref())?,
        given => given,
    };
    let data_dir = data_dir(&dir)?;
    let id = match nimbus.id.clone().or(section.id.clone()) {
        Some(id) => id,
        None => kept_id(&data_dir)?,
    };
    if let Err(error) = check_name("nimbus", &id) {
        let fix = format!("give another --id, or correct {}", data_dir.join("id").display());
        return Err(Failure::new(Exit::Config, "cannot start the nimbus", error, fix));
    }
    let replication = nimbus.replication.or(section.replication).unwrap_or(1);
    if replication == 0 {
        return Err(bad_value("nimbus.replication", "it is 1 or more".to_owned()));
    }
    let traces = nimbus.otel_traces || section.otel_traces.unwrap_or(false);
    let endpoint = nimbus.otel_endpoint.clone().or(section.otel_endpoint.clone());
    let ca = nimbus.otel_ca.clone().or(section.otel_ca.clone());
    if let (None, Some(ca)) = (&endpoint, &ca) {
        let why = format!("{} is for a collector, and none is named", ca.display());
        let fix = "give --otel-endpoint https://HOST:4317 too, or leave --otel-ca out";
        return Err(Failure::new(Exit::Config, "cannot start the nimbus", why, fix));
    }
    let otel = endpoint.map(|it| ::nimbus::Otel { ca, traces, ..::nimbus::Otel::new(it) });
    let defaults = ::nimbus::Config::new(id, data_dir);
    Ok(::nimbus::Config {
        cluster: nimbus.store.cluster(file),
        listen: nimbus.listen.or(section.listen).unwrap_or(loopback(NIMBUS_PORT)),
        http: nimbus.http.or(section.http).unwrap_or(loopback(HTTP_PORT)),
        advertise: nimbus.advertise.clone().or(section.advertise.clone()),
        security: globals.security(nimbus.store.insecure(file))?,
        http_open_read: nimbus.http_open_read || section.http_open_read.unwrap_or(false),
        http_hosts: [&nimbus.http_host[..], &section.http_host].concat(),
        binary_bytes_max: binary_max.unwrap_or(defaults.binary_bytes_max),
        replication,
        remember_store: true,
        otel,
        ..defaults
    })
}

/// The id in the data folder; the first start makes it up from the name of the machine.
fn kept_id(data_dir: &Path) -> Result<String, Failure> {
    let path = data_dir.join("id");
    let made = match std::fs::read_to_string(&path) {
        Ok(id) => return Ok(id.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let host = Some(host.trim()).filter(|host| check_name("nimbus", host).is_ok());
            let id = format!("{}-{:06x}", host.unwrap_or("nimbus"), rand::random::<u32>() >> 8);
            std::fs::write(&path, format!("{id}\n")).map(|()| id)
        }
        Err(error) => Err(error),
    };
    made.map_err(|error| {
        let what = format!("cannot keep the id of this nimbus in {}", path.display());
        Failure::new(Exit::CannotCreate, what, error, "choose another --data-dir, or give --id")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = kept_id(folder.path()).expect("it can be made");
        assert!(check_name("nimbus", &first).is_ok(), "{first}");
        assert_eq!(kept_id(folder.path()).expect("it can be read"), first);
    }
}
