//! Exclamation: a spout and a bolt of one's own. Words go through two bolts of one kind, and each
//! adds `!!!`.
//!
//! `cargo run --release -p examples --bin exclamation -- storm squall`

use std::process::ExitCode;

use topology_api::prelude::*;

/// What is exclaimed when nobody says what.
const WORDS: [&str; 5] = ["nathan", "mike", "jackson", "golda", "bertels"];

/// A word on its way; `Tuple` gives it the bytes it crosses between workers in.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Word {
    word: Text,
}

/// Emits each word once, and again if it fails.
struct Words {
    words: Vec<Text>,
    next: usize,
    again: Vec<usize>,
}

impl Words {
    fn of(args: &Args) -> Self {
        let mut words: Vec<Text> = args.iter().map(Text::from).collect();
        if words.is_empty() {
            words = WORDS.map(Text::from).to_vec();
        }
        Self { words, next: 0, again: Vec::new() }
    }
}

impl Spout for Words {
    type Output = Word;
    /// What a word is known by when it is acked or fails: its place in the list.
    type Id = usize;

    fn next(&mut self, out: &mut SpoutOutput<Word, usize>) -> SpoutResult {
        let place = match self.again.pop() {
            Some(place) => place,
            None if self.next == self.words.len() => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(place, Word { word: self.words[place].clone() });
        Ok(Next::Emitted)
    }

    fn fail(&mut self, place: usize, _: FailReason) {
        self.again.push(place);
    }
}

/// Adds `!!!` to a word.
struct Exclaim;

impl Bolt for Exclaim {
    type Input = Word;
    type Output = Word;

    fn execute(&mut self, input: Word, out: &mut Output<Word>) -> BoltResult {
        out.emit(Word { word: format!("{}!!!", input.word).into() });
        Ok(())
    }
}

/// Keeps what arrives, and shows it when the spout has no more.
struct Collect {
    words: Vec<Text>,
    cx: Context,
}

impl Bolt for Collect {
    type Input = Word;
    type Output = NoOutput;

    fn execute(&mut self, input: Word, _: &mut Output<NoOutput>) -> BoltResult {
        self.words.push(input.word);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.words);
    }
}

fn exclamation(_: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("exclamation");
    let words = t.spout("words", |cx| Words::of(cx.arguments())).stream();
    let loud = t.bolt("exclaim", |_| Exclaim).parallelism(2).shuffle(&words).stream();
    let louder = t.bolt("exclaim-more", |_| Exclaim).parallelism(2).shuffle(&loud).stream();
    t.bolt("collect", |cx| Collect { words: Vec::new(), cx: cx.clone() }).global(&louder);
    t.build()
}

fn main() -> ExitCode {
    worker::main(exclamation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::{BoltDriver, Setup, SpoutDriver};

    fn words(words: &[&str]) -> SpoutDriver<Word> {
        let setup = Setup::new().arguments(words.iter().copied());
        SpoutDriver::with(setup, |cx| Words::of(cx.arguments())).expect("it opens nothing")
    }

    #[test]
    fn a_word_that_went_through_both_bolts_ends_with_six_marks() {
        let mut exclaim = BoltDriver::new(|_| Exclaim).expect("it opens nothing");
        let mut more = BoltDriver::new(|_| Exclaim).expect("it opens nothing");
        let collect = |cx: &Context| Collect { words: Vec::new(), cx: cx.clone() };
        let mut collect = BoltDriver::new(collect).expect("it opens nothing");
        for word in words(&["storm", "squall"]).run().expect("no error") {
            exclaim.execute(word);
        }
        for word in exclaim.emitted() {
            more.execute(word);
        }
        for word in more.emitted() {
            collect.execute(word);
        }
        collect.finish();
        assert_eq!(collect.result(), Some(["storm!!!!!!", "squall!!!!!!"].as_slice().into()));
    }

    #[test]
    fn a_word_that_fails_is_emitted_again() {
        let mut words = words(&["storm", "squall"]);
        assert_eq!(words.run().expect("no error").len(), 2);
        words.ack(1);
        words.fail(0, FailReason::new("timeout", true));
        assert_eq!(words.run().expect("no error"), [Word { word: "storm".into() }]);
    }

    #[test]
    fn without_arguments_there_are_words_all_the_same() {
        assert_eq!(words(&[]).run().expect("no error").len(), WORDS.len());
        assert!(exclamation(&Args::default()).is_ok(), "the topology is sound");
    }
}
