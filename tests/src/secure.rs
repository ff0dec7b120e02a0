//! A cluster with TLS everywhere: etcd and nimbus on the first machine of a network, a supervisor on
//! each other, and a client that is none of them.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use serde_json::Value;
use tempfile::TempDir;

use crate::command::unset;
use crate::etcd::free_ports;
use crate::folder::{self, collect_logs, new_log};
use crate::{Machine, Network, Outcome, Process, alone, processes_below, program, until};

/// A cluster with TLS everywhere.
#[derive(Debug)]
pub struct SecureCluster {
    etcd: Process,
    /// Where clients and other members reach the etcd.
    etcd_at: [String; 2],
    nimbus: Process,
    supervisors: Vec<Process>,
    /// Where clients reach the nimbus.
    address: String,
    /// Where the status is.
    http: String,
    folder: TempDir,
    network: Network,
    /// Given back last.
    _alone: MutexGuard<'static, ()>,
}

impl SecureCluster {
    /// Starts a cluster with one slot a supervisor, and waits until all are there.
    ///
    /// # Panics
    ///
    /// If a process does not start.
    #[must_use]
    pub fn start(network: Network) -> Self {
        Self::start_with(network, &[])
    }

    /// Starts a cluster whose nimbus has these flags too.
    ///
    /// # Panics
    ///
    /// If a process does not start.
    #[must_use]
    pub fn start_with(network: Network, of_nimbus: &[&str]) -> Self {
        let alone = alone();
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        new_authority(&folder.path().join("ca"));
        for (number, machine) in network.machines().iter().enumerate() {
            issue(folder.path(), "ca", &format!("m{number}"), &[&machine.address]);
        }
        issue(folder.path(), "ca", "client", &[]);
        let machines = network.machines();
        let etcd_at = free_ports().map(|port| format!("{}:{port}", machines[0].address));
        let etcd = start_etcd(&machines[0], folder.path(), &etcd_at);
        let store = etcd_flags(folder.path(), &etcd_at);
        let of_nimbus = of_nimbus.iter().map(|flag| (*flag).to_owned());
        let of_nimbus: Vec<String> = store.iter().cloned().chain(of_nimbus).collect();
        let mut nimbus = start_daemon(&machines[0], folder.path(), (0, "nimbus"), &of_nimbus);
        let line = nimbus.line("nimbus listens on ");
        let (address, http) =
            line.split_once(", its status is at https://").expect("the ready line");
        let (address, http) = (address.to_owned(), http.to_owned());
        let supervisors = machines.iter().enumerate().skip(1).map(|(number, machine)| {
            start_daemon(machine, folder.path(), (number, "supervisor"), &store)
        });
        let mut supervisors: Vec<Process> = supervisors.collect();
        for supervisor in &mut supervisors {
            supervisor.line("supervisor ");
        }
        let cluster = Self {
            etcd,
            etcd_at,
            nimbus,
            supervisors,
            address,
            http,
            folder,
            network,
            _alone: alone,
        };
        until("nimbus knows every slot", || {
            cluster.describe()["cluster"]["slots"] == cluster.supervisors.len()
        });
        cluster
    }

    /// The process ids of the supervisors.
    #[must_use]
    pub fn supervisor_processes(&self) -> Vec<u32> {
        self.supervisors.iter().map(Process::id).collect()
    }

    /// The machines: the first has the nimbus.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where clients reach the nimbus, and where its status is.
    #[must_use]
    pub fn addresses(&self) -> [&str; 2] {
        [&self.address, &self.http]
    }

    /// The folder with everything of this cluster; the folder `tls` there has certificate, key and
    /// authorities of each machine (`m0`, `m1`, ...) and of the `client`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The files of `who`: certificate, key, authorities.
    #[must_use]
    pub fn files(&self, who: &str) -> [PathBuf; 3] {
        files(self.folder.path(), who)
    }

