//! The word count: sentences, split into words, counted by word.

use std::path::Path;

use topology_api::prelude::*;
use topology_api::{Error, key_hash};

use super::{Case, Keyed, Numbered, Stamped, rounds};
use crate::bolts::{Count, Passed};
use crate::left::Role;
use crate::meter::TICK;
use crate::problem::Problem;
use crate::source::{Feed, Source};
use crate::tally::Tally;
use crate::text;

/// What the spout emits.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Sentence {
    pub(crate) text: Text,
    sent_ns: u64,
}

/// One word of a sentence.
#[derive(Clone, Debug, Tuple)]
pub(crate) struct Word {
    word: Text,
    sent_ns: u64,
}

impl Stamped for Word {
    fn sent_ns(&self) -> u64 {
        self.sent_ns
    }
}

impl Keyed for Word {
    type Key = Text;

    #[inline]
    fn into_key(self) -> Text {
        self.word
    }
}

/// Gives the lines of a text round and round.
pub(crate) struct Sentences {
    lines: Vec<Text>,
    line: usize,
}

impl Sentences {
    /// Reads the lines, or makes the peers' text.
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, Problem> {
        Ok(Self { lines: text::lines(file)?, line: 0 })
    }

    /// The next line.
    #[inline]
    pub(crate) fn advance(&mut self) -> &Text {
        let line = self.line;
        self.line = if line + 1 == self.lines.len() { 0 } else { line + 1 };
        &self.lines[line]
    }
}

impl Feed for Sentences {
    type Tuple = Sentence;

    #[inline]
    fn make(&mut self, _: u64, sent_ns: u64) -> Sentence {
        Sentence { text: self.advance().clone(), sent_ns }
    }
}

/// Gives some words of the peers' text round and round, as if they were split already.
pub(crate) struct WordsOnly {
    words: Vec<Text>,
    at: usize,
}

impl WordsOnly {
    /// Words that are given before they come again: a few, which stay in the cache.
    const WORDS: usize = 1 << 14;

    /// Makes the text and takes the first words of it.
    pub(crate) fn open() -> Result<Self, Problem> {
        let lines = text::lines(None)?;
        let words = lines.iter().flat_map(|line| words_of(line)).take(Self::WORDS);
        Ok(Self { words: words.map(Text::from).collect(), at: 0 })
    }
}

impl Feed for WordsOnly {
    type Tuple = Word;

    #[inline]
    fn make(&mut self, _: u64, sent_ns: u64) -> Word {
        let word = self.words[self.at].clone();
        self.at = (self.at + 1) % Self::WORDS;
        Word { word, sent_ns }
    }
}

impl Numbered for Word {
    /// Enough to see that as much arrived as was sent: hashing each word would cost more than that.
    #[inline]
    fn number(&self) -> u64 {
        self.word.len() as u64
    }
}

/// Splits a sentence at its spaces.
#[inline]
pub(crate) fn words_of(sentence: &str) -> impl Iterator<Item = &str> {
    sentence.split(' ')
}

/// Splits sentences into words.
struct Split(Passed);

impl Bolt for Split {
    type Input = Sentence;
    type Output = Word;

    #[inline]
    fn execute(&mut self, sentence: Sentence, out: &mut Output<Word>) -> BoltResult {
        for word in words_of(&sentence.text) {
            out.emit(Word { word: word.into(), sent_ns: sentence.sent_ns });
        }
        self.0.see(sentence.sent_ns);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<Word>) {
        self.0.leave(Role::Between);
    }
}

/// Declares it.
pub(super) fn declare(t: &mut TopologyBuilder, case: &Case) {
    let own = case.clone();
    let spout = t.spout("spout", move |cx| open(&own, cx));
    let sentences = spout.parallelism(case.parallelism()).tick_every(TICK).stream();
    let own = case.clone();
    let split = t.bolt("split", move |cx| Split(Passed::new(&own, cx)));
    let words = split.parallelism(case.parallelism()).local_or_shuffle(&sentences).stream();
    let own = case.clone();
    let sink = t.bolt("sink", move |cx| Count::<Word>::new(Passed::new(&own, cx)));
    sink.parallelism(case.parallelism()).fields(&words, |word| &word.word);
}

fn open(case: &Case, cx: &Context) -> Result<Source<Sentences>, Error> {
    let Case::WordCount { text, .. } = case else { return Err("this is no word count".into()) };
    let sentences = Sentences::open(text.as_deref());
    let sentences = sentences.map_err(|problem| format!("{}: {}", problem.what, problem.why))?;
    Ok(Source::new(case, sentences, cx))
}

/// The words of the lines that were emitted.
pub(crate) fn expected(file: Option<&Path>, emitted: &[u64]) -> Result<Tally, Problem> {
    let mut tally = Tally::default();
    let lines = text::lines(file)?;
    for (line, times) in lines.iter().zip(rounds(lines.len(), emitted)) {
        words_of(line).for_each(|word| tally.add_times(key_hash(word), times));
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_lines_emitted_are_expected_round_and_round() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a b\nb\n").unwrap();
        let mut tally = Tally::default();
        tally.add_times(key_hash("a"), 3);
        tally.add_times(key_hash("b"), 5);
        assert_eq!(expected(Some(file.path()), &[3, 2]).unwrap(), tally);
    }
}
