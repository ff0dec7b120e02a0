//! What the workers of a topology log, where somebody has changed that.

use proto::store::TopologyRecord;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::event::Now;

/// What the workers of a topology log for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLevel {
    /// As in `RUST_LOG`.
    pub filter: String,
    /// When that ends, in milliseconds since 1970; `null`: when it is changed again.
    pub until_ms: Option<u64>,
}

/// What the workers of a topology log now; none if it is what they log at first.
pub(super) fn of(record: &TopologyRecord, now: Now) -> Option<LogLevel> {
    let kept = record.log_filter.as_ref()?;
    let until_ms = (kept.until_ms > 0).then_some(kept.until_ms);
    let is_over = until_ms.is_some_and(|until_ms| until_ms <= now.wall_ms);
    (!is_over).then(|| LogLevel { filter: kept.filter.clone(), until_ms })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use daemon::Clock;
    use proto::store::LogFilter;

    use super::*;

    #[test]
    fn a_filter_is_shown_until_its_time_is_over() {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(10));
        let now = Now { at: clock.now(), wall_ms: clock.wall_ms() };
        let shown = |until_ms| {
            let filter = LogFilter { filter: "debug".to_owned(), until_ms };
            let record = TopologyRecord { log_filter: Some(filter), ..TopologyRecord::default() };
            of(&record, now).map(|it| it.until_ms)
        };
        assert_eq!(shown(now.wall_ms + 1), Some(Some(now.wall_ms + 1)));
        assert_eq!(shown(now.wall_ms), None, "it is over");
        assert_eq!(shown(0), Some(None), "until it is changed");
        assert_eq!(of(&TopologyRecord::default(), now), None);
    }
}
