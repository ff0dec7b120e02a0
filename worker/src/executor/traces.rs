//! Tuple trees for who asks to see some: when their tuples were sent, came, were executed and settled.
//!
//! Nobody who looks may hold up who works. While nobody does, it costs one read of a number a round of
//! a loop, and a branch a batch. While somebody does, only the tuples of sampled trees are noted, by
//! each loop for itself; once a round what a loop noted is put here, from where it is fetched ten
//! times a second. If more comes than there is room for, fewer trees are looked at from then on
//! ([`rank`]). A tree that fails says so whether it is sampled or not.
//! A trace ends when it is closed, and by itself when its time is over.

pub mod hops;
mod notes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::Clock;
use proto::supervisor::span::Kind;
use proto::supervisor::{Span, Tapped, Trace};

use crate::engine::sampling::rank;

/// Traces open at a time: each gets all that is noted.
const TRACES_MAX: usize = 4;

/// What waits to be fetched by one of them; then the sample is made smaller.
const SPANS_MAX: usize = 512;

/// What waits beyond that, of trees that failed and are not sampled.
const FAILURES_MAX: usize = 256;

/// What is kept of one tree between two fetches: one with more tuples would make the sample too small
/// to see any other.
const TREE_SPANS_MAX: u32 = 128;

/// The longest that a trace may be open.
const TIME_MAX: Duration = Duration::from_secs(180);

/// What a loop notes before it puts that where it is fetched.
const NOTED_MAX: usize = 1_024;

/// Stands for a rank that no tree has: nobody looks.
const OFF: u32 = u32::MAX;

/// The traces of a worker.
#[derive(Debug)]
pub struct Traces {
    /// The lowest rank that somebody looks at.
    rank_min: AtomicU32,
    /// Somebody looks, or is to be told why not.
    any: AtomicBool,
    state: Mutex<BTreeMap<u64, Open>>,
    clock: Clock,
    /// When times count from: by a clock that never goes back, and by the wall.
    epoch: (Instant, u64),
}

/// One trace.
#[derive(Debug)]
struct Open {
    rank_min: u32,
    until: Instant,
    /// Nothing more is taken.
    over: bool,
    spans: Vec<Span>,
    /// How many of them are of trees that are sampled; the others are of some that failed.
    sampled: usize,
    /// How many there are of each tree.
    of_tree: HashMap<u64, u32>,
    left_out: u64,
    /// Why nothing is to be seen.
    problem: String,
}

