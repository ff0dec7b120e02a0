//! How a replaying spout is declared.

use super::{Replaying, Replays};
use crate::{Context, DeadLetter, IntoSpout, Spout, SpoutDeclarer, Stream, TopologyBuilder, Tuple};

impl TopologyBuilder {
    /// Declares a spout whose tuples are replayed when they fail, and the stream of those that failed
    /// too often. See [`Replaying`]; the factory makes the spout inside.
    ///
    /// Connect the dead letters to a bolt that stores them, or leave them to the cluster: where
    /// nobody reads them its supervisors keep them, for `squall dead-letters`.
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
