//! A TCP proxy between two processes: it delays, stalls, cuts, and goes silent, one way or both.
//!
//! It sits between processes without their doing: a supervisor that is started with `--advertise
//! 127.0.0.2 --worker-ports 7001-7001` sends its peers to the proxy on 127.0.0.2:7001, while its
//! worker listens on 127.0.0.1:7001. A TCP proxy cannot lose a packet; what a lost packet does to a
//! connection, a stall until it is sent again, it can do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use daemon::{Clock, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};

/// Pieces under way in one direction; more wait in the sender.
const PIECES_MAX: usize = 256;

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;

/// How long a lost packet holds up its connection: Linux sends again after 200 ms at the earliest.
const STALL: Duration = Duration::from_millis(200);

/// Ports that proxies may have, below those that systems hand out.
const PORTS: std::ops::Range<u16> = 21_000..29_000;

/// How many ports are tried.
const TRIES: u32 = 200;

/// What a direction does to what passes.
///
/// ```
/// use tests::Weather;
///
/// let lossy = Weather { stalls_percent: 5, ..Weather::default() };
/// assert!(!lossy.silent, "it comes through, only later");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Everything comes so much later.
    pub delay: Duration,
    /// And each piece by up to so much more; the order stays.
    pub jitter: Duration,
    /// How many of 100 pieces are held up as by a lost packet.
    pub stalls_percent: u32,
    /// Nothing passes, not even the end of a connection: its other end seems to be gone.
    pub silent: bool,
}

/// A direction through a [`Proxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From who connects.
    There,
    /// To who connects.
    Back,
}

