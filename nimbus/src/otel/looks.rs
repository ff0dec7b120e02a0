//! For how long topologies are looked at for trees.
//!
//! Most trees end within a second, and a look ends as soon as there are enough of them. Where trees take
//! longer, they are seen to begin and none of them ends: then the next look is twice as long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a look takes at first.
const FIRST: Duration = Duration::from_secs(2);

/// The longest look: trees that take longer than twice the usual timeout are not seen whole.
const LONGEST: Duration = Duration::from_secs(64);

/// The next look at each topology.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<String, Duration>);

impl Looks {
    /// How long the next look at a topology takes at most.
    pub(super) fn time(&self, topology: &str) -> Duration {
        self.0.get(topology).copied().unwrap_or(FIRST)
    }

    /// Takes in how many trees were seen in a look, and how many of them ended.
    pub(super) fn note(&mut self, topology: &str, seen: usize, ended: usize) {
        if seen > 0 && ended == 0 {
            let longer = (self.time(topology) * 2).min(LONGEST);
            self.0.insert(topology.to_owned(), longer);
        }
    }

    /// Forgets topologies that are gone.
    pub(super) fn keep(&mut self, topologies: &[String]) {
        let known: BTreeSet<&String> = topologies.iter().collect();
        self.0.retain(|topology, _| known.contains(topology));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_gets_longer_only_while_trees_begin_and_none_ends() {
        let mut looks = Looks::default();
        looks.note("idle", 0, 0);
        assert_eq!(looks.time("idle"), FIRST, "there is nothing to wait for");
        looks.note("slow", 20, 0);
        assert_eq!(looks.time("slow"), 2 * FIRST);
        looks.note("slow", 20, 3);
        assert_eq!(looks.time("slow"), 2 * FIRST, "that was enough");
        (0..20).for_each(|_| looks.note("slow", 1, 0));
        assert_eq!(looks.time("slow"), LONGEST);
        looks.keep(&["idle".to_owned()]);
        assert_eq!(looks.time("slow"), FIRST, "one of the same name begins anew");
    }
}
