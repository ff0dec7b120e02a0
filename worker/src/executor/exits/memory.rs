//! What a loop adds to what its worker holds, and what follows when that is much.

use std::time::Duration;

use super::Exits;

/// How often a loop looks at what the others hold: to read their figures costs a little each.
const LOOK_EVERY: Duration = Duration::from_millis(1);

impl Exits {
    /// Shows the other loops what this one holds, once a round, and looks at what they do.
    pub fn publish_memory(&mut self) {
        self.memory.publish();
        if self.now >= self.look_at {
            self.is_tight = self.plan.budget.is_tight();
            self.look_at = self.now + LOOK_EVERY;
        }
    }

    /// Bytes that one target may leave in an outbox before its executor takes no more input: in a
    /// worker that holds too much, none.
    #[must_use]
    pub fn outbox_share(&self) -> usize {
        if self.is_tight { 1 } else { self.routes.seating.shares.outbox as usize }
    }
}
