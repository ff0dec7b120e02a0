//! Closures as bolts: `map`, `filter`, `flat_map` and their kin, for steps that need no type of
//! their own.
//!
//! Each is the bolt that one would write by hand around the closure, compiled for it: nothing is
//! boxed and nothing is dispatched at run time. Each task calls a clone of the closure, so what it
//! captures by value is that task's own; `fold` (in `fold.rs`) keeps state by key.

#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use crate::{Bolt, BoltDeclarer, BoltResult, Error, NoOutput, Output, TopologyBuilder, Tuple};

/// How many tuples of one `flat_map` call are emitted at once; the rest is pulled as there is room.
const AT_ONCE: usize = 256;

/// A closure that is a bolt's `execute`.
struct Closure<F, I, O> {
    execute: F,
    tuples: PhantomData<fn(I) -> O>,
}

impl<F, I, O> Bolt for Closure<F, I, O>
where
    I: Tuple,
    O: Tuple,
    F: FnMut(I, &mut Output<O>) -> BoltResult + Send + 'static,
{
    type Input = I;
    type Output = O;

    #[inline]
    fn execute(&mut self, input: I, out: &mut Output<O>) -> BoltResult {
        (self.execute)(input, out)
    }
}

/// Closures as bolts.
///
/// Say the type of what goes in, as `|line: Line|`; what comes out follows from the closure.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Word { word: Text }
///
/// let mut t = TopologyBuilder::new("words");
/// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// let words = t.flat_map("split", |line: Line| {
///     line.text.split_whitespace().map(|word| Word { word: word.into() }).collect::<Vec<_>>()
/// });
/// let words = words.parallelism(2).local_or_shuffle(&lines).stream();
/// let long = t.filter("long", |word: &Word| word.word.len() > 3).shuffle(&words).stream();
/// let loud = t.map("shout", |word: Word| Word { word: word.word.to_uppercase().into() });
/// let loud = loud.shuffle(&long).stream();
/// t.for_each("print", |word: Word| println!("{}", word.word)).shuffle(&loud);
/// assert!(t.build().is_ok());
/// ```
impl TopologyBuilder {
    /// Declares a bolt whose `execute` is a closure, for whatever the forms below do not have.
    ///
    /// ```
    /// use topology_api::prelude::*;
    ///
    /// #[derive(Clone, Debug, Tuple)]
    /// struct Word { word: Text }
    ///
    /// let mut t = TopologyBuilder::new("words");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// let split = |line: Line, out: &mut Output<Word>| {
    ///     line.text.split_whitespace().for_each(|word| out.emit(Word { word: word.into() }));
    ///     Ok(())
    /// };
    /// let words = t.bolt_fn("split", split).shuffle(&lines).stream();
    /// # drop(words);
    /// assert!(t.build().is_ok());
    /// ```
    #[track_caller]
    pub fn bolt_fn<I, O, F>(&mut self, name: &str, execute: F) -> BoltDeclarer<I, O>
    where
        I: Tuple,
        O: Tuple,
        F: FnMut(I, &mut Output<O>) -> BoltResult + Clone + Send + Sync + 'static,
    {
        self.bolt(name, move |_| Closure { execute: execute.clone(), tuples: PhantomData })
    }

