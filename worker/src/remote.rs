//! A worker of a cluster: listens for its peers, attaches to its supervisor, and runs the executors
//! it is assigned until it is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon::listen::Security;
use daemon::tls::Tls;
use daemon::{Clock, Shutdown};
use proto::store::Epoch as WireEpoch;
use proto::supervisor::desired_state::State;
use proto::supervisor::to_worker::Kind as Told;
use proto::supervisor::{DesiredState, RoutingTable, WorkerHello};
use topology_api::runtime::Keeper;
use topology_api::{Args, Topology, format_duration};

use crate::control::Control;
use crate::door::Door;
use crate::engine::flow::Budget;
use crate::engine::routing::Table;
use crate::executor::counters::{Board, Snapshot};
use crate::executor::inbox::{Desired, Message};
use crate::executor::moves::Moves;
use crate::executor::plan::Plan;
use crate::executor::routes::Routes;
use crate::executor::taps::Taps;
use crate::launch::Launch;
use crate::letters::Letters;
use crate::levels::Levels;
use crate::local::{Loops, cores, counters_of, until};
use crate::log::{Dropped, Log};
use crate::metrics::{self, Serving};
use crate::report::{Facts, report};
use crate::transport::{Config, FrameWriter, Listen, Receiver, Transport};
use crate::waiting::Waiting;

/// How often the worker reports when nothing changes.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// What waits for less than this is not told to others, in nanoseconds: 100 ms.
const WAITING_MIN_NS: u64 = 100_000_000;

/// How long open trees may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);

