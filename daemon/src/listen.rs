//! Where a process listens, and whether it may.
//!
//! Secure unless told otherwise: whoever can reach a port of Squall can run programs, so anything
//! but loopback needs TLS, or the word that it shall go without. Each refusal says what, why, and
//! what to do.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::tls::Tls;

/// Who may be let in, and how this process speaks with others.
///
/// ```
/// use daemon::listen::Security;
///
/// assert_eq!(Security::default().name(), "loopback");
/// assert_eq!(Security::Insecure.scheme(), "http");
/// ```
#[derive(Clone, Debug, Default)]
pub enum Security {
    /// Nobody but this machine.
    #[default]
    Loopback,
    /// Everybody who can reach the address: the network is trusted, or something else guards it.
    Insecure,
    /// Everybody with a certificate of a trusted authority; on loopback too.
    Tls(Tls),
}

impl Security {
    /// Returns the TLS that every connection gets, if any.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Loopback | Self::Insecure => None,
        }
    }

    /// Returns how the status names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Insecure => "insecure",
            Self::Tls(_) => "tls",
        }
    }

    /// Returns what stands in front of the address of the status.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls().is_some() { "https" } else { "http" }
    }
}

/// Why a process cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can be reached from elsewhere, and nobody allowed that.
    #[error(
        "refused to listen on {0}: it can be reached from other machines, and whoever reaches it \
         can run programs on this one; give --tls-cert, --tls-key and --tls-ca (`squall certs` \
         makes what they need), or listen on a loopback address such as 127.0.0.1, or give \
         --insecure if the network is trusted"
    )]
    NotLoopback(IpAddr),
    /// Other processes have all the ports.
    #[error(
        "cannot listen on {0}: another process has the port; stop that process or choose another \
         port (0 takes any that is free)"
    )]
    Taken(ListenRange),
    /// The operating system says no.
    #[error("cannot listen on {address}: {source}; is that an address of this machine?")]
    System {
        /// The address that was tried.
        address: SocketAddr,
        /// What it says.
        source: io::Error,
    },
    /// It listens on every address of the machine, so nobody knows which one to dial.
    #[error(
        "{0} stands for every address of this machine, and others need one to dial: give \
         --advertise HOST with a name or an address by which they reach this machine"
    )]
    NothingToAdvertise(SocketAddr),
    /// The host to advertise is not a host.
    #[error("--advertise {0:?} is not a host: give a name or an address, without a port")]
    NotAHost(String),
    /// Others would dial it by a name that its certificate does not hold, and refuse it.
    #[error(
        "{} does not name {host:?}, by which others would dial this process, and they would refuse \
         it; issue a certificate for that host, or give --advertise HOST with a host that it names",
        cert.display()
    )]
    NotNamed {
        /// The host that others would dial.
        host: String,
        /// The file of the certificate.
        cert: PathBuf,
    },
}

/// An address and the ports that may be taken there: `ip:port` or `ip:first-last`.
///
/// ```
/// use daemon::listen::ListenRange;
///
/// let range: ListenRange = "127.0.0.1:6700-6703".parse().unwrap();
/// assert_eq!(range.addresses().count(), 4);
/// assert_eq!(range.to_string(), "127.0.0.1:6700-6703");
/// assert!("127.0.0.1:6703-6700".parse::<ListenRange>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenRange {
    ip: IpAddr,
    /// 0 means any that is free; then `last` is 0 as well.
    first: u16,
    /// Invariant: not less than `first`.
    last: u16,
}

/// A text that is no [`ListenRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address to listen on: give ip:port or ip:first-last, as 127.0.0.1:6700-6799"
)]
pub struct InvalidRange(pub String);

impl ListenRange {
    /// Returns the IP address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Lists the addresses, in the order in which they are tried.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let ip = self.ip;
        (self.first..=self.last).map(move |port| SocketAddr::new(ip, port))
    }
}

impl From<SocketAddr> for ListenRange {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), first: address.port(), last: address.port() }
    }
}

