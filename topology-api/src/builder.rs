//! The builder: typed handles to streams, and all mistakes reported at once.
//!
//! What can be known from types does not compile: a bolt that reads another type than a stream
//! carries. The rest (names, numbers, cycles) is reported by [`TopologyBuilder::build`], each with
//! the place in the source that made it.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::declarer::{BoltDeclarer, Node, SpoutDeclarer};
use crate::output::make_lane;
use crate::rows::{Batch, convert};
use crate::task::{Automatic, Driver, Explicit, Factory, SpoutDriver};
use crate::topology::{Calls, Component, Kind, Make, OutputStream, describe};
use crate::{
    Bolt, ConfigError, Context, Error, ExplicitBolt, Spout, Topology, TopologyConfig, Tuple,
};

/// Every mistake in a topology, each with the place that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    topology: String,
    /// Whole sentences.
    mistakes: Vec<String>,
}

impl BuildError {
    /// Makes an error of the author's own, for example about the arguments.
    pub fn new(topology: impl Into<String>, mistake: impl Into<String>) -> Self {
        Self { topology: topology.into(), mistakes: vec![mistake.into()] }
    }

    /// The mistakes, one sentence each.
    #[must_use]
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the topology `{}` cannot be built:", self.topology)?;
        for mistake in &self.mistakes {
            write!(f, "\n  - {mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {}

/// What the factory of a spout may return: the spout, or a result with it.
pub trait IntoSpout {
    /// The spout.
    type Spout: Spout;
    /// Gives it.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn into_spout(self) -> Result<Self::Spout, Error>;
}

type InputOf<R> = <<R as IntoBolt>::Bolt as Bolt>::Input;
type OutputOf<R> = <<R as IntoBolt>::Bolt as Bolt>::Output;

impl<S: Spout> IntoSpout for S {
    type Spout = S;
    fn into_spout(self) -> Result<S, Error> {
        Ok(self)
    }
}

impl<S: Spout, E: Into<Error>> IntoSpout for Result<S, E> {
    type Spout = S;
    fn into_spout(self) -> Result<S, Error> {
        self.map_err(Into::into)
    }
}

/// What the factory of a bolt may return: the bolt, or a result with it.
pub trait IntoBolt {
    /// The bolt.
    type Bolt: Bolt;
    /// Gives it.
    ///
    /// # Errors
    ///
    /// The factory's.
    fn into_bolt(self) -> Result<Self::Bolt, Error>;
}

impl<B: Bolt> IntoBolt for B {
    type Bolt = B;
    fn into_bolt(self) -> Result<B, Error> {
        Ok(self)
    }
}

impl<B: Bolt, E: Into<Error>> IntoBolt for Result<B, E> {
    type Bolt = B;
    fn into_bolt(self) -> Result<B, Error> {
        self.map_err(Into::into)
    }
}

/// The tuples `Self` may be made from tuples of `T`: what lets a bolt read a stream.
#[diagnostic::on_unimplemented(
    message = "this bolt reads `{Self}`, but the stream carries `{T}`",
    label = "a stream of `{T}`",
    note = "connect a stream of `{Self}`, or let the bolt read an enum with `impl From<{T}> for` it"
)]
pub trait Reads<T>: Tuple {
    #[doc(hidden)]
    const CONVERT: crate::rows::Convert;
}

#[diagnostic::do_not_recommend]
impl<T: Tuple, I: Tuple + From<T>> Reads<T> for I {
    const CONVERT: crate::rows::Convert = convert::<T, I>;
}

/// A handle to an output stream whose tuples are `T`.
#[derive(Debug)]
pub struct Stream<T> {
    pub(crate) graph: Rc<RefCell<Graph>>,
    pub(crate) component: usize,
    pub(crate) stream: usize,
    pub(crate) tuple: PhantomData<fn() -> T>,
}

impl<T> Clone for Stream<T> {
    fn clone(&self) -> Self {
        Self {
            graph: Rc::clone(&self.graph),
            component: self.component,
            stream: self.stream,
            tuple: PhantomData,
        }
    }
}

type Site = &'static Location<'static>;

#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) components: Vec<Component>,
    sites: Vec<Site>,
    mistakes: Vec<String>,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.components.fmt(f)
    }
}

impl Graph {
    pub(crate) fn mistake(&mut self, text: &str, site: Site) {
        self.mistakes.push(format!("{text} ({}:{})", site.file(), site.line()));
    }
}

/// Declares the components of a topology and how they are connected.
///
/// ```
/// use topology_api::prelude::*;
/// # #[derive(Clone, Debug, Tuple)]
/// # struct Word { word: Text }
/// # struct Shout;
/// # impl Bolt for Shout {
/// #     type Input = Line;
/// #     type Output = Word;
/// #     fn execute(&mut self, line: Line, out: &mut Output<Word>) -> BoltResult {
/// #         out.emit(Word { word: line.text });
/// #         Ok(())
/// #     }
/// # }
///
/// let mut t = TopologyBuilder::new("shouting");
/// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// let words = t.bolt("shout", |_| Shout).parallelism(2).shuffle(&lines).stream();
/// # drop(words);
/// let topology = t.build().unwrap();
/// assert_eq!(topology.components().len(), 2);
/// ```
#[derive(Debug)]
pub struct TopologyBuilder {
    name: String,
    graph: Rc<RefCell<Graph>>,
    config: TopologyConfig,
}