/// How long tokio tasks may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// Why a worker could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The machine refused threads or sockets.
    #[error("the machine refused: {0}")]
    Io(#[from] std::io::Error),
    /// It cannot listen where its supervisor said.
    #[error(transparent)]
    Listen(#[from] crate::transport::ListenError),
    /// As above.
    #[error(transparent)]
    Transport(#[from] crate::transport::Error),
    /// Its supervisor gave it files that cannot be used.
    #[error(transparent)]
    Tls(#[from] daemon::tls::TlsError),
}

/// Room in a frame for what stands with its largest tuple: places in trees, and the tuples that were
/// in the frame before it.
const AROUND_TUPLE_BYTES: usize = 1 << 20;

/// Runs a worker until its supervisor, or a signal, tells it to stop.
pub(crate) fn run(launch: Launch, topology: Topology, arguments: Args) -> Result<(), Error> {
    let log = Log::start(topology.config().worker_log_rate(), Clock::system())?;
    let levels = Levels::start(&topology);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(launch, (topology, arguments), (log.dropped(), levels)))
}

async fn serve(
    launch: Launch,
    (topology, arguments): (Topology, Args),
    (dropped, levels): (Arc<Dropped>, Levels),
) -> Result<(), Error> {
    let clock = Clock::system();
    let shutdown = Shutdown::new();
    let loops = cores(launch.cores, &topology);
    let budget = Arc::new(Budget::new(topology.config().worker_memory(), loops));
    let security = match launch.tls.clone() {
        Some(files) => Security::Tls(Tls::open(files)?),
        None => Security::Loopback,
    };
    if let Some(tls) = security.tls() {
        tls.follow(&shutdown);
    }
    let door = Arc::new(Door::new(clock.clone(), Arc::clone(&budget)));
    let config = Config {
        cluster: launch.cluster.clone(),
        topology: launch.topology.clone(),
        worker: launch.worker,
        epoch: launch.epoch,
        listen: launch.listen.parse::<Listen>()?,
        advertise: launch.advertise.clone(),
        frame_bytes_max: topology.config().tuple_max_bytes() as usize + AROUND_TUPLE_BYTES,
        budget: Arc::clone(&budget),
        security: security.clone(),
    };
    let receiver = Arc::clone(&door) as Arc<dyn Receiver>;
    let transport = Transport::start(config, receiver, clock.clone(), shutdown.clone()).await?;
    let hello = WorkerHello {
        topology: launch.topology.clone(),
        worker: launch.worker,
        token: launch.token.clone(),
        epoch: Some(WireEpoch { revision: launch.epoch.revision, restarts: launch.epoch.restarts }),
        pid: std::process::id(),
        address: transport.address(),
        released: None,
    };
    let letters = Arc::new(Letters::new(topology.config().dead_letters_max_bytes()));
    let taps = Arc::new(Taps::new(&topology, launch.worker, clock.clone()));
    let heard = (Arc::clone(&letters), Arc::clone(&taps));
    let control = Control::start((&launch, &security), hello, heard, &shutdown);
    let metrics = metrics::start(&topology, &launch, &security, (&control, &shutdown)).await;
    let board = Arc::new(Board::new(clock.clone()));
    let worker = Worker {
        transport,
        door,
        board,
        budget,
        letters,
        taps,
        levels,
        clock,
        loops: None,
        table: Table::default(),
        moves: Moves::default(),
        desired: Desired::Inactive,
        sequence: 0,
        told_waiting: false,
        dropped,
        waits: Waiting::default(),
        metrics,
        security,
        launch,
    };
    worker.obey(control, topology, arguments).await?;
    shutdown.ask();
    if let Err(stuck) = shutdown.wait(GRACE).await {
        tracing::warn!(%stuck, "ends all the same");
    }
    Ok(())
}

struct Worker {
    launch: Launch,
    transport: Transport,
    door: Arc<Door>,
    board: Arc<Board>,
    budget: Arc<Budget>,
    letters: Arc<Letters>,
    taps: Arc<Taps>,
    /// What it logs.
    levels: Levels,
    clock: Clock,
    loops: Option<Loops>,
    table: Table,
    moves: Moves,
    desired: Desired,
    sequence: u64,
    /// The others were told that tuples wait here.
    told_waiting: bool,
    /// What of its log was dropped.
    dropped: Arc<Dropped>,
    waits: Waiting,
    metrics: Serving,
    security: Security,
}

impl Worker {
    /// Does what it is told, and reports, until it is told to stop.
    async fn obey(
        mut self,
        mut control: Control,
        topology: Topology,
        arguments: Args,
    ) -> Result<(), Error> {
        let terminate = daemon::signals::terminate();
        tokio::pin!(terminate);
        let mut unbuilt = Some((topology, arguments));
        let board = Arc::clone(&self.board);
        loop {
            tokio::select! {
                told = control.told.recv() => match told {
                    None => break,
                    Some(Told::Stop(stop)) => {
                        tracing::info!(reason = %stop.reason, "told to stop");
                        break;
                    }
                    // What it runs stands in the tables; this comes before the first.
                    Some(Told::Assignment(_)) => {
                        if let Some((topology, arguments)) = unbuilt.take() {
                            self.start(topology, arguments)?;
                        }
                    }
                    Some(Told::Table(table)) => {
                        if !self.adopt(&table) {
                            tracing::info!("another incarnation has taken over");
                            break;
                        }
                    }
                    Some(Told::State(state)) => self.desire(state),
                    Some(Told::LogLevel(level)) => self.levels.set(&level, self.clock.now()),
                    // The conversation itself has taken these.
                    Some(
                        Told::Nimbuses(_)
                        | Told::Beat(_)
                        | Told::Kept(_)
                        | Told::Replay(_)
                        | Told::Tap(_)
                        | Told::Untap(_),
                    ) => {}
                },
                _ = &mut terminate => {
                    self.drain().await;
                    break;
                }
                () = board.changed.notified() => {}
                () = tokio::time::sleep(self.moves.look_again(REPORT_EVERY)) => {}
            }
            self.settle_moves();
            self.levels.look(self.clock.now());
            if let Some(version) = self.transport.retired() {
                tracing::info!(version, "a peer knows a newer incarnation of this worker");
                break;
            }
            self.report(&control);
        }
        if let Some(loops) = self.loops.take() {
            loops.stop();
        }
        Ok(())
    }

    fn start(&mut self, topology: Topology, arguments: Args) -> Result<(), Error> {
        let loops = cores(self.launch.cores, &topology);
        let shared = (loops, Arc::clone(&self.board), Arc::clone(&self.budget));
        let mut plan = Plan::new(topology, arguments, self.launch.worker, Vec::new(), shared);
        plan.keeper = Some(Arc::clone(&self.letters) as Arc<dyn Keeper>);
        plan.taps = Some(Arc::clone(&self.taps));
        let loops = Loops::start(plan, Some(&self.transport), &self.clock)?;
        self.moves.begin(Arc::clone(&loops.plan.seating));
        let (transport, inboxes) = (self.transport.clone(), Arc::clone(&loops.inboxes));
        self.door.open((transport, Arc::clone(&loops.plan)), inboxes, Arc::default());
        self.loops = Some(loops);
        self.tell_routes();
        Ok(())
    }

    /// Adopts a routing table; false if this incarnation is retired in it.
    fn adopt(&mut self, wire: &RoutingTable) -> bool {
        let own = (self.launch.worker, self.launch.epoch);
        let table = Table::read(wire, own);
        if table.version() < self.table.version() {
            return true;
        }
        if table.worker(self.launch.worker).is_some_and(|own| own.epoch > self.launch.epoch) {
            return false;
        }
        self.transport.adopt(&table);
        self.table = table;
        self.tell_routes();
        true
    }

    /// Tells the loops and the door who has which tasks, and which of them are here.
    fn tell_routes(&mut self) {
        let Some(loops) = &self.loops else { return };
        let own = (self.launch.worker, self.launch.epoch);
        let (topology, limit) = (&loops.plan.topology, self.budget.limit());
        self.moves.adopt(&self.table, own, topology, limit);
        self.show_own(&loops.plan);
        let seating = self.moves.seating();
        let links: BTreeMap<_, _> = self
            .table
            .workers()
            .iter()
            .filter_map(|route| Some((route.worker, self.transport.link(route.worker)?)))
            .collect();
        let routes = Arc::new(Routes::new(self.table.clone(), links, seating));
        loops.tell(|| Message::Routes(Arc::clone(&routes)));
        self.door.adopt(routes);
        let desired = self.desired;
        loops.tell(|| Message::Desired(desired));
    }

    /// Takes note of executors that have left.
    fn settle_moves(&mut self) {
        let Some(loops) = &self.loops else { return };
        let now = self.clock.now();
        let gone = self.board.take_let_go();
        let is_pending_since = |left| self.transport.is_pending_since(left);
        if self.moves.settle(now, &gone, is_pending_since) {
            self.show_own(&loops.plan);
        }
    }

    /// Shows on the board which tasks are this worker's.
    fn show_own(&self, plan: &Plan) {
        let seating = self.moves.seating();
        let seats = || seating.seats().filter(|seat| seat.leaves);
        let leaves = |task: u32| seats().any(|seat| seat.executor.tasks.contains(&task));
        plan.board.own(&counters_of(plan, &seating), leaves);
    }

    fn desire(&mut self, state: DesiredState) {
        self.desired = match state.state() {
            State::Active => Desired::Active,
            State::Draining => Desired::Draining,
            State::Inactive | State::Unspecified => Desired::Inactive,
        };
        let desired = self.desired;
        if let Some(loops) = &self.loops {
            loops.tell(|| Message::Desired(desired));
        }
    }

    async fn drain(&mut self) {
        if let Some(loops) = &self.loops {
            loops.tell(|| Message::Desired(Desired::Draining));
            drop(tokio::time::timeout(DRAIN, until(&self.board, Snapshot::is_quiet)).await);
        }
    }

    fn report(&mut self, control: &Control) {
        let Some(loops) = &self.loops else { return };
        let in_links = self.transport.oldest_wait().as_nanos();
        let own = loops.plan.waiting_ns(self.clock.now());
        let own = own.max(u64::try_from(in_links).unwrap_or(u64::MAX));
        let waiting = own.max(self.door.waiting_ns());
        loops.tell(|| Message::Waiting(waiting));
        self.told_waiting = tell_waiting(own, self.told_waiting, &self.table, &self.transport);
        self.board.show_stuck(loops.plan.topology.config().stuck_after());
        self.sequence += 1;
        let (seating, now) = (self.moves.seating(), self.clock.now());
        let executor_of = |task: u32| seating.seat_of(task).map(|seat| seat.executor.index);
        let facts = Facts {
            sequence: self.sequence,
            draining: self.desired != Desired::Active,
            table_version: self.table.version(),
            hung: hung(&loops.plan, &self.board),
            waiting: Duration::from_nanos(own),
            released: self.moves.released(),
            tls_refused: self.security.tls().map(Tls::refusals).unwrap_or_default(),
            efforts: self.waits.efforts(&self.board, now, executor_of),
            log_dropped: self.dropped.by_reason(),
            metrics: self.metrics.clone(),
        };
        let report = report(&loops.plan, &self.board.snapshot(), &self.transport, &facts);
        control.report.send_replace(report);
    }
}

/// Says why this worker is to be replaced: a component makes no progress; empty while all get on.
fn hung(plan: &Plan, board: &Board) -> String {
    let stalled = plan.topology.config().kill_after().and_then(|limit| board.hung(limit));
    let Some((task, took)) = stalled else { return String::new() };
    let name = plan.component_of(task).map_or("?", |at| &plan.topology.components()[at].name);
    let took = format_duration(Duration::from_secs(took.as_secs()));
    format!("component {name} (task {task}) made no progress for {took}")
}

/// Tells the other workers how long tuples wait here, and once when they no longer do.
fn tell_waiting(own: u64, told: bool, table: &Table, transport: &Transport) -> bool {
    let own = if own < WAITING_MIN_NS { 0 } else { own };
    if own != 0 || told {
        // Where there is no connection they would only pile up, and be waited for themselves.
        let links = table.workers().iter().filter_map(|route| transport.link(route.worker));
        let links = links.filter(|link| link.is_connected());
        for link in links {
            let mut frame = FrameWriter::new();
            frame.waiting(own);
            link.send(frame.finish());
        }
    }
    own != 0
}
