//! Syslog messages, over TCP and UDP.

mod dates;
mod old;
mod parse;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::UdpSocket;
use topology_api::{Context, Counter, Error, Text, Tuple};

use super::framing::Framing;
use super::lines::listening;
use super::stream::{Limits, Read, Streams, TOGETHER};
use crate::WrongOption;
use crate::buffer::BufferOptions;
use crate::intake::listen::{Listen, Server};
use crate::intake::{PushSpout, tell_address};

pub use self::parse::parse;

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// A syslog message.
///
/// ```
/// use connectors::push::SyslogMessage;
/// use std::time::SystemTime;
///
/// let text = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - It began";
/// let message = SyslogMessage::parse(text, SystemTime::UNIX_EPOCH);
/// assert_eq!((message.facility, message.severity), (20, 5));
/// assert_eq!((&*message.host, &*message.app, &*message.text), ("mymachine.example.com", "evntslog", "It began"));
/// assert!(message.is_parsed());
/// let raw = SyslogMessage::parse(b"nothing of the kind", SystemTime::UNIX_EPOCH);
/// assert_eq!((&*raw.format, &*raw.text), ("raw", "nothing of the kind"));
/// ```
#[derive(Clone, Debug, PartialEq, Tuple)]
pub struct SyslogMessage {
    /// `rfc5424`, `rfc3164`, or `raw` for what is neither.
    pub format: Text,
    /// Who says it: 0 kernel, 1 user, ... 23 local7; 1 if nothing says.
    pub facility: u8,
    /// How bad it is: 0 emergency, ... 7 debug; 5, notice, if nothing says.
    pub severity: u8,
    /// When it was written, in milliseconds since 1970; none if it does not say. A time without a year
    /// or a zone, as RFC 3164 has them, is taken for UTC and for the year that is nearest.
    pub time_ms: Option<i64>,
    /// The machine; empty if it does not say.
    pub host: Text,
    /// The program, as the two ones below; empty if it does not say.
    pub app: Text,
    /// The process.
    pub process: Text,
    /// The kind of message.
    pub message_id: Text,
    /// Structured data, as it was written: `[id name="value"]...`; empty if there is none.
    pub data: Text,
    /// What it says. Bytes that are no UTF-8 are replaced.
    pub text: Text,
}

impl SyslogMessage {
    /// Reads a message, whichever of the formats it has; `now` tells the year.
    #[must_use]
    pub fn parse(bytes: &[u8], now: SystemTime) -> Self {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        parse(bytes, i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    /// Tells whether it has one of the formats.
    #[must_use]
    pub fn is_parsed(&self) -> bool {
        &*self.format != "raw"
    }
}

/// Takes syslog messages over TCP (RFC 6587, lines or counted) or UDP (RFC 5426), written as RFC 5424
/// or RFC 3164 say.
///
/// ```
/// use connectors::push::{SyslogIn, SyslogMessage};
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("collect");
/// let messages = t.spout("syslog", |cx| SyslogIn::tcp("127.0.0.1:1514").messages(cx)).stream();
/// t.for_each("show", |it: SyslogMessage| println!("{}: {}", it.host, it.text)).shuffle(&messages);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct SyslogIn {
    listen: Listen,
    limits: Limits,
    udp: bool,
}

impl SyslogIn {
    /// Listens for connections there, on `ip:port`, or the first free port of `ip:first-last`. Its TLS is
    /// that of RFC 5425.
    #[must_use]
    pub fn tcp(listen: impl Into<Listen>) -> Self {
        let limits = Limits { line_bytes: DATAGRAM_BYTES_MAX, ..Limits::default() };
        Self { listen: listen.into(), limits, udp: false }
    }

    /// Listens for datagrams. They are lost where there is no room, and forged by whoever likes.
    #[must_use]
    pub fn udp(listen: impl Into<Listen>) -> Self {
        Self { udp: true, ..Self::tcp(listen) }
    }

    /// Keeps messages in a buffer on disk until they are processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.limits.buffer = Some(options);
        self
    }

