//! A topology as plain data: what a binary says of itself, and what a nimbus schedules.
//!
//! It may come from a stranger, so nothing is assumed of it: [`Description::problems`] says all
//! that is wrong. Here too is the numbering that every process derives from it alone: tasks and
//! executors are dense over the topology, in the order of the components, and the tasks of a
//! component are split evenly and contiguously over its executors.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::config::TopologyConfig;

/// The groupings a description may name.
pub const GROUPINGS: [&str; 11] = [
    "shuffle",
    "local-or-shuffle",
    "none",
    "fields",
    "partial-key",
    "spread-hot-keys",
    "scatter-hot-keys",
    "all",
    "global",
    "direct",
    "custom",
];

/// The most executors a topology may have: 14 bits of a root id name one.
pub const EXECUTORS_MAX: u32 = 16_383;

/// Key groups come in multiples of this.
pub const KEY_GROUPS_UNIT: u32 = 720;

/// A topology as plain data.
///
/// ```
/// use topology_api::{ComponentDescription, Description};
///
/// let words = ComponentDescription {
///     name: "words".to_owned(),
///     spout: true,
///     executors: 2,
///     tasks: 3,
///     outputs: Vec::new(),
///     inputs: Vec::new(),
/// };
/// let topology = Description {
///     name: "demo".to_owned(),
///     components: vec![words],
///     config: Default::default(),
///     key_groups: 720,
/// };
/// assert!(topology.problems().is_empty());
/// let tasks: Vec<_> = topology.executors().map(|executor| executor.tasks).collect();
/// assert_eq!(tasks, [0..1, 1..3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// What the topology is called.
    pub name: String,
    /// Its spouts and bolts, in the order of declaration.
    pub components: Vec<ComponentDescription>,
    /// The settings that are not left at their default.
    #[serde(default)]
    pub config: TopologyConfig,
    /// How many groups the keys of fields groupings fall into; never changes while it runs.
    pub key_groups: u32,
}

/// A spout or a bolt as plain data.
///
/// ```
/// use topology_api::ComponentDescription;
///
/// let json = r#"{"name":"words","spout":true,"executors":1,"tasks":1}"#;
/// let words: ComponentDescription = serde_json::from_str(json).unwrap();
/// assert!(words.inputs.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentDescription {
    /// What it is called.
    pub name: String,
    /// Whether it is a spout; else it is a bolt.
    pub spout: bool,
    /// How many executors run its tasks.
    pub executors: u32,
    /// How many instances of it there are.
    pub tasks: u32,
    /// The streams it emits.
    #[serde(default)]
    pub outputs: Vec<StreamDescription>,
    /// The streams it reads.
    #[serde(default)]
    pub inputs: Vec<InputDescription>,
}

/// A stream as plain data.
///
/// ```
/// use topology_api::StreamDescription;
///
/// let json = r#"{"name":"default","tuple":"Word","fields":[{"name":"word","type_name":"text"}]}"#;
/// let words: StreamDescription = serde_json::from_str(json).unwrap();
/// assert_eq!(words.fields[0].name, "word");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamDescription {
    /// What it is called within its component.
    pub name: String,
    /// What the type of its tuples is called.
    pub tuple: String,
    /// The fields of its tuples; none where each tuple brings its own.
    #[serde(default)]
    pub fields: Vec<FieldDescription>,
}

/// A field of a tuple as plain data.
///
/// ```
/// use topology_api::FieldDescription;
///
/// let word: FieldDescription =
///     serde_json::from_str(r#"{"name":"word","type_name":"text"}"#).unwrap();
/// assert_eq!(word.type_name, "text");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldDescription {
    /// What it is called.
    pub name: String,
    /// Its type as people write it: `u64`, `text`, `list of f64`, ...
    pub type_name: String,
}

/// What a bolt reads, as plain data.
///
/// ```
/// use topology_api::InputDescription;
///
/// let json = r#"{"component":"words","stream":"default","grouping":"shuffle"}"#;
/// let input: InputDescription = serde_json::from_str(json).unwrap();
/// assert!(input.fields.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDescription {
    /// The component whose stream it is.
    pub component: String,
    /// The stream.
    pub stream: String,
    /// How the stream is split among the tasks: one of [`GROUPINGS`].
    pub grouping: String,
    /// What a grouping by key is keyed by; empty where the key is made by code.
    #[serde(default)]
    pub fields: Vec<String>,
}

