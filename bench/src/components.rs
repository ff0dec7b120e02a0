//! The spout and the bolts that are measured: what a user would write, and a count of what passed.
//!
//! They are those of the peers: the spout emits a text and a time stamp (of one tuple in 64, or of
//! each at a fixed rate), the time stamp travels with all that comes of the tuple. Ours carries a
//! number too, so that the sums at the end show each tuple once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use topology_api::prelude::*;
use topology_api::{Error, NoOutput, key_hash};

use crate::meter::{Found, Meter, SAMPLE, now_ns};
use crate::options::{Case, Options};
use crate::text;

/// Most tuples that one call emits when the spout is behind its rate.
const CATCH_UP_MAX: u32 = 64;

/// What the spout emits: a constant or a sentence.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Datum {
    data: Text,
    number: u64,
    /// When it was emitted, or due; 0 for most.
    sent_ns: u64,
}

/// One word of a sentence.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Word {
    pub(crate) word: Text,
    sent_ns: u64,
}

/// Sums that show whether each of many values was there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    sum: u64,
    squares: u64,
}

impl Tally {
    /// Adds a value.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.add_times(value, 1);
    }

    /// Adds a value that was there so many times.
    #[inline]
    pub(crate) fn add_times(&mut self, value: u64, times: u64) {
        self.count += times;
        self.sum = self.sum.wrapping_add(value.wrapping_mul(times));
        self.squares = self.squares.wrapping_add(value.wrapping_mul(value).wrapping_mul(times));
    }
}

/// What a task leaves as its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Left {
    /// The spout.
    Spout {
        /// Window of what was acked (or emitted, if nothing is tracked), and from emit to ack.
        found: Found,
        emitted: u64,
        acked: u64,
        failed: u64,
    },
    /// A bolt between spout and sink.
    Between { found: Found },
    /// The last bolt.
    Sink {
        /// Window of what arrived, and from emit to arrival.
        found: Found,
        tally: Tally,
    },
}

/// Emits constants or sentences until its meter has what it wants.
pub(crate) struct Source {
    lines: Vec<Text>,
    /// The next line.
    line: usize,
    rate: Option<u32>,
    tracks: bool,
    /// When the first was due.
    begun_ns: Option<u64>,
    emitted: u64,
    acked: u64,
    failed: u64,
    done: bool,
    meter: Meter,
    cx: Context,
}

impl Source {
    /// Reads or makes what it emits.
    pub(crate) fn open(options: &Options, cx: &Context) -> Result<Self, Error> {
        let lines = match options.case {
            Case::WordCount => text::lines(options.text.as_deref())
                .map_err(|problem| format!("{}: {}", problem.what, problem.why))?,
            Case::ConstNull | Case::ConstIdNull => vec![Text::from("some data")],
        };
        Ok(Self {
            lines,
            line: 0,
            rate: options.rate,
            tracks: options.tracks(),
            begun_ns: None,
            emitted: 0,
            acked: 0,
            failed: 0,
            done: false,
            meter: Meter::new(options),
            cx: cx.clone(),
        })
    }

    #[inline]
    fn emit(&mut self, sent_ns: u64, out: &mut SpoutOutput<Datum, u64>) {
        let data = self.lines[self.line].clone();
        self.line += 1;
        if self.line == self.lines.len() {
            self.line = 0;
        }
        let datum = Datum { data, number: self.emitted, sent_ns };
        self.emitted += 1;
        if self.tracks {
            out.emit(sent_ns, datum);
        } else {
            out.emit_untracked(datum);
        }
    }

    /// Emits what is due.
    fn keep_rate(&mut self, rate: u32, out: &mut SpoutOutput<Datum, u64>) -> Next {
        let now = now_ns();
        let begun = *self.begun_ns.get_or_insert(now);
        for emitted in 0..CATCH_UP_MAX {
            let after = u128::from(self.emitted) * 1_000_000_000 / u128::from(rate);
            let due = begun + u64::try_from(after).unwrap_or(u64::MAX / 2);
            if due > now {
                return if emitted == 0 { Next::Idle } else { Next::Emitted };
            }
            self.emit(due, out);
        }
        Next::Emitted
    }

