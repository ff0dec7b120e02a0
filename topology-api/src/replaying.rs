//! A spout around a spout: replays what fails, with pauses and a limit, then makes a dead letter of
//! it.
//!
//! The tuple waits in the message id, which the worker keeps for as long as its tree is open: a tuple
//! that does not fail costs one clone and nothing else, no map and no clock. The history of
//! failures is allocated with the first one.

mod declare;
mod safe;
mod schedule;
#[cfg(test)]
mod tests;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use self::schedule::Replays;

use self::safe::{Safe, Word};
use self::schedule::Schedule;
use crate::keeping::{Letter, Replayed, text_of};
use crate::said::said;
use crate::{
    Context, DeadLetter, Error, FailReason, Next, Port, Spout, SpoutOutput, SpoutResult, Tuple,
};

/// Most tuples that one call of `next` replays.
const AT_ONCE: usize = 64;

/// What a [`Replaying`] spout keeps of a tuple until it is settled: its message id.
#[derive(Debug)]
pub struct Kept<T, Id> {
    /// None for a letter that is replayed: its tuple was acked when it became one.
    id: Option<Id>,
    tuple: T,
    failures: Option<Box<Failures>>,
}

/// What is known of a tuple that failed.
#[derive(Debug)]
struct Failures {
    /// Those that were the tuple's own fault.
    own: u32,
    all: u32,
    /// Since its first emission, or since it became a dead letter: what the pause follows from.
    in_a_row: u32,
    /// It is a dead letter.
    dead: bool,
    /// The last reason while it was alive, and what was said of it.
    reason: FailReason,
    error: Option<Box<str>>,
    first: SystemTime,
    last: SystemTime,
    /// The letter that is replayed, if it is one.
    letter: Option<String>,
}

impl Failures {
    fn none(reason: FailReason, wall: SystemTime) -> Box<Self> {
        let (own, all, in_a_row, dead) = (0, 0, 0, false);
        let (error, letter, first, last) = (None, None, wall, wall);
        Box::new(Self { own, all, in_a_row, dead, reason, error, first, last, letter })
    }
}

/// Replays the tuples of another spout when they fail; [`TopologyBuilder::replaying`](crate::TopologyBuilder::replaying) declares it.
///
/// A tuple that fails is emitted again after a pause. When it failed too often by its own fault (an
/// error, a panic, a timeout), it goes to the output `dead-letters` as a [`DeadLetter`]; what befell
/// the cluster does not count. A dead letter that fails is emitted again for ever, with the longest
/// pauses in the end. The spout inside hears `ack` for each of its tuples, when it was processed or
/// its dead letter was, and never `fail`.
///
/// Where nobody reads that output, a cluster keeps dead letters on disk, and the spout inside hears
/// `ack` when they are there. `squall dead-letters` shows, replays and drops them. A topology that is
/// run by hand counts and loses them, and says so.
///
/// At most `max_pending` tuples are kept: those under way and those that wait. Counters:
/// `replayed`, `dead-lettered`, `letters-refused`.
///
/// The spout inside may not have outputs of its own besides the main one. For tests, and for spouts
/// that one declares by [`TopologyBuilder::spout`](crate::TopologyBuilder::spout):
///
/// ```
/// use std::time::Duration;
/// use topology_api::{DeadLetter, Replaying, Replays, prelude::*};
/// use topology_api::testing::{Setup, SpoutDriver};
///
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), "good\nbad\n").unwrap();
/// let path = file.path().to_owned();
/// let setup = Setup::new().output::<DeadLetter<Line>>("dead-letters");
/// let mut lines = SpoutDriver::with(setup, move |cx| {
///     Replaying::new(LineFiles::open(vec![path.clone()], cx)?, Replays::default().attempts(2), cx)
/// })
/// .unwrap();
///
/// assert_eq!(lines.run().unwrap().len(), 2);
/// lines.ack(0);
/// lines.fail(1, FailReason::new("error", true));
/// assert!(lines.run().unwrap().is_empty(), "not yet");
/// lines.advance(Duration::from_millis(100));
/// assert_eq!(lines.run().unwrap(), [Line { text: "bad".into() }]);
/// lines.fail(2, FailReason::new("error", true));
/// lines.run().unwrap();
/// let dead = lines.emitted_to::<DeadLetter<Line>>("dead-letters").remove(0).tuple;
/// assert_eq!((dead.tuple.text.as_str(), &*dead.reason, dead.attempts), ("bad", "error", 2));
/// ```
pub struct Replaying<S: Spout> {
    spout: S,
    cx: Context,
    dead_letters: Port<DeadLetter<S::Output>>,
    /// Where they go if nobody reads them, and somebody keeps them.
    safe: Option<Safe<KeptBy<S>>>,
    /// They are lost, and that is still to be said.
    untold: bool,
    replays: Replays,
    schedule: Schedule<KeptBy<S>>,
    /// How many tuples are neither acked nor dead and buried.
    kept: usize,
    kept_max: usize,
    /// What the spout inside emits to.
    inside: SpoutOutput<S::Output, S::Id>,
}

