//! Where a worker listens: an address and a range of ports.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use tokio::net::TcpListener;

/// An address and the ports to try, in order; port 0 is any free one.
///
/// ```
/// use worker::transport::Listen;
///
/// let listen: Listen = "127.0.0.1:6700-6799".parse().unwrap();
/// assert_eq!(listen.ports, 6700..=6799);
/// assert_eq!(listen.to_string(), "127.0.0.1:6700-6799");
///
/// let any: Listen = "[::1]:0".parse().unwrap();
/// assert_eq!(any.to_string(), "[::1]:0");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address of this machine.
    pub ip: IpAddr,
    /// Ports to try.
    pub ports: RangeInclusive<u16>,
}

/// A text does not say where to listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `ip:port` or `ip:first-last`")]
pub struct ListenError(String);

impl Listen {
    /// Listens on the first port of the range that is free.
    pub(super) async fn bind(&self) -> io::Result<TcpListener> {
        let mut problem =
            io::Error::new(io::ErrorKind::InvalidInput, "the range of ports is empty");
        for port in self.ports.clone() {
            match TcpListener::bind((self.ip, port)).await {
                Ok(listener) => return Ok(listener),
                Err(taken) => problem = taken,
            }
        }
        Err(problem)
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (ip, ports) = text.rsplit_once(':')?;
            let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let ports = first.parse().ok()?..=last.parse().ok()?;
            Some(Self { ip: bare.unwrap_or(ip).parse().ok()?, ports })
        };
        parse().ok_or_else(|| ListenError(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.ports.start(), self.ports.end());
        f.write_str(&host_and_port(&self.ip.to_string(), *first))?;
        if first == last { Ok(()) } else { write!(f, "-{last}") }
    }
}

/// Puts brackets around the host if it is an IPv6 address.
pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
