//! The null cases: a constant text that is dropped, at once or after a bolt that passes it on.

use topology_api::prelude::*;

use super::{Case, Numbered, Stamped};
use crate::bolts::{Null, Passed};
use crate::left::Role;
use crate::meter::TICK;
use crate::source::{Feed, Source};

/// A constant, as the peers emit it, with a number.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Datum {
    data: Text,
    number: u64,
    sent_ns: u64,
}

impl Stamped for Datum {
    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Numbered for Datum {
    fn number(&self) -> u64 {
        self.number
    }
}

/// Makes constants.
pub(crate) struct Constants(Text);

impl Constants {
    /// All are the same text.
    pub(crate) fn new() -> Self {
        Self(Text::from("some data"))
    }
}

impl Feed for Constants {
    type Tuple = Datum;

    #[inline]
    fn make(&mut self, number: u64, sent_ns: u64) -> Datum {
        Datum { data: self.0.clone(), number, sent_ns }
    }
}

/// Passes on what it gets.
struct Identity(Passed);

impl Bolt for Identity {
    type Input = Datum;
    type Output = Datum;

    #[inline]
    fn execute(&mut self, datum: Datum, out: &mut Output<Datum>) -> BoltResult {
        self.0.see(datum.sent_ns);
        out.emit(datum);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<Datum>) {
        self.0.leave(Role::Between);
    }
}

/// Declares the spout of constants.
pub(super) fn spout(t: &mut TopologyBuilder, case: &Case) -> Stream<Datum> {
    let own = case.clone();
    let spout = t.spout("spout", move |cx| Source::new(&own, Constants::new(), cx));
    spout.parallelism(case.parallelism()).tick_every(TICK).stream()
}

/// Declares the bolt that drops what the spout emits.
pub(super) fn null(t: &mut TopologyBuilder, case: &Case) {
    let data = spout(t, case);
    sink(t, case, &data);
}

/// Declares the same with a bolt between.
pub(super) fn id_null(t: &mut TopologyBuilder, case: &Case) {
    let data = spout(t, case);
    let own = case.clone();
    let identity = t.bolt("identity", move |cx| Identity(Passed::new(&own, cx)));
    let same = identity.parallelism(case.parallelism()).shuffle(&data).stream();
    sink(t, case, &same);
}

fn sink(t: &mut TopologyBuilder, case: &Case, data: &Stream<Datum>) {
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Null::<Datum>::new(Passed::new(&own, cx)));
    sink.parallelism(case.parallelism()).shuffle(data);
}
