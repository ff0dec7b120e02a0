//! The routing table as loops use it: who has which tasks, which of them are here, and the links to
//! the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::routing::Table;
use crate::executor::seating::Seating;
use crate::transport::Link;

/// The routing table in force, with the link to each other worker in it.
#[derive(Debug, Default)]
pub struct Routes {
    /// Who has which tasks, by incarnation.
    pub table: Table,
    /// The links, by worker; none in the local form.
    pub links: BTreeMap<u32, Arc<Link>>,
    /// The executors of this worker under that table.
    pub seating: Arc<Seating>,
    /// How many loops have adopted them.
    adopted: AtomicUsize,
}

impl Routes {
    /// Routes that no loop has adopted yet.
    #[must_use]
    pub fn new(table: Table, links: BTreeMap<u32, Arc<Link>>, seating: Arc<Seating>) -> Self {
        Self { table, links, seating, adopted: AtomicUsize::new(0) }
    }

    /// Notes that a loop goes by these routes; tells whether it is the last of so many.
    pub fn adopted_by_one_of(&self, loops: usize) -> bool {
        self.adopted.fetch_add(1, Ordering::SeqCst) + 1 == loops
    }
}
