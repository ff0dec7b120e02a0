//! Which binaries this nimbus is to hold: a copy of each that a topology uses, on every nimbus, so
//! that another can lead and any can give it to supervisors.
//!
//! A topology whose binary is on no nimbus that is up is quarantined: what runs of it goes on, but
//! nothing of it is placed or moved, until the binary is back or the topology is killed. Nothing
//! else is touched by that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proto::store::{TopologyRecord, TopologyStatus};

use super::Engine;
use super::command::Command;
use super::view::{View, status};

/// How long to wait before a fetch is tried again.
const FETCH_AGAIN: Duration = Duration::from_secs(2);

/// How long a binary stays that no topology uses: a submission may be on its way.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// What is known of the binaries that this nimbus holds.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// Those that were found whole; `None` before the first look at the disk.
    held: Option<BTreeSet<String>>,
    /// Those that topologies used at the last look.
    used: BTreeSet<String>,
    /// Since when those have been held that no topology uses.
    idle: BTreeMap<String, Instant>,
    /// Not to be fetched again before then.
    tried: BTreeMap<String, Instant>,
}

impl Copies {
    /// Takes in what is on the disk.
    pub(super) fn holds(&mut self, digests: BTreeSet<String>) {
        self.tried.retain(|digest, _| !digests.contains(digest));
        self.held = Some(digests);
    }

    /// Notes that a submission needs a binary from now on.
    pub(super) fn promise(&mut self, digest: String, now: Instant) {
        self.idle.insert(digest, now);
    }

    /// Finds what to fetch and what to remove, by what topologies use.
    fn next(&mut self, view: &View, own: &str, now: Instant) -> Vec<Command> {
        let used: BTreeSet<String> =
            view.topologies.values().map(|known| known.record.digest.clone()).collect();
        let mut commands = Vec::new();
        for digest in self.used.difference(&used) {
            commands.push(Command::RemoveBinary { digest: digest.clone() });
        }
        if let Some(held) = &self.held {
            let fetched = view.topologies.values().filter(|known| needs_binary(&known.record));
            for digest in fetched.map(|known| &known.record.digest) {
                let soon = self.tried.get(digest).is_some_and(|until| now < *until);
                let from = holders(view, own, digest);
                if !held.contains(digest) && !soon && !from.is_empty() {
                    self.tried.insert(digest.clone(), now + FETCH_AGAIN);
                    commands.push(Command::FetchBinary { digest: digest.clone(), from });
                }
            }
            for digest in held.difference(&used) {
                let since = *self.idle.entry(digest.clone()).or_insert(now);
                if now.saturating_duration_since(since) >= KEPT_FOR {
                    self.idle.insert(digest.clone(), now);
                    commands.push(Command::RemoveBinary { digest: digest.clone() });
                }
            }
            self.idle.retain(|digest, since| {
                let young = now.saturating_duration_since(*since) < KEPT_FOR;
                !used.contains(digest) && (held.contains(digest) || young)
            });
        }
        self.used = used;
        commands
    }
}

/// Where the nimbuses are that have a binary, except the one of this id.
fn holders(view: &View, own: &str, digest: &str) -> Vec<String> {
    let others = view.nimbuses.iter().filter(|(id, _)| *id != own);
    let have = others.filter(|(_, nimbus)| nimbus.digests.iter().any(|it| it == digest));
    have.map(|(_, nimbus)| nimbus.address.clone()).collect()
}

/// Whether workers of a topology may still have to be started.
fn needs_binary(record: &TopologyRecord) -> bool {
    use TopologyStatus::{Active, Inactive, Rebalancing};
    matches!(status(record), Active | Inactive | Rebalancing)
}

impl Engine {
    /// Finds which binaries to fetch and to remove, on a leader and on a standby alike.
    pub(super) fn copy_binaries(&mut self, now: Instant, commands: &mut Vec<Command>) {
        if self.view.revision > 0 && self.store.went_back().is_none() {
            commands.extend(self.copies.next(&self.view, &self.id, now));
        }
    }

    /// Returns how many binaries this nimbus holds.
    #[must_use]
    pub fn binaries_held(&self) -> usize {
        self.copies.held.as_ref().map_or(0, BTreeSet::len)
    }

