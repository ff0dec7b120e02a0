//! The sending end of one link, as executors see it: put a frame in, look at the credits.
//!
//! Executors call from their threads and never wait: a frame goes into a queue behind a short
//! lock, and only the first one into an empty queue wakes the I/O thread. `client` carries frames
//! out and brings back what the receiver says.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use daemon::Clock;
use tokio::sync::{Notify, watch};

use crate::engine::flow::{Budget, Gate};
use crate::engine::links::handshake::Refusal;
use crate::engine::links::sequence::{CannotResume, SendLink};
use crate::engine::routing::Epoch;

/// Bytes that may be under way without acknowledgement: enough to keep a fast network busy, little
/// enough that a reconnect does not repeat much.
const IN_FLIGHT_BYTES_MAX: usize = 4 << 20;

/// Where a link leads now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Destination {
    /// `host:port`; empty while the worker is being started.
    pub(super) address: String,
    /// Version of the table that says so.
    pub(super) version: u64,
    /// The incarnation is gone: nothing sent to it will arrive.
    pub(super) retired: bool,
}

/// The way to one incarnation of another worker.
///
/// Frames put in while it is not connected wait; those put in after the incarnation was retired
/// come back through [`Receiver::lost`](super::Receiver::lost).
#[derive(Debug)]
pub struct Link {
    shared: Arc<Shared>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes note of what the newest table says of the same incarnation.
    pub(super) fn lead_to(&self, there: Destination) {
        self.shared.route.send_replace(there);
    }

    /// The incarnation is gone: hands back what it has not acknowledged.
    pub(super) fn retire(&self) {
        self.shared.route.send_modify(|there| there.retired = true);
    }

    /// Sends a frame, made by a [`FrameWriter`](super::codec::FrameWriter), after all before it.
    ///
    /// Never waits. Look at the [`Gate`] of each target task first, and count there what the
    /// frame takes. A frame beyond the size of a message is lost at once, as
    /// [`FailReason::TooLarge`](crate::engine::acking::FailReason::TooLarge).
    pub fn send(&self, frame: Bytes) {
        self.shared.push(frame);
    }

    /// Returns the gate in front of a task of the peer; it is the same for every caller.
    #[must_use]
    pub fn gate(&self, task: u32) -> Arc<Gate> {
        self.shared.gate(task)
    }

    /// Whether frames can leave now: else they wait for a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// Number of the worker at the other end.
    #[must_use]
    pub fn peer(&self) -> u32 {
        self.shared.peer
    }

    /// Incarnation of the worker at the other end.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The tokio task of a retired link waits for frames of those who still hold it.
        lock(&self.shared.state).dropped = true;
        self.shared.attention.notify_one();
    }
}

/// What executors and the I/O thread share of a link.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) peer: u32,
    pub(super) epoch: Epoch,
    frame_bytes_max: usize,
    budget: Arc<Budget>,
    clock: Clock,
    state: Mutex<State>,
    gates: Mutex<HashMap<u32, Arc<Gate>>>,
    /// Whether the receiver welcomed the connection; changed with the state locked.
    welcomed: Arc<AtomicBool>,
    /// Wakes the tokio task of the link, whatever its connection does.
    pub(super) attention: Notify,
    pub(super) route: watch::Sender<Destination>,
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
}

#[derive(Debug)]
struct State {
    frames: SendLink,
    /// What the memory of the worker is charged with for them.
    charged: u64,
    /// Frames that no message can hold.
    too_large: Vec<Bytes>,
    /// The connection that may take frames, and what wakes it.
    connection: Arc<Notify>,
    connections: u64,
    refusal: Option<(Refusal, u64)>,
    /// Nobody can send any more.
    dropped: bool,
    retired: bool,
}

/// What a connection gets when it asks for a frame.
pub(super) enum Next {
    Frame(u64, Bytes),
    /// There is none now.
    Wait,
    /// Another connection took over.
    Superseded,
}

impl Shared {
    pub(super) fn new(
        (peer, epoch): (u32, Epoch),
        (frame_bytes_max, budget): (usize, Arc<Budget>),
        route: Destination,
        clock: Clock,
    ) -> Self {
        let state = State {
            frames: SendLink::new(),
            charged: 0,
            too_large: Vec::new(),
            connection: Arc::default(),
            connections: 0,
            refusal: None,
            dropped: false,
            retired: false,
        };
        Self {
            peer,
            epoch,
            frame_bytes_max,
            budget,
            clock,
            state: Mutex::new(state),
            gates: Mutex::default(),
            welcomed: Arc::default(),
            attention: Notify::new(),
            route: watch::Sender::new(route),
            frames_sent: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
        }
    }

    fn gate(&self, task: u32) -> Arc<Gate> {
        let new = || Arc::new(Gate::on(Arc::clone(&self.welcomed)));
        let gate = Arc::clone(lock(&self.gates).entry(task).or_insert_with(new));
        // Looked at after the gate is in the map: `retire` misses no gate that was not retired here.
        if lock(&self.state).retired {
            gate.release();
        }
        gate
    }