impl FromStr for ListenRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let invalid = || InvalidRange(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (head, last) = text.rsplit_once('-').ok_or_else(invalid)?;
        let first: SocketAddr = head.parse().map_err(|_| invalid())?;
        let last = last.parse().map_err(|_| invalid())?;
        if first.port() == 0 || first.port() > last {
            return Err(invalid());
        }
        Ok(Self { ip: first.ip(), first: first.port(), last })
    }
}

impl fmt::Display for ListenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::new(self.ip, self.first))?;
        if self.last == self.first { Ok(()) } else { write!(f, "-{}", self.last) }
    }
}

/// Refuses an address that others can reach, unless there is TLS or it was allowed to go without.
///
/// ```
/// use daemon::listen::{Security, check};
///
/// assert!(check([127, 0, 0, 1].into(), &Security::Loopback).is_ok());
/// let refused = check([0, 0, 0, 0].into(), &Security::Loopback).unwrap_err();
/// assert!(refused.to_string().contains("--tls-cert"));
/// assert!(check([0, 0, 0, 0].into(), &Security::Insecure).is_ok());
/// ```
///
/// # Errors
///
/// [`ListenError::NotLoopback`].
pub fn check(ip: IpAddr, security: &Security) -> Result<(), ListenError> {
    match security {
        Security::Insecure | Security::Tls(_) => Ok(()),
        Security::Loopback if ip.to_canonical().is_loopback() => Ok(()),
        Security::Loopback => Err(ListenError::NotLoopback(ip)),
    }
}

/// Listens on the first port of the range that is free.
///
/// ```
/// use daemon::listen::{ListenRange, Security, advertised, bind};
///
/// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
/// let any_port: ListenRange = "127.0.0.1:0".parse().unwrap();
/// let listener = bind(any_port, &Security::Loopback).await.unwrap();
/// let bound = listener.local_addr().unwrap();
/// assert_eq!(advertised(bound, None, &Security::Loopback).unwrap(), bound.to_string());
/// # });
/// ```
///
/// # Errors
///
/// [`ListenError::NotLoopback`], [`ListenError::Taken`] if no port is free, or
/// [`ListenError::System`] for anything else.
pub async fn bind(
    range: impl Into<ListenRange>,
    security: &Security,
) -> Result<TcpListener, ListenError> {
    let range = range.into();
    check(range.ip, security)?;
    for address in range.addresses() {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(ListenError::System { address, source }),
        }
    }
    Err(ListenError::Taken(range))
}

/// Says what others dial to reach a listener: the host to advertise, or else its own address.
///
/// ```
/// use daemon::listen::{Security, advertised};
///
/// let bound = "0.0.0.0:6627".parse().unwrap();
/// let address = |host| advertised(bound, host, &Security::Insecure);
/// assert_eq!(address(Some("nimbus.example.org")).unwrap(), "nimbus.example.org:6627");
/// assert_eq!(address(Some("2001:db8::7")).unwrap(), "[2001:db8::7]:6627");
/// assert!(address(None).unwrap_err().to_string().contains("--advertise"));
/// ```
///
/// # Errors
///
/// [`ListenError::NothingToAdvertise`], [`ListenError::NotAHost`], or [`ListenError::NotNamed`] if
/// our certificate does not hold for that host.
pub fn advertised(
    bound: SocketAddr,
    host: Option<&str>,
    security: &Security,
) -> Result<String, ListenError> {
    let address = to_dial(bound, host)?;
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    match security.tls() {
        Some(tls) if !tls.names(host) => {
            Err(ListenError::NotNamed { host: host.to_owned(), cert: tls.files().cert.clone() })
        }
        _ => Ok(address),
    }
}

