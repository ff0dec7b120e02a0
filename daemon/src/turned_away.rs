//! Who was turned away, and how often: every receiver that fences keeps one of these and shows it.
//!
//! What is counted came from outside, so there is room for so many names and no more: what does not
//! fit is counted under one name.

use std::collections::BTreeMap;

/// Different names that are told apart.
const NAMES_MAX: usize = 64;

/// Stands for the names that there is no room for.
const OTHERS: &str = "others";

/// Counts by who was turned away and why.
///
/// ```
/// use daemon::TurnedAway;
///
/// let mut turned = TurnedAway::default();
/// turned.note("worker 3", "7.0", "retired");
/// turned.note("worker 3", "7.1", "retired");
/// let all: Vec<_> = turned.iter().collect();
/// assert_eq!(all, [("worker 3", "7.1", "retired", 2)]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnedAway {
    /// By who and why: the epoch named last, and how often.
    counts: BTreeMap<(String, &'static str), (String, u64)>,
}

impl TurnedAway {
    /// Counts one; `epoch` is the incarnation it named, empty if it has none. Returns how often that
    /// was so by now.
    pub fn note(&mut self, who: &str, epoch: &str, why: &'static str) -> u64 {
        let known = self.counts.contains_key(&(who.to_owned(), why));
        let who = if known || self.counts.len() < NAMES_MAX { who } else { OTHERS };
        let (last, count) = self.counts.entry((who.to_owned(), why)).or_default();
        epoch.clone_into(last);
        *count += 1;
        *count
    }

    /// Lists all: who, the epoch named last, why, how often.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &'static str, u64)> {
        let each = self.counts.iter();
        each.map(|((who, why), (epoch, count))| (who.as_str(), epoch.as_str(), *why, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_names_takes_bounded_room_and_is_counted_to_the_last() {
        let mut turned = TurnedAway::default();
        for number in 0..10_000 {
            turned.note(&format!("worker {number}"), "", "foreign");
        }
        assert!(turned.iter().count() <= NAMES_MAX + 1, "names of strangers fill no memory");
        assert_eq!(turned.iter().map(|(_, _, _, count)| count).sum::<u64>(), 10_000);
    }
}