    fn push(&self, frame: Bytes) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        if frame.len() > self.frame_bytes_max {
            state.too_large.push(frame);
            self.attention.notify_one();
        } else if state.frames.push(frame, now) {
            if state.retired {
                self.attention.notify_one();
            } else {
                state.connection.notify_one();
            }
        }
        self.recount(&mut state);
    }

    /// Charges the memory of the worker with the frames that are held now.
    fn recount(&self, state: &mut State) {
        let now = state.frames.bytes() as u64;
        self.budget.change(std::mem::replace(&mut state.charged, now), now);
    }

    /// Gives the frames to a new connection and returns what wakes it, the oldest frame, and how
    /// often frames were given up; frames leave once it is welcome.
    pub(super) fn begin(&self) -> (Arc<Notify>, u64, u64) {
        let mut state = lock(&self.state);
        let connection = Arc::new(Notify::new());
        std::mem::replace(&mut state.connection, Arc::clone(&connection)).notify_one();
        self.welcomed.store(false, Ordering::Relaxed);
        (connection, state.frames.oldest(), state.frames.starts_over())
    }

    /// Starts sending on the connection that [`Shared::begin`] made last.
    pub(super) fn welcomed(&self, next: u64) -> Result<(), CannotResume> {
        let mut state = lock(&self.state);
        state.frames.resume(next)?;
        self.recount(&mut state);
        self.welcomed.store(true, Ordering::Relaxed);
        state.connections += 1;
        state.refusal = None;
        state.connection.notify_one();
        Ok(())
    }

    /// Takes note that the receiver has every frame below `next`.
    pub(super) fn acknowledged(&self, next: u64) -> Result<(), CannotResume> {
        let mut state = lock(&self.state);
        state.frames.acknowledged(next)?;
        self.recount(&mut state);
        // The connection may have paused with as much under way as it may.
        state.connection.notify_one();
        Ok(())
    }

    /// Takes note that the connection is gone, and tells whether it was welcome.
    pub(super) fn disconnected(&self) -> bool {
        let _state = lock(&self.state);
        self.welcomed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn refused(&self, refusal: Refusal, table_version: u64) {
        lock(&self.state).refusal = Some((refusal, table_version));
    }

    pub(super) fn next(&self, connection: &Arc<Notify>) -> Next {
        let mut state = lock(&self.state);
        if !Arc::ptr_eq(&state.connection, connection) {
            return Next::Superseded;
        }
        if !self.welcomed.load(Ordering::Relaxed) {
            return Next::Wait;
        }
        match state.frames.transmit(IN_FLIGHT_BYTES_MAX) {
            None => Next::Wait,
            Some((sequence, frame)) => {
                self.frames_sent.fetch_add(1, Ordering::Relaxed);
                self.bytes_sent.fetch_add(frame.len() as u64, Ordering::Relaxed);
                Next::Frame(sequence, frame)
            }
        }
    }

    /// Raises the credits of a task, and tells whether that opened its gate.
    pub(super) fn granted(&self, task: u32, tuples: u64, bytes: u64) -> bool {
        lock(&self.gates).get(&task).is_some_and(|gate| gate.granted(tuples, bytes))
    }

    /// Gives up all frames of a link that goes on with the next ones, and starts credits over.
    pub(super) fn abandon(&self) -> Vec<Bytes> {
        let mut state = lock(&self.state);
        let frames = state.frames.abandon();
        self.recount(&mut state);
        drop(state);
        lock(&self.gates).values().for_each(|gate| gate.reset());
        frames
    }

    /// Gives up all frames for good, and opens every gate so that no sender waits for the dead.
    pub(super) fn retire(&self) -> Vec<Bytes> {
        let mut state = lock(&self.state);
        state.retired = true;
        let frames = state.frames.abandon();
        self.recount(&mut state);
        drop(state);
        lock(&self.gates).values().for_each(|gate| {
            gate.release();
        });
        frames
    }

    /// Takes the frames that no message can hold.
    pub(super) fn take_too_large(&self) -> Vec<Bytes> {
        std::mem::take(&mut lock(&self.state).too_large)
    }

    pub(super) fn is_dropped(&self) -> bool {
        lock(&self.state).dropped
    }

    pub(super) fn is_pending(&self) -> bool {
        !lock(&self.state).frames.is_empty()
    }

    /// Whether frames can leave now.
    pub(super) fn is_connected(&self) -> bool {
        self.welcomed.load(Ordering::Relaxed)
    }

    /// When the oldest frame was put in that is not acknowledged.
    pub(super) fn oldest_since(&self) -> Option<Instant> {
        lock(&self.state).frames.oldest_since()
    }

    pub(super) fn report(&self) -> LinkReport {
        let state = lock(&self.state);
        let now = self.clock.now();
        LinkReport {
            peer: self.peer,
            epoch: self.epoch,
            connected: self.is_connected(),
            refusal: state.refusal,
            frames_sent: self.frames_sent.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            frames_unacknowledged: state.frames.len() as u64,
            bytes_unacknowledged: state.frames.bytes() as u64,
            oldest_waits: state.frames.oldest_since().map(|since| now.duration_since(since)),
            reconnects: state.connections.saturating_sub(1),
        }
    }
}

/// How one link does; totals are since it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReport {
    /// Number of the worker at the other end.
    pub peer: u32,
    /// Its incarnation.
    pub epoch: Epoch,
    /// Whether frames can leave now.
    pub connected: bool,
    /// Why it turned us away last, and the version of its table, until it welcomes us.
    ///
    /// [`Refusal::Retired`] says that *we* are an older incarnation than the peer knows of.
    pub refusal: Option<(Refusal, u64)>,
    /// Frames that left, repetitions included.
    pub frames_sent: u64,
    /// Bytes of those.
    pub bytes_sent: u64,
    /// Frames that the peer has not said it has, those that wait for a connection included.
    pub frames_unacknowledged: u64,
    /// Bytes of those.
    pub bytes_unacknowledged: u64,
    /// How long the oldest of them has been waiting.
    pub oldest_waits: Option<std::time::Duration>,
    /// How often a broken connection was made again.
    pub reconnects: u64,
}

/// Locks a mutex whose holders never leave it half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
