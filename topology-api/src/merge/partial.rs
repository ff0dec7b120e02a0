//! The bolt that gathers partial results, and what it emits.

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

use super::{Merge, tuple_of_key_and_value};
use crate::codec::FieldCodec;
use crate::{
    BoltResult, Context, DecodeError, ExplicitBolt, Field, Input, KeyHasher, Output, Schema, Tuple,
    Value,
};

/// How long results are gathered unless the author says otherwise.
pub(super) const PERIOD: Duration = Duration::from_millis(100);

/// For how long the bolt says that it holds inputs: ticks come late when a worker is busy.
pub(super) const HOLDS: Duration = Duration::from_secs(1);

/// A tuple may have this many anchors.
const ANCHORS_MAX: usize = 1_024;

/// What one task gathered for a key since it last said so; emitted by
/// [`TopologyBuilder::partial`](crate::TopologyBuilder::partial).
///
/// ```
/// use topology_api::{Count, Partial, Text, Tuple};
///
/// assert_eq!(Partial::<Text, Count>::schema().to_string(), "Partial(key: text, value: u64)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial<K, M> {
    /// The key.
    pub key: K,
    /// What was gathered.
    pub value: M,
}
tuple_of_key_and_value!(Partial);

/// How many inputs a task holds before it emits what it gathered: few enough that the spouts are not
/// kept waiting for the tick by trees that all tasks together hold open.
pub(super) fn held_max(cx: &Context) -> usize {
    (cx.config().max_pending() / 4 / cx.task_count().max(1)).max(1) as usize
}

/// What was gathered for one key, and of which inputs.
struct Group<T, M> {
    value: M,
    inputs: Vec<Input<T>>,
}

/// Gathers results by key, and holds the inputs they come from.
pub(super) struct Gather<T, K: ToOwned + ?Sized, M, F, A> {
    key: F,
    add: A,
    groups: HashMap<K::Owned, Group<T, M>>,
    /// Inputs held, of all groups.
    held: usize,
    held_max: usize,
    keys: PhantomData<fn(&K)>,
}

impl<T, K, M, F, A> Gather<T, K, M, F, A>
where
    T: Tuple,
    K: ToOwned<Owned: FieldCodec + Hash + Eq + Clone + Send> + Hash + Eq + ?Sized + 'static,
    M: Merge,
{
    pub(super) fn new(key: F, add: A, held_max: usize) -> Self {
        Self { key, add, groups: HashMap::new(), held: 0, held_max, keys: PhantomData }
    }

    /// Emits what was gathered, as far as it fits into one call. The rest is for the next one.
    fn emit_all(&mut self, out: &mut Output<Partial<K::Owned, M>>) {
        let mut rest = HashMap::new();
        for (key, group) in self.groups.drain() {
            if out.has_budget(key.weight() + group.value.weight()) {
                self.held -= group.inputs.len();
                emit(key, group, out);
            } else {
                rest.insert(key, group);
            }
        }
        if !rest.is_empty() {
            self.groups = rest;
        }
    }
}

/// Emits what was gathered for a key, then acks what it was gathered from.
fn emit<T, K, M>(key: K, group: Group<T, M>, out: &mut Output<Partial<K, M>>)
where
    K: FieldCodec + Clone + Send + 'static,
    M: Merge,
{
    out.emit_anchored(&group.inputs, Partial { key, value: group.value });
    group.inputs.into_iter().for_each(Input::ack);
}

impl<T, K, M, F, A> ExplicitBolt for Gather<T, K, M, F, A>
where
    T: Tuple,
    K: ToOwned<Owned: FieldCodec + Hash + Eq + Clone + Send> + Hash + Eq + ?Sized + 'static,
    M: Merge,
    F: Fn(&T) -> &K + Send + 'static,
    A: FnMut(&mut M, &T) + Send + 'static,
{
    type Input = T;
    type Output = Partial<K::Owned, M>;

    fn execute(&mut self, input: Input<T>, out: &mut Output<Partial<K::Owned, M>>) -> BoltResult {
        let key = (self.key)(&input);
        let group = match self.groups.get_mut(key) {
            Some(group) => group,
            None => {
                let none = Group { value: M::default(), inputs: Vec::new() };
                self.groups.entry(key.to_owned()).or_insert(none)
            }
        };
        (self.add)(&mut group.value, &input);
        if group.inputs.len() + 1 < ANCHORS_MAX {
            group.inputs.push(input);
            self.held += 1;
        } else if let Some((key, mut group)) = self.groups.remove_entry(key) {
            // A tuple cannot have more anchors. It goes first, when anything fits into the budget.
            self.held -= group.inputs.len();
            group.inputs.push(input);
            emit(key, group, out);
        }
        if self.held >= self.held_max {
            self.emit_all(out);
        }
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Partial<K::Owned, M>>) {
        out.begin(crate::output::UNANCHORED);
        self.emit_all(out);
    }

    fn finish(&mut self, out: &mut Output<Partial<K::Owned, M>>) {
        self.tick(out);
    }
}
