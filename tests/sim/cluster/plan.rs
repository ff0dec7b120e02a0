//! What kind of cluster a seed makes: its machines, what people ask of it, what goes wrong.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Nanoseconds in a millisecond.
pub(super) const MS: u64 = 1_000_000;

/// Nanoseconds in a second.
pub(super) const SECOND: u64 = 1_000 * MS;

/// The longest that messages usually take.
const DELAYS: [u64; 3] = [2 * MS, 20 * MS, 150 * MS];

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A nimbus dies, most often the one that leads, and is started again.
    NimbusCrash,
    /// A nimbus stands still.
    NimbusPause,
    /// A supervisor dies and is started again; its workers go on.
    SupervisorCrash,
    /// A supervisor stands still.
    SupervisorPause,
    /// A machine loses power: its supervisor and all its workers die.
    MachineLoss,
    /// A worker dies.
    WorkerCrash,
    /// A machine stands still, with all that runs there.
    MachineFreeze,
    /// A worker says nothing any more.
    WorkerHang,
    /// A worker is stopped, for a while or for ever.
    WorkerStop,
    /// A worker gets little time on a busy machine.
    WorkerSlow,
    /// Nothing passes between two, one way or both.
    Partition,
    /// The store has no quorum.
    StoreAway,
    /// The store is out of space: it takes no writes.
    StoreFull,
    /// The store takes its time.
    StoreSlow,
    /// The store forgets its history: who is behind has to list again.
    Compact,
    /// Watches break.
    WatchCut,
    /// Leases end though their owners live.
    LeaseLoss,
    /// A wall clock jumps.
    ClockJump,
}

/// Which faults there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// None.
    Calm,
    /// Of nimbuses and clocks only: nothing may move.
    Leaders,
    /// All.
    Storm,
}

/// A cluster, as its seed has it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) nimbuses: usize,
    /// Slots of each machine's supervisor.
    pub(super) machines: Vec<u32>,
    pub(super) clients: usize,
    /// Requests of each client.
    pub(super) requests: u32,
    /// Clients want rebalances above all.
    pub(super) restless: bool,
    /// The longest that messages usually take.
    pub(super) delay: u64,
    pub(super) weather: Weather,
    pub(super) faults: Vec<(u64, Fault)>,
    /// When nothing goes wrong any more.
    pub(super) faults_end: u64,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xc105);
        let machines = rng.random_range(1..=3);
        let faults_end = rng.random_range(8..30) * SECOND;
        let weather = match rng.random_range(0..20) {
            0 => Weather::Calm,
            1..3 => Weather::Leaders,
            _ => Weather::Storm,
        };
        Self {
            nimbuses: rng.random_range(1..=3),
            machines: (0..machines).map(|_| rng.random_range(1..=3)).collect(),
            clients: rng.random_range(1..=3),
            requests: rng.random_range(2..=6),
            restless: rng.random_bool(0.4),
            delay: DELAYS[rng.random_range(0..DELAYS.len())],
            weather,
            faults: faults(&mut rng, weather, faults_end),
            faults_end,
        }
    }
}

fn faults(rng: &mut StdRng, weather: Weather, end: u64) -> Vec<(u64, Fault)> {
    use Fault::{
        ClockJump, Compact, LeaseLoss, MachineFreeze, MachineLoss, NimbusCrash, NimbusPause,
        Partition, StoreAway, StoreFull, StoreSlow, SupervisorCrash, SupervisorPause, WatchCut,
        WorkerCrash, WorkerHang, WorkerSlow, WorkerStop,
    };
    let kinds: &[Fault] = match weather {
        Weather::Calm => &[],
        Weather::Leaders => &[NimbusCrash, NimbusPause, ClockJump],
        Weather::Storm => &[
            NimbusCrash,
            NimbusCrash,
            NimbusPause,
            SupervisorCrash,
            SupervisorCrash,
            SupervisorPause,
            MachineLoss,
            MachineFreeze,
            WorkerCrash,
            WorkerCrash,
            WorkerHang,
            WorkerStop,
            WorkerStop,
            WorkerSlow,
            Partition,
            Partition,
            Partition,
            StoreAway,
            StoreFull,
            StoreSlow,
            Compact,
            Compact,
            WatchCut,
            WatchCut,
            LeaseLoss,
            LeaseLoss,
            ClockJump,
        ],
    };
    // Some clusters have one kind of trouble again and again.
    let only = rng.random_bool(0.2).then(|| rng.random_range(0..kinds.len().max(1)));
    let kinds = only.map_or(kinds, |at| &kinds[at.min(kinds.len())..(at + 1).min(kinds.len())]);
    if kinds.is_empty() {
        return Vec::new();
    }
    let count = rng.random_range(1..=12);
    (0..count)
        .map(|_| (rng.random_range(0..end), kinds[rng.random_range(0..kinds.len())]))
        .collect()
}
