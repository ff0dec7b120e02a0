//! A component being declared: how many tasks it has, what it reads, and by which groupings.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::Tuple;
use crate::async_bolt::AsyncCalls;
use crate::builder::{Graph, Reads, Stream, output_stream};
use crate::custom_grouping::{CustomGrouping, GroupingTargets, make_chooser};
use crate::grouping::{Grouping, GroupingKey};
use crate::key::Key;
use crate::topology::{Calls, Component, InputStream};

/// One component being declared.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) graph: Rc<RefCell<Graph>>,
    pub(crate) index: usize,
    /// What `.tasks(n)` said; without it there is a task an executor.
    pub(crate) tasks: Option<u32>,
}

impl Node {
    pub(crate) fn with(&self, change: impl FnOnce(&mut Component)) {
        change(&mut self.graph.borrow_mut().components[self.index]);
    }

    fn parallelism(&mut self, executors: u32) {
        let tasks = self.tasks.unwrap_or(executors);
        self.with(|component| {
            component.executors = executors;
            component.tasks = tasks;
        });
    }

    fn tasks(&mut self, tasks: u32) {
        self.tasks = Some(tasks);
        self.with(|component| component.tasks = tasks);
    }

    fn stream<T>(&self, stream: usize) -> Stream<T> {
        Stream { graph: Rc::clone(&self.graph), component: self.index, stream, tuple: PhantomData }
    }

    fn output<T: Tuple>(&self, name: &str) -> Stream<T> {
        let mut graph = self.graph.borrow_mut();
        let outputs = &mut graph.components[self.index].outputs;
        outputs.push(output_stream::<T>(name));
        let stream = outputs.len() - 1;
        drop(graph);
        self.stream(stream)
    }
}

macro_rules! declarer_methods {
    () => {
        /// Sets how many executors run it, and how many tasks it has unless `.tasks(m)` says more.
        pub fn parallelism(mut self, executors: u32) -> Self {
            self.node.parallelism(executors);
            self
        }

        /// Gives it more tasks than executors, so that a rebalance can add executors later.
        pub fn tasks(mut self, tasks: u32) -> Self {
            self.node.tasks(tasks);
            self
        }

        /// Calls `tick` of each of its tasks once a period.
        pub fn tick_every(self, period: Duration) -> Self {
            self.node.with(|component| component.tick = Some(period));
            self
        }

        /// Adds an output stream; its tasks find it with `cx.port(name)`.
        pub fn output<S: Tuple>(&self, name: &str) -> Stream<S> {
            self.node.output(name)
        }

        /// Gives the main output stream.
        #[must_use]
        pub fn stream(&self) -> Stream<T> {
            self.node.stream(0)
        }
    };
}

macro_rules! blocking_method {
    () => {
        /// Gives each of its tasks a thread of its own, where calls may sleep or wait for a file or
        /// a network. `emit` waits there when the receivers have no room, so one call may emit any
        /// amount: it cannot fail as `too-much-output`, except in `finish` and `tick` through an
        /// iterator, which is pulled at once. Handing over costs some time a tuple, and nothing is
        /// executed inside the call that emitted it, so components that do not wait are better off
        /// without this.
        pub fn blocking(self) -> Self {
            self.node.with(|component| component.calls = Calls::Blocking);
            self
        }
    };
}

/// A spout being declared; `T` is what it emits, and its calls are [`Short`] or [`Async`].
#[derive(Debug)]
pub struct SpoutDeclarer<T, C = Short> {
    pub(crate) node: Node,
    pub(crate) tuples: PhantomData<fn(C) -> T>,
}

impl<T: Tuple, C> SpoutDeclarer<T, C> {
    declarer_methods!();
}

impl<T: Tuple> SpoutDeclarer<T> {
    blocking_method!();
}

macro_rules! holds_method {
    () => {
        /// Says for how long it holds inputs on purpose: that is added to their timeout.
        pub fn holds(self, duration: Duration) -> Self {
            self.node.with(|component| component.holds = duration);
            self
        }
    };
}

/// A bolt being declared that has all its inputs already: its groupings follow from what it does,
/// as those of a [`fold`](crate::TopologyBuilder::fold) do.
#[derive(Debug)]
pub struct ConnectedBolt<T> {
    node: Node,
    tuples: PhantomData<fn() -> T>,
}