impl<S: Spout> std::fmt::Debug for Replaying<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a spout that replays, with {} tuples kept", self.kept)
    }
}

impl<S: Spout> Replaying<S> {
    /// The output that dead letters go to.
    pub const DEAD_LETTERS: &'static str = "dead-letters";

    /// Puts itself around a spout.
    ///
    /// # Errors
    ///
    /// If the component does not declare the output `dead-letters`, or declares others.
    pub fn new(spout: S, replays: Replays, cx: &Context) -> Result<Self, Error> {
        let dead_letters = cx.port(Self::DEAD_LETTERS)?;
        if cx.outputs().len() > 2 {
            return Err(
                "a spout with outputs of its own cannot be wrapped to replay: only its main \
                        stream could be; take the outputs away, or replay in its `fail`"
                    .into(),
            );
        }
        let mut inside = SpoutOutput::new(&[]);
        inside.output.set_context(cx);
        let unread = !cx.is_read(Self::DEAD_LETTERS);
        let safe = if unread { Safe::open(cx) } else { None };
        Ok(Self {
            spout,
            cx: cx.clone(),
            dead_letters,
            untold: unread && safe.is_none(),
            safe,
            replays,
            schedule: Schedule::new(replays, u64::from(cx.task())),
            kept: 0,
            kept_max: cx.config().max_pending() as usize,
            inside,
        })
    }

    /// Emits again what is due; tells whether there was any.
    fn replay(&mut self, now: Instant, out: &mut Out<S>) -> bool {
        for at in 0..AT_ONCE {
            let Some(kept) = self.schedule.due(now) else { return at > 0 };
            match kept.failures.as_deref().filter(|failures| failures.dead) {
                Some(failures) => {
                    let letter = letter(kept.tuple.clone(), failures);
                    self.bury(kept, letter, out);
                }
                None => {
                    self.cx.count("replayed", 1);
                    let tuple = kept.tuple.clone();
                    out.emit(kept, tuple);
                }
            }
        }
        true
    }

    /// Sends a dead letter to who reads or keeps it.
    fn bury(&mut self, kept: KeptBy<S>, letter: DeadLetter<S::Output>, out: &mut Out<S>) {
        let Some(safe) = &mut self.safe else {
            if std::mem::take(&mut self.untold) {
                let stream = Self::DEAD_LETTERS;
                self.cx.report_error(&format!(
                    "dead letters are counted and lost: nobody reads the stream `{stream}`, and \
                     there is no cluster to keep them; connect a bolt to it"
                ));
            }
            return out.emit_to(&self.dead_letters, kept, letter);
        };
        let mut row = Vec::with_capacity(letter.tuple.weight());
        letter.tuple.encode(&mut row);
        let reason = kept.failures.as_deref().map_or("", |failures| failures.reason.name());
        let DeadLetter { error, attempts, first_failed_ms, last_failed_ms, .. } = letter;
        let error = error.to_string();
        let text = text_of(&letter.tuple);
        let letter = Letter { row, text, reason, error, attempts, first_failed_ms, last_failed_ms };
        safe.keep(letter, kept);
    }

    /// Acts on what the keeper says of letters that were handed over.
    fn hear(&mut self) {
        while let Some(word) = self.safe.as_mut().and_then(Safe::hear) {
            match word {
                Word::Kept(kept) => self.ack(kept),
                Word::Refused(mut kept) => {
                    self.cx.count("letters-refused", 1);
                    let in_a_row = kept.failures.as_mut().map_or(1, |failures| {
                        failures.in_a_row = failures.in_a_row.saturating_add(1);
                        failures.in_a_row
                    });
                    self.schedule.push(kept, in_a_row, self.cx.now());
                }
            }
        }
    }

