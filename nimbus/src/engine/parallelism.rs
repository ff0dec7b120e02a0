//! How many executors a topology has now: what its specification says, or what a rebalance changed.
//!
//! The numbering itself is `topology_api`'s, so that every process derives the same one.

use std::collections::BTreeMap;

use proto::store::TopologySpec;
use topology_api::{ComponentDescription, Description, ExecutorDescription};

/// Lists the executors of a topology; `overrides` says which components have another number of
/// them than the specification gives. There are never more executors than tasks.
#[must_use]
pub fn executors(
    spec: &TopologySpec,
    overrides: &BTreeMap<String, u32>,
) -> Vec<ExecutorDescription> {
    let components = spec.components.iter().map(|component| {
        let mut component = ComponentDescription::from(component.clone());
        component.tasks = component.tasks.max(1);
        let asked = overrides.get(&component.name).copied().unwrap_or(component.executors);
        component.executors = asked.clamp(1, component.tasks);
        component
    });
    let description = Description { components: components.collect(), ..Description::default() };
    description.executors().collect()
}

#[cfg(test)]
mod tests {
    use proto::store::ComponentSpec;

    use super::*;

    #[test]
    fn an_override_changes_executors_but_not_tasks() {
        let component = |name: &str, tasks| ComponentSpec {
            name: name.to_owned(),
            executors: 1,
            tasks,
            ..ComponentSpec::default()
        };
        let components = vec![component("count", 3), component("top", 1)];
        let spec = TopologySpec { components, ..TopologySpec::default() };
        let executors = executors(&spec, &[("count".to_owned(), 9)].into());
        let tasks: Vec<_> = executors.into_iter().map(|executor| executor.tasks).collect();
        assert_eq!(tasks, [0..1, 1..2, 2..3, 3..4], "three tasks cannot have nine executors");
    }
}
