//! What is to be thought of the store: whether it answers, takes writes, and is the one that was
//! decided on. While it is not, nothing is written and every change is refused with the reason.

use coordination::Watermark;

use super::command::Refusal;
use super::event::Health;

/// What is known of the store's health.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreHealth {
    /// Why it cannot be followed, while that is so.
    silent: Option<String>,
    /// How far it was seen and how far it is now, while it is behind and nobody accepted that.
    went_back: Option<(Watermark, Watermark)>,
    /// What the last look at it showed.
    looked: Health,
}

impl StoreHealth {
    /// It is followed again, from a complete listing.
    pub(super) fn follows(&mut self) {
        self.silent = None;
        self.went_back = None;
    }

    /// It cannot be followed, for this reason.
    pub(super) fn fell_silent(&mut self, reason: String) {
        self.silent = Some(reason);
    }

    /// It answers but is behind what was seen of it.
    pub(super) fn fell_back(&mut self, seen: Watermark, found: Watermark) {
        self.went_back = Some((seen, found));
        self.silent = None;
    }

    /// Somebody looked at its health.
    pub(super) fn looked(&mut self, health: Health) {
        self.looked = health;
    }

    /// Returns how far it was seen and how far it is, if it went back and nobody accepted that.
    pub(super) fn went_back(&self) -> Option<(Watermark, Watermark)> {
        self.went_back
    }

    /// Tells whether it answers but takes no writes.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self.looked, Health::ReadOnly(_))
    }

    /// Says why nothing can be written, if that is so.
    pub(super) fn problem(&self) -> Option<String> {
        if let Some((seen, found)) = self.went_back {
            return Some(format!(
                "it went back from revision {} to {}: it was wiped, or restored from a backup",
                seen.revision, found.revision
            ));
        }
        match (&self.silent, &self.looked) {
            (Some(reason), _) | (None, Health::Silent(reason)) => Some(reason.clone()),
            (None, Health::ReadOnly(reason)) => Some(format!("read-only: {reason}")),
            (None, Health::Fine) => None,
        }
    }

    /// Refuses a change, if nothing can be written.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let problem = self.problem()?;
        Some(if self.went_back.is_some() {
            Refusal::store_went_back(&problem)
        } else if self.silent.is_none() && self.is_read_only() {
            Refusal::store_read_only(&problem)
        } else {
            Refusal::store_silent(&problem)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(revision: u64) -> Watermark {
        Watermark { revision, recovery: 0, went_back: false }
    }

    #[test]
    fn the_gravest_problem_is_told_and_each_ends_by_its_own_sign() {
        let mut health = StoreHealth::default();
        assert_eq!(health.problem(), None);
        health.looked(Health::ReadOnly("full".to_owned()));
        assert_eq!(health.problem().as_deref(), Some("read-only: full"));
        health.fell_silent("down".to_owned());
        assert_eq!(health.problem().as_deref(), Some("down"));
        health.fell_back(at(9), at(1));
        let refusal = health.refusal().expect("nothing may be written");
        assert!(refusal.why.contains("from revision 9 to 1"), "{refusal:?}");
        assert!(refusal.fix.contains("squall recover"), "{refusal:?}");
        health.follows();
        assert_eq!(health.problem().as_deref(), Some("read-only: full"), "it is still full");
        health.looked(Health::Fine);
        assert_eq!(health.refusal(), None);
    }

    #[test]
    fn a_look_that_gets_no_answer_counts_until_the_next_that_does() {
        let mut health = StoreHealth::default();
        health.looked(Health::Silent("no leader".to_owned()));
        assert!(health.refusal().is_some_and(|refusal| refusal.fix.contains("start etcd")));
        health.looked(Health::Fine);
        assert_eq!(health.problem(), None);
    }
}
