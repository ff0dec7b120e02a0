//! What the workers of a topology log, for a while: kept in its record, so that workers learn it that
//! are started or moved meanwhile, whoever leads then.

use std::time::Duration;

use proto::store::{LogFilter, TopologyStatus};
use topology_api::format_duration;

use super::super::command::{Refusal, RefusalKind};
use super::super::event::Now;
use super::super::view::status;
use super::super::{Decision, Engine};
use super::{decision, millis, refuse};

/// The longest that a filter may be, and in force.
const FILTER_BYTES_MAX: usize = 4 * 1024;
const FILTER_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Engine {
    /// Has all workers of a topology log by another filter, for so long (zero: until it is changed
    /// again); an empty one stands for what they log at first.
    pub(super) fn set_log_level(
        &self,
        name: &str,
        filter: &str,
        (time, now): (Duration, Now),
    ) -> Result<Decision, Refusal> {
        let topology = self.topology("change what is logged by", name)?;
        let what = format!("change what `{name}` logs");
        check(filter, time).map_err(|(why, fix)| refuse(RefusalKind::Invalid, &what, why, fix))?;
        if matches!(status(&topology.record), TopologyStatus::Finished | TopologyStatus::Killed) {
            let fix = "`squall list` shows what runs";
            return Err(refuse(RefusalKind::NotNow, &what, "it has ended", fix));
        }
        let mut record = topology.record.clone();
        let until_ms = if time.is_zero() { 0 } else { now.wall_ms.saturating_add(millis(time)) };
        let kept = LogFilter { filter: filter.to_owned(), until_ms };
        record.log_filter = (!filter.is_empty()).then_some(kept);
        let count = self.view.in_force(&record.id).count();
        let workers = if count == 1 { "worker" } else { "workers" };
        let text = match (filter, time) {
            ("", _) => format!("{count} {workers} of `{name}` log what they did at first"),
            (_, Duration::ZERO) => {
                format!("{count} {workers} of `{name}` log `{filter}` until it is changed again")
            }
            _ => format!(
                "{count} {workers} of `{name}` log `{filter}` for {}",
                format_duration(time)
            ),
        };
        Ok(decision("log-level", topology, record, text))
    }
}

/// Says what is wrong with a filter or its time, and what to do.
fn check(filter: &str, time: Duration) -> Result<(), (String, &'static str)> {
    if filter.len() > FILTER_BYTES_MAX {
        return Err(("the filter is too long".to_owned(), "a few modules will do"));
    }
    if time > FILTER_TIME_MAX {
        return Err(("that is more than a week".to_owned(), "give a shorter time"));
    }
    daemon::logging::check(filter)
        .map_err(|error| (error.to_string(), "write it as in RUST_LOG: info,my_topology=debug"))
}
