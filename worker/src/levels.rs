//! What this worker logs: text or JSON, each line with the task it comes from, and changed from
//! outside for a while.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use daemon::logging::{Format, Place, init_with_levels};
use proto::supervisor::LogLevel;
use topology_api::{Topology, format_duration};

use crate::executor::calls::called;

/// Whose lines these are: the topology, and its components with their tasks.
static NAMES: OnceLock<Names> = OnceLock::new();

struct Names {
    topology: String,
    components: Vec<(String, Range<u32>)>,
}

/// What this worker logs.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// None if somebody else has set up logging.
    levels: Option<daemon::logging::Levels>,
    /// What was asked for; empty if nothing is.
    filter: String,
    /// When that ends.
    until: Option<Instant>,
}

impl Levels {
    /// Sets up logging for a worker of this topology.
    pub(crate) fn start(topology: &Topology) -> Self {
        let components = topology.components().iter().enumerate();
        let components = components.map(|(at, it)| (it.name.clone(), topology.tasks(at)));
        let names =
            Names { topology: topology.name().to_owned(), components: components.collect() };
        // Only one worker runs in a process; another would not be named wrongly, but not at all.
        drop(NAMES.set(names));
        let config = topology.config();
        // What the topology says itself comes before what its supervisor does.
        let json = if config.pairs().contains_key("worker.log.json") {
            config.worker_log_json()
        } else {
            std::env::var_os("SQUALL_LOG_FORMAT").is_some_and(|word| word == "json")
        };
        let format = if json { Format::Json } else { Format::Text };
        let place: Place = if json { topology_and_place } else { place };
        let levels = init_with_levels(format, place).ok();
        Self { levels, ..Self::default() }
    }

    /// Logs what is asked for from now on.
    pub(crate) fn set(&mut self, level: &LogLevel, now: Instant) {
        let Some(levels) = &self.levels else { return };
        let LogLevel { filter, for_ms } = level;
        let time = Duration::from_millis(*for_ms);
        let until = (*for_ms > 0 && !filter.is_empty()).then(|| now.checked_add(time)).flatten();
        // It is told again whenever its supervisor is back.
        if *filter == self.filter {
            self.until = until;
            return;
        }
        match levels.set(filter) {
            Ok(()) => {
                (self.filter, self.until) = (filter.clone(), until);
                let time = self.until.map_or("good".to_owned(), |_| format_duration(time));
                tracing::info!(%filter, %time, "what is logged was changed");
            }
            Err(error) => tracing::warn!(%error, "what is logged stays as it is"),
        }
    }

    /// Goes back to what was logged at first, when the time has come.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now >= until) {
            self.set(&LogLevel::default(), now);
        }
    }
}

/// For programs: each line says whose it is, wherever it comes from.
fn topology_and_place() -> Vec<(&'static str, String)> {
    let place = place();
    match NAMES.get() {
        Some(names) if place.is_empty() => vec![("topology", names.topology.clone())],
        _ => place,
    }
}

/// Which task of which component this thread is in a call of; nothing outside of calls.
fn place() -> Vec<(&'static str, String)> {
    let (Some(names), Some(task)) = (NAMES.get(), called()) else { return Vec::new() };
    let component = names.components.iter().find(|(_, tasks)| tasks.contains(&task));
    let component = component.map_or_else(|| "?".to_owned(), |(name, _)| name.clone());
    vec![("topology", names.topology.clone()), ("component", component), ("task", task.to_string())]
}
