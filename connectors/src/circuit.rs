//! What is known of the way to a server: whether to go on, to wait, or to try it once.
//!
//! A server that is away is not asked for each tuple again: after the first failures everybody waits,
//! then one call is let through, and its result decides. After M. Nygard, "Release It!" (2007). The
//! state is a gauge and the failures are a counter of the task, so the status and the dashboard show
//! them; what went wrong is reported as an error of the task.

use std::time::{Duration, Instant};

use topology_api::{Context, Counter, Gauge};

use crate::Retry;

/// Failures in a row before everybody waits.
const FAILURES: u32 = 3;

/// Whether the way is open.
///
/// ```
/// use connectors::CircuitState;
///
/// assert_ne!(CircuitState::Closed, CircuitState::Open);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// One call goes through, to see; gauge value 0.5.
    HalfOpen,
    /// Everybody waits; gauge value 1.
    Open,
}

/// Decides whether to call a server that may be away.
///
/// Gauge `circuit`: 0 closed, 0.5 half open, 1 open. Counter `connection-failures`.
///
/// ```
/// use std::time::{Duration, Instant};
/// use connectors::{Circuit, CircuitState, Retry};
///
/// let retry = Retry::new(Duration::from_millis(100), Duration::from_secs(1));
/// let mut circuit = Circuit::new(retry);
/// let now = Instant::now();
/// for _ in 0..3 {
///     assert_eq!(circuit.wait(now), None);
///     circuit.failed(now, 1.0);
/// }
/// let wait = circuit.wait(now).expect("everybody waits");
/// assert_eq!(circuit.wait(now + wait), None, "one call goes through");
/// assert_eq!(circuit.state(), CircuitState::HalfOpen);
/// assert!(circuit.wait(now + wait).is_some(), "only one");
/// circuit.worked();
/// assert_eq!(circuit.state(), CircuitState::Closed);
/// ```
#[derive(Debug)]
pub struct Circuit {
    retry: Retry,
    state: CircuitState,
    /// In a row.
    failures: u32,
    /// When the next call may go through, while open or half open.
    until: Option<Instant>,
    gauge: Gauge,
    failed: Counter,
}

impl Circuit {
    /// A closed one that waits as `retry` says, whatever number of tries that allows; shown nowhere.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        let (gauge, failed) = (Gauge::default(), Counter::default());
        Self { retry, state: CircuitState::Closed, failures: 0, until: None, gauge, failed }
    }

    /// One that shows its state among the metrics of a task.
    #[must_use]
    pub fn shown(retry: Retry, cx: &Context) -> Self {
        let mut circuit = Self::new(retry);
        circuit.gauge = cx.gauge("circuit");
        circuit.failed = cx.counter("connection-failures");
        circuit.enter(CircuitState::Closed);
        circuit
    }

    /// Whether the way is open, by what is known.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.state
    }

    /// How long to wait before the next call; none: call now. Who is told to call while the circuit is
    /// open is the one that tries it, and has to say how it went.
    pub fn wait(&mut self, now: Instant) -> Option<Duration> {
        let until = self.until?;
        if now < until {
            return Some(until - now);
        }
        // If the one that tries never says how it went, somebody else tries after as long again.
        let step = self.step(1.0);
        self.until = Some(now + step);
        self.enter(CircuitState::HalfOpen);
        None
    }

    /// A call was answered; by an error too, if the server works.
    pub fn worked(&mut self) {
        self.failures = 0;
        self.until = None;
        if self.state != CircuitState::Closed {
            self.enter(CircuitState::Closed);
        }
    }

    /// A call found nobody, or broke off. `random` is uniform in `0.0..=1.0`. Gives how long the next
    /// one should wait.
    pub fn failed(&mut self, now: Instant, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.failed.add(1);
        let step = self.step(random);
        if self.failures >= FAILURES {
            self.until = Some(now + step);
            self.enter(CircuitState::Open);
        }
        step
    }

    fn step(&self, random: f64) -> Duration {
        self.retry.pause(self.failures, random)
    }

    fn enter(&mut self, state: CircuitState) {
        self.state = state;
        self.gauge.set(match state {
            CircuitState::Closed => 0.0,
            CircuitState::HalfOpen => 0.5,
            CircuitState::Open => 1.0,
        });
    }
}

/// The error of a call that failed: by no fault of its tuple where something is `away`.
#[cfg(any(feature = "http", feature = "redis"))]
pub(crate) fn failure(why: String, away: Option<String>) -> topology_api::Error {
    match away {
        Some(_) => topology_api::Unavailable::new(why).into(),
        None => why.into(),
    }
}

/// Waits until the way may be tried; the calls of one task share the circuit.
#[cfg(any(feature = "http", feature = "redis"))]
pub(crate) async fn until_open(circuit: &std::cell::RefCell<Circuit>, cx: &Context) {
    loop {
        let wait = circuit.borrow_mut().wait(cx.now());
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return,
        }
    }
}
