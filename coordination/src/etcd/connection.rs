//! How a member of etcd is dialled.
//!
//! The client of etcd takes what is in the files of TLS when it is made, so a change of them needs
//! another client.

use std::path::PathBuf;
use std::time::Duration;

use daemon::Stamp;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

use super::{ANSWER_BYTES_MAX, Member};
use crate::failover::Members;
use crate::store::Error;

/// How long a connection may take to stand.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Pings on a connection that is silent, to notice that its other end is gone. etcd hangs up on
/// who pings more often than every 5 s, or without an open call.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// How long the answer to a ping may take.
const PING_MAX: Duration = Duration::from_secs(3);

/// Where the members are, and which files say who is who.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) urls: Vec<String>,
    pub(super) tls: EtcdTls,
}

impl Site {
    /// Tells whether a member is dialled with TLS.
    pub(super) fn wants_tls(&self) -> bool {
        self.urls.iter().any(|url| url.starts_with("https://"))
    }

    /// How to dial the members.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if a file cannot be read.
    pub(super) fn options(&self) -> Result<ConnectOptions, Error> {
        let options = ConnectOptions::new()
            .with_require_leader(true)
            .with_connect_timeout(CONNECT_MAX)
            .with_keep_alive(PING_INTERVAL, PING_MAX)
            .with_tcp_keepalive(PING_INTERVAL);
        // With TLS in its options the client would use it whatever the address says.
        if self.wants_tls() { Ok(options.with_tls(self.tls.options()?)) } else { Ok(options) }
    }

    /// What the system says of the files: differs after every change.
    pub(super) async fn look(&self) -> Vec<Option<Stamp>> {
        let EtcdTls { ca, identity } = self.tls.clone();
        let look = move || {
            let identity = identity.into_iter().flat_map(|(cert, key)| [cert, key]);
            let stamp = |path: PathBuf| std::fs::metadata(path).ok().map(|it| Stamp::of(&it));
            ca.into_iter().chain(identity).map(stamp).collect()
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

/// Makes ready to dial the members; none is dialled yet.
///
/// # Errors
///
/// [`Error::Refused`] if an address makes no sense, there is none, or a file cannot be used.
pub(super) async fn members(site: &Site) -> Result<Members<Member>, Error> {
    let options = site.options()?;
    let mut members = Vec::new();
    for url in &site.urls {
        let client = Client::connect([url], Some(options.clone())).await;
        let client = client
            .map_err(|error| Error::Refused(format!("{url} is not an address of etcd: {error}")))?;
        members.push(Member {
            kv: client.kv_client().max_decoding_message_size(ANSWER_BYTES_MAX),
            watch: client.watch_client().max_decoding_message_size(ANSWER_BYTES_MAX),
            lease: client.lease_client(),
            maintenance: client.maintenance_client(),
        });
    }
    if members.is_empty() {
        return Err(Error::Refused("no address of etcd was given".to_owned()));
    }
    Ok(Members::new(members, format!("etcd at {}", site.urls.join(", "))))
}

/// What TLS towards etcd needs: files in PEM.
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
