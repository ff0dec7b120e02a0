//! A component being declared: how many tasks it has, what it reads, and by which groupings.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::{Graph, Reads, Stream, output_stream};
use crate::grouping::Grouping;
use crate::key::{Key, key_hash};
use crate::rows::{Batch, Rows};
use crate::topology::{Component, InputStream};
use crate::{KeyHasher, Tuple};

/// One component being declared.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) graph: Rc<RefCell<Graph>>,
    pub(crate) index: usize,
    /// What `.tasks(n)` said; without it there is a task an executor.
    pub(crate) tasks: Option<u32>,
}

impl Node {
    fn with(&self, change: impl FnOnce(&mut Component)) {
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

/// A spout being declared; `T` is what it emits.
#[derive(Debug)]
pub struct SpoutDeclarer<T> {
    pub(crate) node: Node,
    pub(crate) tuples: PhantomData<fn() -> T>,
}

impl<T: Tuple> SpoutDeclarer<T> {
    declarer_methods!();
}

/// A bolt being declared; it reads `I` and emits `T`.
#[derive(Debug)]
pub struct BoltDeclarer<I, T> {
    pub(crate) node: Node,
    pub(crate) tuples: PhantomData<fn(I) -> T>,
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
    declarer_methods!();
    holds_method!();

    /// Takes the groupings away: the bolt is connected.
    pub(crate) fn connected(self) -> ConnectedBolt<T> {
        ConnectedBolt { node: self.node, tuples: PhantomData }
    }

    /// Reads the stream, split evenly among the tasks that have room.
    #[track_caller]
    pub fn shuffle<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::Shuffle)
    }

    /// Reads the stream as [`BoltDeclarer::shuffle`], but within the worker where it can.
    #[track_caller]
    pub fn local_or_shuffle<S: Tuple>(self, stream: &Stream<S>) -> Self
    where
        I: Reads<S>,
    {
        self.read(stream, Grouping::LocalOrShuffle)
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
        let hashes = Arc::new(move |rows: &dyn Rows, out: &mut Vec<u64>| {
            let rows: &Batch<S> =
                rows.as_any().downcast_ref().expect("batches of one stream have one type");
            out.extend(rows.rows.iter().map(|row| key_hash(key(row))));
        });
        self.read(stream, Grouping::Fields { hashes, fields: Vec::new() })
    }

    /// Reads the stream split by the values of the named fields.
    #[track_caller]
    pub fn fields_named<S: Tuple>(self, stream: &Stream<S>, fields: &[&str]) -> Self
    where
        I: Reads<S>,
    {
        let fields: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
        let schema = S::schema();
        // An unknown name is found by `build`, which sees the names.
        let places: Vec<usize> = fields.iter().filter_map(|name| schema.position(name)).collect();
        let names = schema.dynamic.then(|| fields.clone());
        let hashes = Arc::new(move |rows: &dyn Rows, out: &mut Vec<u64>| {
            let rows: &Batch<S> =
                rows.as_any().downcast_ref().expect("batches of one stream have one type");
            out.extend(rows.rows.iter().map(|row| {
                let mut hasher = KeyHasher::default();
                let mut take = |place: usize| row.hash_field(place, &mut hasher);
                match &names {
                    // Each tuple brings its own fields: a missing one adds nothing to the key.
                    Some(names) => {
                        names.iter().filter_map(|name| row.position(name)).for_each(&mut take);
                    }
                    None => places.iter().copied().for_each(&mut take),
                }
                hasher.finish()
            }));
        });
        self.read(stream, Grouping::Fields { hashes, fields })
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

    #[track_caller]
    fn read<S: Tuple>(self, stream: &Stream<S>, grouping: Grouping) -> Self
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
