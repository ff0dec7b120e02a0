//! Names of topologies, components and streams: which ones are allowed.
//!
//! A name becomes a key in the store, a folder on a machine, a label of a metric and part of a
//! URL, so it is checked once, here, and used as it is everywhere else.

use std::fmt;

/// The longest name, in bytes.
pub const NAME_LENGTH_MAX: usize = 128;

/// Why a name is not allowed, in words for the person who chose it.
///
/// ```
/// use topology_api::check_name;
///
/// assert!(check_name("topology", "word-count").is_ok());
/// let error = check_name("topology", "../passwd").unwrap_err();
/// assert!(error.to_string().contains("may not start with `.`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameError {
    what: &'static str,
    name: String,
    why: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, why } = self;
        let shown: String = name.chars().take(NAME_LENGTH_MAX).collect();
        write!(
            f,
            "{what} name {shown:?} {why}; use 1 to {NAME_LENGTH_MAX} of A-Z a-z 0-9 `.` `_` `-`, \
             not starting with `.` or `-`"
        )
    }
}

impl std::error::Error for NameError {}

/// Checks that `name` may name a `what` ("topology", "component", "stream", ...).
pub fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let refuse = |why: String| Err(NameError { what, name: name.to_owned(), why });
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return refuse("is empty".to_owned());
    }
    if name.len() > NAME_LENGTH_MAX {
        return refuse(format!("is {} bytes long", name.len()));
    }
    if let Some(first @ ('.' | '-')) = name.chars().next() {
        return refuse(format!("may not start with `{first}`"));
    }
    match name.chars().find(|c| !allowed(c)) {
        Some(wrong) => refuse(format!("holds {wrong:?}")),
        None => Ok(()),
    }
}

/// The one of `known` that `wrong` was probably meant to be.
pub(crate) fn closest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // What a client sends may be long, and the distance takes time in its square.
    if wrong.len() > NAME_LENGTH_MAX {
        return None;
    }
    known
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(wrong.len()).div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

/// The end of a sentence about an unknown name: `; did you mean X?` where there is an X, else nothing.
///
/// ```
/// use topology_api::runtime::did_you_mean;
///
/// assert_eq!(did_you_mean("wordcount", ["word-count"]), "; did you mean `word-count`?");
/// ```
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(wrong, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
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
    fn ordinary_names_are_allowed() {
        for name in ["a", "word-count", "Word_Count.v2", "0", "_", &"x".repeat(128)] {
            assert_eq!(check_name("component", name), Ok(()), "{name} should be allowed");
        }
    }

    #[test]
    fn names_that_would_be_paths_or_flags_are_refused() {
        for name in ["", ".", "..", ".hidden", "-f", "a/b", "a b", "ä", "a\0", &"x".repeat(129)] {
            let error = check_name("component", name).expect_err(name).to_string();
            assert!(error.starts_with("component name"), "{error}");
        }
    }

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["max_pending", "message_timeout", "acking"];
        assert_eq!(closest("max-pending", known), Some("max_pending"));
        assert_eq!(closest("ackin", known), Some("acking"));
        assert_eq!(closest("colour", known), None, "nothing is near");
    }
}
