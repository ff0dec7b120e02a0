//! The word count: lines, words, counts, and the ten most frequent.
//!
//! A fields grouping sends each word always to the same `count` task, so the ten most frequent of
//! all are among the ten most frequent of each task; only those travel to `top`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use topology_api::NoOutput;
use topology_api::prelude::{
    Args, Bolt, BoltResult, BuildError, Context, Line, LineFiles, Output, Text, Topology,
    TopologyBuilder, Tuple,
};

use super::words;

/// Name of the topology.
pub(crate) const NAME: &str = "word-count";

/// The component that reads lines.
pub(crate) const LINES: &str = "lines";

/// The component whose result is a [`Ranking`].
pub(crate) const TOP: &str = "top";

/// How many words the ranking holds.
const MOST: usize = 10;

/// How much of a word is shown, in characters: what has no white space may be as long as a line.
const WORD_CHARS_SHOWN: usize = 60;

/// How often the counts so far are passed on, for those who watch.
const NEWS_EVERY: Duration = Duration::from_millis(500);

/// Declares the topology; its arguments are the files to read.
pub(crate) fn word_count(args: &Args) -> Result<Topology, BuildError> {
    if args.files().is_empty() {
        return Err(BuildError::new(NAME, "name at least one file to count the words of"));
    }
    let mut t = TopologyBuilder::new(NAME);
    let lines =
        t.spout(LINES, |cx| LineFiles::open(cx.arguments().files(), cx)).parallelism(2).stream();
    let found = t.bolt("split", |_| Split).parallelism(2).local_or_shuffle(&lines).stream();
    let counts = t
        .bolt("count", Count::new)
        .parallelism(2)
        .tick_every(NEWS_EVERY)
        .fields(&found, |word| &word.word)
        .stream();
    t.bolt(TOP, Top::new).global(&counts);
    t.build()
}

/// One word of a line.
#[derive(Clone, Debug, Tuple)]
struct Word {
    word: Text,
}

/// What one `count` task has counted so far.
#[derive(Clone, Debug, Tuple)]
struct Partial {
    /// The task, by its number within the component.
    task: u32,
    words: u64,
    distinct: u64,
    /// Its most frequent words, the most frequent first.
    top_words: Vec<Text>,
    top_counts: Vec<u64>,
}

/// The result of the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranking {
    /// How many words there are.
    pub(crate) words: u64,
    /// How many different ones.
    pub(crate) distinct: u64,
    /// The most frequent, with how often they occur.
    pub(crate) top: Vec<(String, u64)>,
}

/// Cuts lines into words.
struct Split;

impl Bolt for Split {
    type Input = Line;
    type Output = Word;

    fn execute(&mut self, line: Line, out: &mut Output<Word>) -> BoltResult {
        for word in words::words(&line.text) {
            out.emit(Word { word });
        }
        Ok(())
    }
}

/// Counts its share of the words.
struct Count {
    task: u32,
    words: u64,
    counts: HashMap<Text, u64>,
}

impl Count {
    fn new(cx: &Context) -> Self {
        Self { task: cx.task_index(), words: 0, counts: HashMap::new() }
    }

    fn partial(&self) -> Partial {
        let counts = self.counts.iter().map(|(word, count)| (word, *count));
        let top = words::top(counts, MOST);
        Partial {
            task: self.task,
            words: self.words,
            distinct: self.counts.len() as u64,
            top_words: top.iter().map(|(word, _)| shown(word)).collect(),
            top_counts: top.iter().map(|(_, count)| *count).collect(),
        }
    }
}

/// A word as it is shown; where it is cut, that is seen.
fn shown(word: &Text) -> Text {
    match word.char_indices().nth(WORD_CHARS_SHOWN) {
        None => word.clone(),
        Some((end, _)) => format!("{}…", &word[..end]).into(),
    }
}

impl Bolt for Count {
    type Input = Word;
    type Output = Partial;

    fn execute(&mut self, word: Word, _: &mut Output<Partial>) -> BoltResult {
        self.words += 1;
        *self.counts.entry(word.word).or_default() += 1;
        Ok(())
    }

    fn tick(&mut self, out: &mut Output<Partial>) {
        out.emit_unanchored(self.partial());
    }

    fn finish(&mut self, out: &mut Output<Partial>) {
        out.emit(self.partial());
    }
}

/// Merges the latest of every `count` task.
struct Top {
    cx: Context,
    latest: BTreeMap<u32, Partial>,
}

impl Top {
    fn new(cx: &Context) -> Self {
        Self { cx: cx.clone(), latest: BTreeMap::new() }
    }

    fn ranking(&self) -> Ranking {
        let counted = self.latest.values().flat_map(|partial| {
            let words = partial.top_words.iter().map(ToString::to_string);
            words.zip(partial.top_counts.iter().copied())
        });
        Ranking {
            words: self.latest.values().map(|partial| partial.words).sum(),
            distinct: self.latest.values().map(|partial| partial.distinct).sum(),
            top: words::top(counted, MOST),
        }
    }
}

impl Bolt for Top {
    type Input = Partial;
    type Output = NoOutput;

    fn execute(&mut self, partial: Partial, _: &mut Output<NoOutput>) -> BoltResult {
        self.latest.insert(partial.task, partial);
        self.cx.result(&self.ranking());
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.ranking());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(task: u32, words: u64, top: &[(&str, u64)]) -> Partial {
        Partial {
            task,
            words,
            distinct: top.len() as u64,
            top_words: top.iter().map(|(word, _)| Text::from(*word)).collect(),
            top_counts: top.iter().map(|(_, count)| *count).collect(),
        }
    }

    #[test]
    fn the_topology_is_valid_and_says_what_it_needs() {
        let topology = word_count(&Args::new(["a.txt"])).expect("a valid topology");
        assert_eq!(topology.name(), NAME);
        assert!(topology.describe().problems().is_empty(), "{:?}", topology.describe().problems());
        let error = word_count(&Args::default()).expect_err("nothing to read");
        assert!(error.to_string().contains("at least one file"), "{error}");
    }

    #[test]
    fn a_word_as_long_as_a_line_is_cut_where_it_is_shown() {
        assert_eq!(shown(&"word".into()), Text::from("word"));
        let long = shown(&"é".repeat(1 << 20).into());
        assert_eq!(long.chars().count(), WORD_CHARS_SHOWN + 1, "{long}");
        assert!(long.ends_with('…'), "{long}");
    }

    #[test]
    fn the_latest_word_of_each_task_counts() {
        let drive = topology_api::testing::BoltDriver::new(Top::new);
        let mut top = drive.expect("the factory cannot fail");
        for partial in [
            partial(0, 3, &[("a", 2), ("c", 1)]),
            partial(1, 1, &[("b", 1)]),
            partial(1, 6, &[("b", 4), ("d", 2)]),
        ] {
            top.execute(partial);
        }
        let ranking: Ranking = serde_json::from_value(top.result().expect("it left one")).unwrap();
        let expected = [("b", 4), ("a", 2), ("d", 2), ("c", 1)].map(|(w, n)| (w.to_owned(), n));
        assert_eq!(ranking, Ranking { words: 9, distinct: 4, top: expected.to_vec() });
    }
}
