//! What three files make of TLS: checked once, then read by every handshake.
//!
//! Both ends show a certificate that the authority signed, so one certificate has to do for
//! answering and for dialling. Sessions are never resumed: a resumed one would skip the look at the
//! certificate, and handshakes are rare here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::client::{
    Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{
    NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier,
};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

use super::words;

/// Largest file that is read: a bundle of a few hundred certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The files that say who a process is and whom it trusts, in PEM.
///
/// ```
/// let files = daemon::tls::Files::new("node.pem", "node-key.pem", "ca.pem");
/// assert!(daemon::tls::Tls::open(files).is_err(), "there are no such files");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate that is shown to others, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of the authorities that are trusted; two while one takes the place of another.
    pub ca: PathBuf,
}

impl Files {
    /// Names the files; their paths become absolute, because workers run in folders of their own.
    pub fn new(cert: impl AsRef<Path>, key: impl AsRef<Path>, ca: impl AsRef<Path>) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            cert: absolute(cert.as_ref()),
            key: absolute(key.as_ref()),
            ca: absolute(ca.as_ref()),
        }
    }
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {wanted}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The key is another certificate's.
    #[error("{} is not the key of {}: {problem}", key.display(), cert.display())]
    NotItsKey {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Every peer would refuse the certificate.
    #[error(
        "peers would refuse {}: {problem} (it must be signed by an authority in {}, be in force \
         now, and serve for servers and clients)",
        cert.display(), ca.display()
    )]
    Untrusted {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the authorities.
        ca: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What the files hold, ready for handshakes.
#[derive(Debug)]
pub(super) struct Material {
    /// For gRPC.
    pub(super) grpc: Arc<ServerConfig>,
    /// For HTTP/1.
    pub(super) http: Arc<ServerConfig>,
    /// For HTTP/1 that may be read without a certificate.
    pub(super) open_http: Arc<ServerConfig>,
    /// For bytes of any kind.
    pub(super) bytes: Arc<ServerConfig>,
    /// For bytes of any kind from who needs no certificate.
    pub(super) open_bytes: Arc<ServerConfig>,
    /// For dialling.
    pub(super) client: Arc<ClientConfig>,
    chain: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Material {
    /// Reads the files, and refuses what peers would refuse.
    pub(super) fn read(files: &Files) -> Result<Self, TlsError> {
        let chain = certificates(&files.cert)?;
        let roots = Arc::new(roots(&files.ca)?);
        let key = private_key(&files.key)?;
        let provider = Arc::new(ring::default_provider());
        let no_roots = |error: &dyn std::error::Error| TlsError::Content {
            path: files.ca.clone(),
            wanted: "certificates of authorities",
            problem: error.to_string(),
        };
        let builder = || {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        };
        let verifier = builder().build().map_err(|error| no_roots(&error))?;
        let lenient =
            builder().allow_unauthenticated().build().map_err(|error| no_roots(&error))?;
        let own = Own { chain: &chain, key: &key, files, provider: &provider };
        let material = Self {
            grpc: own.server(&verifier, b"h2")?,
            http: own.server(&verifier, b"http/1.1")?,
            open_http: own.server(&lenient, b"http/1.1")?,
            bytes: own.server(&verifier, b"")?,
            open_bytes: own.server(&lenient, b"")?,
            client: own.client(&roots)?,
            chain,
            roots,
            verifier,
        };
        material.check(UnixTime::now()).map_err(|problem| TlsError::Untrusted {
            cert: files.cert.clone(),
            ca: files.ca.clone(),
            problem,
        })?;
        Ok(material)
    }

    /// Looks at the own certificate as peers do.
    fn check(&self, now: UnixTime) -> Result<(), String> {
        let (own, between) = (&self.chain[0], &self.chain[1..]);
        let as_server = || {
            let parsed = ParsedCertificate::try_from(own)?;
            let algorithms = ring::default_provider().signature_verification_algorithms.all;
            let (roots, now) = (&self.roots, now);
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, between, now, algorithms)
        };
        as_server().map_err(|error| words::of_own(&error))?;
        let as_client = self.verifier.verify_client_cert(own, between, now);
        as_client.map(drop).map_err(|error| words::of_own(&error))
    }

    /// Says what peers will have against the own certificate at a later time.
    pub(super) fn problem_in(&self, later: Duration) -> Option<String> {
        let then = UnixTime::now().as_secs() + later.as_secs();
        self.check(UnixTime::since_unix_epoch(Duration::from_secs(then))).err()
    }

    /// Tells whether the own certificate holds for a host.
    pub(super) fn names(&self, host: &str) -> bool {
        let parsed = ParsedCertificate::try_from(&self.chain[0]);
        let (Ok(parsed), Ok(name)) = (parsed, server_name(host)) else { return false };
        verify_server_name(&parsed, &name).is_ok()
    }
}

/// The name that a host's certificate must hold; brackets around an IPv6 address do not count.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    Ok(ServerName::try_from(bare).map_err(wrong)?.to_owned())
}

/// What a process shows of itself.
struct Own<'a> {
    chain: &'a [CertificateDer<'static>],
    key: &'a PrivateKeyDer<'static>,
    files: &'a Files,
    provider: &'a Arc<CryptoProvider>,
}

impl Own<'_> {
    fn server(
        &self,
        verifier: &Arc<dyn ClientCertVerifier>,
        protocol: &[u8],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(self.provider))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(Arc::clone(verifier));
                builder.with_single_cert(self.chain.to_vec(), self.key.clone_key())
            })
            .map_err(|error| self.not_its_key(&error))?;
        // Bytes of any kind have no name.
        let named = (!protocol.is_empty()).then(|| protocol.to_vec());
        config.alpn_protocols = named.into_iter().collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn client(&self, roots: &Arc<RootCertStore>) -> Result<Arc<ClientConfig>, TlsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(self.provider))
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.with_root_certificates(Arc::clone(roots));
                builder.with_client_auth_cert(self.chain.to_vec(), self.key.clone_key())
            })
            .map_err(|error| self.not_its_key(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn not_its_key(&self, error: &rustls::Error) -> TlsError {
        TlsError::NotItsKey {
            key: self.files.key.clone(),
            cert: self.files.cert.clone(),
            problem: error.to_string(),
        }
    }
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
        }
        std::fs::read(path)
    };
    read().map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |problem: String| TlsError::Content {
        path: path.to_owned(),
        wanted: "certificate in PEM",
        problem,
    };
    let text = content(path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() { Err(bad("there is none".to_owned())) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Content {
            path: path.to_owned(),
            wanted: "certificates of authorities",
            problem: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// Reads a file of authorities whom others than peers are to be known by, and returns it as it is.
///
/// # Errors
///
/// If it cannot be read, or is no such file.
///
/// ```
/// let error = daemon::tls::authorities("/no/such/ca.pem".as_ref()).unwrap_err();
/// assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
/// ```
pub fn authorities(path: &Path) -> Result<Vec<u8>, TlsError> {
    roots(path)?;
    content(path)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    // What the parser says of it stays out of the message: nothing of a key belongs in a log.
    PrivateKeyDer::from_pem_slice(&content(path)?).map_err(|_| TlsError::Content {
        path: path.to_owned(),
        wanted: "private key in PEM",
        problem: "there is none that can be read (an encrypted key cannot be used)".to_owned(),
    })
}