/// A TCP proxy, taken down when it goes out of scope.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// let target = TcpListener::bind("127.0.0.1:0").unwrap();
/// let any = "127.0.0.1:0".parse().unwrap();
/// let proxy = tests::Proxy::start(any, target.local_addr().unwrap()).unwrap();
/// TcpStream::connect(proxy.address()).unwrap().write_all(b"through").unwrap();
/// let mut text = String::new();
/// target.accept().unwrap().0.read_to_string(&mut text).unwrap();
/// assert_eq!(text, "through");
/// ```
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: [watch::Sender<Weather>; 2],
    cuts: watch::Sender<usize>,
    refuses: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts a proxy that listens at one address and connects to another.
    ///
    /// # Errors
    ///
    /// If it cannot listen there.
    pub fn start(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(listen))?;
        let proxy = Self {
            address: listener.local_addr()?,
            weather: [watch::Sender::default(), watch::Sender::default()],
            cuts: watch::Sender::new(0),
            refuses: Arc::new(AtomicBool::new(false)),
            connections: Arc::new(AtomicUsize::new(0)),
            runtime: Some(runtime),
        };
        let weather = proxy.weather.clone();
        let (cuts, refuses) = (proxy.cuts.clone(), Arc::clone(&proxy.refuses));
        let connections = Arc::clone(&proxy.connections);
        let group = Shutdown::new();
        let carried = group.clone();
        let accept = async move {
            // An error here is the peer's: it hung up already.
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                if refuses.load(Ordering::Relaxed) {
                    continue;
                }
                let weather = [weather[0].subscribe(), weather[1].subscribe()];
                let mut cut = cuts.subscribe();
                let connections = Arc::clone(&connections);
                carried.spawn_until_asked(async move {
                    connections.fetch_add(1, Ordering::Relaxed);
                    tokio::select! {
                        () = carry(near, target, weather) => {}
                        _ = cut.changed() => {}
                    }
                    connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
        };
        let _inside = proxy.runtime.as_ref().map(Runtime::enter);
        // It ends with the runtime.
        group.spawn_until_asked(accept);
        Ok(proxy)
    }

    /// Starts proxies before the workers of a supervisor, by its number, and returns them with the
    /// flags that this supervisor needs.
    ///
    /// They have an address of their own, and the ports that its workers have on the usual one:
    /// Linux has all of 127.0.0.0/8 on loopback.
    ///
    /// # Panics
    ///
    /// If no ports are free.
    #[must_use]
    pub fn before_workers(supervisor: u8, slots: u16) -> (Vec<Self>, Vec<String>) {
        let before = IpAddr::V4(Ipv4Addr::new(127, 0, 1, supervisor + 1));
        let behind = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let start = |port: u16| {
            // Free for the worker too.
            drop(std::net::TcpListener::bind((behind, port)).ok()?);
            Self::start((before, port).into(), (behind, port).into()).ok()
        };
        for _ in 0..TRIES {
            let first = rand::random_range(PORTS);
            let proxies: Vec<Self> = (first..first + slots).map_while(start).collect();
            if proxies.len() == usize::from(slots) {
                let ports = format!("--worker-ports={first}-{}", first + slots - 1);
                return (proxies, vec![format!("--advertise={before}"), ports]);
            }
        }
        panic!("no {slots} ports in a row are free on {before}");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections go through it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Changes what one direction does, for connections that are there too.
    pub fn set(&self, way: Way, weather: Weather) {
        let at = if way == Way::There { 0 } else { 1 };
        self.weather[at].send_replace(weather);
    }

    /// Changes both directions.
    pub fn set_both(&self, weather: Weather) {
        self.set(Way::There, weather);
        self.set(Way::Back, weather);
    }

    /// Breaks every connection; what is in the proxy is gone. New ones go through.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks every connection and hangs up on new ones.
    pub fn take_down(&self) {
        self.refuses.store(true, Ordering::Relaxed);
        self.cut();
    }

    /// Lets new connections through, and everything pass as if there were no proxy.
    pub fn heal(&self) {
        self.refuses.store(false, Ordering::Relaxed);
        self.set_both(Weather::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn carry(near: TcpStream, target: SocketAddr, weather: [watch::Receiver<Weather>; 2]) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    // It must not add delays of its own; where that cannot be set it is only slower.
    drop((near.set_nodelay(true), far.set_nodelay(true)));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let [there, back] = weather;
    tokio::join!(one_way(near_in, far_out, there), one_way(far_in, near_out, back));
}

/// Carries one direction: what is read is written when its time has come.
async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: watch::Receiver<Weather>,
) {
    let clock = Clock::system();
    let (send, mut receive) = mpsc::channel(PIECES_MAX);
    let (mut above, mut below) = (weather.clone(), weather);
    let read = async {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            loud(&mut above).await;
            let Ok(length @ 1..) = from.read(&mut piece).await else { break };
            let due = clock.now() + above.borrow().late();
            if send.send((due, piece[..length].to_vec())).await.is_err() {
                break;
            }
        }
        drop(send);
    };
    let write = async {
        while let Some((due, piece)) = receive.recv().await {
            clock.sleep_until(due).await;
            loud(&mut below).await;
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        loud(&mut below).await;
        // Who is gone need not be told.
        drop(to.shutdown().await);
    };
    tokio::join!(read, write);
}

/// Waits until a direction is not silent.
async fn loud(weather: &mut watch::Receiver<Weather>) {
    // An error means that the proxy is gone, and this with it.
    drop(weather.wait_for(|weather| !weather.silent).await);
}

impl Weather {
    fn late(&self) -> Duration {
        let stalls = rand::random::<u32>() % 100 < self.stalls_percent;
        let stall = if stalls { STALL } else { Duration::ZERO };
        self.delay + self.jitter.mul_f64(rand::random::<f64>()) + stall
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use super::*;
    use crate::until;

    /// A proxy, and both ends of a connection through it.
    /// A proxy, the ends of a connection through it, and where it leads: while that listens, others
    /// get through.
    fn connected() -> (Proxy, net::TcpStream, net::TcpStream, net::TcpListener) {
        let target = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let proxy = Proxy::start(any, target.local_addr().unwrap()).unwrap();
        let near = net::TcpStream::connect(proxy.address()).unwrap();
        let (far, _) = target.accept().unwrap();
        for end in [&near, &far] {
            end.set_nonblocking(true).unwrap();
        }
        (proxy, near, far, target)
    }

    /// What can be read now.
    fn said(end: &mut net::TcpStream) -> Vec<u8> {
        let mut bytes = [0; 64];
        let length = end.read(&mut bytes).unwrap_or(0);
        bytes[..length].to_vec()
    }

    #[test]
    fn a_silent_direction_holds_everything_back_until_it_is_loud_again() {
        let (proxy, mut near, mut far, _target) = connected();
        proxy.set(Way::There, Weather { silent: true, ..Weather::default() });
        near.write_all(b"held").unwrap();
        far.write_all(b"passes").unwrap();
        until("the other direction passes", || said(&mut near) == b"passes");
        assert_eq!(said(&mut far), b"", "nothing came through");
        proxy.heal();
        until("it comes when the proxy is healed", || said(&mut far) == b"held");
    }

    #[test]
    fn what_is_delayed_comes_late_and_in_order() {
        let (proxy, mut near, mut far, _target) = connected();
        let slow = Weather {
            delay: Duration::from_millis(50),
            jitter: Duration::from_millis(20),
            ..Weather::default()
        };
        proxy.set_both(slow);
        let clock = Clock::system();
        let begun = clock.now();
        let mut heard = Vec::new();
        for word in [b"a", b"b", b"c"] {
            near.write_all(word).unwrap();
        }
        until("all of it comes", || {
            heard.extend(said(&mut far));
            heard == b"abc"
        });
        assert!(clock.now() - begun >= slow.delay, "it was not delayed");
    }

    #[test]
    fn a_proxy_that_is_cut_or_down_breaks_connections_and_heals() {
        let (proxy, mut near, _far, _target) = connected();
        until("it is counted", || proxy.connections() == 1);
        proxy.take_down();
        let mut byte = [0];
        let ended = |end: &mut net::TcpStream, byte: &mut [u8]| match end.read(byte) {
            Ok(length) => length == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        until("the connection ends", || ended(&mut near, &mut byte));
        let mut refused = net::TcpStream::connect(proxy.address()).unwrap();
        refused.set_nonblocking(true).unwrap();
        until("a new one is hung up on", || ended(&mut refused, &mut byte));
        assert_eq!(proxy.connections(), 0, "nothing goes through");
        proxy.heal();
        let healed = net::TcpStream::connect(proxy.address()).unwrap();
        until("one that comes later goes through", || proxy.connections() == 1);
        drop(healed);
    }
}