    /// Sets how many bytes a message may have, 64 KiB unless this says otherwise; what is longer is cut.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.line_bytes = bytes;
        self
    }

    /// Sets how many messages may be without a verdict, 10 000 unless this says otherwise; then nothing
    /// more is read, and datagrams are dropped. With a buffer its size counts instead.
    #[must_use]
    pub fn pending_max(mut self, messages: usize) -> Self {
        self.limits.pending = messages;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        let listen = &self.listen;
        if self.udp && listen.tls.is_some() {
            let fix = "use `SyslogIn::tcp`, or leave `tls` out";
            return Err(WrongOption::new("tls", &listen.address, "datagrams have no TLS", fix));
        }
        listen.check()?;
        self.limits.check("message_bytes_max")
    }

    /// Listens. What is no syslog message is emitted as a raw one, and counted.
    ///
    /// # Errors
    ///
    /// A wrong option, a port that is taken, a buffer that cannot be read.
    pub fn messages(&self, cx: &Context) -> Result<PushSpout<SyslogMessage>, Error> {
        self.check()?;
        let (raw, clock) = (cx.counter("raw"), cx.clone());
        let read: Read<SyslogMessage> = Arc::new(move |bytes: &[u8]| {
            let message = SyslogMessage::parse(bytes, clock.wall_clock());
            raw.add(u64::from(!message.is_parsed()));
            Ok(message)
        });
        match self.udp {
            false => listening(&self.listen, &self.limits, cx, (Framing::OctetsOrLines, read)),
            true => self.open_udp(cx, read),
        }
    }

    fn open_udp(
        &self,
        cx: &Context,
        read: Read<SyslogMessage>,
    ) -> Result<PushSpout<SyslogMessage>, Error> {
        let (spout, streams) = self.limits.open(cx, Framing::OctetsOrLines, read)?;
        let (listen, dropped) = (self.listen.clone(), cx.counter("dropped"));
        let (server, address) = Server::start("syslog-in", 1, async move |shutdown| {
            let socket = bind(&listen).await?;
            let address = socket.local_addr()?;
            shutdown.spawn_until_asked(datagrams(socket, streams, dropped));
            Ok(address)
        })?;
        tell_address(cx, address);
        Ok(spout.with_server(server))
    }
}

async fn bind(listen: &Listen) -> Result<UdpSocket, Error> {
    let range = listen.check()?;
    let mut error = None;
    for address in range.addresses() {
        match UdpSocket::bind(address).await {
            Ok(socket) => return Ok(socket),
            Err(why) => error = Some(why),
        }
    }
    let why = error.map_or_else(String::new, |error| error.to_string());
    let fix = "stop the process that has the port, or choose another port or a range of ports";
    Err(WrongOption::new("listen", &listen.address, why, fix).into())
}

/// Takes datagrams; those that there is no room for are counted and dropped.
async fn datagrams(socket: UdpSocket, streams: Streams<SyslogMessage>, dropped: Counter) {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let mut tuples = Vec::new();
        // An error is about a datagram that was sent from here, and none is.
        let Ok(length) = socket.recv(&mut bytes).await else { continue };
        streams.datagram(&bytes[..length], &mut tuples);
        while tuples.len() < TOGETHER
            && let Ok(length) = socket.try_recv(&mut bytes)
        {
            streams.datagram(&bytes[..length], &mut tuples);
        }
        let count = tuples.len() as u64;
        if streams.intake.try_hand_over(tuples).await.is_err() {
            dropped.add(count);
        }
    }
}

impl Streams<SyslogMessage> {
    fn datagram(&self, bytes: &[u8], tuples: &mut Vec<SyslogMessage>) {
        let bytes = bytes.trim_ascii_end();
        if bytes.is_empty() {
            return;
        }
        self.counts.cut.add(u64::from(bytes.len() > self.bytes_max));
        self.take(&bytes[..bytes.len().min(self.bytes_max)], tuples);
    }
}