    /// Emits letters that are to be replayed, as far as there is room; tells whether there was any.
    fn replay_letters(&mut self, out: &mut Out<S>) -> bool {
        for at in 0..AT_ONCE {
            let next = if self.kept < self.kept_max { self.safe.as_mut() } else { None };
            let Some((letter, row)) = next.and_then(Safe::next_replay) else { return at > 0 };
            match S::Output::decode(&mut row.as_slice()) {
                Ok(tuple) => {
                    self.kept += 1;
                    self.cx.count("replayed", 1);
                    let mut failures =
                        Failures::none(FailReason::new("", false), self.cx.wall_clock());
                    failures.letter = Some(letter);
                    let kept = Kept { id: None, tuple: tuple.clone(), failures: Some(failures) };
                    out.emit(kept, tuple);
                }
                Err(error) => self.settle(&letter, Replayed::Unreadable(error.to_string())),
            }
        }
        true
    }

    fn settle(&self, letter: &str, replayed: Replayed) {
        if let Some(safe) = &self.safe {
            safe.settle(letter, replayed);
        }
    }

    /// Tells whether something is still to come, whatever the spout inside has.
    fn is_busy(&self) -> bool {
        !self.schedule.is_empty() || self.safe.as_ref().is_some_and(Safe::is_busy)
    }

    /// Passes on what the spout inside emitted.
    fn hand_on(&mut self, out: &mut Out<S>) {
        for (id, tuple) in self.inside.drain() {
            match id {
                Some(id) => {
                    self.kept += 1;
                    let kept = Kept { id: Some(id), tuple: tuple.clone(), failures: None };
                    out.emit(kept, tuple);
                }
                None => out.emit_untracked(tuple),
            }
        }
    }
}

/// What a replaying spout keeps.
type KeptBy<S> = Kept<<S as Spout>::Output, <S as Spout>::Id>;

/// What a replaying spout emits to.
type Out<S> = SpoutOutput<<S as Spout>::Output, KeptBy<S>>;

impl<S: Spout> Spout for Replaying<S> {
    type Output = S::Output;
    type Id = Kept<S::Output, S::Id>;

    fn next(&mut self, out: &mut Out<S>) -> SpoutResult {
        self.hear();
        if self.is_busy() {
            let replayed = self.replay_letters(out);
            if self.replay(self.cx.now(), out) || replayed {
                return Ok(Next::Emitted);
            }
            // Where none waits the worker sees to it.
            if self.kept >= self.kept_max {
                return Ok(Next::Idle);
            }
        }
        let next = self.spout.next(&mut self.inside);
        self.hand_on(out);
        match next {
            // What waits is still to come.
            Ok(Next::Finished) if self.is_busy() => Ok(Next::Idle),
            next => next,
        }
    }

    fn ack(&mut self, kept: Self::Id) {
        // Saturating: it may be a tuple of the instance before this one, which this never counted.
        self.kept = self.kept.saturating_sub(1);
        match (kept.id, kept.failures.and_then(|failures| failures.letter)) {
            (Some(id), _) => self.spout.ack(id),
            (None, Some(letter)) => self.settle(&letter, Replayed::Acked),
            (None, None) => {}
        }
    }

    fn fail(&mut self, mut kept: Self::Id, reason: FailReason) {
        let wall = self.cx.wall_clock();
        let failures = kept.failures.get_or_insert_with(|| Failures::none(reason, wall));
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if !failures.dead {
            failures.all = failures.all.saturating_add(1);
            failures.own = failures.own.saturating_add(u32::from(reason.is_own_fault()));
            (failures.reason, failures.last) = (reason, wall);
            failures.error = said();
            if self.replays.is_over(failures.own) {
                if let Some(letter) = failures.letter.take() {
                    let (attempts, last_failed_ms) = (failures.all, milliseconds(wall));
                    self.kept = self.kept.saturating_sub(1);
                    let reason = reason.name();
                    let error = failures.error.take().map_or_else(String::new, String::from);
                    let failed = Replayed::Failed { reason, error, attempts, last_failed_ms };
                    return self.settle(&letter, failed);
                }
                failures.dead = true;
                failures.in_a_row = 0;
                self.cx.count("dead-lettered", 1);
            }
        }
        let in_a_row = failures.in_a_row;
        self.schedule.push(kept, in_a_row, self.cx.now());
    }

    fn tick(&mut self, out: &mut Out<S>) {
        self.spout.tick(&mut self.inside);
        self.hand_on(out);
    }

    fn activate(&mut self) {
        self.spout.activate();
    }

    fn deactivate(&mut self) {
        self.spout.deactivate();
    }

    fn close(&mut self) {
        self.spout.close();
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn letter<T>(tuple: T, failures: &Failures) -> DeadLetter<T> {
    DeadLetter {
        tuple,
        reason: failures.reason.name().into(),
        error: failures.error.as_deref().unwrap_or_default().into(),
        attempts: failures.all,
        first_failed_ms: milliseconds(failures.first),
        last_failed_ms: milliseconds(failures.last),
    }
}
