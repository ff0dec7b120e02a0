//! How many tuples take each way: what is emitted to a stream, and what of it goes to each component
//! that reads it.
//!
//! Outboxes count, once a batch and stream; the loop gathers what they counted when it posts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::executor::mailbox::StreamRef;

/// Tuples by stream and reader; without a reader it is what was emitted, whoever reads it.
///
/// ```
/// use worker::executor::flows::Flows;
/// use worker::executor::mailbox::StreamRef;
///
/// let (mut flows, from) = (Flows::default(), StreamRef { component: 0, stream: 0 });
/// flows.add(from, None, 3);
/// flows.add(from, Some(1), 6);
/// assert_eq!(flows.iter().map(|(_, _, tuples)| tuples).collect::<Vec<_>>(), [3, 6]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flows(BTreeMap<(usize, usize, Option<usize>), u64>);

impl Flows {
    /// Adds tuples that went this way.
    pub fn add(&mut self, from: StreamRef, to: Option<usize>, tuples: u64) {
        if tuples > 0 {
            *self.0.entry((from.component, from.stream, to)).or_default() += tuples;
        }
    }

    /// Every way with its tuples.
    pub fn iter(&self) -> impl Iterator<Item = (StreamRef, Option<usize>, u64)> {
        let way = |(&(component, stream, to), &tuples): (&(usize, usize, Option<usize>), &u64)| {
            (StreamRef { component, stream }, to, tuples)
        };
        self.0.iter().map(way)
    }
}

/// Where loops post how many tuples took which way.
#[derive(Debug, Default)]
pub struct FlowBoard(Mutex<BTreeMap<usize, Flows>>);

impl FlowBoard {
    /// Posts the totals of a loop.
    pub fn post(&self, at: usize, flows: &Flows) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(at, flows.clone());
    }

    /// The totals of all loops.
    #[must_use]
    pub fn flows(&self) -> Flows {
        let mut all = Flows::default();
        for flows in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            flows.iter().for_each(|(from, to, tuples)| all.add(from, to, tuples));
        }
        all
    }
}
