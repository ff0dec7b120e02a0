//! A bolt that reads `Word` and `Count` is connected to a stream of `Line`.
use topology_api::NoOutput;
use topology_api::prelude::*;

#[derive(Clone, Debug, Tuple)]
struct Word {
    word: Text,
}

#[derive(Clone, Debug, Tuple)]
struct Count {
    count: u64,
}

#[derive(Clone, Debug, Tuple)]
enum WordOrCount {
    Word(Word),
    Count(Count),
}

struct Sink;

impl Bolt for Sink {
    type Input = WordOrCount;
    type Output = NoOutput;

    fn execute(&mut self, _: WordOrCount, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

fn connect(t: &mut TopologyBuilder, words: &Stream<Word>, lines: &Stream<Line>) {
    let _ = t.bolt("right", |_| Sink).shuffle(words);
    let _ = t.bolt("wrong", |_| Sink).shuffle(lines);
}

fn main() {}
