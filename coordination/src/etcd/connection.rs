//! How a member of etcd is dialled.
//!
//! The client of etcd reads the files of TLS when it is made, so a change of them needs a restart.

use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use crate::store::Error;

/// How long a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Pings on a connection that is silent, to notice that its other end is gone. etcd hangs up on
/// who pings more often than every 5 s, or without an open call.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How long the answer to a ping may take.
const PING_MAX: Duration = Duration::from_secs(3);

/// How to dial these members.
///
/// # Errors
///
/// [`Error::Refused`] if a file cannot be read.
pub(super) fn options(urls: &[String], tls: &EtcdTls) -> Result<ConnectOptions, Error> {
    let options = ConnectOptions::new()
        .with_require_leader(true)
        .with_connect_timeout(CONNECT_MAX)
        .with_keep_alive(PING_INTERVAL, PING_MAX)
        .with_tcp_keepalive(PING_INTERVAL);
    // With TLS in its options the client would use it whatever the address says.
    let wanted = urls.iter().any(|url| url.starts_with("https://"));
    if wanted { Ok(options.with_tls(tls.options()?)) } else { Ok(options) }
}

/// What TLS towards etcd needs: files in PEM, read once.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// Certificates of the authorities that etcd's is from.
    pub ca: Option<PathBuf>,
    /// The certificate to show to etcd and its private key, where it wants to see one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl EtcdTls {
    /// Reads the files.
    fn options(&self) -> Result<TlsOptions, Error> {
        let read = |path: &PathBuf| {
            let unreadable =
                |error| Error::Refused(format!("cannot read {}: {error}", path.display()));
            std::fs::read(path).map_err(unreadable)
        };
        let mut options = TlsOptions::new();
        if let Some(ca) = &self.ca {
            options = options.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some((cert, key)) = &self.identity {
            options = options.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(options)
    }
}
