//! What workers log, where somebody has changed that.

use std::time::Duration;

use daemon::Clock;
use serde::Deserialize;
use topology_api::format_duration;

/// What the workers of a topology log for a while.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogLevelStatus {
    /// As in `RUST_LOG`.
    pub(crate) filter: String,
    /// When that ends; none: when it is changed again.
    pub(crate) until_ms: Option<u64>,
}

impl LogLevelStatus {
    /// Says it to people.
    pub(crate) fn text(&self) -> String {
        self.at(Clock::system().wall_ms())
    }

    fn at(&self, now_ms: u64) -> String {
        let Some(until) = self.until_ms else {
            return format!("`{}` until it is changed again", self.filter);
        };
        let left = Duration::from_secs(until.saturating_sub(now_ms).div_ceil(1_000));
        format!("`{}` for another {}", self.filter, format_duration(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_for_how_long() {
        let log = |until_ms| LogLevelStatus { filter: "debug".to_owned(), until_ms };
        assert_eq!(log(Some(61_500)).at(0), "`debug` for another 1m2s");
        assert_eq!(log(None).at(0), "`debug` until it is changed again");
    }
}
