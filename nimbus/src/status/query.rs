//! What stands behind the `?` of an address: `name=value`, joined by `&`.

use crate::engine::command::{Refusal, RefusalKind};

/// The parts of a query.
///
/// ```
/// use nimbus::status::Query;
///
/// let query = Query::of("component=split&step=60");
/// assert_eq!(query.text("component"), Some("split"));
/// assert!(query.number("step").is_ok_and(|step| step == Some(60)));
/// assert!(query.number("component").is_err(), "that is no number");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Reads a query.
    #[must_use]
    pub fn of(query: &'a str) -> Self {
        Self(query)
    }

    /// What a part says; nothing if it is not there or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'a str> {
        let parts = self.0.split('&').filter_map(|part| part.split_once('='));
        let mut values = parts.filter(|(part, _)| *part == name).map(|(_, value)| value);
        values.next().filter(|value| !value.is_empty())
    }

    /// The number that a part says.
    ///
    /// # Errors
    ///
    /// That it is no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let shown: String = text.chars().take(32).collect();
            let what = format!("failed to read `{name}={shown}`");
            let fix = format!("give a whole number, as in `{name}=60`");
            Refusal::new(RefusalKind::Invalid, what, "that is no number", fix)
        })
    }
}