    /// Runs a command of `squall` against this cluster with the certificate of `who`.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn squall_as(&self, who: &str, arguments: &[&str]) -> Outcome {
        let flags = flags(self.folder.path(), who);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Outcome::of(&[&["--nimbus", &self.address], &flags[..], arguments].concat())
    }

    /// Runs a command of `squall` that must succeed, as the client, and returns its standard output.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[track_caller]
    pub fn does(&self, arguments: &[&str]) -> String {
        let outcome = self.squall_as("client", arguments);
        assert_eq!(outcome.code, 0, "squall {arguments:?}: {}", outcome.stderr);
        outcome.stdout
    }

    /// The status of the cluster and its supervisors; null where there is none.
    #[must_use]
    pub fn describe(&self) -> Value {
        let said = self.squall_as("client", &["-o", "json", "describe"]);
        serde_json::from_str(&said.stdout).unwrap_or_default()
    }

    /// The status of a topology; null where there is none.
    #[must_use]
    pub fn status(&self, name: &str) -> Value {
        let said = self.squall_as("client", &["-o", "json", "describe", name]);
        serde_json::from_str(&said.stdout).unwrap_or_default()
    }

    /// The workers of a topology, by number: process id and address.
    #[must_use]
    pub fn workers(&self, name: &str) -> Vec<(u32, String)> {
        let status = self.status(name);
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        let pid = |worker: &Value| u32::try_from(worker["pid"].as_u64().unwrap_or(0)).unwrap_or(0);
        let address = |worker: &Value| worker["address"].as_str().unwrap_or_default().to_owned();
        workers.iter().map(|worker| (pid(worker), address(worker))).collect()
    }

    /// What everything of this cluster has logged: nimbus, supervisors, then workers.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        let mut files = Vec::new();
        for supervisor in 1..=self.supervisors.len() {
            let folder = self.folder.path().join(format!("supervisor-{supervisor}"));
            collect_logs(&folder, &mut files);
        }
        let workers = files.iter().filter(|path| path.ends_with("worker.log"));
        let workers = workers.map(|path| fs::read_to_string(path).unwrap_or_default());
        let daemons = std::iter::once(&self.nimbus).chain(&self.supervisors).map(Process::log);
        daemons.chain(workers).collect()
    }

    /// Makes another authority in the folder `name`.
    pub fn new_authority(&self, name: &str) {
        new_authority(&self.folder.path().join(name));
    }

    /// Issues a certificate by an authority, to be used as `who`, in place of one that it may have.
    pub fn issue(&self, authority: &str, who: &str, hosts: &[&str]) {
        issue(self.folder.path(), authority, who, hosts);
    }

    /// Has `who` trust these authorities and no others.
    pub fn trust(&self, who: &str, authorities: &[&str]) {
        trust(self.folder.path(), who, authorities);
    }

    /// Ends the etcd and starts it again, with what it held: it reads whom it trusts at its start.
    pub fn restart_etcd(&mut self) {
        self.etcd.kill();
        let machine = &self.network.machines()[0];
        self.etcd = start_etcd(machine, self.folder.path(), &self.etcd_at);
    }

    /// A folder of this cluster for the test's own files.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        folder::scratch(self.folder.path(), name)
    }

    /// The processes of all workers.
    #[must_use]
    pub fn worker_processes(&self) -> Vec<u32> {
        let supervisors = 1..=self.supervisors.len();
        let folders =
            supervisors.map(|number| self.folder.path().join(format!("supervisor-{number}")));
        folders.flat_map(|folder| processes_below(&folder)).collect()
    }
}

impl Drop for SecureCluster {
    fn drop(&mut self) {
        let daemons = std::iter::once(&mut self.nimbus).chain(&mut self.supervisors);
        folder::end(self.folder.path(), daemons.chain([&mut self.etcd]));
    }
}

fn new_authority(folder: &Path) {
    let made = Outcome::of(&["certs", "init", folder.to_str().expect("it is UTF-8")]);
    assert_eq!(made.code, 0, "{}", made.stderr);
}

