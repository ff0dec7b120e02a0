//! Two workers in one process, a wire between them that can be cut, and what they hand on.

mod codec;
mod credits;
mod delivery;
mod fencing;
mod half_open;
mod strangers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use daemon::listen::Security;
use daemon::{Clock, Shutdown};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::link::lock;
use super::{BatchHead, Config, FrameWriter, Item, Link, Receiver, Transport};
use crate::engine::acking::{FailReason, Tracking};
use crate::engine::flow::Budget;
use crate::engine::routing::{Epoch, Route, Table};

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Task that all batches of these tests are for.
const TASK: u32 = 7;

fn epoch(revision: u64) -> Epoch {
    Epoch { revision, restarts: 0 }
}

/// A frame of one batch that says its number; `bytes` more make it larger.
fn numbered(number: u32, bytes: usize) -> Bytes {
    let mut tracking = Tracking::new();
    tracking.push_untracked();
    let head = BatchHead { target_task: TASK, source_task: 1, stream: 0, ownership: 0, count: 1 };
    let mut writer = FrameWriter::new();
    writer.batch(head, &tracking, 0..1, |out| {
        out.extend(number.to_le_bytes());
        out.resize(out.len() + bytes, 0xa5);
    });
    writer.finish()
}

fn number(item: &Item) -> u32 {
    let Item::Batch { rows, .. } = item else { panic!("{item:?} is not a numbered batch") };
    u32::from_le_bytes(rows[..4].try_into().unwrap())
}

/// Remembers all that a transport hands on.
#[derive(Default)]
struct Recorder {
    recorded: Mutex<Recorded>,
    changed: Notify,
}

#[derive(Default)]
struct Recorded {
    /// Number of the sender and of the batch.
    frames: Vec<(u32, u32)>,
    lost: Vec<(u32, FailReason)>,
    wakes: usize,
}

impl Recorder {
    fn with(&self, change: impl FnOnce(&mut Recorded)) {
        change(&mut lock(&self.recorded));
        self.changed.notify_one();
    }

