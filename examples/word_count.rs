//! Word count: lines of files are split into words, and each word is counted by the task that its
//! key leads to.
//!
//! `cargo run --release -p examples --bin word_count -- README.md`

use std::collections::HashMap;
use std::process::ExitCode;

use topology_api::prelude::*;

/// One word of a line.
#[derive(Clone, Debug, Tuple)]
struct Word {
    word: Text,
}

/// Splits lines at white space.
struct Split;

impl Bolt for Split {
    type Input = Line;
    type Output = Word;

    fn execute(&mut self, line: Line, out: &mut Output<Word>) -> BoltResult {
        for word in line.text.split_whitespace() {
            // Anchored to `line`: it is acked when every word of it was counted.
            out.emit(Word { word: word.into() });
        }
        Ok(())
    }
}

/// Counts the words whose key leads to its task.
struct Count {
    counts: HashMap<Text, u64>,
    cx: Context,
}

impl Bolt for Count {
    type Input = Word;
    type Output = NoOutput;

    fn execute(&mut self, word: Word, _: &mut Output<NoOutput>) -> BoltResult {
        *self.counts.entry(word.word).or_default() += 1;
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        let mut top: Vec<(&Text, &u64)> = self.counts.iter().collect();
        top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        top.truncate(10);
        self.cx.result(&top);
    }
}

fn word_count(args: &Args) -> Result<Topology, BuildError> {
    if args.files().is_empty() {
        return Err(BuildError::new("word-count", "no input: name the files to count words of"));
    }
    let mut t = TopologyBuilder::new("word-count");
    let lines = t.spout("lines", LineFiles::of_arguments).stream();
    let words = t.bolt("split", |_| Split).parallelism(2).local_or_shuffle(&lines).stream();
    let count = |cx: &Context| Count { counts: HashMap::new(), cx: cx.clone() };
    t.bolt("count", count).parallelism(2).fields(&words, |w| &w.word);
    t.build()
}

fn main() -> ExitCode {
    worker::main(word_count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use topology_api::testing::BoltDriver;

    #[test]
    fn the_words_of_all_lines_are_counted() {
        let mut split = BoltDriver::new(|_| Split).expect("it opens nothing");
        let count = |cx: &Context| Count { counts: HashMap::new(), cx: cx.clone() };
        let mut count = BoltDriver::new(count).expect("it opens nothing");
        for text in ["to be or", "", "  not to\tbe "] {
            split.execute(Line { text: text.into() });
        }
        let words = split.emissions();
        assert_eq!(words.last().map(|word| &*word.anchors), Some([2].as_slice()), "of line 2");
        for word in words {
            count.execute(word.tuple);
        }
        count.finish();
        assert_eq!(count.result(), Some(json!([["be", 2], ["to", 2], ["not", 1], ["or", 1]])));
    }

    #[test]
    fn without_a_file_the_message_says_what_to_name() {
        let error = word_count(&Args::default()).expect_err("nothing to read").to_string();
        assert!(error.contains("name the files"), "{error}");
        assert!(word_count(&Args::new(["a.txt"])).is_ok(), "the topology is sound");
    }
}
