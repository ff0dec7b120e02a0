//! Accepting connections so that no stranger can starve those who are none.
//!
//! gRPC's own loop tries again at once when the process is out of file descriptors, which on a
//! single thread would stop everything else, and like HTTP's it waits for ever for the beginning of
//! a connection. Here an error is waited out, and whoever does not open as the protocol wants it,
//! soon and whole, is hung up on before the server hears of it; with TLS that includes the handshake.
//! From then on pings watch over a gRPC connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tracing::{debug, warn};

use crate::Shutdown;
use crate::listen::Security;
use crate::tls::{Connection, Tls};

/// Most connections that have not opened yet; more wait in the backlog of the system.
const OPENING_MAX: usize = 256;

/// How long an opening may take. On every protocol here the one who dials speaks first.
const OPENING_TIME: Duration = Duration::from_secs(2);

/// How often an opening that has begun is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long to wait after an error; most are a lack of file descriptors, which takes time.
const PAUSE: Duration = Duration::from_millis(100);

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest frame of settings that somebody opens with: there are six settings of six bytes.
const SETTINGS_BYTES_MAX: usize = 1 << 10;

/// The longest request line and headers.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How a connection opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// With the preface and a frame of settings, as gRPC does.
    Http2,
    /// With a request line and headers.
    Http1 {
        /// Whether who shows no certificate is let in as well, where there is TLS.
        open: bool,
    },
    /// With nothing that could be known: whoever connects is let in, after the handshake if there is
    /// TLS, and may say nothing for as long as it likes.
    Bytes {
        /// Whether who shows no certificate is let in as well, where there is TLS.
        open: bool,
    },
}

/// What is to be thought of the first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Whole,
    Begun,
    Wrong,
}

/// The connections of a listener that have opened as they should.
#[must_use]
pub fn connections(
    listener: TcpListener,
    protocol: Protocol,
    security: &Security,
    shutdown: &Shutdown,
) -> ReceiverStream<io::Result<Connection>> {
    let (accepted, connections) = mpsc::channel(OPENING_MAX);
    let tls = security.tls().cloned();
    let door = Door { protocol, tls, accepted, shutdown: shutdown.clone() };
    shutdown.spawn_until_asked(door.accept(listener));
    ReceiverStream::new(connections)
}