/// One executor of a topology: which tasks of which component it runs.
///
/// ```
/// use topology_api::ExecutorDescription;
///
/// let executor = ExecutorDescription { index: 0, component: 0, tasks: 0..2 };
/// assert_eq!(executor.tasks.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorDescription {
    /// Its number, dense over the topology.
    pub index: u32,
    /// The index of its component.
    pub component: usize,
    /// Its tasks, numbered densely over the topology.
    pub tasks: Range<u32>,
}

impl Description {
    /// Says how many key groups a topology gets whose largest component has `tasks` tasks.
    ///
    /// ```
    /// use topology_api::Description;
    /// assert_eq!(Description::key_groups_for(4), 720);
    /// assert_eq!(Description::key_groups_for(100), 1_440);
    /// ```
    pub fn key_groups_for(tasks: u32) -> u32 {
        let units = tasks.saturating_mul(8).div_ceil(KEY_GROUPS_UNIT).max(1);
        units.saturating_mul(KEY_GROUPS_UNIT)
    }

    /// Finds the component called `name`.
    pub fn component(&self, name: &str) -> Option<&ComponentDescription> {
        self.components.iter().find(|component| component.name == name)
    }

    /// Says the number of the first task of a component; of the end, for one past the last.
    pub fn first_task(&self, component: usize) -> u32 {
        let before = self.components.iter().take(component);
        before.fold(0, |sum, component| sum.saturating_add(component.tasks))
    }

    /// Says how many tasks there are.
    pub fn task_count(&self) -> u32 {
        self.first_task(self.components.len())
    }

    /// Says how many executors there are.
    pub fn executor_count(&self) -> u32 {
        self.components.iter().fold(0, |sum, component| sum.saturating_add(component.executors))
    }

    /// Gives every executor with its tasks, by index.
    ///
    /// Executor `i` of `e` with `t` tasks runs the tasks from `i * t / e` up to
    /// `(i + 1) * t / e`, counted from the component's first.
    pub fn executors(&self) -> impl Iterator<Item = ExecutorDescription> + '_ {
        let (mut index, mut first) = (0_u32, 0_u32);
        self.components.iter().enumerate().flat_map(move |(at, component)| {
            let (start, base) = (index, first);
            let (count, tasks) = (component.executors, component.tasks);
            index = index.saturating_add(count);
            first = first.saturating_add(tasks);
            let edge = move |i: u32| {
                let offset = u64::from(i) * u64::from(tasks) / u64::from(count);
                base.saturating_add(u32::try_from(offset).expect("an edge is at most `tasks`"))
            };
            (0..count).map(move |i| ExecutorDescription {
                index: start.saturating_add(i),
                component: at,
                tasks: edge(i)..edge(i + 1),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn component(name: &str, executors: u32, tasks: u32) -> ComponentDescription {
        ComponentDescription { name: name.to_owned(), executors, tasks, ..Default::default() }
    }

    proptest! {
        #[test]
        fn executors_share_all_tasks_evenly_in_order(
            sizes in prop::collection::vec((1_u32..9, 0_u32..9), 1..6),
        ) {
            let components = sizes
                .iter()
                .map(|(executors, more)| component("c", *executors, executors + more))
                .collect();
            let topology = Description { components, ..Default::default() };
            let mut next_task = 0;
            for (index, executor) in topology.executors().enumerate() {
                prop_assert_eq!(executor.index as usize, index, "dense");
                prop_assert_eq!(executor.tasks.start, next_task, "contiguous");
                next_task = executor.tasks.end;
                let of = &topology.components[executor.component];
                let even = of.tasks / of.executors;
                let size = executor.tasks.len() as u32;
                prop_assert!(size == even || size == even + 1, "{:?} is uneven", executor);
            }
            prop_assert_eq!(next_task, topology.task_count(), "all of them");
            prop_assert_eq!(topology.executors().count() as u32, topology.executor_count());
        }
    }

    #[test]
    fn it_makes_the_round_trip_as_json() {
        let mut topology = Description {
            name: "demo".to_owned(),
            components: vec![component("words", 1, 2)],
            key_groups: 720,
            ..Default::default()
        };
        topology.config.set("acking", "false").expect("false is allowed");
        let json = serde_json::to_string(&topology).expect("plain data is JSON");
        assert_eq!(serde_json::from_str::<Description>(&json).expect("it reads back"), topology);
    }
}
