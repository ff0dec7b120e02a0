//! A fresh store for one scenario, and what can be done to it from outside.

use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coordination::{
    Change, Entry, Error, EtcdStore, Guard, LeaseId, MemoryStore, Operation, Revision, Store,
    Transaction, Watch,
};
use daemon::Clock;
use futures::StreamExt;
use tempfile::TempDir;

/// No scenario takes longer; one that does hangs.
const SCENARIO_MAX: Duration = Duration::from_secs(60);

/// A store and its surroundings.
pub(crate) struct Stand {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    kind: Kind,
}

enum Kind {
    Memory(MemoryStore),
    Etcd(Box<EtcdServer>),
}

impl Stand {
    pub(crate) fn in_memory() -> Self {
        let clock = Clock::manual();
        let store = MemoryStore::new(clock.clone());
        Self { store: Arc::new(store.clone()), clock, kind: Kind::Memory(store) }
    }

    pub(crate) async fn on_etcd() -> Self {
        let (server, store) = EtcdServer::start().await;
        let kind = Kind::Etcd(Box::new(server));
        Self { store: Arc::new(store), clock: Clock::system(), kind }
    }

    /// Runs a scenario, which must come to an end.
    pub(crate) async fn within<R>(&self, scenario: impl Future<Output = R>) -> R {
        tokio::time::timeout(SCENARIO_MAX, scenario).await.expect("the scenario hangs")
    }

    /// Waits for `condition` while time passes on this stand's clock.
    pub(crate) async fn until<R>(&self, condition: impl Future<Output = R>) -> R {
        let passing = async {
            loop {
                match &self.kind {
                    Kind::Memory(_) => {
                        self.clock.advance(Duration::from_millis(50));
                        tokio::task::yield_now().await;
                    }
                    Kind::Etcd(_) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            biased;
            answer = condition => answer,
            () = passing => unreachable!("time passes for ever"),
        }
    }

    /// Makes the store forget the changes before `revision`.
    pub(crate) async fn compact(&self, revision: Revision) {
        match &self.kind {
            Kind::Memory(store) => store.compact(revision),
            Kind::Etcd(server) => server.compact(revision).await,
        }
    }

    /// Takes the store away.
    pub(crate) fn stop(&self) {
        match &self.kind {
            Kind::Memory(store) => store.set_available(false),
            Kind::Etcd(server) => server.kill(),
        }
    }

    /// Brings it back.
    pub(crate) async fn resume(&self) {
        match &self.kind {
            Kind::Memory(store) => store.set_available(true),
            Kind::Etcd(server) => {
                server.spawn();
                server.connect().await.expect("etcd starts again");
            }
        }
    }

    pub(crate) async fn commit(
        &self,
        guards: Vec<Guard>,
        operations: Vec<Operation>,
    ) -> Result<Revision, Error> {
        self.store.commit(Transaction { guards, operations }).await
    }

    /// Puts one key in a transaction of its own.
    pub(crate) async fn put(&self, key: &str, value: &str) -> Revision {
        self.commit(vec![], vec![put(key, value)]).await.expect("a put without guards succeeds")
    }

    pub(crate) async fn delete(&self, key: &str) -> Revision {
        let delete = vec![Operation::Delete(key.to_owned())];
        self.commit(vec![], delete).await.expect("a delete without guards succeeds")
    }

    pub(crate) async fn get(&self, key: &str) -> Option<Entry> {
        self.store.get(key).await.expect("the store answers")
    }

    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let listing = self.store.list(prefix).await.expect("the store answers");
        listing.entries.into_iter().map(|entry| entry.key).collect()
    }

    pub(crate) async fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.store.watch(prefix, from).await.expect("the watch starts")
    }

    /// Reads `count` changes of a watch.
    pub(crate) async fn changes(&self, watch: &mut Watch, count: usize) -> Vec<Change> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let some = watch.next().await.expect("the watch goes on");
            seen.extend(some.expect("the watch does not fail"));
        }
        seen
    }
}

/// The operation that puts a key without a lease.
pub(crate) fn put(key: &str, value: &str) -> Operation {
    Operation::Put { key: key.to_owned(), value: value.into(), lease: None }
}

/// The operation that puts a key with a lease.
pub(crate) fn put_leased(key: &str, lease: LeaseId) -> Operation {
    Operation::Put { key: key.to_owned(), value: vec![], lease: Some(lease) }
}

/// What a watch shows when a key of this value was created.
pub(crate) fn created(key: &str, value: &str, revision: Revision) -> Change {
    let (key, value) = (key.to_owned(), value.into());
    Change::Put(Entry { key, value, created: revision, modified: revision })
}

/// What a watch shows when a key was deleted.
pub(crate) fn deleted(key: &str, revision: Revision) -> Change {
    Change::Deleted { key: key.to_owned(), revision }
}

/// A real etcd of one member, killed when dropped.
pub(crate) struct EtcdServer {
    child: Mutex<Child>,
    folder: TempDir,
    ports: [u16; 2],
}

impl EtcdServer {
    pub(crate) async fn start() -> (Self, EtcdStore) {
        // Somebody else may take a port between its choice and its use: then etcd ends at once.
        for _ in 0..5 {
            let folder = TempDir::new().expect("there is a folder for temporary files");
            let ports = free_ports();
            let child = Mutex::new(command(&folder, ports).spawn().expect("etcd can be run"));
            let server = Self { child, folder, ports };
            if let Ok(store) = server.connect().await {
                return (server, store);
            }
        }
        panic!("etcd did not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    pub(crate) async fn connect(&self) -> Result<EtcdStore, Error> {
        let mut answer = EtcdStore::connect(&[self.url()]).await;
        while answer.is_err() && matches!(self.child.lock().unwrap().try_wait(), Ok(None)) {
            answer = EtcdStore::connect(&[self.url()]).await;
        }
        answer
    }

    fn spawn(&self) {
        let again = command(&self.folder, self.ports).spawn().expect("etcd can be run");
        *self.child.lock().unwrap() = again;
    }

    /// Brings it back with nothing in it.
    pub(crate) async fn wipe(&self) {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("data")).expect("it is ours");
        self.spawn();
        self.connect().await.expect("etcd starts again");
    }

    fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        drop(child.kill());
        drop(child.wait());
    }

    async fn compact(&self, revision: Revision) {
        let client = etcd_client::Client::connect([self.url()], None).await;
        let mut client = client.expect("etcd answers");
        let revision = i64::try_from(revision).expect("few changes were made");
        client.compact(revision, None).await.expect("it can be compacted");
    }
}

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(folder: &TempDir, [client, peer]: [u16; 2]) -> Command {
    let log = File::options().create(true).append(true).open(folder.path().join("log"));
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let binary = etcd_bin_vendored::etcd_bin_path().expect("there is an etcd for this platform");
    let mut command = Command::new(binary);
    command
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .args(["--heartbeat-interval", "10", "--election-timeout", "100", "--name", "only"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("only={peer}")])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(log.expect("the folder can be written to"));
    command
}

fn free_ports() -> [u16; 2] {
    // Both are held until both are known, so that they differ.
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}
