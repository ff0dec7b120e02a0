//! Follows the store and says what it sees in the engine's words.
//!
//! One mirror of the whole cluster's keys and not one a prefix: a routing table must reflect every
//! record up to its version, so changes have to arrive in the order of their revisions.

use std::sync::Arc;

use coordination::{Change, Entry, Key, Keys, Mirror, MirrorEvent, Store, WatermarkFile, decode};
use daemon::Shutdown;
use prost::Message as Record;
use tokio::sync::mpsc;

use crate::daemon::Message;
use crate::engine::{Event, Fact, Stamped};

/// Follows the store until `parts` is asked to stop.
pub(crate) fn follow(
    store: Arc<dyn Store>,
    keys: Keys,
    memory: Option<WatermarkFile>,
    messages: mpsc::Sender<Message>,
    parts: &Shutdown,
) {
    let mut mirror = Mirror::follow_cluster(store, &keys, memory, parts);
    parts.spawn_until_asked(async move {
        loop {
            let Some(event) = observe(&mirror.changed().await, &keys) else { continue };
            if messages.send(Message::Engine(event)).await.is_err() {
                return;
            }
        }
    });
}

/// Turns what a mirror of the whole cluster shows into an event, if it concerns a supervisor.
#[must_use]
pub fn observe(event: &MirrorEvent, keys: &Keys) -> Option<Event> {
    match event {
        MirrorEvent::Snapshot(listing) => {
            let facts = listing.entries.iter().filter_map(|entry| put(keys, entry));
            Some(Event::Snapshot(facts.collect()))
        }
        MirrorEvent::Changes(changes) => {
            let facts: Vec<_> = changes.iter().filter_map(|change| fact(keys, change)).collect();
            (!facts.is_empty()).then_some(Event::Store(facts))
        }
        MirrorEvent::Restored(listing) => {
            let facts = listing.entries.iter().filter_map(|entry| put(keys, entry));
            Some(Event::Restored(facts.collect()))
        }
        // The workers go on: what they run does not depend on the store, and one that went back is
        // believed when people have accepted it.
        MirrorEvent::Unavailable(_) | MirrorEvent::WentBack { .. } => None,
    }
}

fn fact(keys: &Keys, change: &Change) -> Option<Fact> {
    match change {
        Change::Put(entry) => put(keys, entry),
        Change::Deleted { key, .. } => match keys.parse(key)? {
            Key::Topology { id } => Some(Fact::Topology(id, None)),
            Key::Assigned { topology } => Some(Fact::Assigned(topology, None)),
            Key::Assignment { topology, generation, worker } => {
                Some(Fact::Assignment { topology, generation, worker, record: None })
            }
            Key::Worker { topology, worker } => {
                Some(Fact::Worker { topology, worker, record: None })
            }
            Key::Leader => Some(Fact::Leader(None)),
            Key::Nimbus { id } => Some(Fact::Nimbus(id, None)),
            _ => None,
        },
    }
}

fn put(keys: &Keys, entry: &Entry) -> Option<Fact> {
    match keys.parse(&entry.key)? {
        Key::Topology { id } => Some(Fact::Topology(id, Some(Box::new(read(entry)?)))),
        Key::Assigned { topology } => Some(Fact::Assigned(topology, Some(stamped(entry)?))),
        Key::Assignment { topology, generation, worker } => {
            let record = Some(stamped(entry)?);
            Some(Fact::Assignment { topology, generation, worker, record })
        }
        Key::Worker { topology, worker } => {
            Some(Fact::Worker { topology, worker, record: Some(stamped(entry)?) })
        }
        Key::Leader => Some(Fact::Leader(Some(stamped(entry)?))),
        Key::Nimbus { id } => Some(Fact::Nimbus(id, Some(read(entry)?))),
        _ => None,
    }
}

fn stamped<R: Record + Default>(entry: &Entry) -> Option<Stamped<R>> {
    Some(Stamped { record: read(entry)?, revision: entry.modified })
}

/// One unreadable record is no reason to stop reading the others.
fn read<R: Record + Default>(entry: &Entry) -> Option<R> {
    match decode(entry) {
        Ok(record) => Some(record),
        Err(error) => {
            tracing::warn!(key = %entry.key, %error, "ignoring a record");
            None
        }
    }
}
