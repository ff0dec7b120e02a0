//! What the author of a topology writes against: a word count first, then each concept in reading
//! order.
//!
//! ```
//! use std::collections::HashMap;
//! use topology_api::prelude::*;
//!
//! #[derive(Clone, Debug, Tuple)]
//! struct Word { word: Text }
//!
//! struct Split;
//! impl Bolt for Split {
//!     type Input = Line;
//!     type Output = Word;
//!     fn execute(&mut self, line: Line, out: &mut Output<Word>) -> BoltResult {
//!         for word in line.text.split_whitespace() {
//!             out.emit(Word { word: word.into() }); // anchored to `line`
//!         }
//!         Ok(()) // acks it; an error would fail it
//!     }
//! }
//!
//! struct Count { counts: HashMap<Text, u64>, cx: Context }
//! impl Bolt for Count {
//!     type Input = Word;
//!     type Output = NoOutput;
//!     fn execute(&mut self, word: Word, _: &mut Output<NoOutput>) -> BoltResult {
//!         *self.counts.entry(word.word).or_default() += 1;
//!         Ok(())
//!     }
//!     fn finish(&mut self, _: &mut Output<NoOutput>) {
//!         self.cx.result(&self.counts);
//!     }
//! }
//!
//! fn word_count(_: &Args) -> Result<Topology, BuildError> {
//!     let mut t = TopologyBuilder::new("word-count");
//!     let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
//!     let words = t.bolt("split", |_| Split).local_or_shuffle(&lines).stream();
//!     t.bolt("count", |cx| Count { counts: HashMap::new(), cx: cx.clone() })
//!         .parallelism(2)
//!         .fields(&words, |w| &w.word);
//!     t.build()
//! }
//! # assert!(word_count(&Args::default()).is_ok());
//! ```
//!
//! A binary hands `word_count` to `worker::main`. Then: [`Tuple`] is what flows, [`Spout`] and
//! [`Bolt`] are what it flows through, [`TopologyBuilder`] connects them by groupings, [`Context`]
//! is what a task can ask, [`TopologyConfig`] holds every knob, and [`testing`] drives one
//! component by hand.

extern crate self as topology_api;

mod async_bolt;
mod async_sink;
mod async_spout;
mod blocking;
mod bolt;
mod builder;
mod channel;
mod clock;
mod closures;
pub mod codec;
mod condition;
mod config;
mod connections;
mod context;
mod custom_grouping;
mod dead_letter;
mod declarer;
mod description;
mod fields;
mod fold;
mod grouping;
mod input;
mod iter;
mod keeping;
mod key;
mod lines;
mod merge;
mod metrics;
mod names;
mod output;
mod problems;
mod raw;
mod replaying;
mod rows;
mod said;
#[doc(hidden)]
pub mod serde_field;
mod spout;
mod task;
pub mod testing;
mod text;
mod topology;
mod tuple;
mod unavailable;
mod units;
mod value;
mod values;

pub use async_bolt::{AsyncBolt, IntoAsyncBolt};
pub use async_sink::{AsyncSink, Inputs, IntoAsyncSink, Sink};
pub use async_spout::{AsyncSpout, IntoAsyncSpout};
pub use bolt::{Bolt, BoltResult, ExplicitBolt};
pub use builder::{BuildError, IntoBolt, IntoSpout, Reads, Stream, TopologyBuilder};
pub use channel::{ChannelSpout, Fed, Feeder, NotSent, Outcome, Receipt, channel};
pub use codec::DecodeError;
pub use config::{ConfigError, ConfigKey, ConfigKind, TopologyConfig, config_keys};
pub use context::{Args, Context, RESULT_BYTES_MAX};
pub use custom_grouping::{CustomCopies, CustomGrouping, GroupingTargets};
pub use dead_letter::DeadLetter;
pub use declarer::{Async, BoltDeclarer, ConnectedBolt, Short, SpoutDeclarer};
pub use description::{
    ComponentDescription, Description, EXECUTORS_MAX, ExecutorDescription, FieldDescription,
    GROUPINGS, InputDescription, KEY_GROUPS_UNIT, StreamDescription,
};
pub use fold::{Emits, Keyed};
pub use input::Input;
pub use iter::IterSpout;
pub use key::{Key, KeyHasher, key_hash};
pub use lines::{Line, LineFiles, LinePlace};
pub use merge::{Count, Distinct, Max, Merge, Merged, Min, Partial, Sum, Top};
pub use metrics::{Counter, Gauge, Histogram};
pub use names::{NAME_LENGTH_MAX, NameError, check_name};
pub use output::{Output, Port, SideOutput, SpoutOutput};
pub use replaying::{Kept, Replaying, Replays};
pub use spout::{FailReason, Next, Spout, SpoutResult};
pub use text::Text;
pub use topology::Topology;
pub use topology_api_macros::Tuple;
pub use tuple::{Field, NoOutput, Schema, Tuple};
pub use unavailable::Unavailable;
pub use units::{UnitError, format_duration, format_size, parse_duration, parse_size};
pub use value::Value;
pub use values::Values;

/// What an author's code may fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the worker drives components through; not for authors.
pub mod runtime {
    pub use crate::async_bolt::{AsyncCalls, LongCalls};
    pub use crate::blocking::{Unopened, guarded};
    pub use crate::condition::{Condition, ConditionError};
    pub use crate::context::{OutputName, Reporter, TaskFacts, Watch};
    pub use crate::custom_grouping::{Chooser, MakeChooser};
    pub use crate::grouping::{Grouping, GroupingKey};
    pub use crate::input::{Verdict, Verdicts};
    pub use crate::keeping::{Desk, Keeper, KeeperNews, Letter, Replayed};
    pub use crate::metrics::{MetricValues, Metrics};
    pub use crate::names::did_you_mean;
    pub use crate::output::{Emitted, HandOver, NOT_DIRECT, SEVERAL, UNANCHORED};
    pub use crate::rows::{Batch, Convert, Decode, KeyHashes, Pool, Rows};
    pub use crate::said::saying;
    pub use crate::task::{BoltTask, DONE, Elsewhere, Fault, SpoutTask, Task};
    pub use crate::topology::{Calls, Component, InputStream, Kind, OutputStream};
}

/// What most topologies need.
pub mod prelude {
    pub use crate::{
        Args, AsyncBolt, AsyncSink, AsyncSpout, Bolt, BoltResult, BuildError, Context,
        ExplicitBolt, FailReason, Input, Inputs, Line, LineFiles, Next, NoOutput, Output, Spout,
        SpoutOutput, SpoutResult, Stream, Text, Topology, TopologyBuilder, Tuple, Unavailable,
    };
}
