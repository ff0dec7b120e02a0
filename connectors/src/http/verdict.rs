//! What an answer says of a request: done, failed for good, or to be tried again.
//!
//! Pure. By RFC 9110 and, for 429, RFC 6585.

use std::time::Duration;

/// Most characters of an answer's body that are repeated in an error.
pub(super) const SHOWN_MAX: usize = 200;

/// What comes of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// The request is refused, for this reason.
    Failed(String),
    /// The server did not let us in: the secret may be an old one.
    NotLetIn(String),
    /// The server cannot now; it may have said how long to wait.
    Again(String, Option<Duration>),
}

/// Says what comes of an answer with this status; `retry_after` is that header, `start` how the body
/// begins.
pub(super) fn of_answer(status: u16, retry_after: Option<&str>, start: &[u8]) -> Verdict {
    let shown: String = String::from_utf8_lossy(start)
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(SHOWN_MAX)
        .collect();
    let text = match shown.trim() {
        "" => format!("the server answered {status}"),
        shown => format!("the server answered {status}: {shown}"),
    };
    match status {
        200..=299 => Verdict::Done,
        300..=399 => Verdict::Failed(format!("{text}; redirections are not followed")),
        401 | 403 => Verdict::NotLetIn(text),
        // Too slow, too early, too many: these pass.
        408 | 425 | 429 | 500..=599 => Verdict::Again(text, retry_after.and_then(seconds)),
        _ => Verdict::Failed(text),
    }
}

/// Seconds are what servers send to machines; a date is left to the usual wait.
fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_comes_of_it() {
        assert_eq!(of_answer(204, None, b""), Verdict::Done);
        let wait = Some(Duration::from_secs(7));
        for passing in [408, 425, 429, 500, 502, 503, 504] {
            let Verdict::Again(text, asked) = of_answer(passing, Some(" 7"), b"later") else {
                panic!("{passing} passes");
            };
            assert_eq!((text, asked), (format!("the server answered {passing}: later"), wait));
        }
        for lasting in [400, 404, 409, 413, 422] {
            let told = Verdict::Failed(format!("the server answered {lasting}: no"));
            assert_eq!(of_answer(lasting, None, b"no"), told);
        }
        assert!(
            matches!(of_answer(302, None, b""), Verdict::Failed(text) if text.contains("redirect"))
        );
        assert!(matches!(of_answer(401, None, b""), Verdict::NotLetIn(_)));
    }

    #[test]
    fn what_a_server_says_is_shown_in_part_and_harmless() {
        let long = [b"\x1b[31m\n\xff".as_slice(), &[b'x'; 1_000]].concat();
        let Verdict::Failed(text) = of_answer(400, None, &long) else { panic!("it is refused") };
        assert!(text.len() < 300 && !text.chars().any(char::is_control), "{text}");
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert!(matches!(of_answer(503, Some(date), b""), Verdict::Again(_, None)));
    }
}
