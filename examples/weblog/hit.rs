//! A request as a tuple.

use topology_api::prelude::*;
use weblog::entry::{Entry, NotAnEntry};

/// A request that a web server answered.
#[derive(Clone, Debug, PartialEq, Tuple)]
pub(crate) struct Hit {
    /// When, in seconds since 1970.
    pub(crate) time: u64,
    pub(crate) client: Text,
    pub(crate) page: Text,
    pub(crate) status: u16,
    /// Somebody got to see the page.
    pub(crate) is_view: bool,
    /// The page that led there; empty if the client did not say.
    pub(crate) referrer: Text,
}

impl Hit {
    /// Reads a line of a log.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Self, NotAnEntry> {
        let entry = Entry::parse(line)?;
        Ok(Self {
            time: entry.time,
            client: entry.client.into(),
            page: entry.page().into(),
            status: entry.status,
            is_view: entry.is_view(),
            referrer: entry.referrer.unwrap_or_default().into(),
        })
    }

    /// The beginning of its minute, in seconds since 1970.
    pub(crate) fn minute(&self) -> u64 {
        self.time / 60 * 60
    }

    /// Whether the server could not answer.
    pub(crate) fn is_error(&self) -> bool {
        self.status >= 500
    }
}
