//! Where a source listens, who may be let in, and the thread that serves it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use daemon::Shutdown;
use daemon::accept::{self, Protocol};
use daemon::listen::{ListenError, ListenRange, Security};
use daemon::tls::{Connection, Files, Tls};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_stream::StreamExt;
use topology_api::Error;

use crate::WrongOption;

/// How long what is under way may take when the task ends.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// Where a source listens, and who may be let in: loopback only, unless there is TLS or it was allowed
/// to go without. An address alone is one too.
///
/// ```
/// # #[cfg(feature = "push")] {
/// use connectors::Listen;
/// use connectors::push::{HttpIn, LinesIn};
///
/// let ours = Listen::new("0.0.0.0:8443").tls("node.pem", "node-key.pem", "ca.pem").connections_max(100);
/// assert!(HttpIn::new(ours).check().is_ok());
/// assert!(LinesIn::new("127.0.0.1:5170").check().is_ok());
/// let wrong = LinesIn::new("0.0.0.0:5170").check().unwrap_err();
/// assert_eq!(wrong.option(), "listen");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Listen {
    pub(crate) address: String,
    pub(crate) insecure: bool,
    pub(crate) tls: Option<Files>,
    /// Who shows no certificate is let in too.
    pub(crate) open: bool,
    pub(crate) connections: usize,
}

impl From<&str> for Listen {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

impl Listen {
    /// Listens on `ip:port`, or the first free port of `ip:first-last`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        let address = address.into();
        Self { address, insecure: false, tls: None, open: false, connections: 1_024 }
    }

    /// Speaks TLS with the certificate, the key and the authorities in these files; who shows no
    /// certificate of theirs is turned away, unless [`open`](Self::open) says otherwise.
    #[must_use]
    pub fn tls(
        mut self,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
        ca: impl AsRef<Path>,
    ) -> Self {
        self.tls = Some(Files::new(cert.as_ref(), key.as_ref(), ca.as_ref()));
        self
    }

    /// Lets in who shows no certificate too, where there is TLS. Not for a relay.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Allows an address that other machines reach without TLS: the network is trusted.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Sets how many may be connected at a time, 1024 unless this says otherwise; more wait.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Looks whether it makes sense, without touching the network.
    pub(crate) fn check(&self) -> Result<ListenRange, WrongOption> {
        let range: ListenRange = self.address.parse().map_err(|_| {
            let fix = "write `ip:port` or `ip:first-last`, as 127.0.0.1:8081";
            WrongOption::new("listen", &self.address, "it is no address to listen on", fix)
        })?;
        if !self.insecure && self.tls.is_none() && !range.ip().to_canonical().is_loopback() {
            return Err(WrongOption::new(
                "listen",
                &self.address,
                "it can be reached from other machines, and nothing says who may",
                "use `tls(..)`, or a loopback address, or `insecure()` if the network is trusted",
            ));
        }
        if self.connections == 0 {
            let fix = "allow at least one";
            return Err(WrongOption::new("connections_max", 0, "nobody could connect", fix));
        }
        Ok(range)
    }

    pub(crate) fn security(&self) -> Result<Security, WrongOption> {
        match &self.tls {
            Some(files) => Ok(Security::Tls(open_tls(files)?)),
            None if self.insecure => Ok(Security::Insecure),
            None => Ok(Security::Loopback),
        }
    }

    /// Takes the port.
    pub(crate) async fn bind(&self, security: &Security) -> Result<TcpListener, WrongOption> {
        let range = self.check()?;
        daemon::listen::bind(range, security).await.map_err(|error| self.not_bound(&error))
    }

    fn not_bound(&self, error: &ListenError) -> WrongOption {
        let (why, fix) = match error {
            ListenError::Taken(_) => (
                "another process has the port".to_owned(),
                "stop that process, or choose another port or a range of ports",
            ),
            other => (other.to_string(), "choose an address of the machine that runs the task"),
        };
        WrongOption::new("listen", &self.address, why, fix)
    }
}

/// Reads the files of one end of a connection with TLS.
pub(crate) fn open_tls(files: &Files) -> Result<Tls, WrongOption> {
    Tls::open(files.clone()).map_err(|error| {
        let fix = "`squall certs` makes what is needed";
        WrongOption::new("tls", files.cert.display(), error.to_string(), fix)
    })
}

/// A thread that serves a source; ends when this is dropped.
pub(crate) struct Server {
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a thread with so many helpers, makes what `open` makes on it, and serves that.
    pub(crate) fn start<O, V>(name: &str, threads: usize, open: O) -> Result<(Self, V), Error>
    where
        O: AsyncFnOnce(&Shutdown) -> Result<V, Error> + Send + 'static,
        V: Send + 'static,
    {
        let shutdown = Shutdown::new();
        let (asked, (told, hear)) = (shutdown.clone(), mpsc::channel());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut builder = match threads {
                0 | 1 => tokio::runtime::Builder::new_current_thread(),
                _ => tokio::runtime::Builder::new_multi_thread(),
            };
            let runtime = builder.worker_threads(threads.max(1)).enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    told.send(Err(Error::from(error))).ok();
                    return;
                }
            };
            runtime.block_on(async {
                let opened = open(&asked).await;
                let works = opened.is_ok();
                if told.send(opened).is_ok() && works {
                    asked.asked().await;
                    asked.wait(GRACE).await.ok();
                }
            });
            runtime.shutdown_timeout(GRACE);
        })?;
        let server = Self { shutdown, thread: Some(thread) };
        match hear.recv() {
            Ok(opened) => Ok((server, opened?)),
            Err(_) => Err("the thread that serves has ended".into()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.ask();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            thread.join().ok();
        }
    }
}

/// Takes connections, so many at a time, and serves each in a task of its own.
pub(crate) async fn serve<F>(
    listen: &Listen,
    protocol: Protocol,
    shutdown: &Shutdown,
    mut each: impl FnMut(Connection) -> F + Send + 'static,
) -> Result<SocketAddr, Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let security = listen.security()?;
    let listener = listen.bind(&security).await?;
    let address = listener.local_addr()?;
    if let Some(tls) = security.tls() {
        tls.follow(shutdown);
    }
    let mut accepted = accept::connections(listener, protocol, &security, shutdown);
    let places = Arc::new(Semaphore::new(listen.connections));
    let asked = shutdown.clone();
    shutdown.spawn_until_asked(async move {
        while let Some(connection) = accepted.next().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok(connection) = connection else { continue };
            let served = each(connection);
            asked.spawn(async move {
                served.await;
                drop(place);
            });
        }
    });
    Ok(address)
}
