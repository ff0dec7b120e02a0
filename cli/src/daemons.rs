//! What `squall nimbus` and `squall supervisor` share: flags, store, logs, the wait for a signal.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use coordination::{EtcdStore, EtcdTls, Store};
use daemon::listen::{ListenError, Security};
use daemon::signals::{self, Signal};
use daemon::{Clock, Shutdown, logging};
use serde::Deserialize;
use tokio::signal::unix::{self, SignalKind};

use crate::codes::Code;
use crate::config::{CLUSTER, File, required};
use crate::error::{Exit, Failure};
use crate::output::{self, Format};

/// How long a daemon may take to end: a supervisor stops its workers first.
pub(crate) const GRACE: Duration = supervisor::STOP_MAX.saturating_add(Duration::from_secs(2));

/// Flags of both daemons.
#[derive(Debug, Args)]
pub(crate) struct StoreFlags {
    /// Where etcd is: http://host:port, several separated by commas
    #[arg(
        long,
        value_name = "URLS",
        env = "SQUALL_ETCD",
        hide_env_values = true,
        value_delimiter = ','
    )]
    etcd: Option<Vec<String>>,
    /// Name of the cluster: several may share an etcd [default: default]
    #[arg(long, value_name = "NAME", env = "SQUALL_CLUSTER", hide_env_values = true)]
    cluster: Option<String>,
    /// Certificates of the authorities that etcd's is from (PEM); for https:// addresses
    #[arg(long, value_name = "FILE", env = "SQUALL_ETCD_CA", hide_env_values = true)]
    etcd_ca: Option<PathBuf>,
    /// Shown to etcd to say who we are: a certificate (PEM)
    #[arg(long, value_name = "FILE", env = "SQUALL_ETCD_CERT", hide_env_values = true)]
    etcd_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "SQUALL_ETCD_KEY", hide_env_values = true)]
    etcd_key: Option<PathBuf>,
    /// Listen beyond loopback without TLS
    #[arg(long, env = "SQUALL_INSECURE", hide_env_values = true)]
    insecure: bool,
}

/// Flags of all that log.
#[derive(Debug, Args)]
pub(crate) struct LogFlags {
    /// What lines of its log, and of its workers', look like [default: text, and json with -o json]
    #[arg(long, value_name = "FORM", env = "SQUALL_LOG_FORMAT", hide_env_values = true)]
    log_format: Option<LogFormat>,
}

impl LogFlags {
    /// Whether lines are to be JSON, if somebody said so.
    pub(crate) fn json(&self, file: &File) -> Option<bool> {
        self.log_format.or(file.log_format).map(|format| format == LogFormat::Json)
    }
}

/// What lines of a log look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where etcd is, and how to speak with it.
#[derive(Debug)]
pub(crate) struct EtcdAt {
    /// Its addresses.
    pub(crate) urls: Vec<String>,
    /// How it is reached where they begin with `https://`.
    pub(crate) tls: EtcdTls,
}

impl StoreFlags {
    /// Where etcd is, and how to speak with it.
    pub(crate) fn etcd(&self, file: &File) -> Result<EtcdAt, Failure> {
        let urls = self.etcd.clone().or_else(|| file.etcd.clone());
        let urls = required(urls, "--etcd", "SQUALL_ETCD", "etcd")?;
        let path = |flag: &Option<PathBuf>, set: &Option<PathBuf>| flag.clone().or(set.clone());
        let cert = path(&self.etcd_cert, &file.etcd_cert);
        let key = path(&self.etcd_key, &file.etcd_key);
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                let what = "cannot show etcd a certificate";
                let why = "a certificate needs its key, and a key its certificate";
                let fix = "give both --etcd-cert and --etcd-key, or none of them";
                return Err(Failure::new(Exit::Config, what, why, fix));
            }
        };
        Ok(EtcdAt { urls, tls: EtcdTls { ca: path(&self.etcd_ca, &file.etcd_ca), identity } })
    }

    /// Name of the cluster.
    pub(crate) fn cluster(&self, file: &File) -> String {
        self.cluster.clone().or_else(|| file.cluster.clone()).unwrap_or_else(|| CLUSTER.into())
    }

    /// Whether to listen beyond loopback without TLS.
    pub(crate) fn insecure(&self, file: &File) -> bool {
        self.insecure || file.insecure.unwrap_or(false)
    }
}

/// Starts a daemon on etcd and runs it until it is asked to stop.
pub(crate) async fn run(
    who: &str,
    (etcd, security): (&EtcdAt, &Security),
    start: impl AsyncFnOnce(Arc<dyn Store>, Clock, Shutdown) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signal = pin!(signal());
    let store = tokio::select! {
        store = connect(etcd) => store?,
        signal = &mut signal => return Err(Failure::early_end(signal)),
    };
    let shutdown = Shutdown::new();
    store.follow_files(&shutdown);
    if let Some(tls) = security.tls() {
        tls.follow(&shutdown);
    }
    start(Arc::new(store), Clock::system(), shutdown.clone()).await?;
    signal.await;
    output::note(&format!("{who} stops"));
    shutdown.ask();
    shutdown
        .wait(GRACE)
        .await
        .map_err(|error| Failure::internal(format!("{who} did not stop in time"), error))
}

