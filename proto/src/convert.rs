//! Wire to domain and back: `TryFrom` inwards, `From` outwards.

use std::collections::BTreeMap;

use topology_api::{
    ComponentDescription, ConfigError, Description, FieldDescription, InputDescription,
    StreamDescription, TopologyConfig,
};

use crate::store::{ComponentSpec, FieldSpec, InputSpec, StreamSpec, TopologySpec};

/// Why a specification is not a topology.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Its configuration holds a key that does not exist, or a value that is not of its kind.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Everything else that is wrong with it, a sentence each.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl From<&Description> for TopologySpec {
    fn from(description: &Description) -> Self {
        Self {
            name: description.name.clone(),
            components: description.components.iter().map(ComponentSpec::from).collect(),
            config: description.config.pairs(),
            key_groups: description.key_groups,
        }
    }
}

impl From<&ComponentDescription> for ComponentSpec {
    fn from(component: &ComponentDescription) -> Self {
        let field = |field: &FieldDescription| FieldSpec {
            name: field.name.clone(),
            r#type: field.type_name.clone(),
        };
        let output = |stream: &StreamDescription| StreamSpec {
            name: stream.name.clone(),
            tuple: stream.tuple.clone(),
            fields: stream.fields.iter().map(field).collect(),
        };
        let input = |input: &InputDescription| InputSpec {
            component: input.component.clone(),
            stream: input.stream.clone(),
            grouping: input.grouping.clone(),
            fields: input.fields.clone(),
        };
        Self {
            name: component.name.clone(),
            spout: component.spout,
            executors: component.executors,
            tasks: component.tasks,
            outputs: component.outputs.iter().map(output).collect(),
            inputs: component.inputs.iter().map(input).collect(),
        }
    }
}

impl TryFrom<TopologySpec> for Description {
    type Error = SpecError;

    fn try_from(spec: TopologySpec) -> Result<Self, SpecError> {
        let pairs: BTreeMap<String, String> = spec.config;
        let description = Self {
            name: spec.name,
            components: spec.components.into_iter().map(ComponentDescription::from).collect(),
            config: TopologyConfig::from_pairs(pairs)?,
            key_groups: spec.key_groups,
        };
        let problems = description.problems();
        if problems.is_empty() { Ok(description) } else { Err(SpecError::Invalid(problems)) }
    }
}

impl From<ComponentSpec> for ComponentDescription {
    fn from(spec: ComponentSpec) -> Self {
        let field =
            |field: FieldSpec| FieldDescription { name: field.name, type_name: field.r#type };
        let output = |stream: StreamSpec| StreamDescription {
            name: stream.name,
            tuple: stream.tuple,
            fields: stream.fields.into_iter().map(field).collect(),
        };
        let input = |input: InputSpec| InputDescription {
            component: input.component,
            stream: input.stream,
            grouping: input.grouping,
            fields: input.fields,
        };
        Self {
            name: spec.name,
            spout: spec.spout,
            executors: spec.executors,
            tasks: spec.tasks,
            outputs: spec.outputs.into_iter().map(output).collect(),
            inputs: spec.inputs.into_iter().map(input).collect(),
        }
    }
}