    /// Declares a bolt that makes one tuple of each.
    #[track_caller]
    pub fn map<I, O, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, O>
    where
        I: Tuple,
        O: Tuple,
        F: FnMut(I) -> O + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            out.emit(f(input));
            Ok(())
        })
    }

    /// Declares a bolt that makes one tuple of each; an error fails its input.
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// use topology_api::testing::BoltDriver;
    ///
    /// #[derive(Clone, Debug, PartialEq, Tuple)]
    /// struct Number { n: u64 }
    ///
    /// let mut t = TopologyBuilder::new("numbers");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// t.try_map("parse", |line: Line| line.text.parse().map(|n| Number { n })).shuffle(&lines);
    ///
    /// let topology = t.build().unwrap();
    /// let mut parse = BoltDriver::<Line, Number>::of(&topology, "parse").unwrap();
    /// parse.execute(Line { text: "7".into() });
    /// let bad = parse.execute(Line { text: "seven".into() });
    /// assert_eq!(parse.emitted(), [Number { n: 7 }]);
    /// assert_eq!(parse.failed(), [(bad, "invalid digit found in string".to_owned())]);
    /// ```
    #[track_caller]
    pub fn try_map<I, O, E, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, O>
    where
        I: Tuple,
        O: Tuple,
        E: Into<Error>,
        F: FnMut(I) -> Result<O, E> + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            out.emit(f(input).map_err(Into::into)?);
            Ok(())
        })
    }

    /// Declares a bolt that passes on the tuples for which `keep` is true.
    #[track_caller]
    pub fn filter<I, F>(&mut self, name: &str, mut keep: F) -> BoltDeclarer<I, I>
    where
        I: Tuple,
        F: FnMut(&I) -> bool + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            if keep(&input) {
                out.emit(input);
            }
            Ok(())
        })
    }

    /// Declares a bolt that makes any number of tuples of each: a list of them, an `Option`, an
    /// iterator.
    ///
    /// An iterator may be long or endless: what does not go out at once is pulled as the receivers
    /// have room, as by [`Output::emit_from`].
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// use topology_api::testing::BoltDriver;
    ///
    /// #[derive(Clone, Debug, PartialEq, Tuple)]
    /// struct Number { n: u64 }
    ///
    /// let mut t = TopologyBuilder::new("numbers");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// // An `Option` makes it what an iterator calls `filter_map`.
    /// let parsed = t.flat_map("parse", |line: Line| Some(Number { n: line.text.parse().ok()? }));
    /// let parsed = parsed.shuffle(&lines).stream();
    /// t.flat_map("count", |to: Number| (0..to.n).map(|n| Number { n })).shuffle(&parsed);
    ///
    /// let topology = t.build().unwrap();
    /// let mut count = BoltDriver::<Number, Number>::of(&topology, "count").unwrap();
    /// count.execute(Number { n: 3 });
    /// assert_eq!(count.emitted().len(), 3);
    /// ```
    #[track_caller]
    pub fn flat_map<I, O, M, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, O>
    where
        I: Tuple,
        O: Tuple,
        M: IntoIterator<Item = O, IntoIter: Send + 'static>,
        F: FnMut(I) -> M + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            emit_each(f(input).into_iter(), out);
            Ok(())
        })
    }

    /// Declares a bolt as [`TopologyBuilder::flat_map`] does; an error fails its input.
    #[track_caller]
    pub fn try_flat_map<I, O, M, E, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, O>
    where
        I: Tuple,
        O: Tuple,
        M: IntoIterator<Item = O, IntoIter: Send + 'static>,
        E: Into<Error>,
        F: FnMut(I) -> Result<M, E> + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            emit_each(f(input).map_err(Into::into)?.into_iter(), out);
            Ok(())
        })
    }

    /// Declares a bolt that looks at each tuple and passes it on.
    #[track_caller]
    pub fn inspect<I, F>(&mut self, name: &str, mut look: F) -> BoltDeclarer<I, I>
    where
        I: Tuple,
        F: FnMut(&I) + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, out| {
            look(&input);
            out.emit(input);
            Ok(())
        })
    }

    /// Declares a bolt that uses each tuple up.
    #[track_caller]
    pub fn for_each<I, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, NoOutput>
    where
        I: Tuple,
        F: FnMut(I) + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, _| {
            f(input);
            Ok(())
        })
    }

    /// Declares a bolt that uses each tuple up; an error fails it.
    #[track_caller]
    pub fn try_for_each<I, E, F>(&mut self, name: &str, mut f: F) -> BoltDeclarer<I, NoOutput>
    where
        I: Tuple,
        E: Into<Error>,
        F: FnMut(I) -> Result<(), E> + Clone + Send + Sync + 'static,
    {
        self.bolt_fn(name, move |input, _| f(input).map_err(Into::into))
    }
}

/// Emits what an iterator gives: the first tuples directly, the rest as there is room for it, so
/// that a short iterator costs no box and a long one neither memory nor the budget of the call.
#[inline]
fn emit_each<O: Tuple>(mut tuples: impl Iterator<Item = O> + Send + 'static, out: &mut Output<O>) {
    for _ in 0..AT_ONCE {
        let Some(tuple) = tuples.next() else { return };
        if !out.has_budget(tuple.weight()) {
            out.emit_from(std::iter::once(tuple).chain(tuples));
            return;
        }
        out.emit(tuple);
    }
    out.emit_from(tuples);
}
