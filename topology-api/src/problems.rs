//! What can be wrong with a topology, and what to do about it: one sentence each.
//!
//! All of it at once, because fixing mistakes one by one is slow. The same check serves the
//! builder, the command line and the nimbus that takes a description from a stranger; so it may
//! neither panic nor take long, whatever the description holds.

use std::collections::BTreeSet;

use crate::connections::Graph;
use crate::description::{ComponentDescription, Description, EXECUTORS_MAX, KEY_GROUPS_UNIT};
use crate::names::check_name;

/// More problems than this are counted, not told.
pub(crate) const TOLD_MAX: usize = 100;

impl Description {
    /// Says everything that is wrong with the topology; empty if it can run.
    ///
    /// ```
    /// use topology_api::Description;
    ///
    /// let empty = Description { name: "demo".to_owned(), key_groups: 720, ..Default::default() };
    /// assert_eq!(empty.problems(), ["Topology `demo` has no spout: add one, so that tuples come \
    ///                                from somewhere."]);
    /// ```
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Err(error) = check_name("topology", &self.name) {
            found.push(sentence(&error.to_string()));
        }
        if self.key_groups == 0 || !self.key_groups.is_multiple_of(KEY_GROUPS_UNIT) {
            found.push(format!(
                "Topology `{}` has {} key groups: make it a multiple of {KEY_GROUPS_UNIT}.",
                self.name, self.key_groups
            ));
        }
        if !self.components.iter().any(|component| component.spout) {
            found.push(format!(
                "Topology `{}` has no spout: add one, so that tuples come from somewhere.",
                self.name
            ));
        }
        let graph = Graph::new(self);
        for component in &self.components {
            check_numbers(component, &mut found);
            check_outputs(component, &mut found);
            graph.check_inputs(component, &mut found);
        }
        self.check_names(&mut found);
        self.check_total(&mut found);
        graph.check_reachable(&mut found);
        let untold = found.len().saturating_sub(TOLD_MAX);
        if untold > 0 {
            found.truncate(TOLD_MAX);
            found.push(format!("There are {untold} more problems: fix these first."));
        }
        found
    }

    fn check_names(&self, found: &mut Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for component in &self.components {
            if let Err(error) = check_name("component", &component.name) {
                found.push(sentence(&error.to_string()));
            }
            if !seen.insert(&component.name) {
                twice.insert(&component.name);
            }
        }
        for name in twice {
            found.push(format!("Several components are called `{name}`: rename all but one."));
        }
    }

    fn check_total(&self, found: &mut Vec<String>) {
        let executors = self.executor_count();
        if executors > EXECUTORS_MAX {
            found.push(format!(
                "Topology `{}` has {executors} executors and {EXECUTORS_MAX} are the most: lower \
                 the parallelism and raise `.tasks(..)` instead.",
                self.name
            ));
        }
        let tasks = self.components.iter().map(|component| u64::from(component.tasks)).sum::<u64>();
        if tasks > u64::from(u32::MAX) / 8 {
            found.push(format!(
                "Topology `{}` has {tasks} tasks, more than can be numbered: have fewer.",
                self.name
            ));
        }
    }
}

fn check_numbers(component: &ComponentDescription, found: &mut Vec<String>) {
    let ComponentDescription { name, executors, tasks, .. } = component;
    if *executors == 0 {
        found.push(format!("Component `{name}` has no executors: give it at least 1."));
    }
    if *tasks == 0 {
        found.push(format!("Component `{name}` has no tasks: give it at least 1."));
    } else if executors > tasks {
        found.push(format!(
            "Component `{name}` has {executors} executors for {tasks} tasks: give it at least as \
             many tasks as executors."
        ));
    }
    match (component.spout, component.inputs.is_empty()) {
        (true, false) => found.push(format!(
            "Spout `{name}` reads a stream: make it a bolt, or take its inputs away."
        )),
        (false, true) => found.push(format!(
            "Bolt `{name}` reads no stream: connect it to one, for example with `.shuffle(..)`."
        )),
        _ => {}
    }
}

fn check_outputs(component: &ComponentDescription, found: &mut Vec<String>) {
    let mut streams = BTreeSet::new();
    for stream in &component.outputs {
        if let Err(error) = check_name("stream", &stream.name) {
            found.push(sentence(&format!("{error} (in component `{}`)", component.name)));
        }
        if !streams.insert(&stream.name) {
            found.push(format!(
                "Component `{}` has several streams called `{}`: rename all but one.",
                component.name, stream.name
            ));
        }
        let mut fields = BTreeSet::new();
        for field in &stream.fields {
            if !fields.insert(&field.name) {
                found.push(format!(
                    "Tuple `{}` has several fields called `{}`: rename all but one.",
                    stream.tuple, field.name
                ));
            }
        }
    }
}

/// Makes a clause a sentence.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}
