//! What can be wrong with how the components of a topology are connected.
//!
//! Takes time in proportion to the description and calls nothing recursively: the description may
//! be a stranger's.

use std::collections::{BTreeSet, HashMap};

use crate::description::{ComponentDescription, Description, GROUPINGS, InputDescription};
use crate::names::did_you_mean;
use crate::problems::TOLD_MAX;

/// Who reads from whom, by index.
pub(crate) struct Graph<'a> {
    components: &'a [ComponentDescription],
    by_name: HashMap<&'a str, usize>,
    /// For each component those it reads from; none for a spout, whatever it says.
    sources: Vec<BTreeSet<usize>>,
    /// For each component those that read from it.
    readers: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(topology: &'a Description) -> Self {
        let components = topology.components.as_slice();
        let by_name: HashMap<&str, usize> =
            components.iter().enumerate().map(|(at, c)| (c.name.as_str(), at)).collect();
        let sources_of = |component: &ComponentDescription| {
            let inputs = component.inputs.iter().filter(|_| !component.spout);
            inputs.filter_map(|input| by_name.get(input.component.as_str()).copied()).collect()
        };
        let sources: Vec<BTreeSet<usize>> = components.iter().map(sources_of).collect();
        let mut readers = vec![Vec::new(); components.len()];
        for (reader, sources) in sources.iter().enumerate() {
            sources.iter().for_each(|source| readers[*source].push(reader));
        }
        Self { components, by_name, sources, readers }
    }

    pub(crate) fn check_inputs(&self, component: &ComponentDescription, found: &mut Vec<String>) {
        let name = &component.name;
        let mut seen = BTreeSet::new();
        for input in &component.inputs {
            if !seen.insert((&input.component, &input.stream)) {
                found.push(format!(
                    "Component `{name}` reads stream `{}` of `{}` twice: keep one of the two.",
                    input.stream, input.component
                ));
            }
            if !GROUPINGS.contains(&input.grouping.as_str()) {
                found.push(format!(
                    "Component `{name}` reads by the unknown grouping `{}`: use one of {}.",
                    input.grouping,
                    GROUPINGS.join(", ")
                ));
            }
            self.check_source(name, input, found);
        }
    }

    fn check_source(&self, name: &str, input: &InputDescription, found: &mut Vec<String>) {
        let Some(source) = self.by_name.get(input.component.as_str()) else {
            // Each hint compares with every name: not for sentences that nobody will read.
            let names = self.components.iter().filter(|_| found.len() < TOLD_MAX);
            let hint = did_you_mean(&input.component, names.map(|known| known.name.as_str()));
            found.push(format!(
                "Component `{name}` reads from `{}`, which does not exist{}",
                input.component,
                if hint.is_empty() {
                    ": declare it or read from another.".to_owned()
                } else {
                    hint
                }
            ));
            return;
        };
        let outputs = &self.components[*source].outputs;
        let Some(stream) = outputs.iter().find(|stream| stream.name == input.stream) else {
            let known: Vec<&str> = outputs.iter().map(|stream| stream.name.as_str()).collect();
            found.push(format!(
                "Component `{name}` reads stream `{}` of `{}`, which has {}: read one that it has.",
                input.stream,
                input.component,
                if known.is_empty() { "no streams".to_owned() } else { known.join(", ") }
            ));
            return;
        };
        // Without fields each tuple brings its own: nothing can be said before it runs.
        for field in input.fields.iter().filter(|_| !stream.fields.is_empty()) {
            if !stream.fields.iter().any(|known| known.name == *field) {
                let known: Vec<&str> = stream.fields.iter().map(|f| f.name.as_str()).collect();
                found.push(format!(
                    "Component `{name}` groups by `{field}`, but `{}` has the fields {}: group by \
                     one of them.",
                    stream.tuple,
                    known.join(", ")
                ));
            }
        }
    }

    /// Finds cycles, and bolts that no tuple can reach.
    pub(crate) fn check_reachable(&self, found: &mut Vec<String>) {
        let reached = self.reached();
        let mut rest = Rest::new(self);
        let mut in_cycle: BTreeSet<usize> = BTreeSet::new();
        while let Some(cycle) = rest.cycle().filter(|_| found.len() <= TOLD_MAX) {
            let name = |at: &usize| format!("`{}`", self.components[*at].name);
            let path: Vec<String> = cycle.iter().chain(cycle.first()).map(name).collect();
            let fed = cycle.iter().any(|at| reached.contains(at));
            found.push(format!(
                "Components {} form a cycle{}: break it, tuples in a circle would block each \
                 other.",
                path.join(" -> "),
                if fed { "" } else { " without a spout" }
            ));
            cycle.iter().for_each(|at| rest.remove(*at));
            in_cycle.extend(cycle);
        }
        for (at, component) in self.components.iter().enumerate() {
            // A bolt without any source has been told so already.
            let sourced = self.sources[at].iter().any(|source| *source != at);
            if sourced && !component.spout && !reached.contains(&at) && !in_cycle.contains(&at) {
                found.push(format!(
                    "No spout leads to component `{}`: connect it, or take it away.",
                    component.name
                ));
            }
        }
    }

    /// Gives the components that tuples of a spout can reach.
    fn reached(&self) -> BTreeSet<usize> {
        let spouts = (0..self.components.len()).filter(|at| self.components[*at].spout);
        let mut waiting: Vec<usize> = spouts.collect();
        let mut reached: BTreeSet<usize> = waiting.iter().copied().collect();
        while let Some(at) = waiting.pop() {
            for reader in &self.readers[at] {
                if reached.insert(*reader) {
                    waiting.push(*reader);
                }
            }
        }
        reached
    }
}

/// What is left of a graph when all that is in no cycle, and downstream of none, is taken away.
struct Rest<'a> {
    graph: &'a Graph<'a>,
    left: Vec<bool>,
    /// For each component how many of its sources are left.
    open: Vec<usize>,
}

impl<'a> Rest<'a> {
    fn new(graph: &'a Graph<'a>) -> Self {
        let open: Vec<usize> = graph.sources.iter().map(BTreeSet::len).collect();
        let mut rest = Self { graph, left: vec![true; open.len()], open };
        for at in 0..rest.open.len() {
            if rest.open[at] == 0 {
                rest.remove(at);
            }
        }
        rest
    }

    /// Takes a component away, and all that then reads from nothing.
    fn remove(&mut self, at: usize) {
        let mut waiting = vec![at];
        while let Some(at) = waiting.pop() {
            if !std::mem::take(&mut self.left[at]) {
                continue;
            }
            for reader in &self.graph.readers[at] {
                self.open[*reader] -= 1;
                if self.open[*reader] == 0 {
                    waiting.push(*reader);
                }
            }
        }
    }

    /// Gives a cycle in the direction of the tuples, from the component declared first.
    fn cycle(&self) -> Option<Vec<usize>> {
        let mut at = self.left.iter().position(|left| *left)?;
        let mut path = Vec::new();
        let mut seen = BTreeSet::new();
        // Each of the rest has a source among the rest, so the walk up meets itself in the end.
        while seen.insert(at) {
            path.push(at);
            at = *self.graph.sources[at].iter().find(|source| self.left[**source])?;
        }
        let start = path.iter().position(|seen| *seen == at)?;
        let mut cycle = path.split_off(start);
        cycle.reverse();
        let first = (0..cycle.len()).min_by_key(|place| cycle[*place])?;
        cycle.rotate_left(first);
        Some(cycle)
    }
}
