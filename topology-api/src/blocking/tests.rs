//! Blocking components by hand.

use crate::Error;
use crate::prelude::*;
use crate::testing::BoltDriver;

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Word {
    word: Text,
}

struct Split;

impl Bolt for Split {
    type Input = Line;
    type Output = Word;

    fn execute(&mut self, line: Line, out: &mut Output<Word>) -> BoltResult {
        line.text.split(' ').for_each(|word| out.emit(Word { word: word.into() }));
        if line.text.starts_with('#') { Err("a comment".into()) } else { Ok(()) }
    }

    fn finish(&mut self, out: &mut Output<Word>) {
        out.emit(Word { word: "end".into() });
    }
}

fn split(make: fn(&Context) -> Result<Split, Error>) -> BoltDriver<Line, Word> {
    let mut t = TopologyBuilder::new("split");
    let lines = t.spout("lines", |cx| LineFiles::open(Vec::new(), cx)).stream();
    t.bolt("split", make).blocking().shuffle(&lines);
    let topology = t.build().expect("it is a topology");
    BoltDriver::of(&topology, "split").expect("its factory runs later")
}

#[test]
fn inputs_are_executed_on_the_thread_and_settled_with_what_they_emit() {
    let mut split = split(|_| Ok(Split));
    let [first, comment, last] =
        ["a b", "# c", "d"].map(|text| split.execute(Line { text: text.into() }));
    split.wait();
    let words: Vec<_> =
        split.emissions().into_iter().map(|it| (it.tuple.word.to_string(), it.anchors)).collect();
    let expected = [("a", first), ("b", first), ("#", comment), ("c", comment), ("d", last)];
    let expected = expected.map(|(word, anchor)| (word.to_owned(), vec![anchor]));
    assert_eq!(words, expected, "in order, each anchored to its line");
    assert_eq!(split.acked(), [first, last]);
    assert_eq!(split.failed(), [(comment, "a comment".to_owned())]);
    split.finish();
    assert_eq!(split.emitted().len(), 1, "what `finish` emits comes too");
    split.close();
}

#[test]
#[should_panic(expected = "no such place")]
fn a_factory_that_fails_ends_the_test() {
    let mut split = split(|_| Err("no such place".into()));
    split.execute(Line { text: "a".into() });
    split.wait();
}
