//! What a word is, and which words are the most frequent.
//!
//! Pure: the topology and the tests that count the same files plainly share it.

use std::cmp::Reverse;

use topology_api::Text;

/// Splits a line into its words.
///
/// A word is what stands between Unicode white space, without the characters at both ends that
/// are not alphanumeric, in lower case; what is nothing then is no word.
pub(crate) fn words(line: &str) -> impl Iterator<Item = Text> {
    line.split_whitespace().filter_map(|piece| {
        let word = piece.trim_matches(|character: char| !character.is_alphanumeric());
        (!word.is_empty()).then(|| lower(word))
    })
}

/// Puts a word into lower case; most words need no look at Unicode's tables.
fn lower(word: &str) -> Text {
    if !word.is_ascii() {
        return word.to_lowercase().into();
    }
    if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return word.to_ascii_lowercase().into();
    }
    word.into()
}

/// Returns the `most` words that were counted most often, ties in the order of the words.
pub(crate) fn top<W, I>(counts: I, most: usize) -> Vec<(W, u64)>
where
    W: Ord + Clone,
    I: IntoIterator<Item = (W, u64)>,
{
    let mut counts: Vec<(W, u64)> = counts.into_iter().collect();
    let place = |entry: &(W, u64)| (Reverse(entry.1), entry.0.clone());
    if counts.len() > most && most > 0 {
        // Only the first few need their order: a selection is linear.
        counts.select_nth_unstable_by_key(most - 1, place);
    }
    counts.truncate(most);
    counts.sort_by_key(place);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line).map(|word| word.to_string()).collect()
    }

    #[test]
    fn words_are_cut_at_white_space_of_any_script() {
        assert_eq!(split("to be\tor\u{a0}not\u{3000}to be"), ["to", "be", "or", "not", "to", "be"]);
        assert_eq!(split("   "), [""; 0]);
    }

    #[test]
    fn what_is_not_alphanumeric_is_cut_at_the_ends_and_kept_inside() {
        assert_eq!(split("\"Don't!\" (well-known) x_y, ---"), ["don't", "well-known", "x_y"]);
        assert_eq!(split("`a`b` «été» 3.14%"), ["a`b", "été", "3.14"]);
    }

    #[test]
    fn words_are_in_lower_case_in_every_script() {
        assert_eq!(split("THE ÉTÉ Straße ΟΔΟΣ"), ["the", "été", "straße", "οδος"]);
    }

    #[test]
    fn replaced_bytes_are_no_letters() {
        assert_eq!(split("\u{fffd}ab\u{fffd} \u{fffd} a\u{fffd}b"), ["ab", "a\u{fffd}b"]);
    }

    #[test]
    fn the_top_is_by_count_and_then_by_word() {
        let counts = [("b", 2), ("a", 2), ("d", 9), ("c", 1), ("e", 2)];
        assert_eq!(top(counts, 3), [("d", 9), ("a", 2), ("b", 2)]);
        assert_eq!(top(counts, 10).len(), 5);
        assert!(top(counts, 0).is_empty());
    }
}
