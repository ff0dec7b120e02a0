//! Which supervisors are lost, and which are merely not heard of.
//!
//! A lease or a key that vanished is a hint and never counts here: evidence is what supervisors
//! report, and what workers on other machines say of their links. A machine that is wrongly held
//! for lost costs a restart of its workers and never a tuple, because its old workers are fenced;
//! one that is found lost too late costs time. So:
//!
//! | silent for | and of its workers | verdict |
//! |---|---|---|
//! | less than `silent`, or than `severed` if its stream of reports ended | anything | alive |
//! | that | peers say that all links to them are down | lost |
//! | less than `alone` | nothing is heard | silent |
//! | `alone` | nothing is heard | lost |
//! | less than `away` | one reports to nimbus itself, or a peer has a link to it | away: its supervisor may come back and adopt them |
//! | `away` | the same | lost |
//! | less than `away` | nothing, nor of anybody else: it may be this nimbus that is cut off | silent |
//!
//! A connection that ended is a sign that something happened, silence is none: a process that lives dials
//! again at once, and so do its workers. So two signs of two kinds need not wait as long as silence.
//!
//! No evidence is not evidence: a worker whose supervisor is away has until `alone` to reach nimbus,
//! and a nimbus that hears nobody blames nobody.
//!
//! Nobody is lost before reports had time to arrive: not right after this nimbus became leader, and
//! not right after it noticed that it had itself stood still.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a silence may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Silence that is more than a late report.
    pub silent: Duration,
    /// The same, if its stream of reports ended: time enough for one that lives to dial again, and for
    /// peers to say whether they have links to its workers.
    pub severed: Duration,
    /// Silence after which a supervisor is lost if nothing is heard of its workers: time enough for
    /// one that lives to report by itself.
    pub alone: Duration,
    /// Silence after which it is lost though its workers live.
    pub away: Duration,
    /// Time for reports to arrive, after this nimbus became leader or stood still.
    pub grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            severed: Duration::from_millis(750),
            silent: Duration::from_millis(1_500),
            alone: Duration::from_millis(2_500),
            away: Duration::from_secs(30),
            grace: Duration::from_secs(3),
        }
    }
}

/// What is heard of the workers of a supervisor, from themselves and from workers elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// At least one of them reports by itself on a stream that is still there, or is connected to one
    /// elsewhere.
    Living,
    /// There are links to them, and all are down.
    Gone,
    /// Nobody can tell.
    Nothing,
    /// Nobody at all is heard, here or elsewhere.
    Deaf,
}

/// What to think of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It reports.
    Alive,
    /// It does not report; too early to say more.
    Silent,
    /// It does not report, but its workers live: nothing moves.
    Away,
    /// It is gone, with its workers: they are to run elsewhere.
    Lost,
}

impl Verdict {
    /// What it is called by people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Away => "away",
            Self::Lost => "lost",
        }
    }
}

/// Remembers when each supervisor was last heard of.
#[derive(Clone, Debug)]
pub struct Liveness {
    patience: Patience,
    /// Since when silence counts.
    since: Instant,
    heard: BTreeMap<String, Instant>,
    /// Whose stream of reports ended since.
    hung_up: BTreeSet<String>,
    /// When anybody was heard of.
    anybody: Instant,
}

impl Liveness {
    /// Starts to listen.
    #[must_use]
    pub fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            since: now,
            anybody: now,
            heard: BTreeMap::new(),
            hung_up: BTreeSet::new(),
        }
    }

    /// Starts over: whoever was silent so far is given the time to report.
    pub fn forgive(&mut self, now: Instant) {
        self.since = now;
    }

    /// Notes that somebody is heard of; false if that is after a time in which nobody was: it may
    /// have been this nimbus that was cut off, so whoever is still silent is to be given time.
    pub fn hears(&mut self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(std::mem::replace(&mut self.anybody, now));
        silence < self.patience.silent
    }

    /// Notes that `supervisor` reported, or registered.
    pub fn heard(&mut self, supervisor: &str, now: Instant) {
        self.hung_up.remove(supervisor);
        match self.heard.get_mut(supervisor) {
            Some(at) => *at = now,
            None => drop(self.heard.insert(supervisor.to_owned(), now)),
        }
    }

    /// Notes that a stream of reports of `supervisor` ended. If it has dialled again already, its next
    /// report says so.
    pub fn hung_up(&mut self, supervisor: String) {
        self.hung_up.insert(supervisor);
    }

    /// Forgets a supervisor that nothing refers to any more.
    pub fn forget(&mut self, supervisor: &str) {
        self.heard.remove(supervisor);
        self.hung_up.remove(supervisor);
    }

    /// Returns how long `supervisor` has been silent.
    #[must_use]
    pub fn silence(&self, supervisor: &str, now: Instant) -> Duration {
        let heard = self.heard.get(supervisor).copied().unwrap_or(self.since).max(self.since);
        now.saturating_duration_since(heard)
    }

    /// Tells whether what was heard at `at` is recent.
    #[must_use]
    pub fn is_recent(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at.max(self.since)) < self.patience.silent
    }

    /// Tells whether what `supervisor` reported last is recent.
    #[must_use]
    pub fn is_fresh(&self, supervisor: &str, now: Instant) -> bool {
        self.silence(supervisor, now) < self.patience.silent
    }

    /// Tells whether it is time to ask what peers say of the workers of `supervisor`.
    #[must_use]
    pub fn is_in_question(&self, supervisor: &str, now: Instant) -> bool {
        let severed = self.hung_up.contains(supervisor);
        let limit = if severed { self.patience.severed } else { self.patience.silent };
        self.silence(supervisor, now) >= limit
    }

    /// Judges `supervisor`, given what peers say of its workers.
    #[must_use]
    pub fn judge(&self, supervisor: &str, evidence: Evidence, now: Instant) -> Verdict {
        if !self.is_in_question(supervisor, now) {
            return Verdict::Alive;
        }
        let silence = self.silence(supervisor, now);
        let (limit, until_then) = match evidence {
            Evidence::Gone => (Duration::ZERO, Verdict::Silent),
            Evidence::Nothing => (self.patience.alone, Verdict::Silent),
            Evidence::Living => (self.patience.away, Verdict::Away),
            Evidence::Deaf => (self.patience.away, Verdict::Silent),
        };
        let early = now.saturating_duration_since(self.since) < self.patience.grace;
        if silence < limit || early { until_then } else { Verdict::Lost }
    }
}

