//! Machines that come and go, and a nimbus that has just come itself: both move nothing in a hurry.
//!
//! [`Flapping`] gives a supervisor a penalty each time it falls silent or is started anew, which
//! halves each minute; above a limit nothing new is placed there until it has decayed well below.
//! What runs there stays. This is the damping that routers use against routes that flap (RFC 2439,
//! 1998), with shorter times. [`Caution`] is for a nimbus that took the lead or stood still: what it
//! believes of the machines is young, so it gives up one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What one fall costs.
const FALL: f64 = 1_000.0;

/// From here on a supervisor is held back: the third fall within about half a minute.
const HELD: f64 = 2_500.0;

/// Below this it is no longer.
const FREE: f64 = 800.0;

/// No penalty is higher: three minutes without a fall are always enough.
const MOST: f64 = 6_000.0;

/// Forgotten below this.
const NOTHING: f64 = 50.0;

/// In this time a penalty halves.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// For so long after it took the lead or stood still, a nimbus is cautious.
const CAUTIOUS: Duration = Duration::from_secs(30);

/// A cautious nimbus gives up one machine in this time.
const STEP: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
struct Mark {
    penalty: f64,
    /// When that was the penalty.
    at: Instant,
    held: bool,
}

impl Mark {
    fn penalty(&self, now: Instant) -> f64 {
        let halves = now.saturating_duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.penalty * (-halves).exp2()
    }

    fn is_held(&self, now: Instant) -> bool {
        self.held && self.penalty(now) > FREE
    }
}

/// How often supervisors fell of late.
///
/// ```
/// use nimbus::engine::flapping::Flapping;
///
/// let (clock, mut flapping) = (daemon::Clock::manual(), Flapping::default());
/// (0..3).for_each(|_| flapping.fell("a", clock.now()));
/// assert!(flapping.is_held_back("a", clock.now()));
/// clock.advance(std::time::Duration::from_secs(180));
/// assert!(!flapping.is_held_back("a", clock.now()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Flapping {
    marks: BTreeMap<String, Mark>,
    /// Who was up at the last look.
    up: BTreeSet<String>,
}

impl Flapping {
    /// Takes note of who is up; whoever was and is not has fallen.
    pub fn look(&mut self, up: BTreeSet<String>, now: Instant) {
        let before = std::mem::replace(&mut self.up, up);
        for supervisor in before.difference(&self.up.clone()) {
            self.fell(supervisor, now);
        }
        self.marks.retain(|_, mark| mark.penalty(now) > NOTHING);
    }

    /// Takes note that a supervisor that was up was started anew.
    pub fn restarted(&mut self, supervisor: &str, now: Instant) {
        // One that fell silent before has paid for that.
        if self.up.remove(supervisor) {
            self.fell(supervisor, now);
        }
    }

    /// Adds what one fall costs.
    pub fn fell(&mut self, supervisor: &str, now: Instant) {
        let new = Mark { penalty: 0.0, at: now, held: false };
        let mark = self.marks.entry(supervisor.to_owned()).or_insert(new);
        let penalty = (mark.penalty(now) + FALL).min(MOST);
        let held = mark.is_held(now) || penalty >= HELD;
        *mark = Mark { penalty, at: now, held };
    }

    /// Tells whether nothing new should be placed there.
    #[must_use]
    pub fn is_held_back(&self, supervisor: &str, now: Instant) -> bool {
        self.marks.get(supervisor).is_some_and(|mark| mark.is_held(now))
    }
}

/// Which lost machines have been given up.
#[derive(Clone, Debug)]
pub struct Caution {
    /// Cautious until then.
    until: Instant,
    last: Option<Instant>,
    given_up: BTreeSet<String>,
}

impl Caution {
    /// Starts cautiously.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { until: now + CAUTIOUS, last: None, given_up: BTreeSet::new() }
    }

    /// Is cautious from now on: this nimbus took the lead, or stood still.
    pub fn startle(&mut self, now: Instant) {
        self.until = now + CAUTIOUS;
        self.last = None;
    }

    /// Gives up machines that are `lost`: all of them, or one of them while it is cautious.
    pub fn give_up(&mut self, lost: &BTreeSet<String>, now: Instant) {
        self.given_up.retain(|supervisor| lost.contains(supervisor));
        for supervisor in lost {
            if self.given_up.contains(supervisor) {
                continue;
            }
            let waits = now < self.until && self.last.is_some_and(|last| now < last + STEP);
            if waits {
                return;
            }
            self.last = Some(now);
            self.given_up.insert(supervisor.clone());
        }
    }

    /// Tells whether what a supervisor runs is to run elsewhere.
    #[must_use]
    pub fn has_given_up(&self, supervisor: &str) -> bool {
        self.given_up.contains(supervisor)
    }
}

