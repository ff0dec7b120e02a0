//! A validated graph of components, and its description as plain data.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::async_bolt::AsyncCalls;
use crate::blocking::BlockingBolt;
use crate::grouping::Grouping;
use crate::output::MakeLane;
use crate::rows::{Convert, Decode, Rows};
use crate::task::{BoltTask, SpoutTask};
use crate::{
    ComponentDescription, Description, FieldDescription, InputDescription, Schema,
    StreamDescription, TopologyConfig,
};

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Streams begin here.
    Spout,
    /// Tuples are processed here, and acked by what `execute` returns.
    Bolt,
    /// Tuples are processed here, and acked by the author.
    ExplicitBolt,
}

/// How the calls of a component are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// One after the other on the loop; none waits.
    Short,
    /// Several at a time on the loop; they may wait.
    Async(AsyncCalls),
    /// One after the other on a thread of the task's own; they may block.
    Blocking,
}

/// Makes the tasks of a component from the columns of its side outputs and, for a bolt, what one
/// call may emit, in bytes.
#[derive(Clone)]
pub(crate) enum Make {
    Spout(Arc<MakeSpout>),
    Bolt(Arc<MakeBolt>),
}

pub(crate) type MakeSpout = dyn Fn(&[MakeLane]) -> Box<dyn SpoutTask> + Send + Sync;
pub(crate) type MakeBolt = dyn Fn(&[MakeLane], usize) -> Box<dyn BoltTask> + Send + Sync;

/// One output stream of a component.
#[derive(Clone)]
pub struct OutputStream {
    /// Unique within the component; the main one is `default`.
    pub name: String,
    /// What its tuples look like.
    pub schema: Schema,
    /// The Rust type of its tuples.
    pub tuple: &'static str,
    /// Reads a batch of it.
    pub decode: Decode,
    /// Makes an empty batch of it.
    pub empty: fn() -> Box<dyn Rows>,
    pub(crate) lane: MakeLane,
}

/// One subscription of a bolt.
#[derive(Clone)]
pub struct InputStream {
    /// Index of the component that emits it.
    pub component: usize,
    /// Index of the stream among that component's outputs.
    pub stream: usize,
    /// How it is split among the tasks.
    pub grouping: Grouping,
    /// Turns its batches into what the bolt reads.
    pub convert: Convert,
}

/// A spout or bolt of a topology.
#[derive(Clone)]
pub struct Component {
    /// Unique within the topology.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    pub(crate) make: Make,
    /// How many executors run its tasks, unless the cluster is told otherwise.
    pub executors: u32,
    /// How many tasks it has; fixed for the life of the topology.
    pub tasks: u32,
    /// Its output streams, the main one first.
    pub outputs: Vec<OutputStream>,
    /// Its subscriptions.
    pub inputs: Vec<InputStream>,
    /// How often its tasks are ticked.
    pub tick: Option<Duration>,
    /// How long it may hold inputs on purpose.
    pub holds: Duration,
    /// How its calls are made.
    pub calls: Calls,
}

impl Component {
    /// Tells whether it is a spout.
    #[must_use]
    pub fn is_spout(&self) -> bool {
        self.kind == Kind::Spout
    }

    /// Tells whether its inputs outlast the call that brought them.
    #[must_use]
    pub fn holds_inputs(&self) -> bool {
        self.kind == Kind::ExplicitBolt || (!self.is_spout() && self.calls == Calls::Blocking)
    }

    /// Makes a task, not yet opened, if this is a spout.
    #[must_use]
    pub fn spout_task(&self) -> Option<Box<dyn SpoutTask>> {
        match &self.make {
            Make::Spout(make) => {
                let task = make(&self.side_lanes());
                let blocks = self.calls == Calls::Blocking;
                Some(if blocks { task.into_blocking() } else { task })
            }
            Make::Bolt(_) => None,
        }
    }

    /// Makes a task, not yet opened, if this is a bolt; one call may emit `budget` bytes.
    #[must_use]
    pub fn bolt_task(&self, budget: usize) -> Option<Box<dyn BoltTask>> {
        match &self.make {
            Make::Spout(_) => None,
            Make::Bolt(make) if self.calls == Calls::Blocking => {
                Some(Box::new(BlockingBolt::new(Arc::clone(make), self.side_lanes())))
            }
            Make::Bolt(make) => {
                let mut task = make(&self.side_lanes(), budget);
                if let Calls::Async(limits) = self.calls {
                    task.limit(AsyncCalls { holds: self.holds, ..limits });
                }
                Some(task)
            }
        }
    }

    fn side_lanes(&self) -> Vec<MakeLane> {
        self.outputs[1..].iter().map(|output| output.lane).collect()
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ×{}", self.name, self.tasks)
    }
}

/// A validated graph of components; only [`TopologyBuilder::build`](crate::TopologyBuilder::build)
/// makes one.
#[derive(Clone, Debug)]
pub struct Topology {
    pub(crate) name: String,
    pub(crate) components: Vec<Component>,
    pub(crate) config: TopologyConfig,
}

impl Topology {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its components, in the order they were declared.
    #[must_use]
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &TopologyConfig {
        &self.config
    }

    /// Replaces parts of its configuration; made by the worker from what the user gave.
    pub fn config_mut(&mut self) -> &mut TopologyConfig {
        &mut self.config
    }

    /// Gives it the name that was chosen at submit; made by the worker.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// The tasks of the component with this index: numbers are dense, in declaration order.
    #[must_use]
    pub fn tasks(&self, component: usize) -> Range<u32> {
        let first = self.components[..component].iter().map(|other| other.tasks).sum();
        first..first + self.components[component].tasks
    }

    /// Tells whether any component reads this stream of the component with this index.
    #[must_use]
    pub fn is_read(&self, component: usize, stream: usize) -> bool {
        let inputs = self.components.iter().flat_map(|reader| &reader.inputs);
        inputs.into_iter().any(|input| (input.component, input.stream) == (component, stream))
    }

    /// Describes it as plain data.
    #[must_use]
    pub fn describe(&self) -> Description {
        describe(&self.name, &self.components, &self.config)
    }
}

pub(crate) fn describe(
    name: &str,
    components: &[Component],
    config: &TopologyConfig,
) -> Description {
    let most = components.iter().map(|component| component.tasks).max().unwrap_or(0);
    let key_groups = most.saturating_mul(8).div_ceil(720).max(1).saturating_mul(720);
    let input = |input: &InputStream| InputDescription {
        component: components
            .get(input.component)
            .map_or_else(|| "?".into(), |source| source.name.clone()),
        stream: components
            .get(input.component)
            .and_then(|source| source.outputs.get(input.stream))
            .map_or_else(|| "?".into(), |stream| stream.name.clone()),
        grouping: input.grouping.name().to_owned(),
        fields: input.grouping.fields(),
    };
    let output = |output: &OutputStream| StreamDescription {
        name: output.name.clone(),
        tuple: output.schema.name.to_string(),
        fields: output
            .schema
            .fields
            .iter()
            .map(|field| FieldDescription {
                name: field.name.to_string(),
                type_name: field.type_name.clone(),
            })
            .collect(),
    };
    Description {
        name: name.to_owned(),
        components: components
            .iter()
            .map(|component| ComponentDescription {
                name: component.name.clone(),
                spout: component.is_spout(),
                executors: component.executors,
                tasks: component.tasks,
                outputs: component.outputs.iter().map(output).collect(),
                inputs: component.inputs.iter().map(input).collect(),
            })
            .collect(),
        config: config.clone(),
        key_groups,
    }
}
