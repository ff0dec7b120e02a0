//! What a store in memory holds, and what each call does to it. Pure: time is passed in.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::{Duration, Instant};

use crate::store::{
    Change, Entry, Error, Guard, LeaseId, Listing, Operation, Revision, Transaction,
};

/// Most revisions whose changes are remembered for watches.
const HISTORY_REVISIONS_MAX: usize = 10_000;

/// Most bytes of changes that are remembered for watches.
const HISTORY_BYTES_MAX: usize = 64 << 20;

/// Keys, leases, and the changes a watch can still ask for.
#[derive(Debug)]
pub(super) struct State {
    entries: BTreeMap<String, (Entry, Option<LeaseId>)>,
    leases: BTreeMap<LeaseId, Lease>,
    last_lease: LeaseId,
    revision: Revision,
    /// The changes of each revision from `compacted` on, oldest first.
    history: VecDeque<(Revision, Vec<Change>)>,
    history_bytes: usize,
    /// Changes before this revision are forgotten.
    compacted: Revision,
    away: bool,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    ends: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            last_lease: 0,
            revision: 1,
            history: VecDeque::new(),
            history_bytes: 0,
            compacted: 0,
            away: false,
        }
    }
}

impl State {
    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn is_available(&self) -> bool {
        !self.away
    }

    pub(super) fn set_available(&mut self, available: bool, now: Instant) {
        self.away = !available;
        for lease in self.leases.values_mut() {
            lease.ends = now + lease.ttl;
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).map(|(entry, _)| entry.clone())
    }

    pub(super) fn list(&self, prefix: &str) -> Listing {
        let entries = self.below(prefix).map(|(_, (entry, _))| entry.clone()).collect();
        Listing { entries, revision: self.revision }
    }

    /// Applies a transaction that passed [`Transaction::check`].
    pub(super) fn commit(&mut self, transaction: Transaction) -> Result<Revision, Error> {
        if !transaction.guards.iter().all(|guard| self.holds(guard)) {
            return Err(Error::Conflict);
        }
        for operation in &transaction.operations {
            if let Operation::Put { lease: Some(lease), .. } = operation
                && !self.leases.contains_key(lease)
            {
                return Err(Error::LeaseLost(*lease));
            }
        }
        let revision = self.revision + 1;
        let mut changes = Vec::new();
        for operation in transaction.operations {
            match operation {
                Operation::Put { key, value, lease } => {
                    let created = self.entries.get(&key).map_or(revision, |(old, _)| old.created);
                    let entry = Entry { key: key.clone(), value, created, modified: revision };
                    changes.push(Change::Put(entry.clone()));
                    self.entries.insert(key, (entry, lease));
                }
                Operation::Delete(key) => changes.extend(self.remove(key, revision)),
                Operation::DeletePrefix(prefix) => {
                    let keys: Vec<_> = self.below(&prefix).map(|(key, _)| key.clone()).collect();
                    changes.extend(keys.into_iter().filter_map(|key| self.remove(key, revision)));
                }
            }
        }
        self.record(changes);
        Ok(self.revision)
    }

    /// Returns the changes at or after `from` below `prefix`.
    pub(super) fn since(&self, from: Revision, prefix: &str) -> Result<Vec<Change>, Error> {
        if from < self.compacted {
            return Err(Error::Compacted(from));
        }
        let first = self.history.partition_point(|(revision, _)| *revision < from);
        let changes = self.history.range(first..).flat_map(|(_, changes)| changes);
        Ok(changes.filter(|change| change.key().starts_with(prefix)).cloned().collect())
    }

    /// Forgets the changes before `revision`.
    pub(super) fn compact(&mut self, revision: Revision) {
        self.compacted = self.compacted.max(revision.min(self.revision));
        while self.history.front().is_some_and(|(oldest, _)| *oldest < self.compacted) {
            let forgotten = self.history.pop_front();
            self.history_bytes -= forgotten.map_or(0, |(_, changes)| bytes_of(&changes));
        }
    }

    pub(super) fn grant(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        let whole_seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = Duration::from_secs(whole_seconds.max(1));
        self.last_lease += 1;
        self.leases.insert(self.last_lease, Lease { ttl, ends: now + ttl });
        self.last_lease
    }

