//! TLS on every listener and channel, mutual, and read again while the process runs.
//!
//! Both ends show a certificate and look at the other's; whoever shows none, or one that is not
//! signed by a trusted authority, not in force, or (for who is dialled) another host's, is refused,
//! counted and named in the log. There is no switch to look away. When the files change, handshakes
//! from then on use what is in them; connections that stand stay. Files that cannot be used change
//! nothing but the log.

mod connection;
mod dial;
mod material;
mod refusals;
mod words;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info, warn};

pub use self::connection::Connection;
pub use self::material::{Files, TlsError, authorities};

use self::material::Material;
use self::refusals::Refusals;
use self::words::Reason;
use crate::accept::Protocol;
use crate::{Shutdown, Stamp};

/// The environment variable that names the file of the certificate.
pub const CERT_VARIABLE: &str = "SQUALL_TLS_CERT";

/// The environment variable that names the file of the private key.
pub const KEY_VARIABLE: &str = "SQUALL_TLS_KEY";

/// The environment variable that names the file of the trusted authorities.
pub const CA_VARIABLE: &str = "SQUALL_TLS_CA";

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long before its end a certificate is warned of.
const ENDS_SOON: Duration = Duration::from_hours(7 * 24);

/// How often it is looked whether the certificate ends soon, in looks at the files: once an hour.
const LOOKS_PER_WARNING: u32 = 1_800;

/// Who this process is and whom it trusts; a cheap handle.
///
/// [`grpc::connect`](crate::grpc::connect), [`grpc::incoming`](crate::grpc::incoming) and
/// [`accept::connections`](crate::accept::connections) take it as part of a
/// [`Security`](crate::listen::Security).
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    /// What the system said of the files before they were read first.
    opened: Seen,
    material: RwLock<Arc<Material>>,
    refusals: Refusals,
    /// Why changed files are not in use.
    problem: RwLock<Option<String>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.inner.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] if a file cannot be read, or if peers would refuse what is in them.
    pub fn open(files: Files) -> Result<Self, TlsError> {
        let opened = look(&files);
        let material = RwLock::new(Arc::new(Material::read(&files)?));
        let (refusals, problem) = (Refusals::default(), RwLock::default());
        let tls = Self { inner: Arc::new(Inner { files, opened, material, refusals, problem }) };
        tls.warn_of_its_end();
        let key = &tls.inner.files.key;
        if std::fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
            warn!(key = %key.display(), "every user of this machine can read our private key");
        }
        Ok(tls)
    }

    /// Reads the files again whenever they change, until `shutdown` is asked.
    pub fn follow(&self, shutdown: &Shutdown) {
        let tls = self.clone();
        shutdown.spawn_until_asked(async move {
            let mut seen = tls.inner.opened;
            for round in 1_u32.. {
                tokio::time::sleep(LOOK_EVERY).await;
                let files = tls.inner.files.clone();
                let now = tokio::task::spawn_blocking(move || look(&files)).await;
                let now = now.unwrap_or_default();
                if now != seen {
                    seen = now;
                    tls.read_again().await;
                } else if round % LOOKS_PER_WARNING == 0 {
                    tls.warn_of_its_end();
                }
            }
        });
    }

    async fn read_again(&self) {
        let files = self.inner.files.clone();
        let read = tokio::task::spawn_blocking(move || Material::read(&files)).await;
        let read = read.map_err(|error| error.to_string());
        let read = read.and_then(|read| read.map_err(|error| error.to_string()));
        let problem = match read {
            Ok(material) => {
                *self.inner.material.write().unwrap_or_else(PoisonError::into_inner) =
                    Arc::new(material);
                info!(cert = %self.inner.files.cert.display(), "TLS files read again");
                self.warn_of_its_end();
                None
            }
            Err(problem) => {
                error!(problem, "changed TLS files cannot be used: the earlier ones stay in use");
                Some(problem)
            }
        };
        *self.inner.problem.write().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn warn_of_its_end(&self) {
        let cert = self.inner.files.cert.display();
        if let Some(problem) = self.material().problem_in(Duration::ZERO) {
            error!(%cert, problem, "peers refuse our certificate: give us another one");
        } else if let Some(problem) = self.material().problem_in(ENDS_SOON) {
            warn!(%cert, problem, "peers will refuse our certificate within a week");
        }
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.inner.material.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the variables that tell a child process where the files are: paths, nothing secret.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let Files { cert, key, ca } = self.inner.files.clone();
        [(CERT_VARIABLE, cert), (KEY_VARIABLE, key), (CA_VARIABLE, ca)].into()
    }

    /// Returns where it was read from.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.inner.files
    }

    /// Tells whether our certificate holds for `host`, a name or an address.
    #[must_use]
    pub fn names(&self, host: &str) -> bool {
        self.material().names(host)
    }

    /// Returns how many connections were refused, by either end, for which reason; reasons that
    /// never came up are left out.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.inner.refusals.counts()
    }

    /// Returns what was wrong with the connection that was refused last, once.
    #[must_use]
    pub fn take_refusal(&self) -> Option<String> {
        self.inner.refusals.take()
    }

    /// Returns why changed files are not in use, while that is so.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.inner.problem.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shakes hands with who dialled.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        protocol: Protocol,
    ) -> io::Result<TlsStream<TcpStream>> {
        let material = self.material();
        let config = match protocol {
            Protocol::Http2 => &material.grpc,
            Protocol::Http1 { open: false } => &material.http,
            Protocol::Http1 { open: true } => &material.open_http,
            Protocol::Bytes { open: false } => &material.bytes,
            Protocol::Bytes { open: true } => &material.open_bytes,
        };
        TlsAcceptor::from(Arc::clone(config)).accept(stream).await
    }

    /// Notes a failed handshake with who dialled.
    pub(crate) fn refused(&self, peer: impl std::fmt::Display, problem: &io::Error) {
        self.note(&peer, Reason::of(problem), &words::of(problem));
    }

    /// Notes somebody who dialled and does not speak TLS.
    pub(crate) fn refused_plain(&self, peer: impl std::fmt::Display) {
        self.note(&peer, Reason::NotTls, "it does not speak TLS");
    }

    /// Notes somebody who dialled and did not shake hands in time.
    pub(crate) fn refused_slow(&self, peer: impl std::fmt::Display) {
        self.note(&peer, Reason::Slow, "it did not shake hands in time");
    }

    fn note(&self, peer: &dyn std::fmt::Display, reason: Reason, problem: &str) {
        self.inner.refusals.note(peer, reason, problem);
    }
}

/// What the system says of the three files; none of one that cannot be looked at.
type Seen = [Option<Stamp>; 3];

/// What the system says of the files: differs after every change.
fn look(files: &Files) -> Seen {
    let stamp = |path| Some(Stamp::of(&std::fs::metadata(path).ok()?));
    [&files.cert, &files.key, &files.ca].map(stamp)
}