impl<T: Tuple> ConnectedBolt<T> {
    declarer_methods!();
    holds_method!();
}

impl<I: Tuple, T: Tuple> BoltDeclarer<I, T> {
    blocking_method!();
}

/// Stands for calls that come one after the other and never wait.
#[derive(Debug)]
pub enum Short {}

/// Stands for calls of which several may wait at a time.
#[derive(Debug)]
pub enum Async {}

/// A bolt being declared; it reads `I` and emits `T`. Its calls are [`Short`], [`Async`] or a [`Sink`](crate::Sink)'s.
#[derive(Debug)]
pub struct BoltDeclarer<I, T, C = Short> {
    pub(crate) node: Node,
    pub(crate) tuples: PhantomData<fn(I, C) -> T>,
}

impl<I: Tuple, T: Tuple> BoltDeclarer<I, T, Async> {
    /// Changes what holds for its calls.
    pub(crate) fn async_calls(self, change: impl FnOnce(&mut AsyncCalls)) -> Self {
        self.node.with(|component| {
            let mut calls = match component.calls {
                Calls::Async(calls) => calls,
                Calls::Short | Calls::Blocking => AsyncCalls::default(),
            };
            change(&mut calls);
            component.calls = Calls::Async(calls);
        });
        self
    }
}

impl<I: Tuple, T: Tuple, C> BoltDeclarer<I, T, C> {
    declarer_methods!();
    holds_method!();

    /// Takes the groupings away: the bolt is connected.
    pub(crate) fn connected(self) -> ConnectedBolt<T> {
        ConnectedBolt { node: self.node, tuples: PhantomData }
    }

