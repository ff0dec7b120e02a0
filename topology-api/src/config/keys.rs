//! The table of settings: what each is called, what its text must be, its default, its meaning.

use std::net::SocketAddr;
use std::time::Duration;

use crate::units::{format_duration, format_size, parse_duration, parse_size};

/// What a setting's text must be.
///
/// ```
/// use topology_api::{ConfigKind, config_keys};
///
/// let acking = config_keys().iter().find(|key| key.name == "acking").unwrap();
/// assert_eq!(acking.kind, ConfigKind::Switch);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// A whole number from `min` to `max`.
    Count {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// `true` or `false`.
    Switch,
    /// A duration such as `30s`, from `min` to `max`.
    Time {
        /// The least that is allowed.
        min: Duration,
        /// The most that is allowed.
        max: Duration,
    },
    /// A size such as `64MiB`, from `min` to `max` bytes.
    Size {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A limit that need not be: `none`, or a size such as `2GiB`, from `min` to `max` bytes.
    SizeLimit {
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// Where to listen: `none`, or an IP address with a port (0: any that is free) or a range of ports,
    /// such as `127.0.0.1:9100-9199`.
    Listen,
    /// A limit that need not be: `none`, or cores such as `1.5`, from `min` to `max` thousandths.
    CoresLimit {
        /// The least that is allowed, in thousandths of a core.
        min: u32,
        /// The most that is allowed, in thousandths of a core.
        max: u32,
    },
}

/// One setting that a topology has.
///
/// ```
/// for key in topology_api::config_keys() {
///     println!("{} = {}: {}", key.name, key.default, key.meaning);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// What it is called.
    pub name: &'static str,
    /// What its text must be.
    pub kind: ConfigKind,
    /// What it is when nobody sets it.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub meaning: &'static str,
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The text of a limit that is not set.
pub(super) const NONE: &str = "none";

pub(super) static KEYS: [ConfigKey; 16] = [
    ConfigKey {
        name: "max_pending",
        kind: ConfigKind::Count { min: 1, max: 1 << 20 },
        default: "10000",
        meaning: "Open tuple trees a spout task may have before `next` is no longer called.",
    },
    ConfigKey {
        name: "message_timeout",
        kind: ConfigKind::Time { min: Duration::from_millis(100), max: DAY },
        default: "30s",
        meaning: "How long a tuple tree may stay open when nothing explains why; time spent in \
                  queues does not count.",
    },
    ConfigKey {
        name: "acking",
        kind: ConfigKind::Switch,
        default: "true",
        meaning: "Whether tuple trees are tracked: without it tuples are processed at most once.",
    },
    ConfigKey {
        name: "fusion",
        kind: ConfigKind::Switch,
        default: "true",
        meaning: "Whether bolts that follow each other one to one share a core and are called \
                  directly, without a mailbox. Without it executors are spread over all cores.",
    },
    ConfigKey {
        name: "worker.cores",
        kind: ConfigKind::Count { min: 0, max: 1_024 },
        default: "0",
        meaning: "Loops a worker runs its executors on; 0 takes the machine's cores divided by its \
                  supervisor's slots.",
    },
    ConfigKey {
        name: "stuck_after",
        kind: ConfigKind::Time { min: Duration::from_millis(100), max: HOUR },
        default: "30s",
        meaning: "How long a single call into a component may take before it is reported as stuck.",
    },
    ConfigKey {
        name: "kill_after",
        kind: ConfigKind::Time { min: Duration::ZERO, max: DAY },
        default: "2m",
        meaning: "How long a call may take before its worker is replaced; 0s waits for ever.",
    },
    ConfigKey {
        name: "worker.memory",
        kind: ConfigKind::Size { min: 32 << 20, max: 1 << 50 },
        default: "512MiB",
        meaning: "What the runtime may hold in queues, frames and trees in one worker, without the \
                  memory of the components.",
    },
    ConfigKey {
        name: "worker.memory.limit",
        kind: ConfigKind::SizeLimit { min: 64 << 20, max: 1 << 50 },
        default: NONE,
        meaning: "All the memory a worker may use, components included; one that needs more is \
                  ended and started again. Its runtime then holds at most half of it.",
    },
    ConfigKey {
        name: "worker.cpu.limit",
        kind: ConfigKind::CoresLimit { min: 10, max: 1_024_000 },
        default: NONE,
        meaning: "Cores a worker may use: one that wants more is slowed down. Needs a cgroup.",
    },
    ConfigKey {
        name: "worker.log.json",
        kind: ConfigKind::Switch,
        default: "false",
        meaning: "Whether what a worker logs is one JSON object a line instead of text. What a \
                  component prints itself stays as it is.",
    },
    ConfigKey {
        name: "worker.log.rate",
        kind: ConfigKind::SizeLimit { min: 1 << 10, max: 1 << 40 },
        default: "1MiB",
        meaning: "What a worker may write to its log in a second, after a burst of 16 times as \
                  much; lines beyond that are dropped and counted.",
    },
    ConfigKey {
        name: "worker.metrics.listen",
        kind: ConfigKind::Listen,
        default: NONE,
        meaning: "Where each worker serves metrics of its own, by task: the first free port of a \
                  range, or with port 0 any. An address that other machines reach needs TLS, or \
                  `--insecure` of the supervisor.",
    },
    ConfigKey {
        name: "tuple.max_bytes",
        kind: ConfigKind::Size { min: 1 << 10, max: 64 << 20 },
        default: "16MiB",
        meaning: "The largest encoded tuple; a larger one fails at its sender with `too-large`.",
    },
    ConfigKey {
        name: "output.budget",
        kind: ConfigKind::Size { min: 64 << 10, max: 1 << 40 },
        default: "16MiB",
        meaning: "What one call may emit before its tuple fails with `too-much-output`.",
    },
    ConfigKey {
        name: "dead_letters.max_bytes",
        kind: ConfigKind::Size { min: 64 << 10, max: 1 << 40 },
        default: "64MiB",
        meaning: "Dead letters that each supervisor keeps of the topology, where no bolt reads \
                  them; when it is full, they wait with their spouts.",
    },
];

/// Every setting a topology has, in the order of the reference.
pub fn config_keys() -> &'static [ConfigKey] {
    &KEYS
}

pub(super) fn find(name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.name == name)
}

