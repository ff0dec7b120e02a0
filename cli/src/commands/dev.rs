//! `squall dev`: a cluster inside this process, for development.

mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::args::{address, pair};
use crate::binary::Binary;
use crate::client::Client;
use crate::commands::submit::{self, Submit};
use crate::commands::{Globals, topology_name};
use crate::config::{CLUSTER, HTTP_PORT, NIMBUS_PORT, SLOTS, loopback};
use crate::daemons::LogFlags;
use crate::embedded::{Embedded, Settings, data_dir};
use crate::error::{Exit, Failure};
use crate::output;

/// Flags of `squall dev`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dev                                           a cluster to submit to\n  \
    squall dev target/release/word_count input.txt       and a topology on it\n  \
    squall dev --watch                                   the project here, again after each change\n  \
    squall dev --watch ../heat input.txt                 the one there, with an argument\n  \
    squall dev --slots 8 --workers 2 ./my-topology --fast input.txt")]
pub(crate) struct Dev {
    /// Where clients reach the nimbus [default: 127.0.0.1:6627]
    #[arg(long, value_name = "ADDR", env = "SQUALL_NIMBUS_LISTEN", hide_env_values = true,
        value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the status endpoint is [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "SQUALL_NIMBUS_HTTP", hide_env_values = true,
        value_parser = address)]
    pub(crate) http: Option<SocketAddr>,
    /// The name others reach this machine under [default: the listen address]
    #[arg(long, value_name = "HOST", env = "SQUALL_NIMBUS_ADVERTISE", hide_env_values = true)]
    pub(crate) advertise: Option<String>,
    /// Name of the cluster [default: default]
    #[arg(long, value_name = "NAME", env = "SQUALL_CLUSTER", hide_env_values = true)]
    pub(crate) cluster: Option<String>,
    /// Listen beyond loopback without TLS
    #[arg(long, env = "SQUALL_INSECURE", hide_env_values = true)]
    pub(crate) insecure: bool,
    /// What its log looks like.
    #[command(flatten)]
    pub(crate) log: LogFlags,
    /// How many workers it can run [default: 4]
    #[arg(long, value_name = "N", env = "SQUALL_SUPERVISOR_SLOTS", hide_env_values = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: Option<u32>,
    /// Cores each worker gets [default: the machine's, shared out over the slots]
    #[arg(long, value_name = "N", env = "SQUALL_SUPERVISOR_CORES_PER_WORKER", hide_env_values = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cores_per_worker: Option<u32>,
    /// Where logs and binaries are kept [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Name of the topology [default: the one its program gives it]
    #[arg(long, value_name = "N", value_parser = topology_name)]
    pub(crate) name: Option<String>,
    /// How many worker processes the topology gets
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: u32,
    /// Sets a key of the topology's configuration; may be repeated
    #[arg(short = 'c', long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) settings: Vec<(String, String)>,
    /// Build and submit again when a source changes; BINARY is the folder of a project (this one if it
    /// is left out) or a program
    #[arg(long)]
    pub(crate) watch: bool,
    /// A topology's program to submit, and its arguments; paths of files become absolute
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_names = ["BINARY", "ARGS"])]
    pub(crate) command: Vec<String>,
}

/// Runs the cluster until it is asked to stop.
pub(crate) async fn run(dev: Dev, globals: &Globals) -> Result<(), Failure> {
    check(&dev)?;
    crate::daemons::log(dev.log.json(&globals.file), globals.format)?;
    let signal = crate::daemons::signal();
    let (data_dir, temporary) = match &dev.data_dir {
        Some(path) => (data_dir(path)?, None),
        None => {
            let folder = temporary_folder("squall-dev-")?;
            (folder.path().to_owned(), Some(folder))
        }
    };
    let settings = settings(&dev, globals, data_dir)?;
    let cluster = Embedded::start(&settings).await?;
    let lived = match announce(&cluster, &settings, globals) {
        Ok(()) => live(&dev, globals, (&cluster, &settings), signal).await,
        Err(failure) => Err(failure),
    };
    output::note("stopping");
    let stopped = cluster.stop().await;
    if let Some(folder) = temporary {
        remove(folder)?;
    }
    lived.and(stopped)
}

/// Finds what is wrong with the binary before a cluster is started for it.
fn check(dev: &Dev) -> Result<(), Failure> {
    let Some(binary) = dev.command.first() else { return Ok(()) };
    if binary.starts_with('-') {
        // What follows BINARY is the topology's, so clap takes any word that it does not know.
        let why = format!("there is no flag `{binary}`, and a program is named by its path");
        let fix = "`squall dev --help` shows its flags; write ./NAME for a file of such a name";
        return Err(Failure::new(Exit::Usage, "cannot read the command line", why, fix));
    }
    if dev.watch {
        return Ok(());
    }
    Binary::open(Path::new(binary)).map(drop)
}