/// The files of `who`: certificate, key, authorities.
fn files(folder: &Path, who: &str) -> [PathBuf; 3] {
    let tls = folder.join("tls").join(who);
    ["cert.pem", "key.pem", "ca.pem"].map(|name| tls.join(name))
}

fn flags(folder: &Path, who: &str) -> Vec<String> {
    let [cert, key, ca] = files(folder, who).map(|path| path.display().to_string());
    ["--tls-cert".into(), cert, "--tls-key".into(), key, "--tls-ca".into(), ca].into()
}

/// Issues a certificate, and puts it where `who` looks.
fn issue(folder: &Path, authority: &str, who: &str, hosts: &[&str]) {
    let from = folder.join(authority);
    let hosts = hosts.iter().flat_map(|host| ["--host", host]);
    let issue = ["certs", "issue", from.to_str().expect("it is UTF-8"), who];
    let issued = Outcome::of(&issue.into_iter().chain(hosts).collect::<Vec<_>>());
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    let [cert, key, ca] = files(folder, who);
    fs::create_dir_all(ca.parent().expect("it is in a folder")).expect("it can be made");
    let moved = fs::rename(from.join(format!("{who}-key.pem")), key)
        .and_then(|()| fs::rename(from.join(format!("{who}.pem")), cert));
    moved.expect("what was issued can be moved");
    if !ca.exists() {
        trust(folder, who, &[authority]);
    }
}

fn trust(folder: &Path, who: &str, authorities: &[&str]) {
    let read = |authority: &&str| fs::read_to_string(folder.join(authority).join("ca.pem"));
    let bundle: Result<String, _> = authorities.iter().map(read).collect();
    let [_, _, ca] = files(folder, who);
    let part = ca.with_extension("part");
    let written = fs::write(&part, bundle.expect("the authorities are there"));
    written.and_then(|()| fs::rename(part, ca)).expect("the file can be replaced");
}

/// Starts an etcd that wants certificates too.
fn start_etcd(machine: &Machine, folder: &Path, [client, peer]: &[String; 2]) -> Process {
    let binary = etcd_bin_vendored::etcd_bin_path().expect("there is an etcd for this system");
    let (client_url, peer_url) = (format!("https://{client}"), format!("http://{peer}"));
    let [cert, key, ca] = files(folder, "m0");
    let mut command = machine.command(binary);
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--name", "only", "--unsafe-no-fsync", "--client-cert-auth"])
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("only={peer_url}")])
        .arg("--cert-file")
        .arg(&cert)
        .arg("--key-file")
        .arg(&key)
        .arg("--trusted-ca-file")
        .arg(&ca);
    let etcd = Process::start(command, &new_log(folder, "etcd"));
    until("etcd listens", || TcpStream::connect(client).is_ok());
    etcd
}

/// What daemons need to reach the etcd.
fn etcd_flags(folder: &Path, [client, _]: &[String; 2]) -> [String; 8] {
    let [cert, key, ca] = files(folder, "m0").map(|path| path.display().to_string());
    let url = format!("https://{client}");
    let flags = ["--etcd", &url, "--etcd-ca", &ca, "--etcd-cert", &cert, "--etcd-key", &key];
    flags.map(str::to_owned)
}

/// Starts a nimbus or a supervisor on a machine.
fn start_daemon(
    machine: &Machine,
    folder: &Path,
    (number, kind): (usize, &str),
    store: &[String],
) -> Process {
    let listen = format!("{}:0", machine.address);
    let mut command = unset(machine.command(&program("squall")));
    command
        .args([kind, "--listen", &listen, "--data-dir"])
        .arg(folder.join(format!("{kind}-{number}")))
        .args(store)
        .args(flags(folder, &format!("m{number}")));
    match kind {
        "nimbus" => command.args(["--http", &listen]),
        _ => command.args(["--slots", "1", "--cores-per-worker", "1"]),
    };
    Process::start(command, &new_log(folder, &format!("m{number}-{kind}")))
}
