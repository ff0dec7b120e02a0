//! Folding by key: `t.fold(..)`, and streams split by a key.
//!
//! The key is named once, on the stream. It splits the stream among the tasks and finds the state,
//! so the two cannot disagree, and the bolt that comes of it takes no other streams.

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::{
    Bolt, BoltResult, ConnectedBolt, Error, Key, NoOutput, Output, Stream, TopologyBuilder, Tuple,
};

/// Streams of one type with what they are split by; [`Stream::by`] makes it.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Count { text: Text, count: u64 }
///
/// let mut t = TopologyBuilder::new("lines");
/// let old = t.spout("old", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// let new = t.spout("new", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// let count = |count: &mut u64, line: Line| {
///     *count += 1;
///     Count { text: line.text, count: *count }
/// };
/// t.fold("count", old.by(|line| &line.text).and(&new), || 0, count).parallelism(2);
/// assert!(t.build().is_ok());
/// ```
pub struct Keyed<T, K: ?Sized, F> {
    pub(crate) streams: Vec<Stream<T>>,
    pub(crate) key: F,
    keys: PhantomData<fn(&K)>,
}

impl<T, K: ?Sized, F> std::fmt::Debug for Keyed<T, K, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} streams by a key", self.streams.len())
    }
}

impl<T, K: ?Sized, F> Keyed<T, K, F> {
    /// Takes another stream of the type in, split by the same key.
    #[must_use]
    pub fn and(mut self, stream: &Stream<T>) -> Self {
        self.streams.push(stream.clone());
        self
    }
}

impl<T: Tuple> Stream<T> {
    /// Says what to split the stream by, for [`TopologyBuilder::fold`].
    pub fn by<K, F>(&self, key: F) -> Keyed<T, K, F>
    where
        K: Key + ?Sized,
        F: Fn(&T) -> &K + Clone + Send + Sync + 'static,
    {
        Keyed { streams: vec![self.clone()], key, keys: PhantomData }
    }
}

/// What a step of [`TopologyBuilder::fold`] may return: a tuple to emit, an option of one, nothing,
/// or a result with any of these, whose error fails the input.
#[diagnostic::on_unimplemented(
    message = "a step of `fold` cannot return `{Self}`",
    label = "not a tuple, an option of one, `()`, or a result of these",
    note = "return the tuple to emit; put `#[derive(Clone, Tuple)]` on its type"
)]
pub trait Emits {
    /// The tuples that are emitted.
    type Output: Tuple;
    /// Emits it.
    ///
    /// # Errors
    ///
    /// The one that is in it.
    fn emit(self, out: &mut Output<Self::Output>) -> BoltResult;
}

impl<T: Tuple> Emits for T {
    type Output = T;
    #[inline]
    fn emit(self, out: &mut Output<T>) -> BoltResult {
        out.emit(self);
        Ok(())
    }
}

impl<T: Tuple> Emits for Option<T> {
    type Output = T;
    #[inline]
    fn emit(self, out: &mut Output<T>) -> BoltResult {
        if let Some(tuple) = self {
            out.emit(tuple);
        }
        Ok(())
    }
}

impl Emits for () {
    type Output = NoOutput;
    fn emit(self, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

impl<T: Emits, E: Into<Error>> Emits for Result<T, E> {
    type Output = T::Output;
    #[inline]
    fn emit(self, out: &mut Output<T::Output>) -> BoltResult {
        self.map_err(Into::into)?.emit(out)
    }
}

/// Keeps a state for each key.
struct Fold<T, K: ToOwned + ?Sized, F, N, S, P> {
    key: F,
    init: N,
    step: P,
    states: HashMap<K::Owned, S>,
    tuples: PhantomData<fn(T)>,
}

impl<T, K, F, N, S, P, R> Bolt for Fold<T, K, F, N, S, P>
where
    T: Tuple,
    K: ToOwned<Owned: Hash + Eq + Send> + Hash + Eq + ?Sized + 'static,
    F: Fn(&T) -> &K + Send + 'static,
    N: Fn() -> S + Send + 'static,
    S: Send + 'static,
    P: FnMut(&mut S, T) -> R + Send + 'static,
    R: Emits,
{
    type Input = T;
    type Output = R::Output;

    #[inline]
    fn execute(&mut self, tuple: T, out: &mut Output<R::Output>) -> BoltResult {
        let key = (self.key)(&tuple);
        // The key is copied for a new state only.
        let state = match self.states.get_mut(key) {
            Some(state) => return (self.step)(state, tuple).emit(out),
            None => self.states.entry(key.to_owned()).or_insert_with(&self.init),
        };
        (self.step)(state, tuple).emit(out)
    }
}

impl TopologyBuilder {
    /// Declares a bolt that keeps a state for each key, begun with `init`, and emits what `step`
    /// makes of the state and a tuple: the running count, say, or now and then nothing.
    ///
    /// The bolt reads the streams of `keyed` by a fields grouping of that key; there is nothing left
    /// to connect. States are kept in memory, for as long as the task lives and for every key there
    /// is. A tuple that is replayed is folded in again.
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// use topology_api::testing::BoltDriver;
    ///
    /// #[derive(Clone, Debug, PartialEq, Tuple)]
    /// struct Count { text: Text, count: u64 }
    ///
    /// let mut t = TopologyBuilder::new("count");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// let counts = t.fold("count", lines.by(|line| &line.text), || 0, |count, line| {
    ///     *count += 1;
    ///     Count { text: line.text, count: *count }
    /// });
    /// counts.parallelism(2);
    ///
    /// let mut count = BoltDriver::<Line, Count>::of(&t.build().unwrap(), "count").unwrap();
    /// for text in ["a", "b", "a"] {
    ///     count.execute(Line { text: text.into() });
    /// }
    /// assert_eq!(count.emitted()[2], Count { text: "a".into(), count: 2 });
    /// ```
    #[track_caller]
    pub fn fold<T, K, F, S, R>(
        &mut self,
        name: &str,
        keyed: Keyed<T, K, F>,
        init: impl Fn() -> S + Clone + Send + Sync + 'static,
        step: impl FnMut(&mut S, T) -> R + Clone + Send + Sync + 'static,
    ) -> ConnectedBolt<R::Output>
    where
        T: Tuple,
        K: Key + ToOwned<Owned: Hash + Eq + Send> + Hash + Eq + ?Sized + 'static,
        F: Fn(&T) -> &K + Clone + Send + Sync + 'static,
        S: Send + 'static,
        R: Emits,
    {
        let key = keyed.key.clone();
        let fold = move |_: &crate::Context| Fold {
            key: key.clone(),
            init: init.clone(),
            step: step.clone(),
            states: HashMap::new(),
            tuples: PhantomData,
        };
        let mut bolt = self.bolt(name, fold);
        for stream in &keyed.streams {
            bolt = bolt.fields(stream, keyed.key.clone());
        }
        bolt.connected()
    }
}
