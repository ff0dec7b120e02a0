//! The client of a relay: connects, sends what the bolt holds, and hears what became of it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon::Shutdown;
use daemon::listen::Security;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, split};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use topology_api::{Context, Counter, Gauge, Input, Tuple};

use super::outgoing::Outgoing;
use super::wire::{Frame, VERSION, read};
use crate::{Circuit, CircuitState};

/// How long it may take until a connection stands and was welcomed.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(1);

/// After how long without an answer it counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What the bolt and its client share.
pub(super) struct Shared<T> {
    pub(super) held: Mutex<Outgoing<Input<T>>>,
    /// There is more to send.
    pub(super) more: Notify,
}

impl<T> Shared<T> {
    pub(super) fn held(&self) -> MutexGuard<'_, Outgoing<Input<T>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is counted.
pub(super) struct Figures {
    pub(super) relayed: Counter,
    pub(super) failed: Counter,
    pub(super) again: Counter,
    pub(super) held: Gauge,
}

/// Connects, sends, hears.
pub(super) struct Client<T: Tuple> {
    pub(super) shared: Arc<Shared<T>>,
    pub(super) addresses: Vec<String>,
    /// Which address is next.
    pub(super) at: usize,
    pub(super) security: Security,
    pub(super) schema: String,
    pub(super) circuit: Circuit,
    pub(super) figures: Figures,
    pub(super) cx: Context,
    pub(super) shutdown: Shutdown,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
type Wire = Box<dyn Stream>;

impl<T: Tuple> Client<T> {
    /// Connects again and again, and relays while a connection stands.
    pub(super) async fn run(mut self) {
        let mut told = false;
        loop {
            if let Some(wait) = self.circuit.wait(self.cx.now()) {
                self.pause(wait).await;
                continue;
            }
            let address = self.addresses[self.at % self.addresses.len()].clone();
            self.at = self.at.wrapping_add(1);
            let connected = timeout(CONNECT_TIME, self.connect(&address)).await;
            let connected = connected.unwrap_or_else(|_| Err(wrong("it does not answer")));
            let why = match connected {
                Ok((wire, credit)) => {
                    self.circuit.worked();
                    told = false;
                    let why = self.relay(wire, credit).await;
                    // What has no verdict may or may not have come over.
                    self.figures.again.add(u64::from(self.shared.held().lost()));
                    // It stood: the first to be tried again.
                    self.at = self.at.wrapping_sub(1);
                    why
                }
                Err(why) => why,
            };
            if !std::mem::replace(&mut told, true) {
                let text = format!("relay to {address}: {why}; its tuples wait");
                self.cx.report_error(&text);
            }
            let wait = self.circuit.failed(self.cx.now(), rand::random_range(0.0..=1.0));
            if self.circuit.state() == CircuitState::Closed {
                self.pause(wait).await;
            }
        }
    }

    /// Waits, and keeps what is held from timing out.
    async fn pause(&self, wait: Duration) {
        let end = tokio::time::Instant::now() + wait;
        self.hold_on();
        while timeout_at(end, tokio::time::sleep(self.hold_every())).await {
            self.hold_on();
        }
    }

    fn hold_every(&self) -> Duration {
        (self.cx.config().message_timeout() / 4).max(Duration::from_millis(100))
    }

    /// Lets the timeouts of all inputs begin again: they wait, and nobody is to replay them meanwhile.
    fn hold_on(&self) {
        let held = self.shared.held();
        let mut count = 0_u32;
        for input in held.inputs() {
            input.reset_timeout();
            count += 1;
        }
        self.figures.held.set(f64::from(count));
    }