    async fn until(&self, claim: impl Fn(&Recorded) -> bool) {
        let wait = async {
            while !claim(&lock(&self.recorded)) {
                self.changed.notified().await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        let recorded = lock(&self.recorded);
        let (frames, lost) = (recorded.frames.len(), &recorded.lost);
        assert!(waited.is_ok(), "it never happened; {frames} frames came, lost were {lost:?}");
    }

    fn numbers(&self) -> Vec<u32> {
        lock(&self.recorded).frames.iter().map(|(_, number)| *number).collect()
    }

    fn lost(&self) -> Vec<(u32, FailReason)> {
        lock(&self.recorded).lost.clone()
    }
}

impl Receiver for Recorder {
    fn frame(&self, from: u32, items: Vec<Item>) {
        self.with(|it| it.frames.extend(items.iter().map(|item| (from, number(item)))));
    }

    fn lost(&self, _peer: u32, items: Vec<Item>, reason: FailReason) {
        self.with(|it| it.lost.extend(items.iter().map(|item| (number(item), reason))));
    }

    fn wake(&self) {
        self.with(|it| it.wakes += 1);
    }
}

/// A worker's transport and what it handed on.
struct Worker {
    number: u32,
    epoch: Epoch,
    transport: Transport,
    recorder: Arc<Recorder>,
    shutdown: Shutdown,
}

const FRAME_BYTES_MAX: usize = 17 << 20;

impl Worker {
    async fn start(number: u32, epoch: Epoch) -> Self {
        Self::start_in("words-1", number, epoch).await
    }

    async fn start_in(topology: &str, number: u32, epoch: Epoch) -> Self {
        let config = Config {
            cluster: "test".into(),
            topology: topology.into(),
            worker: number,
            epoch,
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: "127.0.0.1".into(),
            frame_bytes_max: FRAME_BYTES_MAX,
            budget: Arc::new(Budget::unlimited()),
            security: Security::Loopback,
        };
        let (recorder, shutdown) = (Arc::new(Recorder::default()), Shutdown::new());
        let receiver = Arc::clone(&recorder);
        let clock = Clock::system();
        let transport =
            Transport::start(config, receiver, clock, shutdown.clone()).await.expect("it starts");
        Self { number, epoch, transport, recorder, shutdown }
    }

    fn route(&self) -> Route {
        self.route_by(&self.transport.address())
    }

    /// How others find it, through `address`.
    fn route_by(&self, address: &str) -> Route {
        route(self.number, self.epoch, address)
    }

    fn adopt(&self, version: u64, routes: &[Route]) {
        self.transport.adopt(&Table::new(version, routes.to_vec()));
    }

    fn link(&self, peer: u32) -> Arc<Link> {
        self.transport.link(peer).expect("a link for every worker in the table")
    }

    /// Waits until every frame it sent is acknowledged.
    async fn until_acknowledged(&self) {
        until("all is acknowledged", || !self.transport.pending()).await;
    }

    async fn stop(self) {
        self.shutdown.ask();
        self.shutdown.wait(PATIENCE).await.expect("every tokio task ends at shutdown");
    }
}

fn route(worker: u32, epoch: Epoch, address: &str) -> Route {
    let (address, executors) = (address.into(), Vec::new());
    Route { worker, epoch, address, since_version: 1, executors, released: Default::default() }
}

/// Waits for what nobody announces.
async fn until(what: &str, claim: impl Fn() -> bool) {
    let wait = async {
        while !claim() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Two workers that know each other, the second behind a wire.
async fn pair_with_wire() -> (Worker, Worker, Wire) {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    let wire = Wire::to(&b.transport.address()).await;
    let routes = [a.route(), b.route_by(&wire.address)];
    a.adopt(1, &routes);
    b.adopt(1, &routes);
    (a, b, wire)
}

/// A TCP proxy on loopback: what is in it when it is cut is gone.
struct Wire {
    address: String,
    cuts: watch::Sender<usize>,
    is_up: Arc<AtomicBool>,
    /// While this holds, nothing gets through and nothing is closed: the ends see open connections.
    hangs: watch::Sender<bool>,
    shutdown: Shutdown,
}

impl Wire {
    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap().to_string(),
            cuts: watch::Sender::new(0),
            is_up: Arc::new(AtomicBool::new(true)),
            hangs: watch::Sender::new(false),
            shutdown: Shutdown::new(),
        };
        let (target, is_up) = (target.to_owned(), Arc::clone(&wire.is_up));
        let (cuts, shutdown) = (wire.cuts.clone(), wire.shutdown.clone());
        let hangs = wire.hangs.clone();
        wire.shutdown.spawn_until_asked(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                if is_up.load(Ordering::Relaxed) {
                    let ends = (cuts.subscribe(), hangs.subscribe());
                    let carried = carry(near, target.clone(), ends);
                    shutdown.spawn_until_asked(carried);
                }
            }
        });
        wire
    }

    /// Breaks every connection; new ones go through.
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Breaks every connection and lets no more through.
    fn take_down(&self) {
        self.is_up.store(false, Ordering::Relaxed);
        self.cut();
    }

    /// Loses every byte from now on, in both directions, as a dead switch would.
    fn hang(&self) {
        self.hangs.send_replace(true);
    }

    /// Carries new connections again; those from before stay dead.
    fn heal(&self) {
        self.hangs.send_replace(false);
    }

    fn put_up(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }
}

async fn carry(
    mut near: TcpStream,
    target: String,
    (mut cuts, mut hangs): (watch::Receiver<usize>, watch::Receiver<bool>),
) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let carried = tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => true,
        _ = cuts.changed() => true,
        () = async { drop(hangs.wait_for(|hangs| *hangs).await) } => false,
    };
    if !carried {
        // Both ends stay open, and nobody reads them any more.
        drop(cuts.changed().await);
    }
}

impl Worker {
    /// Why its links were turned away.
    fn refusals(&self) -> Vec<super::Refusal> {
        let reports = self.transport.reports();
        reports.iter().filter_map(|report| report.refusal).map(|(refusal, _)| refusal).collect()
    }
}
