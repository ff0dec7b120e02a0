//! The components whose tuples are followed: a word and a number, as a word count has them.

use std::sync::Arc;

use topology_api::Error;
use topology_api::prelude::*;
use topology_api::runtime::{
    BoltTask, Component, Metrics, Pool, Reporter, Rows, SpoutTask, Task, TaskFacts,
};

use super::BATCH;
use crate::problem::Problem;

/// What flows.
#[derive(Clone, Debug, Tuple)]
pub(super) struct Word {
    pub(super) word: Text,
    pub(super) number: u64,
}

/// Emits words of different length, one a call.
struct Words {
    words: Vec<Text>,
    number: u64,
    tracks: bool,
}

impl Words {
    fn new(tracks: bool) -> Self {
        let words = (0..1_000).map(|number| Text::from(format!("word-{}", number % 97)));
        Self { words: words.collect(), number: 0, tracks }
    }
}

impl Spout for Words {
    type Output = Word;
    type Id = u64;

    #[inline]
    fn next(&mut self, out: &mut SpoutOutput<Word, u64>) -> SpoutResult {
        let at = self.number as usize % self.words.len();
        let word = Word { word: self.words[at].clone(), number: self.number };
        self.number += 1;
        if self.tracks {
            out.emit(self.number, word);
        } else {
            out.emit_untracked(word);
        }
        Ok(Next::Emitted)
    }

    fn ack(&mut self, _: u64) {}

    fn fail(&mut self, _: u64, _: FailReason) {}
}

/// Passes on what it gets.
struct Identity;

impl Bolt for Identity {
    type Input = Word;
    type Output = Word;

    #[inline]
    fn execute(&mut self, word: Word, out: &mut Output<Word>) -> BoltResult {
        out.emit(word);
        Ok(())
    }
}

/// Adds numbers up.
struct Null(u64);

impl Bolt for Null {
    type Input = Word;
    type Output = NoOutput;

    #[inline]
    fn execute(&mut self, word: Word, _: &mut Output<NoOutput>) -> BoltResult {
        self.0 = self.0.wrapping_add(word.number);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        std::hint::black_box(self.0);
    }
}

/// Which component of the topology.
pub(super) const UNTRACKED: &str = "untracked";
pub(super) const TRACKED: &str = "tracked";
pub(super) const IDENTITY: &str = "identity";
pub(super) const NULL: &str = "null";

/// A topology whose tasks are driven by hand; its tasks have no worker to report to.
pub(super) struct Parts(Topology);

struct Nobody;

impl Reporter for Nobody {
    fn result(&self, _: u32, _: String) {}
    fn metrics(&self, _: u32) -> Arc<Metrics> {
        Arc::default()
    }
    fn error(&self, _: u32, _: String) {}
}

/// A part that is missing or does not open: a mistake in this file.
fn broken(error: Error) -> Problem {
    Problem::failed("cannot measure the stages", error)
}

impl Parts {
    /// Declares it.
    pub(super) fn new() -> Result<Self, Problem> {
        let mut t = TopologyBuilder::new("stages");
        t.spout(UNTRACKED, |_| Words::new(false));
        let words = t.spout(TRACKED, |_| Words::new(true)).stream();
        let same = t.bolt(IDENTITY, |_| Identity).shuffle(&words).stream();
        t.bolt(NULL, |_| Null(0)).fields(&same, |word| &word.word);
        t.build().map(Self).map_err(|error| broken(error.into()))
    }

    /// The component of this name.
    pub(super) fn component(&self, name: &str) -> Result<&Component, Problem> {
        let found = self.0.components().iter().find(|component| component.name == name);
        found.ok_or_else(|| broken(format!("there is no component {name}").into()))
    }

    /// An open task of a spout.
    pub(super) fn spout(&self, name: &str) -> Result<Box<dyn SpoutTask>, Problem> {
        let task = self.component(name)?.spout_task();
        let mut task = task.ok_or_else(|| broken(format!("{name} is no spout").into()))?;
        self.open(name, &mut *task)?;
        Ok(task)
    }

    /// An open task of a bolt.
    pub(super) fn bolt(&self, name: &str) -> Result<Box<dyn BoltTask>, Problem> {
        let task = self.component(name)?.bolt_task(1 << 24);
        let mut task = task.ok_or_else(|| broken(format!("{name} is no bolt").into()))?;
        self.open(name, &mut *task)?;
        Ok(task)
    }

    fn open<T: Task + ?Sized>(&self, name: &str, task: &mut T) -> Result<(), Problem> {
        let facts = TaskFacts {
            topology: self.0.name().to_owned(),
            component: name.to_owned(),
            task: 0,
            tasks: 0..1,
            worker: 0,
            arguments: Args::default(),
            config: self.0.config().clone(),
            outputs: Vec::new(),
            peers: Vec::new(),
            reporter: Arc::new(Nobody),
            waker: std::task::Waker::noop().clone(),
            keeper: None,
        };
        task.open(&Context::new(facts)).map_err(broken)
    }

    /// Full batches, made by a spout.
    pub(super) fn batches(&self) -> Result<impl FnMut() -> Box<dyn Rows>, Problem> {
        let mut spout = self.spout(UNTRACKED)?;
        let mut pool = Pool::default();
        Ok(move || {
            // What a spout returns was checked when it was opened: this one never fails.
            drop(spout.next(BATCH));
            spout.take(0, &mut pool).map(|emitted| emitted.rows).expect("it emits with each call")
        })
    }
}
