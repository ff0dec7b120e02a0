//! Which entries are with this consumer: given by the server, and not yet acked there.
//!
//! Pure. An entry that the server gives again while it is still here, after a lost connection or by a
//! claim, is not emitted twice; one that was acked here and not yet there is not either.

use std::collections::{HashMap, VecDeque};

/// An entry: the index of its stream, and its id there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub(super) stream: u32,
    pub(super) id: EntryId,
}

/// The id of an entry within its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct EntryId {
    pub(super) ms: u64,
    pub(super) number: u64,
}

impl EntryId {
    /// Reads an id as the server writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (ms, number) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is being worked on.
    Open,
    /// It was acked here; the server is still to be told.
    Acked,
}

/// The entries that are here.
#[derive(Debug, Default)]
pub(super) struct OpenEntries {
    states: HashMap<Place, State>,
    /// Those that the server is to be told of, in order.
    to_ack: VecDeque<Place>,
}

impl OpenEntries {
    /// An entry was given; whether it is new here, and is to be emitted.
    pub(super) fn take_in(&mut self, place: Place) -> bool {
        match self.states.entry(place) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(State::Open);
                true
            }
        }
    }

    /// An entry was processed, or is gone: the server is to be told.
    pub(super) fn acked(&mut self, place: Place) {
        if self.states.insert(place, State::Acked) != Some(State::Acked) {
            self.to_ack.push_back(place);
        }
    }

    /// An entry failed for good: it is left to the server.
    pub(super) fn failed(&mut self, place: Place) {
        if self.states.get(&place) == Some(&State::Open) {
            self.states.remove(&place);
        }
    }

    /// The next entries to tell the server of, all of one stream; they stay until it has answered.
    pub(super) fn next_acks(&mut self, most: usize) -> Vec<Place> {
        let Some(stream) = self.to_ack.front().map(|place| place.stream) else { return Vec::new() };
        let same = self.to_ack.iter().take_while(|place| place.stream == stream).count();
        self.to_ack.drain(..same.min(most)).collect()
    }

    /// The server knows of them.
    pub(super) fn told(&mut self, places: &[Place]) {
        for place in places {
            self.states.remove(place);
        }
    }

    /// The server could not be told: another time.
    pub(super) fn not_told(&mut self, places: Vec<Place>) {
        places.into_iter().rev().for_each(|place| self.to_ack.push_front(place));
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether the server is to be told of any.
    pub(super) fn has_acks(&self) -> bool {
        !self.to_ack.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn place(id: u64) -> Place {
        Place { stream: u32::from(id.is_multiple_of(3)), id: EntryId { ms: id, number: 0 } }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// The server gives all that it holds for us, as after a new connection.
        GivenAgain,
        New(u64),
        Acked(usize),
        Failed(usize),
        Tell {
            most: usize,
            works: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::GivenAgain),
            (1_u64..6).prop_map(Step::New),
            (0_usize..50).prop_map(Step::Acked),
            (0_usize..50).prop_map(Step::Failed),
            (1_usize..5, any::<bool>()).prop_map(|(most, works)| Step::Tell { most, works }),
        ]
    }

    proptest! {
        #[test]
        fn each_entry_is_here_once_and_acked_there_only_when_it_was_here(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut entries = OpenEntries::default();
            // What the server holds for us, what is being worked on, what was acked here.
            let (mut held, mut open, mut acked) = (HashSet::new(), Vec::new(), HashSet::new());
            let mut next = 0;
            for step in steps {
                match step {
                    Step::New(count) => for _ in 0..count {
                        next += 1;
                        held.insert(place(next));
                        prop_assert!(entries.take_in(place(next)));
                        open.push(place(next));
                    },
                    Step::GivenAgain => for given in &held {
                        let is_new = entries.take_in(*given);
                        prop_assert!(!is_new || !open.contains(given) && !acked.contains(given));
                        if is_new {
                            open.push(*given);
                        }
                    },
                    Step::Acked(at) => if at < open.len() {
                        let done = open.swap_remove(at);
                        acked.insert(done);
                        entries.acked(done);
                    },
                    Step::Failed(at) => if at < open.len() {
                        entries.failed(open.swap_remove(at));
                    },
                    Step::Tell { most, works } => {
                        let places = entries.next_acks(most);
                        prop_assert!(places.len() <= most);
                        prop_assert!(places.iter().all(|it| acked.contains(it) && it.stream == places[0].stream));
                        if works {
                            held.retain(|it| !places.contains(it));
                            entries.told(&places);
                        } else {
                            entries.not_told(places);
                        }
                    }
                }
            }
            while entries.has_acks() {
                let places = entries.next_acks(3);
                held.retain(|it| !places.contains(it));
                entries.told(&places);
            }
            prop_assert!(held.is_disjoint(&acked), "all that was acked here is acked there");
            prop_assert_eq!(entries.len(), open.len());
        }
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = EntryId::parse("1700000000000-3").unwrap();
        assert_eq!(
            (id.ms, id.number, id.to_string().as_str()),
            (1_700_000_000_000, 3, "1700000000000-3")
        );
        for wrong in ["", "1", "-", "1-x", "0-0-0"] {
            assert_eq!(EntryId::parse(wrong), None, "{wrong}");
        }
    }
}