pub(crate) fn output_stream<T: Tuple>(name: &str) -> OutputStream {
    OutputStream {
        name: name.to_owned(),
        schema: T::schema(),
        tuple: std::any::type_name::<T>(),
        decode: Batch::<T>::decode,
        empty: Batch::<T>::boxed,
        lane: make_lane::<T>,
    }
}

impl TopologyBuilder {
    /// Begins a topology of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), graph: Rc::default(), config: TopologyConfig::default() }
    }

    /// Sets a configuration key, as `-c key=value` does.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if there is no such key, or its value is not of its kind.
    pub fn config(&mut self, key: &str, value: &str) -> Result<&mut Self, ConfigError> {
        self.config.set(key, value)?;
        Ok(self)
    }

    /// Declares a spout; the factory makes one instance a task.
    #[track_caller]
    pub fn spout<F, R>(
        &mut self,
        name: &str,
        factory: F,
    ) -> SpoutDeclarer<<R::Spout as Spout>::Output>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoSpout,
    {
        let make: Factory<R::Spout> = Arc::new(move |cx| factory(cx).into_spout());
        let make =
            Make::Spout(Arc::new(move |side| Box::new(SpoutDriver::new(Arc::clone(&make), side))));
        let output = output_stream::<<R::Spout as Spout>::Output>("default");
        SpoutDeclarer { node: self.declare(name, Kind::Spout, make, output), tuples: PhantomData }
    }

    /// Declares a bolt; the factory makes one instance a task.
    #[track_caller]
    pub fn bolt<F, R>(&mut self, name: &str, factory: F) -> BoltDeclarer<InputOf<R>, OutputOf<R>>
    where
        F: Fn(&Context) -> R + Send + Sync + 'static,
        R: IntoBolt,
    {
        let make: Factory<Automatic<R::Bolt>> =
            Arc::new(move |cx| factory(cx).into_bolt().map(Automatic));
        let make = Make::Bolt(Arc::new(move |side, budget| {
            Box::new(Driver::new(Arc::clone(&make), side, budget))
        }));
        let output = output_stream::<OutputOf<R>>("default");
        BoltDeclarer { node: self.declare(name, Kind::Bolt, make, output), tuples: PhantomData }
    }

    /// Declares a bolt that gives the verdicts itself.
    #[track_caller]
    pub fn explicit_bolt<F, B>(
        &mut self,
        name: &str,
        factory: F,
    ) -> BoltDeclarer<B::Input, B::Output>
    where
        F: Fn(&Context) -> Result<B, Error> + Send + Sync + 'static,
        B: ExplicitBolt,
    {
        let make: Factory<Explicit<B>> = Arc::new(move |cx| factory(cx).map(Explicit));
        let make = Make::Bolt(Arc::new(move |side, budget| {
            Box::new(Driver::new(Arc::clone(&make), side, budget))
        }));
        let node =
            self.declare(name, Kind::ExplicitBolt, make, output_stream::<B::Output>("default"));
        BoltDeclarer { node, tuples: PhantomData }
    }

    /// Checks everything and gives the topology.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every mistake there is, and where it was made.
    pub fn build(self) -> Result<Topology, BuildError> {
        let mut graph = self.graph.borrow_mut();
        let mut mistakes = std::mem::take(&mut graph.mistakes);
        let description = describe(&self.name, &graph.components, &self.config);
        for problem in description.problems() {
            let place = graph
                .components
                .iter()
                .zip(&graph.sites)
                .rfind(|(component, _)| problem.contains(&format!("`{}`", component.name)))
                .map(|(_, site)| format!(" ({}:{})", site.file(), site.line()));
            mistakes.push(problem + &place.unwrap_or_default());
        }
        if !mistakes.is_empty() {
            return Err(BuildError { topology: self.name, mistakes });
        }
        let components = std::mem::take(&mut graph.components);
        Ok(Topology { name: self.name, components, config: self.config })
    }

    #[track_caller]
    pub(crate) fn declare(&self, name: &str, kind: Kind, make: Make, output: OutputStream) -> Node {
        let mut graph = self.graph.borrow_mut();
        graph.components.push(Component {
            name: name.to_owned(),
            kind,
            make,
            executors: 1,
            tasks: 1,
            outputs: vec![output],
            inputs: Vec::new(),
            tick: None,
            holds: Duration::ZERO,
            calls: Calls::Short,
        });
        graph.sites.push(Location::caller());
        Node { graph: Rc::clone(&self.graph), index: graph.components.len() - 1, tasks: None }
    }
}
