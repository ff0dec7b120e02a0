//! What kind of world a seed makes: its topology, its workers, how they behave, what goes wrong.

use std::ops::Range;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use worker::engine::acking::GENERATION_MAX;
use worker::engine::routing::GroupingKind;

/// Nanoseconds in a millisecond.
pub(super) const MS: u64 = 1_000_000;

/// Most bytes of a row beside its number.
pub(super) const PADDING_MAX: usize = 64 << 10;

/// The longest that things take over the links of a world.
const DELAYS: [u64; 4] = [MS / 10, MS, 10 * MS, 60 * MS];

/// A timeout that no delay of a world comes near: who runs into it hung.
pub(super) const LONG_TIMEOUT: u64 = 60_000 * MS;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A worker's process dies.
    Crash,
    /// A worker is thought dead and replaced, and goes on for a while.
    Zombie,
    /// A worker stands still for a while.
    Pause,
    /// Executors move to another worker, which may be new; a worker without any leaves.
    Move,
    /// A connection breaks; what is on its way is lost, in one direction or both.
    Cut,
    /// A frame is lost within a connection.
    Drop,
    /// A frame arrives twice.
    Duplicate,
    /// A frame cannot be read.
    Corrupt,
}

/// What a component reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input {
    pub(super) from: usize,
    pub(super) kind: GroupingKind,
}

/// A spout or bolt.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) name: String,
    pub(super) spout: bool,
    /// It keeps its inputs and joins them.
    pub(super) explicit: bool,
    /// It takes milliseconds for a batch.
    pub(super) slow: bool,
    pub(super) inputs: Vec<Input>,
    pub(super) tasks: Range<u32>,
}

/// One executor of a component.
#[derive(Clone, Debug)]
pub(super) struct ExecutorPlan {
    pub(super) index: u16,
    pub(super) component: usize,
    pub(super) tasks: Range<u32>,
}

/// A world, as its seed has it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) components: Vec<Component>,
    pub(super) executors: Vec<ExecutorPlan>,
    /// The worker that each executor starts on.
    pub(super) homes: Vec<u32>,
    pub(super) workers: u32,
    pub(super) loops: usize,
    /// Messages of each spout task before all is calm, and after.
    pub(super) messages: (u32, u32),
    pub(super) max_pending: u32,
    pub(super) timeout: u64,
    /// The longest pause of a spout between calls.
    pub(super) pace: u64,
    /// The longest that a bolt keeps an input.
    pub(super) hold: u64,
    /// The longest that anything takes over a link.
    pub(super) delay: u64,
    /// The most tuples that come of one.
    pub(super) fan_out: u32,
    /// The most copies of a tree.
    pub(super) tree: u32,
    /// In a thousand: inputs that a bolt fails.
    pub(super) failing: u32,
    /// Tuples that make a batch.
    pub(super) batch: usize,
    /// Bytes of a row, beside its number.
    pub(super) padding: usize,
    /// Tuples without a tree that come with each.
    pub(super) filler: usize,
    /// Generation that slots of ledgers begin with; they come round if it is not 1.
    pub(super) generation: u32,
    /// Incarnation that executors begin with.
    pub(super) incarnation: u64,
    /// Some learn of a table much later than others.
    pub(super) stale: bool,
    pub(super) faults: Vec<(u64, Fault)>,
    /// When nothing goes wrong any more.
    pub(super) faults_end: u64,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let components = components(&mut rng);
        let executors = executors(&mut rng, &components);
        let workers = rng.random_range(2..=4);
        let homes = executors.iter().map(|_| rng.random_range(0..workers)).collect();
        let faults_end = rng.random_range(200..2_500) * MS;
        let long = rng.random_bool(0.7);
        let heavy = rng.random_bool(0.15);
        let (stale, battered) = (rng.random_bool(0.15), rng.random_bool(0.1));
        let messages = if stale { rng.random_range(40..80) } else { rng.random_range(5..40) };
        let delays = if stale { &DELAYS[..2] } else { &DELAYS[..] };
        Self {
            components,
            executors,
            homes,
            workers,
            loops: rng.random_range(1..=2),
            messages: (messages, 5),
            max_pending: rng.random_range(1..=24),
            timeout: if long || stale { LONG_TIMEOUT } else { rng.random_range(50..2_000) * MS },
            pace: if rng.random_bool(0.2) { 1 } else { 4 * faults_end / u64::from(messages) },
            hold: rng.random_range(1..if stale { 10 } else { 200 }) * MS,
            delay: delays[rng.random_range(0..delays.len())],
            fan_out: rng.random_range(1..=3),
            tree: rng.random_range(5..40),
            failing: if rng.random_bool(0.5) { 0 } else { rng.random_range(1..60) },
            batch: rng.random_range(1..=32),
            padding: if heavy {
                rng.random_range(PADDING_MAX / 8..PADDING_MAX)
            } else {
                rng.random_range(0..64)
            },
            filler: if rng.random_bool(0.05) { rng.random_range(50..200) } else { 0 },
            generation: if rng.random_bool(0.1) { GENERATION_MAX - 1 } else { 1 },
            incarnation: rng.random_range(0..128),
            stale,
            faults: match (stale, battered) {
                (true, _) => zombies(&mut rng, faults_end),
                (false, true) => battered_links(&mut rng, faults_end),
                (false, false) => faults(&mut rng, faults_end),
            },
            faults_end,
        }
    }

    /// The components that read one, with how.
    pub(super) fn readers(&self, from: usize) -> impl Iterator<Item = (usize, GroupingKind)> {
        let readers = self.components.iter().enumerate();
        readers.flat_map(move |(reader, component)| {
            let inputs = component.inputs.iter().filter(move |input| input.from == from);
            inputs.map(move |input| (reader, input.kind))
        })
    }

    /// The longest that inputs are kept on purpose, over all components.
    pub(super) fn holds(&self) -> u64 {
        self.hold * self.components.iter().filter(|it| it.explicit).count() as u64
    }
}

