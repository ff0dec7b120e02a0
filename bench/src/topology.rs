//! The topologies, connected as the peers connect theirs: one task each, default settings.

use topology_api::prelude::*;

use crate::components::{Count, Identity, Null, Passed, Source, Split};
use crate::meter::TICK;
use crate::options::{Asked, Case, Options};

/// Reads the topology's arguments and declares it.
pub(crate) fn declare(args: &Args) -> Result<Topology, BuildError> {
    match Options::parse_words(args.iter().map(str::to_owned)) {
        Ok(Asked::Run(options)) => build(&options),
        Ok(Asked::Show(text)) => Err(BuildError::new("bench", text)),
        Err(problem) => Err(BuildError::new("bench", problem.why)),
    }
}

/// Declares the topology of a case.
pub(crate) fn build(options: &Options) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new(options.case.name());
    if !options.tracks() {
        t.config("acking", "false")
            .map_err(|error| BuildError::new(options.case.name(), error.to_string()))?;
    }
    let own = options.clone();
    let data = t.spout("spout", move |cx| Source::open(&own, cx)).tick_every(TICK).stream();
    let own = options.clone();
    let passed = move |cx: &Context| Passed::new(&own, cx);
    let sink = passed.clone();
    match options.case {
        Case::ConstNull => {
            t.bolt("sink", move |cx| Null::new(sink(cx))).shuffle(&data);
        }
        Case::ConstIdNull => {
            let identity = t.bolt("identity", move |cx| Identity(passed(cx)));
            let same = identity.shuffle(&data).stream();
            t.bolt("sink", move |cx| Null::new(sink(cx))).shuffle(&same);
        }
        Case::WordCount => {
            let split = t.bolt("split", move |cx| Split(passed(cx)));
            let words = split.shuffle(&data).stream();
            let count = t.bolt("sink", move |cx| Count::new(sink(cx)));
            count.fields(&words, |word| &word.word);
        }
    }
    t.build()
}