    pub(super) fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> Result<(), Error> {
        let kept = self.leases.get_mut(&lease).ok_or(Error::LeaseLost(lease))?;
        kept.ends = now + kept.ttl;
        Ok(())
    }

    /// Ends a lease; all its keys go at one revision.
    pub(super) fn revoke(&mut self, lease: LeaseId) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let kept = self.entries.iter().filter(|(_, (_, keeper))| *keeper == Some(lease));
        let keys: Vec<_> = kept.map(|(key, _)| key.clone()).collect();
        let revision = self.revision + 1;
        let changes = keys.into_iter().filter_map(|key| self.remove(key, revision)).collect();
        self.record(changes);
    }

    /// Ends the leases that are due and says whether there were any. While the store is away
    /// nobody can keep a lease alive, so none ends.
    pub(super) fn end_leases(&mut self, now: Instant) -> bool {
        if self.away {
            return false;
        }
        let due = self.leases.iter().filter(|(_, lease)| lease.ends <= now);
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        for lease in &due {
            self.revoke(*lease);
        }
        !due.is_empty()
    }

    pub(super) fn next_lease_end(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.ends).min()
    }

    fn holds(&self, guard: &Guard) -> bool {
        let found = self.entries.get(guard.key()).map(|(entry, _)| entry);
        match guard {
            Guard::Absent(_) => found.is_none(),
            Guard::CreatedAt(_, revision) => found.is_some_and(|entry| entry.created == *revision),
            Guard::ModifiedAt(_, revision) => {
                found.is_some_and(|entry| entry.modified == *revision)
            }
        }
    }

    fn below<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a (Entry, Option<LeaseId>))> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        self.entries.range::<str, _>(from).take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn remove(&mut self, key: String, revision: Revision) -> Option<Change> {
        self.entries.remove(&key).map(|_| Change::Deleted { key, revision })
    }

    /// Raises the revision if something changed, and remembers what.
    fn record(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        self.revision += 1;
        self.history_bytes += bytes_of(&changes);
        self.history.push_back((self.revision, changes));
        while self.history.len() > HISTORY_REVISIONS_MAX || self.history_bytes > HISTORY_BYTES_MAX {
            // Ends: a single transaction is far below the limit of bytes.
            let oldest = self.history.front().map_or(self.revision, |(oldest, _)| *oldest);
            self.compact(oldest + 1);
        }
    }
}

fn bytes_of(changes: &[Change]) -> usize {
    let value = |change: &Change| match change {
        Change::Put(entry) => entry.value.len(),
        Change::Deleted { .. } => 0,
    };
    changes.iter().map(|change| change.key().len() + value(change) + size_of::<Change>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(state: &mut State, bytes: usize) -> Revision {
        let put = Operation::Put { key: "a".to_owned(), value: vec![0; bytes], lease: None };
        state.commit(Transaction { guards: vec![], operations: vec![put] }).unwrap()
    }

    #[test]
    fn the_history_is_bounded_in_revisions() {
        let mut state = State::default();
        let first = write(&mut state, 0);
        for _ in 0..HISTORY_REVISIONS_MAX {
            write(&mut state, 0);
        }
        assert_eq!(state.history.len(), HISTORY_REVISIONS_MAX);
        assert!(matches!(state.since(first, ""), Err(Error::Compacted(from)) if from == first));
        assert!(state.since(first + 1, "").is_ok(), "only the oldest was forgotten");
    }

    #[test]
    fn the_history_is_bounded_in_bytes() {
        let mut state = State::default();
        for _ in 0..80 {
            write(&mut state, 1 << 20);
        }
        assert!(state.history_bytes <= HISTORY_BYTES_MAX);
        assert!(state.history.len() >= 60, "it remembers what fits");
    }

    #[test]
    fn a_compaction_in_the_future_forgets_no_more_than_the_present() {
        let mut state = State::default();
        let revision = write(&mut state, 0);
        state.compact(revision + 100);
        assert_eq!(state.since(revision, "").unwrap().len(), 1);
        write(&mut state, 0);
        assert_eq!(state.since(revision, "").unwrap().len(), 2);
    }
}