    /// Says why a topology is left as it is while others go on, if that is so.
    #[must_use]
    pub fn quarantine(&self, record: &TopologyRecord) -> Option<String> {
        if let Some((_, reason)) = self.quarantined.get(&record.id) {
            return Some(format!("quarantined: {reason}"));
        }
        let held = self.copies.held.as_ref()?;
        let digest = &record.digest;
        let there = held.contains(digest) || !holders(&self.view, &self.id, digest).is_empty();
        (needs_binary(record) && !there).then(|| {
            let short: String = digest.chars().take(12).collect();
            format!(
                "quarantined: no nimbus that is up has its binary {short}: it is missing or \
                 damaged; what runs goes on, nothing is placed. Bring back the nimbus or the file \
                 `binaries/{digest}`, or kill the topology and submit it again"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use daemon::Clock;
    use proto::store::NimbusRecord;

    use super::super::view::Versioned;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn view(topologies: &[&str], others: &[(&str, &[&str])]) -> View {
        let mut view = View { revision: 1, ..View::default() };
        for digest in topologies {
            let record = TopologyRecord {
                digest: (*digest).to_owned(),
                status: TopologyStatus::Active.into(),
                ..TopologyRecord::default()
            };
            let known = Versioned { record, revision: 1 };
            view.topologies.insert(format!("of-{digest}"), known.into());
        }
        for (id, digests) in others {
            let digests = digests.iter().map(|it| (*it).to_owned()).collect();
            let address = format!("{id}:1");
            let record = NimbusRecord { address, digests, ..NimbusRecord::default() };
            view.nimbuses.insert((*id).to_owned(), record);
        }
        view
    }

    fn set(digests: &[&str]) -> BTreeSet<String> {
        digests.iter().map(|it| (*it).to_owned()).collect()
    }

    fn fetch(digest: &str, from: &[&str]) -> Command {
        let from = from.iter().map(|it| (*it).to_owned()).collect();
        Command::FetchBinary { digest: digest.to_owned(), from }
    }

    fn remove(digest: &str) -> Command {
        Command::RemoveBinary { digest: digest.to_owned() }
    }

    #[test]
    fn what_a_topology_uses_is_fetched_from_others_that_have_it_now_and_then() {
        let clock = Clock::manual();
        let mut copies = Copies::default();
        let view = view(&["x"], &[("a", &["x"]), ("b", &["x"]), ("c", &[])]);
        assert_eq!(copies.next(&view, "c", clock.now()), [], "its disk was not looked at yet");
        copies.holds(set(&[]));
        let wanted = [fetch("x", &["a:1", "b:1"])];
        assert_eq!(copies.next(&view, "c", clock.now()), wanted);
        assert_eq!(copies.next(&view, "c", clock.now()), [], "it is on its way");
        clock.advance(3 * SECOND);
        assert_eq!(copies.next(&view, "c", clock.now()), wanted, "that went wrong");
        copies.holds(set(&["x"]));
        clock.advance(3 * SECOND);
        assert_eq!(copies.next(&view, "c", clock.now()), []);
    }

    #[test]
    fn a_binary_goes_with_its_last_topology_and_a_stray_one_after_a_while() {
        let clock = Clock::manual();
        let mut copies = Copies::default();
        copies.holds(set(&["x", "stray"]));
        assert_eq!(copies.next(&view(&["x"], &[]), "a", clock.now()), []);
        assert_eq!(copies.next(&view(&[], &[]), "a", clock.now()), [remove("x")]);
        copies.holds(set(&["stray"]));
        clock.advance(KEPT_FOR - SECOND);
        assert_eq!(copies.next(&view(&[], &[]), "a", clock.now()), []);
        clock.advance(SECOND);
        assert_eq!(copies.next(&view(&[], &[]), "a", clock.now()), [remove("stray")]);
    }

    #[test]
    fn what_was_promised_to_a_submission_stays_for_its_time() {
        let clock = Clock::manual();
        let mut copies = Copies::default();
        copies.holds(set(&["x"]));
        assert_eq!(copies.next(&view(&[], &[]), "a", clock.now()), []);
        clock.advance(KEPT_FOR - SECOND);
        copies.promise("x".to_owned(), clock.now());
        clock.advance(2 * SECOND);
        assert_eq!(copies.next(&view(&[], &[]), "a", clock.now()), []);
        assert_eq!(copies.next(&view(&["x"], &[]), "a", clock.now()), [], "it is used now");
    }
}
