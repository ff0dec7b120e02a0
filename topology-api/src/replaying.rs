//! A spout around a spout: replays what fails, with pauses and a limit, then makes a dead letter of
//! it.
//!
//! The tuple waits in the message id, which the worker keeps for as long as its tree is open: a tuple
//! that does not fail costs one clone and nothing else, no map and no clock. The history of
//! failures is allocated with the first one.

mod schedule;
#[cfg(test)]
mod tests;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use self::schedule::Replays;

use self::schedule::Schedule;
use crate::{
    Context, DeadLetter, Error, FailReason, IntoSpout, Next, Port, Spout, SpoutDeclarer,
    SpoutOutput, SpoutResult, Stream, TopologyBuilder, Tuple,
};

/// Most tuples that one call of `next` replays.
const AT_ONCE: usize = 64;

/// What a [`Replaying`] spout keeps of a tuple until it is settled: its message id.
#[derive(Debug)]
pub struct Kept<T, Id> {
    id: Id,
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
    /// The last reason while it was alive.
    reason: FailReason,
    first: SystemTime,
    last: SystemTime,
}

/// Replays the tuples of another spout when they fail; [`TopologyBuilder::replaying`] declares it.
///
/// A tuple that fails is emitted again after a pause. When it failed too often by its own fault (an
/// error, a panic, a timeout), it goes to the output `dead-letters` as a [`DeadLetter`]; what befell
/// the cluster does not count. A dead letter that fails is emitted again for ever, with the longest
/// pauses in the end. The spout inside hears `ack` for each of its tuples, when it was processed or
/// its dead letter was, and never `fail`.
///
/// At most `max_pending` tuples are kept: those under way and those that wait. Counters:
/// `replayed`, `dead-lettered`.
///
/// The spout inside may not have outputs of its own besides the main one. For tests, and for spouts
/// that one declares by [`TopologyBuilder::spout`]:
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
    replays: Replays,
    schedule: Schedule<Kept<S::Output, S::Id>>,
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
        Ok(Self {
            spout,
            cx: cx.clone(),
            dead_letters,
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
                    out.emit_to(&self.dead_letters, kept, letter);
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

    /// Passes on what the spout inside emitted.
    fn hand_on(&mut self, out: &mut Out<S>) {
        for (id, tuple) in self.inside.drain() {
            match id {
                Some(id) => {
                    self.kept += 1;
                    out.emit(Kept { id, tuple: tuple.clone(), failures: None }, tuple);
                }
                None => out.emit_untracked(tuple),
            }
        }
    }
}

/// What a replaying spout emits to.
type Out<S> = SpoutOutput<<S as Spout>::Output, Kept<<S as Spout>::Output, <S as Spout>::Id>>;

impl<S: Spout> Spout for Replaying<S> {
    type Output = S::Output;
    type Id = Kept<S::Output, S::Id>;

    fn next(&mut self, out: &mut Out<S>) -> SpoutResult {
        if !self.schedule.is_empty() {
            if self.replay(self.cx.now(), out) {
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
            Ok(Next::Finished) if !self.schedule.is_empty() => Ok(Next::Idle),
            next => next,
        }
    }

    fn ack(&mut self, kept: Self::Id) {
        // Saturating: it may be a tuple of the instance before this one, which this never counted.
        self.kept = self.kept.saturating_sub(1);
        self.spout.ack(kept.id);
    }

    fn fail(&mut self, mut kept: Self::Id, reason: FailReason) {
        let wall = self.cx.wall_clock();
        let failures = kept.failures.get_or_insert_with(|| {
            let (own, all, in_a_row, dead) = (0, 0, 0, false);
            Box::new(Failures { own, all, in_a_row, dead, reason, first: wall, last: wall })
        });
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if !failures.dead {
            failures.all = failures.all.saturating_add(1);
            failures.own = failures.own.saturating_add(u32::from(reason.is_own_fault()));
            (failures.reason, failures.last) = (reason, wall);
            if self.replays.is_over(failures.own) {
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

fn letter<T>(tuple: T, failures: &Failures) -> DeadLetter<T> {
    let ms = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    };
    DeadLetter {
        tuple,
        reason: failures.reason.name().into(),
        attempts: failures.all,
        first_failed_ms: ms(failures.first),
        last_failed_ms: ms(failures.last),
    }
}

impl TopologyBuilder {
    /// Declares a spout whose tuples are replayed when they fail, and the stream of those that failed
    /// too often. See [`Replaying`]; the factory makes the spout inside.
    ///
    /// Connect the dead letters to a bolt that stores them: where nobody reads them they are counted
    /// and gone.
    ///
    /// ```
    /// use topology_api::{DeadLetter, Replays, prelude::*};
    ///
    /// let mut t = TopologyBuilder::new("careful");
    /// let (lines, dead) = t.replaying("lines", Replays::default(), |cx| {
    ///     LineFiles::open(cx.arguments().files(), cx)
    /// });
    /// let lines = lines.parallelism(2).stream();
    /// t.try_for_each("store", |line: Line| {
    ///     if line.text.is_empty() { Err("nothing to store") } else { Ok(()) }
    /// })
    /// .shuffle(&lines);
    /// t.for_each("bury", |letter: DeadLetter<Line>| {
    ///     eprintln!("{:?} failed {} times", letter.tuple.text, letter.attempts);
    /// })
    /// .shuffle(&dead);
    /// assert!(t.build().is_ok());
    /// ```
    #[track_caller]
    pub fn replaying<F, R, T>(
        &mut self,
        name: &str,
        replays: Replays,
        factory: F,
    ) -> (SpoutDeclarer<T>, Stream<DeadLetter<T>>)
    where
        T: Tuple,
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoSpout<Spout: Spout<Output = T>>,
    {
        let spout =
            self.spout(name, move |cx| Replaying::new(factory(cx).into_spout()?, replays, cx));
        let dead_letters = spout.output(Replaying::<R::Spout>::DEAD_LETTERS);
        (spout, dead_letters)
    }
}