#[cfg(test)]
mod tests {
    use daemon::Clock;
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_restart_or_two_hold_nobody_back_and_the_third_in_a_row_does() {
        let (clock, mut flapping) = (Clock::manual(), Flapping::default());
        let mut held = Vec::new();
        for _ in 0..3 {
            flapping.look(names(&["a", "b"]), clock.now());
            clock.advance(5 * SECOND);
            flapping.look(names(&["b"]), clock.now());
            flapping.restarted("a", clock.now());
            held.push(flapping.is_held_back("a", clock.now()));
        }
        assert_eq!(held, [false, false, true], "a fall and the restart after it count once");
        assert!(!flapping.is_held_back("b", clock.now()), "who stays up is not held back");
        clock.advance(60 * SECOND);
        assert!(flapping.is_held_back("a", clock.now()), "not so soon");
        clock.advance(60 * SECOND);
        assert!(!flapping.is_held_back("a", clock.now()));
    }

    #[test]
    fn a_restart_too_fast_to_be_missed_counts_all_the_same() {
        let (clock, mut flapping) = (Clock::manual(), Flapping::default());
        for _ in 0..3 {
            flapping.look(names(&["a"]), clock.now());
            flapping.restarted("a", clock.now());
        }
        assert!(flapping.is_held_back("a", clock.now()));
    }

    #[test]
    fn a_cautious_nimbus_gives_up_one_machine_at_a_time() {
        let clock = Clock::manual();
        let mut caution = Caution::new(clock.now());
        let lost = names(&["a", "b", "c"]);
        let mut given_up = Vec::new();
        for _ in 0..8 {
            caution.give_up(&lost, clock.now());
            given_up.push(lost.iter().filter(|it| caution.has_given_up(it)).count());
            clock.advance(SECOND);
        }
        assert_eq!(given_up, [1, 1, 1, 2, 2, 2, 3, 3], "the first at once");
        caution.give_up(&names(&["b"]), clock.now());
        assert!(!caution.has_given_up("a"), "it is back");
        clock.advance(60 * SECOND);
        caution.give_up(&lost, clock.now());
        assert!(caution.has_given_up("a") && caution.has_given_up("c"), "calm by now");
    }

    proptest! {
        #[test]
        fn whatever_happened_nobody_is_held_back_after_three_quiet_minutes_and_none_for_one_fall(
            waits in prop::collection::vec(0_u64..120, 1..40),
        ) {
            let (clock, mut flapping) = (Clock::manual(), Flapping::default());
            for (falls, wait) in waits.iter().enumerate() {
                flapping.fell("a", clock.now());
                let held = flapping.is_held_back("a", clock.now());
                prop_assert!(!held || falls >= 2, "held back after {} falls", falls + 1);
                clock.advance(Duration::from_secs(*wait));
            }
            clock.advance(Duration::from_secs(180));
            prop_assert!(!flapping.is_held_back("a", clock.now()));
            flapping.look(names(&[]), clock.now() + Duration::from_secs(300));
            prop_assert!(flapping.marks.is_empty(), "and nothing is kept for ever");
        }

        #[test]
        fn a_machine_that_comes_and_goes_gets_new_work_a_few_times_an_hour(
            up in 1_u64..8, down in 2_u64..8,
        ) {
            let (clock, mut flapping) = (Clock::manual(), Flapping::default());
            let (mut placed, mut seconds) = (0, 0);
            while seconds < 3_600 {
                flapping.look(names(&["a"]), clock.now());
                placed += u32::from(!flapping.is_held_back("a", clock.now()));
                clock.advance(Duration::from_secs(up));
                flapping.look(names(&[]), clock.now());
                clock.advance(Duration::from_secs(down));
                seconds += up + down;
            }
            prop_assert!(placed <= 3, "placed {placed} times in an hour");
        }
    }
}