    /// Reads the stream, split evenly among the tasks that have room.
    ///
    /// While the tasks in the sender's thread, or else those in its worker, keep up, they get all
    /// of it: what need not travel does not.
    #[track_caller]
    pub fn shuffle<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::Shuffle)
    }

    /// Reads the stream as [`BoltDeclarer::shuffle`], but never outside the sender's worker if that
    /// has tasks of this bolt, however far they fall behind.
    #[track_caller]
    pub fn local_or_shuffle<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::LocalOrShuffle)
    }

    /// Reads the stream as [`BoltDeclarer::shuffle`], for who does not mind where: it stays in the
    /// sender's thread while a task there has room, even if other threads have nothing to do.
    #[track_caller]
    pub fn none<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::None)
    }

    /// Reads the stream split by key: tuples with the same key meet the same task.
    #[track_caller]
    pub fn fields<S, K, F>(self, stream: &Stream<S>, key: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        K: Key + ?Sized,
        F: Fn(&S) -> &K + Send + Sync + 'static,
    {
        self.read(stream, Grouping::Fields(GroupingKey::by(key)))
    }

    /// Reads the stream split by the values of the named fields.
    #[track_caller]
    pub fn fields_named<S: Tuple>(self, stream: &Stream<S>, fields: &[&str]) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::Fields(GroupingKey::named::<S>(fields)))
    }

    /// Reads the stream split by key, each key to two tasks: the less loaded of the two gets the
    /// tuple.
    ///
    /// Keys that are somewhat uneven are so balanced; what the two tasks know of a key has to be
    /// merged. Each sender goes by what it sent itself. ("The Power of Both Choices", Nasir et al.,
    /// 2015.)
    #[track_caller]
    pub fn partial_key<S, K, F>(self, stream: &Stream<S>, key: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        K: Key + ?Sized,
        F: Fn(&S) -> &K + Send + Sync + 'static,
    {
        self.read(stream, Grouping::PartialKey(GroupingKey::by(key)))
    }

    /// Reads the stream as [`BoltDeclarer::partial_key`], by the values of the named fields.
    #[track_caller]
    pub fn partial_key_named<S: Tuple>(self, stream: &Stream<S>, fields: &[&str]) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::PartialKey(GroupingKey::named::<S>(fields)))
    }

    /// Reads the stream as [`BoltDeclarer::partial_key`], but keys that are too hot for two tasks
    /// go to as many as their share of the stream needs.
    ///
    /// Each sender finds the hot keys itself, in bounded memory. What the tasks know of a key has
    /// to be merged. (D-choices of "When Two Choices Are Not Enough", Nasir et al., 2016.)
    #[track_caller]
    pub fn spread_hot_keys<S, K, F>(self, stream: &Stream<S>, key: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        K: Key + ?Sized,
        F: Fn(&S) -> &K + Send + Sync + 'static,
    {
        self.read(stream, Grouping::SpreadHotKeys(GroupingKey::by(key)))
    }

    /// Reads the stream as [`BoltDeclarer::spread_hot_keys`], by the values of the named fields.
    #[track_caller]
    pub fn spread_hot_keys_named<S: Tuple>(self, stream: &Stream<S>, fields: &[&str]) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::SpreadHotKeys(GroupingKey::named::<S>(fields)))
    }

    /// Reads the stream as [`BoltDeclarer::partial_key`], but keys that are too hot for two tasks
    /// go to all tasks.
    ///
    /// The best balance there is, for the most to merge. (W-choices of "When Two Choices Are Not
    /// Enough", Nasir et al., 2016.)
    #[track_caller]
    pub fn scatter_hot_keys<S, K, F>(self, stream: &Stream<S>, key: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        K: Key + ?Sized,
        F: Fn(&S) -> &K + Send + Sync + 'static,
    {
        self.read(stream, Grouping::ScatterHotKeys(GroupingKey::by(key)))
    }

    /// Reads the stream as [`BoltDeclarer::scatter_hot_keys`], by the values of the named fields.
    #[track_caller]
    pub fn scatter_hot_keys_named<S: Tuple>(self, stream: &Stream<S>, fields: &[&str]) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::ScatterHotKeys(GroupingKey::named::<S>(fields)))
    }

    /// Reads the stream so that every task gets every tuple.
    #[track_caller]
    pub fn all<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::All)
    }

    /// Reads the stream so that its first task gets every tuple.
    #[track_caller]
    pub fn global<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::Global)
    }

    /// Reads what is emitted to the stream with `emit_direct`, by the task it names.
    #[track_caller]
    pub fn direct<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::Direct)
    }

    /// Reads the stream by a grouping of the author's own; the factory makes one for each executor
    /// that emits to the stream.
    ///
    /// ```
    /// use topology_api::prelude::*;
    /// # struct Sink;
    /// # impl Bolt for Sink {
    /// #     type Input = Line;
    /// #     type Output = Line;
    /// #     fn execute(&mut self, _: Line, _: &mut Output<Line>) -> BoltResult { Ok(()) }
    /// # }
    ///
    /// let mut t = TopologyBuilder::new("by-length");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// t.bolt("sink", |_| Sink).parallelism(3).custom(&lines, |targets| {
    ///     let last = targets.tasks as usize - 1;
    ///     move |batch: &[Line], tasks: &mut Vec<u32>| {
    ///         tasks.extend(batch.iter().map(|line| (line.text.len() / 80).min(last) as u32));
    ///     }
    /// });
    /// assert!(t.build().is_ok());
    /// ```
    #[track_caller]
    pub fn custom<S, G, F>(self, stream: &Stream<S>, factory: F) -> Self
    where
        S: Tuple,
        I: Reads<S>,
        G: CustomGrouping<S>,
        F: Fn(&GroupingTargets) -> G + Send + Sync + 'static,
    {
        self.read(stream, Grouping::Custom(make_chooser(factory)))
    }

    #[track_caller]
    pub(crate) fn read<S: Tuple>(self, stream: &Stream<S>, grouping: Grouping) -> Self
    where
        I: Reads<S>,
    {
        let site = Location::caller();
        if Rc::ptr_eq(&self.node.graph, &stream.graph) {
            let input = InputStream {
                component: stream.component,
                stream: stream.stream,
                grouping,
                convert: <I as Reads<S>>::CONVERT,
            };
            self.node.with(|component| component.inputs.push(input));
        } else {
            let mut graph = self.node.graph.borrow_mut();
            let name = graph.components[self.node.index].name.clone();
            graph.mistake(
                &format!("`{name}` reads a stream of another topology builder: connect streams of this one"),
                site,
            );
        }
        self
    }
}
