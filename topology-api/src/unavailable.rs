//! The error that says: it is not this tuple's fault.

use std::fmt;

use crate::Error;

/// What a bolt could not do since something it needs is away: a database, a broker, a web service.
///
/// A tuple whose call returns this error fails as `unavailable`, which is not its own fault: a spout
/// that is [declared as replaying](crate::TopologyBuilder::replaying) gives it again with its pauses for
/// as long as it takes, and it never becomes a dead letter for that. Any other error counts.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::{Line, Unavailable};
///
/// fn stored(line: Line) -> BoltResult {
///     match std::net::TcpStream::connect(("127.0.0.1", 1)) {
///         Ok(_) => Ok(()),
///         Err(error) => Err(Unavailable::new(format!("the store: {error}")).into()),
///     }
/// }
/// let error = stored(Line { text: "a".into() }).unwrap_err();
/// assert!(error.is::<Unavailable>() && error.to_string().starts_with("the store: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(String);

impl Unavailable {
    /// With what is told to people: what is away, and why.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Whether an error says so, itself or as the cause of another.
pub(crate) fn is_unavailable(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if error.is::<Unavailable>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Store(Unavailable);

    impl fmt::Display for Store {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "cannot store: {}", self.0)
        }
    }

    impl std::error::Error for Store {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn it_is_found_behind_other_errors_and_not_taken_from_words() {
        let away = Unavailable::new("away");
        assert!(is_unavailable(&away.clone().into()));
        assert!(is_unavailable(&Store(away.clone()).into()));
        assert!(!is_unavailable(&away.to_string().into()));
    }
}