/// Where connections come in.
#[derive(Clone)]
struct Door {
    protocol: Protocol,
    tls: Option<Tls>,
    accepted: mpsc::Sender<io::Result<Connection>>,
    shutdown: Shutdown,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let opening = Arc::new(Semaphore::new(OPENING_MAX));
        loop {
            let Ok(place) = Arc::clone(&opening).acquire_owned().await else { return };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(problem) => {
                    warn!(%problem, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let door = self.clone();
            self.shutdown.spawn_until_asked(async move {
                let opened = timeout(OPENING_TIME, door.open(stream, peer)).await;
                if opened.is_err()
                    && let Some(tls) = &door.tls
                {
                    tls.refused_slow(peer);
                }
                let Some(connection) = opened.ok().flatten() else { return };
                if door.accepted.send(Ok(connection)).await.is_err() {
                    debug!("a connection came while the server stopped");
                }
                drop(place);
            });
        }
    }

    /// Waits for the opening; none if it is not what it should be.
    async fn open(&self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        stream.set_nodelay(true).ok()?;
        let is_open = matches!(self.protocol, Protocol::Bytes { .. });
        match &self.tls {
            None if is_open => Some(Connection::plain(stream, peer)),
            None => opens(&stream, self.protocol).await.then(|| Connection::plain(stream, peer)),
            Some(tls) => self.open_tls(tls, stream, peer).await,
        }
    }

    async fn open_tls(&self, tls: &Tls, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let mut first = [0];
        if stream.peek(&mut first).await.ok()? == 0 {
            return None;
        }
        if first[0] != HANDSHAKE {
            tls.refused_plain(peer);
            if matches!(self.protocol, Protocol::Bytes { .. }) {
                return None;
            }
            // It may hang up before it has read that.
            timeout(OPENING_TIME / 2, explain(stream)).await.ok();
            return None;
        }
        let mut stream = match tls.accept(stream, self.protocol).await {
            Ok(stream) => stream,
            Err(problem) => {
                tls.refused(peer, &problem);
                return None;
            }
        };
        if matches!(self.protocol, Protocol::Bytes { .. }) {
            return Some(Connection::tls(stream, peer, Vec::new()));
        }
        let mut seen = vec![0; self.protocol.opening_bytes_max()];
        let mut length = 0;
        while let bytes @ 1.. = stream.read(&mut seen[length..]).await.ok()? {
            length += bytes;
            match self.protocol.judge(&seen[..length]) {
                Opening::Begun => {}
                Opening::Wrong => break,
                Opening::Whole => {
                    seen.truncate(length);
                    return Some(Connection::tls(stream, peer, seen));
                }
            }
        }
        None
    }
}

/// How who speaks without TLS where it is wanted is told so.
pub const WANTS_TLS: &str = "this port speaks TLS";

/// What a TLS handshake begins with.
const HANDSHAKE: u8 = 0x16;

/// What who speaks HTTP/2 without TLS is told: no settings, then that it shall go, because its
/// security is inadequate (RFC 9113, 2022, sections 6.8 and 7).
fn wants_tls_2() -> Vec<u8> {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GO_AWAY: &[u8] = &[7, 0, 0, 0, 0, 0];
    const LAST_STREAM: &[u8] = &[0; 4];
    const INADEQUATE_SECURITY: &[u8] = &[0, 0, 0, 12];
    let length = [0, 0, 8 + WANTS_TLS.len() as u8];
    let text = WANTS_TLS.as_bytes();
    [SETTINGS, &length, GO_AWAY, LAST_STREAM, INADEQUATE_SECURITY, text].concat()
}

/// What who speaks HTTP/1 without TLS is told.
fn wants_tls_1() -> Vec<u8> {
    let text = format!("{WANTS_TLS}: ask with https:// in front\n");
    let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain";
    format!("{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

/// Tells somebody who does not speak TLS that it should.
async fn explain(mut stream: TcpStream) {
    let mut bytes = vec![0; HEAD_BYTES_MAX];
    let Ok(length) = stream.read(&mut bytes).await else { return };
    let is_http2 = bytes[..length].starts_with(PREFACE);
    let answer = if is_http2 { wants_tls_2() } else { wants_tls_1() };
    if stream.write_all(&answer).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    // What is unread when the socket is closed would take the answer with it.
    while let Ok(1..) = stream.read(&mut bytes).await {}
}

/// Waits for the opening, and leaves it where it is.
async fn opens(stream: &TcpStream, protocol: Protocol) -> bool {
    let mut bytes = vec![0; protocol.opening_bytes_max()];
    loop {
        let Ok(seen @ 1..) = stream.peek(&mut bytes).await else { return false };
        match protocol.judge(&bytes[..seen]) {
            Opening::Whole => return true,
            Opening::Wrong => return false,
            // What was seen stays, so waiting for the socket would return at once.
            Opening::Begun => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

impl Protocol {
    fn opening_bytes_max(self) -> usize {
        match self {
            Self::Http2 => PREFACE.len() + FRAME_HEAD_BYTES + SETTINGS_BYTES_MAX,
            Self::Http1 { .. } => HEAD_BYTES_MAX,
            Self::Bytes { .. } => 0,
        }
    }

    fn judge(self, bytes: &[u8]) -> Opening {
        match self {
            Self::Http2 => http2(bytes),
            Self::Http1 { .. } => http1(bytes),
            Self::Bytes { .. } => Opening::Whole,
        }
    }
}

/// Length of what stands before the payload of an HTTP/2 frame.
const FRAME_HEAD_BYTES: usize = 9;

/// Judges the opening of an HTTP/2 connection: the preface, then the settings of the other side.
fn http2(bytes: &[u8]) -> Opening {
    const SETTINGS: u8 = 4;
    let common = bytes.len().min(PREFACE.len());
    if bytes[..common] != PREFACE[..common] {
        return Opening::Wrong;
    }
    let frame = &bytes[common..];
    let &[high, middle, low, kind, _, a, b, c, d, ref payload @ ..] = frame else {
        return Opening::Begun;
    };
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    if kind != SETTINGS || [a, b, c, d] != [0; 4] || length > SETTINGS_BYTES_MAX {
        return Opening::Wrong;
    }
    if payload.len() < length { Opening::Begun } else { Opening::Whole }
}

/// Judges the opening of an HTTP/1 connection: a method, and all headers.
fn http1(bytes: &[u8]) -> Opening {
    // A server that can do both would take the preface for the beginning of HTTP/2, and wait.
    if !bytes.first().is_some_and(u8::is_ascii_uppercase) || bytes.starts_with(b"PRI ") {
        return Opening::Wrong;
    }
    if bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        return Opening::Whole;
    }
    if bytes.len() < HEAD_BYTES_MAX { Opening::Begun } else { Opening::Wrong }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_2_opens_with_its_preface_and_settings() {
        let settings = |length: u8| [&[0, 0, length, 4, 0][..], &[0; 4]].concat();
        let whole = [PREFACE, &settings(6), &[0; 6]].concat();
        assert_eq!(http2(&whole), Opening::Whole);
        assert_eq!(http2(&[&whole[..], b"more"].concat()), Opening::Whole);
        assert_eq!(http2(&[PREFACE, &settings(0)].concat()), Opening::Whole, "no settings");
        for end in 0..whole.len() {
            assert_eq!(http2(&whole[..end]), Opening::Begun, "{end} bytes");
        }
        for wrong in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0xff; 4],
            [PREFACE, &[0xff; 9]].concat(),
            [PREFACE, &[0, 0, 0, 6, 0, 0, 0, 0, 0]].concat(),
            [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 1]].concat(),
        ] {
            assert_eq!(http2(&wrong), Opening::Wrong, "{wrong:?}");
        }
    }

    #[test]
    fn http_1_opens_with_a_method_and_all_headers() {
        assert_eq!(http1(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), Opening::Whole);
        assert_eq!(http1(b"GET / HTTP/1.1\r\nhost: x\r\n"), Opening::Begun);
        assert_eq!(http1(&[0xff; 4]), Opening::Wrong);
        assert_eq!(http1(PREFACE), Opening::Wrong, "this is HTTP/2");
        assert_eq!(http1(&[b'A'; HEAD_BYTES_MAX]), Opening::Wrong, "it does not end");
    }
}
