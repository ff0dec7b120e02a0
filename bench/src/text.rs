//! The sentences of the word count: the ones every peer counts, or those of a file.
//!
//! Without a file the text is made, byte for byte as `bench/peers/text/gen.py` makes it: 100 000
//! sentences of 6 to 14 words out of 10 000 made-up ones, the k-th of which is 1/k as frequent as
//! the first.

use std::collections::HashSet;
use std::path::Path;

use topology_api::Text;

use crate::problem::{EX_DATAERR, EX_NOINPUT, Problem};
use crate::python_random::PythonRandom;

const SENTENCES: usize = 100_000;
const WORDS: usize = 10_000;
const SEED: u32 = 20_240_101;

/// Words up to this number have one syllable, or two.
const ONE_SYLLABLE: usize = 150;
const TWO_SYLLABLES: usize = 3_000;
const WORD_LETTERS_MAX: usize = 12;

const ONSETS: [&str; 25] = [
    "b", "br", "c", "ch", "d", "dr", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "pl", "r", "s",
    "sh", "st", "t", "th", "tr", "v", "w",
];
const NUCLEI: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "ai"];
const CODAS: [&str; 9] = ["", "", "n", "r", "s", "t", "l", "nd", "m"];

/// Reads the lines of a file, or makes the peers' text.
pub(crate) fn lines(file: Option<&Path>) -> Result<Vec<Text>, Problem> {
    let Some(file) = file else { return Ok(made(|line| Text::from(line))) };
    let what = format!("cannot count the words of {}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::InvalidData => EX_DATAERR,
            _ => EX_NOINPUT,
        };
        Problem::new(exit, &what, error, "name a readable text file in UTF-8 with --text")
    })?;
    let lines: Vec<Text> = text.lines().map(Text::from).collect();
    if lines.is_empty() {
        return Err(Problem::new(EX_DATAERR, what, "it is empty", "name a file with lines"));
    }
    Ok(lines)
}

/// Makes the sentences, one after the other.
fn made<T>(mut take: impl FnMut(&str) -> T) -> Vec<T> {
    let mut random = PythonRandom::new(SEED);
    let words = vocabulary(&mut random);
    let mut sum = 0.0;
    let sums: Vec<f64> = (1_u32..)
        .take(words.len())
        .map(|rank| {
            sum += 1.0 / f64::from(rank);
            sum
        })
        .collect();
    let mut sentence = String::new();
    let mut next = || {
        sentence.clear();
        for number in 0..6 + random.below(9) {
            if number > 0 {
                sentence.push(' ');
            }
            let place = random.fraction() * sum;
            sentence.push_str(&words[sums.partition_point(|up_to| *up_to < place)]);
        }
        take(&sentence)
    };
    (0..SENTENCES).map(|_| next()).collect()
}

/// Makes different words, the short ones first.
fn vocabulary(random: &mut PythonRandom) -> Vec<String> {
    let (mut words, mut seen) = (Vec::with_capacity(WORDS), HashSet::new());
    while words.len() < WORDS {
        let syllables = match words.len() {
            number if number < ONE_SYLLABLE => 1,
            number if number < TWO_SYLLABLES => 2,
            _ => 3,
        };
        let mut word = String::new();
        for _ in 0..syllables {
            for parts in [&ONSETS[..], &NUCLEI, &CODAS] {
                word.push_str(random.choice(parts));
            }
        }
        word.truncate(WORD_LETTERS_MAX);
        if seen.insert(word.clone()) {
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_text_is_the_peers_to_the_byte() {
        let mut hasher = Sha256::new();
        let words: usize = made(|line| {
            hasher.update(line);
            hasher.update("\n");
            line.split(' ').count()
        })
        .into_iter()
        .sum();
        assert_eq!(words, 1_000_521);
        let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // sha256sum of what gen.py writes.
        assert_eq!(digest, "2546e13a554e85444259a8540af6503fdf637026978939f4e6e7cb16edf1f0bc");
    }

    #[test]
    fn a_file_that_cannot_be_counted_is_named_with_the_reason() {
        let missing = lines(Some(Path::new("/no/such/file"))).unwrap_err();
        assert_eq!(missing.exit, EX_NOINPUT);
        assert!(missing.what.contains("/no/such/file"), "{missing:?}");
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(lines(Some(empty.path())).unwrap_err().exit, EX_DATAERR);
        std::fs::write(empty.path(), [0xff, 0xfe, b'\n']).unwrap();
        assert_eq!(lines(Some(empty.path())).unwrap_err().exit, EX_DATAERR);
    }
}