impl ConfigKey {
    /// Says what is wrong with `value`, and what is allowed.
    pub(super) fn check(&self, value: &str) -> Result<(), String> {
        let (inside, range) = match self.kind {
            ConfigKind::Switch if matches!(value, "true" | "false") => return Ok(()),
            ConfigKind::Switch => return Err("write true or false".to_owned()),
            ConfigKind::Count { min, max } => {
                let range = format!("a whole number from {min} to {max}");
                let count: u64 = value.parse().map_err(|_| format!("write {range}"))?;
                ((min..=max).contains(&count), range)
            }
            ConfigKind::Time { min, max } => {
                let time = parse_duration(value).map_err(|error| error.to_string())?;
                let range = format!("{} to {}", format_duration(min), format_duration(max));
                ((min..=max).contains(&time), range)
            }
            ConfigKind::Size { min, max } => {
                let size = parse_size(value).map_err(|error| error.to_string())?;
                let range = format!("{} to {}", format_size(min), format_size(max));
                ((min..=max).contains(&size), range)
            }
            ConfigKind::SizeLimit { .. } | ConfigKind::CoresLimit { .. } | ConfigKind::Listen
                if value == NONE =>
            {
                return Ok(());
            }
            ConfigKind::Listen if is_listen(value) => return Ok(()),
            ConfigKind::Listen => {
                return Err(format!("write {NONE}, or IP:PORT or IP:FIRST-LAST"));
            }
            ConfigKind::SizeLimit { min, max } => {
                let range = format!("{NONE}, or {} to {}", format_size(min), format_size(max));
                let size = parse_size(value).map_err(|error| format!("{error}, or {NONE}"))?;
                ((min..=max).contains(&size), range)
            }
            ConfigKind::CoresLimit { min, max } => {
                let range = format!("{NONE}, or {} to {}", format_cores(min), format_cores(max));
                let cores = parse_cores(value);
                let cores = cores.ok_or_else(|| format!("write {range}, such as 0.5 or 2"))?;
                ((min..=max).contains(&cores), range)
            }
        };
        if inside { Ok(()) } else { Err(format!("it is outside of {range}")) }
    }
}

/// Tells whether this is an IP address with a port, or with a range of ports.
fn is_listen(text: &str) -> bool {
    let (first, last) = text.rsplit_once('-').unwrap_or((text, ""));
    let Ok(first) = first.parse::<SocketAddr>() else { return false };
    if last.is_empty() {
        return !text.ends_with('-');
    }
    first.port() > 0 && last.parse().is_ok_and(|last: u16| last >= first.port())
}

/// Reads a number of cores, in thousandths.
pub(super) fn parse_cores(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)
}

/// Writes thousandths of a core so that [`parse_cores`] reads them back: `0.5`, `2`.
pub(super) fn format_cores(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_by_its_own_key() {
        for key in config_keys() {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn cores_are_read_as_people_write_them() {
        for (text, thousandths) in [("1", 1_000), ("0.5", 500), ("2.25", 2_250), ("0.010", 10)] {
            assert_eq!(parse_cores(text), Some(thousandths), "{text}");
            assert_eq!(parse_cores(&format_cores(thousandths)), Some(thousandths), "{text}");
        }
        for text in ["", ".", "1.", ".5", "-1", "1.2345", "half", "99999999999"] {
            assert_eq!(parse_cores(text), None, "{text}");
        }
        assert_eq!([500, 2_000, 1_250].map(format_cores), ["0.5", "2", "1.25"]);
    }
}
