//! From the bytes of the store to what the engine understands.

use coordination::{Change, Entry, Error, Key, Keys, MirrorEvent, decode};
use proto::store::ResultRecord;
use tracing::warn;

use crate::engine::event::{Event, Fact, Record};

/// Turns what a mirror of the whole cluster shows into an event.
///
/// A key that cannot be read is left out and logged: one broken record must not stop the cluster.
#[must_use]
pub fn observe(event: MirrorEvent, keys: &Keys) -> Event {
    match event {
        MirrorEvent::Snapshot(listing) | MirrorEvent::Restored(listing) => {
            let facts = listing.entries.iter().filter_map(|entry| present(entry, keys)).collect();
            Event::Snapshot { facts, revision: listing.revision }
        }
        MirrorEvent::Changes(changes) => {
            Event::Changes(changes.iter().filter_map(|change| changed(change, keys)).collect())
        }
        MirrorEvent::Unavailable(reason) => Event::StoreSilent(reason),
        MirrorEvent::WentBack { seen, found } => Event::StoreWentBack { seen, found },
    }
}

fn changed(change: &Change, keys: &Keys) -> Option<Fact> {
    match change {
        Change::Put(entry) => present(entry, keys),
        Change::Deleted { key, revision } => {
            Some(Fact { key: keys.parse(key)?, record: None, revision: *revision })
        }
    }
}

fn present(entry: &Entry, keys: &Keys) -> Option<Fact> {
    let key = keys.parse(&entry.key)?;
    match record(&key, entry) {
        Ok(record) => Some(Fact { key, record: Some(record?), revision: entry.modified }),
        Err(error) => {
            warn!(key = entry.key, %error, "record cannot be read, leaving it out");
            None
        }
    }
}

fn record(key: &Key, entry: &Entry) -> Result<Option<Record>, Error> {
    Ok(Some(match key {
        Key::Leader => Record::Leader(decode(entry)?),
        Key::Nimbus { .. } => Record::Nimbus(decode(entry)?),
        Key::Recovery => return Ok(None),
        Key::Supervisor { .. } => Record::Supervisor(decode(entry)?),
        Key::Topology { .. } => Record::Topology(Box::new(decode(entry)?)),
        Key::Name { .. } => Record::Name(String::from_utf8_lossy(&entry.value).into_owned()),
        Key::Assignment { .. } => Record::Assignment(decode(entry)?),
        Key::Assigned { .. } => Record::Assigned(decode(entry)?),
        Key::Worker { .. } => Record::Worker(decode(entry)?),
        Key::Result { .. } => {
            Record::Result(decode::<ResultRecord>(entry)?.result.unwrap_or_default())
        }
        Key::Request { .. } => Record::Request(decode(entry)?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_cannot_be_read_does_not_hide_the_others() {
        let keys = Keys::new("test").unwrap();
        let entry =
            |key, value: &[u8]| Entry { key, value: value.to_vec(), created: 1, modified: 2 };
        let changes = vec![
            Change::Put(entry(keys.topology("broken"), &[0xff])),
            Change::Put(entry("/squall/v1/test/unheard/of".to_owned(), &[])),
            Change::Put(entry(keys.name("word-count"), b"word-count-1")),
            Change::Deleted { key: keys.leader(), revision: 3 },
        ];
        let Event::Changes(facts) = observe(MirrorEvent::Changes(changes), &keys) else {
            panic!("changes stay changes")
        };
        let seen: Vec<_> = facts.iter().map(|fact| (&fact.record, fact.revision)).collect();
        let name = Some(Record::Name("word-count-1".to_owned()));
        assert_eq!(seen, [(&name, 2), (&None, 3)]);
    }
}
