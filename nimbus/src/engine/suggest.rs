//! "Did you mean": the name that was probably meant.

/// Ends a sentence about the unknown name `wrong` with the one of `known` that is nearest to it, if
/// any is near.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = |name: &str| name.len().max(wrong.len()).div_ceil(3);
    // What a client sends may be long, and the distance takes time in its square.
    let known = known.filter(|_| wrong.len() <= topology_api::NAME_LENGTH_MAX);
    known
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, name)| *distance <= near(name))
        .min()
        .map(|(_, name)| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// How many letters must be put in, taken out or replaced to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["word-count", "clicks"];
        let hint = |wrong| did_you_mean(wrong, known.into_iter());
        assert_eq!(hint("wordcount"), "; did you mean `word-count`?");
        assert_eq!(hint("invoices"), "", "nothing is near");
        assert_eq!(hint(&"x".repeat(1_000_000)), "", "and nobody waits for the answer");
    }
}