impl Traces {
    /// Makes the traces of a worker, none of them open.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        let epoch = (clock.now(), clock.wall_ns());
        let (rank_min, any) = (AtomicU32::new(OFF), AtomicBool::new(false));
        Arc::new(Self { rank_min, any, state: Mutex::default(), clock, epoch })
    }

    /// Tells whether there is something to fetch.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Opens a trace; one that cannot be opened ends with the reason.
    pub fn open(&self, id: u64, trace: &Trace) {
        let time = Duration::from_millis(trace.for_ms).min(TIME_MAX);
        let mut open = Open {
            rank_min: 0,
            until: self.clock.now() + time,
            over: false,
            spans: Vec::new(),
            sampled: 0,
            of_tree: HashMap::new(),
            left_out: 0,
            problem: String::new(),
        };
        let mut state = self.lock();
        if state.len() >= TRACES_MAX {
            open.problem = format!("{TRACES_MAX} others trace this worker: try again later");
            open.over = true;
        }
        state.insert(id, open);
        self.note(&state);
    }

    /// Closes a trace.
    pub fn close(&self, id: u64) {
        let mut state = self.lock();
        state.remove(&id);
        self.note(&state);
    }

    /// Closes all: who asked for them is gone.
    pub fn close_all(&self) {
        let mut state = self.lock();
        state.clear();
        self.note(&state);
    }

    /// What each trace has to say since it was asked last; those that are over are closed.
    pub fn fetch(&self) -> Vec<Tapped> {
        let now = self.clock.now();
        let mut state = self.lock();
        let said = state.iter_mut().map(|(id, open)| Tapped {
            id: *id,
            rank_min: open.rank_min,
            epoch_ns: self.epoch.1,
            now_ns: self.ns(now),
            left_out: std::mem::take(&mut open.left_out),
            ended: open.over || now >= open.until,
            problem: open.problem.clone(),
            spans: open.take(),
            ..Tapped::default()
        });
        let said: Vec<Tapped> = said.collect();
        said.iter().filter(|said| said.ended).for_each(|said| drop(state.remove(&said.id)));
        self.note(&state);
        said
    }

    /// Takes what a loop has noted.
    fn put(&self, spans: &mut Vec<Span>) {
        let now = self.clock.now();
        let mut state = self.lock();
        // Also if nobody fetches any more.
        state.values_mut().for_each(|open| open.over |= now >= open.until);
        let last = state.len().saturating_sub(1);
        for (at, open) in state.values_mut().enumerate() {
            if at == last {
                spans.drain(..).for_each(|span| open.put(span));
            } else {
                spans.iter().for_each(|span| open.put(span.clone()));
            }
        }
        spans.clear();
        self.note(&state);
    }

    /// Lets the loops know what is wanted.
    fn note(&self, state: &BTreeMap<u64, Open>) {
        let lowest = state.values().filter(|open| !open.over).map(|open| open.rank_min).min();
        self.rank_min.store(lowest.unwrap_or(OFF), Ordering::Relaxed);
        self.any.store(!state.is_empty(), Ordering::Relaxed);
    }

    fn ns(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch.0);
        // Never 0, which stands for what has not happened.
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn put(&mut self, span: Span) {
        let (fails, sampled) = (is_failure(&span), span.rank >= self.rank_min);
        if self.over || !(fails || sampled) {
            return;
        }
        let of_tree = self.of_tree.entry(span.root).or_default();
        let beyond = self.spans.len() - self.sampled;
        if (!fails && *of_tree >= TREE_SPANS_MAX) || (!sampled && beyond >= FAILURES_MAX) {
            self.left_out += 1;
            return;
        }
        *of_tree += 1;
        self.sampled += usize::from(sampled);
        self.spans.push(span);
        while self.sampled >= SPANS_MAX {
            self.rank_min += 1;
            let rank_min = self.rank_min;
            self.spans.retain(|span| span.rank >= rank_min || is_failure(span));
            self.sampled = self.spans.iter().filter(|span| span.rank >= rank_min).count();
        }
    }

    fn take(&mut self) -> Vec<Span> {
        self.of_tree.clear();
        self.sampled = 0;
        std::mem::take(&mut self.spans)
    }
}

/// Whether it is worth knowing of a tree that is not sampled.
fn is_failure(span: &Span) -> bool {
    match span.kind() {
        Kind::Failed => true,
        Kind::Hop | Kind::Ended => {
            !matches!(span.verdict.as_str(), "" | notes::ACKED | notes::CONTINUED)
        }
        Kind::Unspecified | Kind::Opened | Kind::Sent => false,
    }
}

/// What one loop notes.
#[derive(Debug)]
pub struct Tracer {
    traces: Option<Arc<Traces>>,
    /// Trees of this rank and above are looked at in this round.
    rank_min: u32,
    spans: Vec<Span>,
    /// What a fused bolt emits next came of these tuples of its batch: the ids that stand for them.
    pub parents: Vec<u64>,
}

impl Tracer {
    /// Notes for these traces, if there are any.
    #[must_use]
    pub fn new(traces: Option<Arc<Traces>>) -> Self {
        Self { traces, rank_min: OFF, spans: Vec::new(), parents: Vec::new() }
    }

    /// Sees whether somebody looks: once a round.
    #[inline]
    pub fn look(&mut self) {
        if let Some(traces) = &self.traces {
            self.rank_min = traces.rank_min.load(Ordering::Relaxed);
        }
    }

    /// Tells whether somebody looks.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.rank_min != OFF
    }

    /// The rank of a tree, if it is looked at.
    fn rank_of(&self, root: u64) -> Option<u32> {
        let wanted = |rank: &u32| *rank >= self.rank_min;
        (root != 0).then(|| rank(root)).filter(wanted)
    }

    /// Puts what was noted where it is fetched: once a round.
    #[inline]
    pub fn flush(&mut self) {
        if !self.spans.is_empty() {
            self.put();
        }
    }

    #[cold]
    fn put(&mut self) {
        match &self.traces {
            Some(traces) => traces.put(&mut self.spans),
            None => self.spans.clear(),
        }
    }

    fn note(&mut self, span: Span) {
        self.spans.push(span);
        if self.spans.len() >= NOTED_MAX {
            self.put();
        }
    }

    fn ns(&self, at: Instant) -> u64 {
        self.traces.as_ref().map_or(0, |traces| traces.ns(at))
    }
}
