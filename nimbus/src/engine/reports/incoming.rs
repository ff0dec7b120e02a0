//! A report as the engine takes it in: what tasks counted is packed already.
//!
//! Packing is nearly all of the work that a report makes, and needs nothing that the engine knows. So it is
//! done by whoever receives the report, a worker at a time, and the engine is not held up by it. What a
//! worker says is read just before: what was read takes far more memory than what it is packed to.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::{DecodeError, Message};
use proto::received::Received;
use proto::supervisor::{SlotReport, SupervisorReport, WorkerReport};

use super::work::{Names, Work};

/// A report of a supervisor, of which what the tasks counted is packed worker by worker.
///
/// ```
/// use nimbus::engine::reports::incoming::Incoming;
/// use proto::supervisor::{SlotReport, SupervisorReport, WorkerReport};
///
/// let slot = SlotReport { report: Some(WorkerReport::default()), ..SlotReport::default() };
/// let report = SupervisorReport { slots: vec![slot.clone(), slot], ..SupervisorReport::default() };
/// let mut incoming = Incoming::new(report);
/// let steps = std::iter::from_fn(|| incoming.pack_next().unwrap().then_some(())).count();
/// assert_eq!(steps, 2, "one for each worker");
/// ```
#[derive(Clone, Debug)]
pub struct Incoming {
    report: SupervisorReport,
    /// Of the first slots.
    packed: Vec<Option<Worker>>,
    /// The last slots, which are not read.
    unread: VecDeque<Bytes>,
}

/// What a worker reports.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    /// All but what its tasks counted.
    pub(super) report: WorkerReport,
    /// What its tasks counted.
    pub(super) work: Work,
}

impl Incoming {
    /// Begins with nothing packed.
    #[must_use]
    pub fn new(report: SupervisorReport) -> Self {
        let packed = Vec::with_capacity(report.slots.len());
        Self { report, packed, unread: VecDeque::new() }
    }

    /// Reads if need be, and packs, what the next worker reports; false if there is none left.
    ///
    /// # Errors
    ///
    /// If it is no report. Then it is left out.
    pub fn pack_next(&mut self) -> Result<bool, DecodeError> {
        if self.packed.len() == self.report.slots.len() {
            let Some(bytes) = self.unread.pop_front() else { return Ok(false) };
            self.report.slots.push(SlotReport::decode(bytes)?);
        }
        let next = self.report.slots.get_mut(self.packed.len());
        self.packed.push(next.and_then(|slot| slot.report.take()).map(Worker::of));
        Ok(true)
    }

    /// The report, without what is packed.
    #[must_use]
    pub fn report(&self) -> &SupervisorReport {
        &self.report
    }

    /// The report without those of the workers, and these by slot.
    pub(super) fn into_parts(mut self) -> (SupervisorReport, Vec<Option<Worker>>) {
        while self.pack_next() != Ok(false) {}
        (self.report, self.packed)
    }
}

impl From<SupervisorReport> for Incoming {
    fn from(report: SupervisorReport) -> Self {
        Self::new(report)
    }
}

impl From<Received> for Incoming {
    fn from(Received { report, slots }: Received) -> Self {
        let packed = Vec::with_capacity(slots.len());
        Self { report, packed, unread: slots.into() }
    }
}

impl Worker {
    /// Packs a report.
    pub(super) fn of(mut report: WorkerReport) -> Self {
        let work = Work::of(&mut report, &mut Names::default());
        Self { report, work }
    }
}