    /// Connects and says hello; gives how many records may be without a verdict.
    async fn connect(&self, address: &str) -> io::Result<(Wire, u32)> {
        let mut wire: Wire = match self.security.tls() {
            Some(tls) => Box::new(tls.stream(address).await?),
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        let mut bytes = Vec::new();
        Frame::Hello { version: VERSION, schema: &self.schema }.encode(&mut bytes);
        wire.write_all(&bytes).await?;
        wire.flush().await?;
        let mut payload = Vec::new();
        let kind = read(&mut wire, &mut payload).await?.ok_or_else(|| wrong("it hung up"))?;
        match Frame::decode(kind, &payload) {
            Some(Frame::Welcome { credit }) => Ok((wire, credit)),
            Some(Frame::Refused { why }) => Err(wrong(&format!("refused: {why}"))),
            _ => Err(wrong("it does not speak as a relay does")),
        }
    }

    /// Relays until the connection breaks; says why it did.
    async fn relay(&self, wire: Wire, credit: u32) -> io::Error {
        let (from, mut to) = split(wire);
        let (heard, mut hear) = mpsc::channel(64);
        let reader = self.shutdown.child();
        reader.spawn_until_asked(hear_all(from, heard));
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut holds = tokio::time::interval(self.hold_every());
        let mut last = self.cx.now();
        // What is to be written, how much of it was, and whether that has left.
        let (mut bytes, mut written, mut flushed) = (Vec::new(), 0, true);
        let why = loop {
            let more = self.next(credit, &mut bytes);
            tokio::select! {
                biased;
                frame = hear.recv() => match frame {
                    Some(Ok((kind, payload))) => {
                        last = self.cx.now();
                        if !self.settle(kind, &payload) {
                            break wrong("it does not speak as a relay does");
                        }
                    }
                    Some(Err(why)) => break why,
                    None => break wrong("it hung up"),
                },
                // Whatever else happens meanwhile, what was written is known.
                wrote = step(&mut to, &bytes[written..]), if more || !flushed => match wrote {
                    Ok(None) => flushed = true,
                    Ok(Some(count)) => {
                        written += count;
                        flushed = false;
                        if written == bytes.len() {
                            bytes.clear();
                            written = 0;
                        }
                    }
                    Err(why) => break why,
                },
                () = self.shared.more.notified(), if !more => {}
                _ = pings.tick() => {
                    if self.cx.now().saturating_duration_since(last) > SILENCE_MAX {
                        break wrong("it fell silent");
                    }
                    Frame::Ping.encode(&mut bytes);
                }
                _ = holds.tick() => self.hold_on(),
            }
        };
        reader.ask();
        why
    }

    /// Puts the next batch behind what is still to be written, if there is one and little of that;
    /// tells whether anything is to be written.
    fn next(&self, credit: u32, bytes: &mut Vec<u8>) -> bool {
        if bytes.is_empty() {
            self.shared.held().send(credit, |number, batch| {
                let (count, rows) = (batch.count(), batch.rows.as_slice());
                Frame::Batch { number, count, rows }.encode(bytes);
            });
        }
        !bytes.is_empty()
    }

    /// Takes a word of the other side; tells whether it was one.
    fn settle(&self, kind: u8, payload: &[u8]) -> bool {
        match Frame::decode(kind, payload) {
            Some(Frame::Pong) => true,
            Some(Frame::Verdict { number, failed, why }) => {
                let Some(inputs) = self.shared.held().settle(number) else { return false };
                let (count, mut failed) = (inputs.len(), failed.into_iter().peekable());
                let failures = failed.len().min(count) as u64;
                for (at, input) in inputs.into_iter().enumerate() {
                    if failed.next_if(|failed| *failed as usize == at).is_some() {
                        input.fail(format!("it failed where it was relayed to: {why}"));
                    } else {
                        input.ack();
                    }
                }
                self.figures.failed.add(failures);
                self.figures.relayed.add(count as u64 - failures);
                true
            }
            _ => false,
        }
    }
}

/// Writes some of the bytes and says how many, or makes sure that what was written leaves. Dropped
/// at its await, it has done nothing.
async fn step(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<Option<usize>> {
    if bytes.is_empty() {
        to.flush().await?;
        return Ok(None);
    }
    match to.write(bytes).await? {
        0 => Err(wrong("it takes nothing more")),
        count => Ok(Some(count)),
    }
}

async fn timeout_at(end: tokio::time::Instant, sleep: tokio::time::Sleep) -> bool {
    tokio::time::timeout_at(end, sleep).await.is_ok()
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

type Heard = io::Result<(u8, Vec<u8>)>;

/// Reads frames to the end of the connection.
async fn hear_all(mut from: ReadHalf<Wire>, heard: mpsc::Sender<Heard>) {
    loop {
        let mut payload = Vec::new();
        let frame = match read(&mut from, &mut payload).await {
            Ok(Some(kind)) => Ok((kind, payload)),
            Ok(None) => return,
            Err(why) => Err(why),
        };
        let broke = frame.is_err();
        if heard.send(frame).await.is_err() || broke {
            return;
        }
    }
}