fn kind(rng: &mut StdRng) -> GroupingKind {
    let kinds = [
        GroupingKind::Shuffle,
        GroupingKind::None,
        GroupingKind::Fields,
        GroupingKind::PartialKey,
        GroupingKind::SpreadHotKeys,
        GroupingKind::ScatterHotKeys,
        GroupingKind::All,
        GroupingKind::Global,
        GroupingKind::Direct,
        GroupingKind::Custom,
        GroupingKind::LocalOrShuffle,
    ];
    kinds[rng.random_range(0..kinds.len())]
}

/// One or two spouts and up to four levels of bolts; each reads the level above, and perhaps more.
fn components(rng: &mut StdRng) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    let mut above = 0..0;
    let mut task = 0;
    for level in 0..=rng.random_range(1..=4) {
        let start = components.len();
        for at in 0..rng.random_range(1..=2) {
            let mut inputs = Vec::new();
            if level > 0 {
                let must = rng.random_range(above.clone());
                for from in 0..start {
                    if from == must || rng.random_bool(0.3) {
                        inputs.push(Input { from, kind: kind(rng) });
                    }
                }
            }
            let tasks = task..task + rng.random_range(1..=4);
            task = tasks.end;
            let (spout, explicit) = (level == 0, level > 0 && rng.random_bool(0.4));
            let (name, slow) = (format!("{level}.{at}"), rng.random_bool(0.2));
            components.push(Component { name, spout, explicit, slow, inputs, tasks });
        }
        above = start..components.len();
    }
    components
}

fn executors(rng: &mut StdRng, components: &[Component]) -> Vec<ExecutorPlan> {
    let mut executors = Vec::new();
    for (component, it) in components.iter().enumerate() {
        let middle = rng.random_range(it.tasks.clone());
        for tasks in [it.tasks.start..middle, middle..it.tasks.end] {
            if !tasks.is_empty() {
                executors.push(ExecutorPlan { index: executors.len() as u16, component, tasks });
            }
        }
    }
    executors
}

/// Some worlds have deaths only, some only bad links, most have all.
fn faults(rng: &mut StdRng, end: u64) -> Vec<(u64, Fault)> {
    let workers = [Fault::Crash, Fault::Zombie, Fault::Pause];
    let links = [Fault::Cut, Fault::Cut, Fault::Cut, Fault::Drop, Fault::Duplicate, Fault::Corrupt];
    let mut faults = Vec::new();
    let mut add = |rng: &mut StdRng, kinds: &[Fault], most: u32| {
        for _ in 0..rng.random_range(0..=most) {
            faults.push((rng.random_range(0..end), kinds[rng.random_range(0..kinds.len())]));
        }
    };
    add(rng, &workers, 6);
    add(rng, &links, 6);
    if rng.random_bool(0.4) {
        add(rng, &[Fault::Move], 2);
    }
    faults
}

/// Workers are replaced and go on, one after another, while there are many trees.
fn zombies(rng: &mut StdRng, end: u64) -> Vec<(u64, Fault)> {
    (0..rng.random_range(3..8)).map(|_| (rng.random_range(0..end), Fault::Zombie)).collect()
}

/// Links that start over while workers stand still.
fn battered_links(rng: &mut StdRng, end: u64) -> Vec<(u64, Fault)> {
    let mut faults = Vec::new();
    for (fault, most) in [(Fault::Pause, 12), (Fault::Corrupt, 40), (Fault::Cut, 10)] {
        faults.extend((0..rng.random_range(0..=most)).map(|_| (rng.random_range(0..end), fault)));
    }
    faults
}