#[cfg(test)]
mod tests {
    use daemon::Clock;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_silence_is_judged_by_what_peers_say() {
        use Evidence::{Deaf, Gone, Living, Nothing};
        use Verdict::{Alive, Away, Lost, Silent};
        let clock = Clock::manual();
        let mut liveness = Liveness::new(Patience::default(), clock.now());
        clock.advance(Duration::from_secs(60));
        liveness.heard("a", clock.now());
        let table = [
            (1_499, [Alive, Alive, Alive, Alive]),
            (1_500, [Lost, Silent, Away, Silent]),
            (2_499, [Lost, Silent, Away, Silent]),
            (2_500, [Lost, Lost, Away, Silent]),
            (29_999, [Lost, Lost, Away, Silent]),
            (30_000, [Lost, Lost, Lost, Lost]),
        ];
        for (silence, expected) in table {
            let now = clock.now() + ms(silence);
            let verdicts = [Gone, Nothing, Living, Deaf].map(|said| liveness.judge("a", said, now));
            assert_eq!(verdicts, expected, "after {silence} ms");
        }
    }

    #[test]
    fn a_stream_that_ended_and_links_that_are_down_need_not_be_waited_for() {
        use Evidence::{Deaf, Gone, Living, Nothing};
        use Verdict::{Alive, Away, Lost, Silent};
        let clock = Clock::manual();
        let mut liveness = Liveness::new(Patience::default(), clock.now());
        clock.advance(Duration::from_secs(60));
        liveness.heard("a", clock.now());
        liveness.hung_up("a".to_owned());
        let table = [
            (749, [Alive, Alive, Alive, Alive]),
            (750, [Lost, Silent, Away, Silent]),
            (2_499, [Lost, Silent, Away, Silent]),
            (2_500, [Lost, Lost, Away, Silent]),
        ];
        for (silence, expected) in table {
            let now = clock.now() + ms(silence);
            let verdicts = [Gone, Nothing, Living, Deaf].map(|said| liveness.judge("a", said, now));
            assert_eq!(verdicts, expected, "after {silence} ms");
        }
        liveness.heard("a", clock.now());
        let later = clock.now() + ms(1_499);
        assert_eq!(liveness.judge("a", Gone, later), Alive, "it has dialled again");
        liveness.hung_up("a".to_owned());
        liveness.forgive(clock.now());
        assert_eq!(liveness.judge("a", Gone, later), Silent, "not right after a standstill");
    }

    #[test]
    fn nobody_is_lost_before_reports_had_time_to_arrive() {
        let clock = Clock::manual();
        let liveness = Liveness::new(Patience::default(), clock.now());
        let judge = |after| liveness.judge("a", Evidence::Gone, clock.now() + ms(after));
        assert_eq!(judge(2_999), Verdict::Silent, "its stream may not be here yet");
        assert_eq!(judge(3_000), Verdict::Lost);
    }

    #[test]
    fn a_nimbus_that_stood_still_blames_nobody() {
        let clock = Clock::manual();
        let mut liveness = Liveness::new(Patience::default(), clock.now());
        liveness.heard("a", clock.now());
        clock.advance(Duration::from_secs(600));
        liveness.forgive(clock.now());
        assert_eq!(liveness.judge("a", Evidence::Nothing, clock.now()), Verdict::Alive);
        clock.advance(ms(5_000));
        assert_eq!(liveness.judge("a", Evidence::Nothing, clock.now()), Verdict::Lost);
    }
}
