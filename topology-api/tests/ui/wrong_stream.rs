//! A bolt that reads `Word` is connected to a stream of `Line`.
use topology_api::prelude::*;

#[derive(Clone, Debug, Tuple)]
struct Word {
    word: Text,
}

struct Shout;

impl Bolt for Shout {
    type Input = Word;
    type Output = Word;

    fn execute(&mut self, word: Word, out: &mut Output<Word>) -> BoltResult {
        out.emit(word);
        Ok(())
    }
}

fn main() {
    let mut t = TopologyBuilder::new("wrong");
    let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    t.bolt("shout", |_| Shout).shuffle(&lines);
}