/// Submits what was asked for, then waits for the signal to stop.
async fn live(
    dev: &Dev,
    globals: &Globals,
    (cluster, settings): (&Embedded, &Settings),
    signal: impl Future<Output = Exit>,
) -> Result<(), Failure> {
    let submitting = async {
        let mut client = Client::new(vec![cluster.address.to_string()], settings.security.clone());
        if dev.watch {
            return watch::run(dev, globals, client).await;
        }
        let Some(submit) = submission(dev) else { return Ok(()) };
        let reply =
            submit::send(&mut client, &submit, globals.file.topology_pairs()?, &Arc::default())
                .await?;
        output::note(&format!(
            "  running  {} (squall describe {0}; squall logs {0} -f)",
            output::escape(&reply.name)
        ));
        Ok(())
    };
    let mut signal = pin!(signal);
    tokio::select! {
        submitted = submitting => submitted?,
        _ = &mut signal => return Ok(()),
    }
    signal.await;
    Ok(())
}

fn settings(dev: &Dev, globals: &Globals, data_dir: PathBuf) -> Result<Settings, Failure> {
    let file = &globals.file;
    let text = |given: &Option<String>, set: &Option<String>| given.clone().or(set.clone());
    Ok(Settings {
        cluster: text(&dev.cluster, &file.cluster).unwrap_or_else(|| CLUSTER.into()),
        data_dir,
        listen: dev.listen.or(file.nimbus.listen).unwrap_or(loopback(NIMBUS_PORT)),
        http: dev.http.or(file.nimbus.http).unwrap_or(loopback(HTTP_PORT)),
        advertise: text(&dev.advertise, &file.nimbus.advertise),
        security: globals.security(dev.insecure || file.insecure.unwrap_or(false))?,
        slots: dev.slots.or(file.supervisor.slots).unwrap_or(SLOTS),
        cores_per_worker: dev.cores_per_worker.or(file.supervisor.cores_per_worker),
        json_logs: dev.log.json(file).unwrap_or(false),
    })
}

fn announce(cluster: &Embedded, settings: &Settings, globals: &Globals) -> Result<(), Failure> {
    let nimbus = if cluster.address == loopback(NIMBUS_PORT) {
        String::new()
    } else {
        format!("--nimbus {} ", cluster.address)
    };
    let text = format!(
        "cluster `{}` with {} slots is up; its data is in {}\n  \
         status   {}/api/v1/cluster\n  \
         submit   squall {nimbus}submit BINARY [-- ARGS...]\n  \
         stop     ctrl-c",
        settings.cluster,
        settings.slots,
        settings.data_dir.display(),
        cluster.status_url(),
    );
    let document = json!({
        "address": cluster.address, "http_address": cluster.http_address,
        "data_dir": settings.data_dir,
    });
    globals.show_ready(&text, &document)
}

/// What BINARY and ARGS ask for.
fn submission(dev: &Dev) -> Option<Submit> {
    let (binary, arguments) = dev.command.split_first()?;
    Some(Submit {
        binary: binary.into(),
        name: dev.name.clone(),
        workers: dev.workers,
        settings: dev.settings.clone(),
        inactive: false,
        wait: false,
        timeout: Duration::ZERO,
        arguments: arguments.iter().map(|argument| absolute(argument)).collect(),
    })
}

/// Makes the path of a file absolute, because workers run in folders of their own; leaves all else
/// alone.
pub(crate) fn absolute(argument: &str) -> String {
    let path = Path::new(argument);
    if !path.exists() {
        return argument.to_owned();
    }
    let absolute = std::path::absolute(path).ok();
    absolute.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or(argument.to_owned())
}

/// Makes a folder that goes when the cluster goes.
pub(crate) fn temporary_folder(prefix: &str) -> Result<tempfile::TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).tempdir().map_err(|error| {
        let what = format!("cannot make a folder in {}", std::env::temp_dir().display());
        Failure::new(Exit::CannotCreate, what, error, "set TMPDIR, or give --data-dir")
    })
}

/// Removes the folder and says so if that fails.
pub(crate) fn remove(folder: tempfile::TempDir) -> Result<(), Failure> {
    let path = folder.path().display().to_string();
    folder.close().map_err(|error| {
        let what = format!("cannot remove {path}");
        Failure::new(Exit::CannotCreate, what, error, "remove it by hand")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arguments_that_are_files_become_absolute() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("Cargo.toml"), here.join("Cargo.toml").to_str().unwrap());
        for other in ["--fast", "no-such-file.txt", "3", ""] {
            assert_eq!(absolute(other), other);
        }
    }
}
