//! Patterns of file names, as shells have them: `*` is any text, `?` any letter.
//!
//! A name that begins with a dot is hidden: only a pattern that begins with one finds it. Pure.

/// Whether a name fits a pattern.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Where to try again: the last star, and how much of the name it takes.
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, of) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks_are_those_of_a_shell() {
        for (pattern, name) in [
            ("access.log*", "access.log.1.gz"),
            ("*.log", "a.b.log"),
            ("a?c", "abc"),
            ("*a*b*", "xxaxxbxx"),
            ("*", "x"),
            (".*", ".hidden"),
            ("größe-?", "größe-ä"),
        ] {
            assert!(fits(pattern, name), "{pattern} takes {name}");
        }
        for (pattern, name) in
            [("*.log", "a.log.1"), ("a?c", "ac"), ("*", ".hidden"), ("", "a"), ("a*b", "a-c")]
        {
            assert!(!fits(pattern, name), "{pattern} does not take {name}");
        }
        let (pattern, name) = ("*a".repeat(30) + "b", "a".repeat(5_000));
        assert!(!fits(&pattern, &name), "and it takes no time");
    }
}