    fn counted(&self) -> u64 {
        if self.tracks { self.acked } else { self.emitted }
    }
}

impl Spout for Source {
    type Output = Datum;
    /// The time stamp.
    type Id = u64;

    #[inline]
    fn next(&mut self, out: &mut SpoutOutput<Datum, u64>) -> SpoutResult {
        if self.done {
            return Ok(Next::Finished);
        }
        if let Some(rate) = self.rate {
            return Ok(self.keep_rate(rate, out));
        }
        let sent_ns = if self.emitted.is_multiple_of(SAMPLE) { now_ns() } else { 0 };
        self.emit(sent_ns, out);
        Ok(Next::Emitted)
    }

    #[inline]
    fn ack(&mut self, sent_ns: u64) {
        self.acked += 1;
        if sent_ns != 0 {
            self.meter.sample(self.acked, sent_ns);
        }
    }

    fn fail(&mut self, _: u64, _: FailReason) {
        self.failed += 1;
    }

    fn tick(&mut self, _: &mut SpoutOutput<Datum, u64>) {
        self.meter.tick(self.counted());
        self.done = self.meter.is_over();
    }

    fn close(&mut self) {
        let counted = self.counted();
        let Self { emitted, acked, failed, .. } = *self;
        let found = self.meter.found(counted);
        self.cx.result(&Left::Spout { found, emitted, acked, failed });
    }
}

/// What every bolt here has.
pub(crate) struct Passed {
    count: u64,
    meter: Meter,
    cx: Context,
}

impl Passed {
    /// Starts at nothing.
    pub(crate) fn new(options: &Options, cx: &Context) -> Self {
        Self { count: 0, meter: Meter::new(options), cx: cx.clone() }
    }

    #[inline]
    fn see(&mut self, sent_ns: u64) {
        self.count += 1;
        if sent_ns != 0 {
            self.meter.sample(self.count, sent_ns);
        }
    }

    fn leave_between(&mut self) {
        let found = self.meter.found(self.count);
        self.cx.result(&Left::Between { found });
    }

    fn leave_sink(&mut self, tally: Tally) {
        let found = self.meter.found(self.count);
        self.cx.result(&Left::Sink { found, tally });
    }
}

/// Passes on what it gets.
pub(crate) struct Identity(pub(crate) Passed);

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
        self.0.leave_between();
    }
}

/// Drops what it gets.
pub(crate) struct Null {
    tally: Tally,
    passed: Passed,
}

impl Null {
    /// Starts at nothing.
    pub(crate) fn new(passed: Passed) -> Self {
        Self { tally: Tally::default(), passed }
    }
}

impl Bolt for Null {
    type Input = Datum;
    type Output = NoOutput;

    #[inline]
    fn execute(&mut self, datum: Datum, _: &mut Output<NoOutput>) -> BoltResult {
        self.tally.add(datum.number);
        self.passed.see(datum.sent_ns);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.passed.leave_sink(self.tally);
    }
}

/// Splits sentences into words.
pub(crate) struct Split(pub(crate) Passed);

impl Bolt for Split {
    type Input = Datum;
    type Output = Word;

    #[inline]
    fn execute(&mut self, sentence: Datum, out: &mut Output<Word>) -> BoltResult {
        for word in sentence.data.split(' ') {
            out.emit(Word { word: word.into(), sent_ns: sentence.sent_ns });
        }
        self.0.see(sentence.sent_ns);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<Word>) {
        self.0.leave_between();
    }
}

/// Counts words.
pub(crate) struct Count {
    counts: HashMap<Text, u64>,
    passed: Passed,
}

impl Count {
    /// Starts at nothing.
    pub(crate) fn new(passed: Passed) -> Self {
        Self { counts: HashMap::new(), passed }
    }
}

impl Bolt for Count {
    type Input = Word;
    type Output = NoOutput;

    #[inline]
    fn execute(&mut self, word: Word, _: &mut Output<NoOutput>) -> BoltResult {
        *self.counts.entry(word.word).or_default() += 1;
        self.passed.see(word.sent_ns);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        let mut tally = Tally::default();
        for (word, count) in &self.counts {
            tally.add_times(key_hash(word), *count);
        }
        self.passed.leave_sink(tally);
    }
}