async fn connect(etcd: &EtcdAt) -> Result<EtcdStore, Failure> {
    let what = "cannot reach the coordination store";
    match EtcdStore::connect_with(&etcd.urls, &etcd.tls).await {
        Ok(store) => Ok(store),
        Err(error @ coordination::Error::Refused(_)) => {
            let fix = "write --etcd as http://host:port, or https://host:port with --etcd-ca";
            Err(Failure::new(Code::BadAddress, what, error, fix))
        }
        Err(error) => {
            let fix = "start etcd, or say where it is with --etcd (or SQUALL_ETCD); without etcd, \
                       use `squall dev`";
            Err(Failure::new(Code::NoEtcd, what, error, fix))
        }
    }
}

/// Explains why a nimbus did not start.
pub(crate) fn nimbus_failure(error: &nimbus::Error) -> Failure {
    const WHAT: &str = "cannot start the nimbus";
    match error {
        nimbus::Error::Cluster(_) => {
            Failure::new(Exit::Config, WHAT, error, "choose another name with --cluster")
        }
        nimbus::Error::Listen(error) => cannot_listen(WHAT, error),
        nimbus::Error::Folder(nimbus::BinaryError::InUse(_)) => {
            Failure::new(Exit::CannotCreate, WHAT, error, OTHER_FOLDER)
        }
        nimbus::Error::Folder(_) => Failure::new(Exit::CannotCreate, WHAT, error, MAKE_ROOM),
        nimbus::Error::Otel { .. } => {
            let fix = "give --otel-endpoint http://HOST:4317 (or https://HOST:4317 with --otel-ca \
                       FILE) to a squall that was built with `--features otel`, or leave it out";
            Failure::new(Exit::Config, WHAT, error, fix)
        }
    }
}

/// Explains why a supervisor did not start.
pub(crate) fn supervisor_failure(error: &supervisor::Error) -> Failure {
    const WHAT: &str = "cannot start the supervisor";
    match error {
        supervisor::Error::Config(_) => {
            let fix = "correct the flag, the environment variable or the configuration file";
            Failure::new(Exit::Config, WHAT, error, fix)
        }
        supervisor::Error::Cgroup(why) => {
            let fix = "name one of version 2 that belongs to the supervisor alone, and that it is \
                       not in itself; or leave --cgroup out and do without limits of cores";
            Failure::new(Exit::Config, WHAT, why, fix)
        }
        supervisor::Error::Listen(error) => cannot_listen(WHAT, error),
        supervisor::Error::DataDir { .. } => {
            Failure::new(Exit::CannotCreate, WHAT, error, format!("{MAKE_ROOM}; its workers go on"))
        }
        supervisor::Error::InUse { .. } | supervisor::Error::Socket { .. } => {
            Failure::new(Exit::CannotCreate, WHAT, error, OTHER_FOLDER)
        }
    }
}

const MAKE_ROOM: &str = "make room there and make it writable for this user, or choose another folder \
                         with --data-dir";

const OTHER_FOLDER: &str = "choose another folder with --data-dir, or stop what uses this one";

/// An address that cannot be listened on is taken; one that may not be is a wrong setting.
fn cannot_listen(what: &str, error: &ListenError) -> Failure {
    let code = match error {
        ListenError::Taken(_) | ListenError::System { .. } => Code::CannotListen,
        ListenError::NotLoopback(_)
        | ListenError::NothingToAdvertise(_)
        | ListenError::NotAHost(_)
        | ListenError::NotNamed { .. } => Code::BadAddress,
    };
    // Its text ends with what to do.
    let text = error.to_string();
    let (why, fix) = text.split_once("; ").unwrap_or((&text, "choose another address"));
    Failure::new(code, what, why, fix)
}

/// Waits for a signal to stop, and says which kind it was.
///
/// Signals are caught from the call on. The end of the terminal counts too: workers run in groups
/// of their own and would live on.
pub(crate) fn signal() -> impl Future<Output = Exit> {
    let terminate = signals::terminate();
    let caught = !hangup_is_ignored();
    let hangup = caught.then(|| unix::signal(SignalKind::hangup()).ok()).flatten();
    async move {
        let hangup = async {
            match hangup {
                Some(mut hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = terminate => match signal {
                Signal::Interrupt => Exit::Interrupted,
                Signal::Terminate => Exit::Terminated,
            },
            _ = hangup => Exit::Terminated,
        }
    }
}

/// Whether this was started with `nohup`.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 != 0)
}

/// Sends logs to standard error; `RUST_LOG` says which. They are JSON where that is asked for, or else
/// where all output is.
pub(crate) fn log(json: Option<bool>, output: Format) -> Result<(), Failure> {
    let json = json.unwrap_or(matches!(output, Format::Json | Format::Yaml));
    let format = if json { logging::Format::Json } else { logging::Format::Text };
    logging::init(format).map_err(|error| {
        Failure::new(Exit::Config, "cannot write logs", error, "correct or unset RUST_LOG")
    })
}