fn to_dial(bound: SocketAddr, host: Option<&str>) -> Result<String, ListenError> {
    let Some(host) = host else {
        if bound.ip().is_unspecified() {
            return Err(ListenError::NothingToAdvertise(bound));
        }
        return Ok(bound.to_string());
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse() {
        return Ok(SocketAddr::new(ip, bound.port()).to_string());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(plain) {
        return Err(ListenError::NotAHost(host.to_owned()));
    }
    Ok(format!("{host}:{}", bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> ListenRange {
        text.parse().unwrap()
    }

    /// Two listeners on neighbouring ports, so that a range over both is taken.
    async fn neighbours() -> (TcpListener, TcpListener) {
        for _ in 0..100 {
            let first = bind(range("127.0.0.1:0"), &Security::Loopback).await.unwrap();
            let port = first.local_addr().unwrap().port();
            let Some(next) = port.checked_add(1) else { continue };
            let next = SocketAddr::from(([127, 0, 0, 1], next));
            if let Ok(second) = bind(next, &Security::Loopback).await {
                return (first, second);
            }
        }
        panic!("no two neighbouring ports are free");
    }

    #[test]
    fn only_loopback_is_allowed_unless_told_otherwise() {
        for ip in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(check(ip.parse().unwrap(), &Security::default()).is_ok(), "{ip}");
        }
        for ip in ["0.0.0.0", "::", "10.0.0.1", "192.168.1.1", "::ffff:10.0.0.1", "2001:db8::1"] {
            let refused = check(ip.parse().unwrap(), &Security::Loopback).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(ip) && text.contains("--insecure"), "what and fix: {text}");
            assert!(text.contains("reached from other machines"), "why: {text}");
            assert!(check(ip.parse().unwrap(), &Security::Insecure).is_ok(), "{ip}");
        }
    }

    #[tokio::test]
    async fn what_may_not_be_reached_is_not_bound() {
        let refused = bind(range("0.0.0.0:0"), &Security::Loopback).await;
        assert!(matches!(refused, Err(ListenError::NotLoopback(_))), "{refused:?}");
    }

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for text in ["127.0.0.1:0", "127.0.0.1:6700", "127.0.0.1:6700-6799", "[::1]:1-65535"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("127.0.0.1:7-7").to_string(), "127.0.0.1:7");
        for text in [
            "",
            "6700",
            "localhost:1",
            "127.0.0.1",
            "127.0.0.1:2-1",
            "127.0.0.1:0-5",
            "127.0.0.1:1-",
            "127.0.0.1:-1",
            "127.0.0.1:1-65536",
            "127.0.0.1:1-2-3",
        ] {
            let error = text.parse::<ListenRange>().unwrap_err();
            assert!(error.to_string().contains("ip:first-last"), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn the_first_free_port_of_a_range_is_taken() {
        let (first, second) = neighbours().await;
        let (low, high) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let both = range(&format!("{low}-{}", high.port()));
        drop(second);
        let again = bind(both, &Security::Loopback).await.unwrap();
        assert_eq!(again.local_addr().unwrap(), high);
    }

    #[tokio::test]
    async fn a_range_without_a_free_port_is_named() {
        let (first, second) = neighbours().await;
        let (low, high) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let both = range(&format!("{low}-{}", high.port()));
        let error = bind(both, &Security::Loopback).await.unwrap_err();
        assert!(matches!(error, ListenError::Taken(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&both.to_string()) && text.contains("another process"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        // From the block that is kept for documentation.
        let error = bind(range("192.0.2.1:0"), &Security::Insecure).await.unwrap_err();
        assert!(matches!(error, ListenError::System { .. }), "{error:?}");
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }

    #[test]
    fn what_is_advertised_can_be_dialled() {
        let bound = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(to_dial(bound, None).unwrap(), "127.0.0.1:80");
        assert_eq!(to_dial(bound, Some("10.1.2.3")).unwrap(), "10.1.2.3:80");
        assert_eq!(to_dial(bound, Some("[::1]")).unwrap(), "[::1]:80");
        for host in ["", "a:80", "http://a", "a b", "a/b"] {
            let error = to_dial(bound, Some(host)).unwrap_err();
            assert!(matches!(error, ListenError::NotAHost(_)), "{host}: {error:?}");
        }
        for bound in ["0.0.0.0:1", "[::]:1"] {
            let error = to_dial(bound.parse().unwrap(), None).unwrap_err();
            assert!(matches!(error, ListenError::NothingToAdvertise(_)), "{bound}: {error:?}");
        }
    }
}
