//! The settings of a topology: every knob, its unit, its default and what it is for.
//!
//! A setting is text, as it is in the store, on the command line and in the status; it is checked
//! when it is set, so the getters cannot fail. One table, [`config_keys`], is the reference: the
//! command line prints it and an unknown key is compared with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::did_you_mean;
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

static KEYS: [ConfigKey; 11] = [
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

/// Why a setting was refused.
///
/// ```
/// use topology_api::TopologyConfig;
///
/// let error = TopologyConfig::default().set("max-pending", "1").unwrap_err();
/// assert_eq!(error.to_string(), "there is no setting `max-pending`; did you mean `max_pending`?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this name.
    #[error("there is no setting `{key}`{hint}")]
    UnknownKey {
        /// The name that was given.
        key: String,
        /// What was probably meant, as the end of the sentence.
        hint: String,
    },
    /// The setting exists, its value is not allowed.
    #[error("setting `{key}` cannot be `{value}`: {why}")]
    InvalidValue {
        /// The setting.
        key: &'static str,
        /// The value that was given.
        value: String,
        /// What is wrong with it and what is allowed.
        why: String,
    },
}

/// The settings of one topology; what is not set has its default.
///
/// ```
/// use std::time::Duration;
/// use topology_api::TopologyConfig;
///
/// let mut config = TopologyConfig::default();
/// config.set("message_timeout", "5s").unwrap();
/// assert_eq!(config.message_timeout(), Duration::from_secs(5));
/// assert_eq!(config.max_pending(), 10_000, "the default");
/// assert!(config.set("max_pending", "none").is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct TopologyConfig {
    /// Invariant: every key is in the table and every value is what its kind allows.
    set: BTreeMap<String, String>,
}

impl TopologyConfig {
    /// Sets `key`, which replaces what was set before.
    ///
    /// # Errors
    /// The error says which keys or values there are.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let known = find(key).ok_or_else(|| ConfigError::UnknownKey {
            key: key.chars().take(128).collect(),
            hint: did_you_mean(key, KEYS.iter().map(|key| key.name)),
        })?;
        let value = value.trim();
        known.check(value).map_err(|why| ConfigError::InvalidValue {
            key: known.name,
            value: value.chars().take(128).collect(),
            why,
        })?;
        self.set.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    /// Makes the settings from names and values.
    ///
    /// ```
    /// let config = topology_api::TopologyConfig::from_pairs([("acking", "false")]).unwrap();
    /// assert!(!config.acking());
    /// ```
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, value) in pairs {
            config.set(key.as_ref(), value.as_ref())?;
        }
        Ok(config)
    }

    /// What was set, by name; settings left at their default are not in it.
    pub fn pairs(&self) -> BTreeMap<String, String> {
        self.set.clone()
    }

    /// Every setting with the value it has, set or default, in the order of the reference.
    pub fn effective(&self) -> impl Iterator<Item = (&'static ConfigKey, &str)> {
        KEYS.iter().map(|key| (key, self.text(key.name)))
    }

    /// Open tuple trees a spout task may have (`max_pending`).
    pub fn max_pending(&self) -> u32 {
        u32::try_from(self.count("max_pending")).expect("the table allows at most 2^20")
    }

    /// How long a tuple tree may stay open when nothing explains why (`message_timeout`).
    pub fn message_timeout(&self) -> Duration {
        self.time("message_timeout")
    }

    /// Whether tuple trees are tracked (`acking`).
    pub fn acking(&self) -> bool {
        self.text("acking") == "true"
    }

    /// Whether bolts that follow each other on one core are called directly (`fusion`).
    pub fn fusion(&self) -> bool {
        self.text("fusion") == "true"
    }

    /// Loops a worker runs (`worker.cores`); 0: as many as its share.
    pub fn worker_cores(&self) -> u32 {
        u32::try_from(self.count("worker.cores")).expect("the table allows at most 1024")
    }

    /// How long a call may take before it is reported as stuck (`stuck_after`).
    pub fn stuck_after(&self) -> Duration {
        self.time("stuck_after")
    }

    /// How long a call may take before its worker is replaced (`kill_after`); `None`: for ever.
    pub fn kill_after(&self) -> Option<Duration> {
        Some(self.time("kill_after")).filter(|limit| !limit.is_zero())
    }

    /// Bytes the runtime of one worker may hold (`worker.memory`).
    pub fn worker_memory(&self) -> u64 {
        self.size("worker.memory")
    }

    /// Bytes of the largest encoded tuple (`tuple.max_bytes`).
    pub fn tuple_max_bytes(&self) -> u64 {
        self.size("tuple.max_bytes")
    }

    /// Bytes that one call of a component may emit (`output.budget`).
    pub fn output_budget(&self) -> u64 {
        self.size("output.budget")
    }

    /// Bytes of dead letters that one supervisor keeps (`dead_letters.max_bytes`).
    pub fn dead_letters_max_bytes(&self) -> u64 {
        self.size("dead_letters.max_bytes")
    }

    fn text(&self, key: &'static str) -> &str {
        let default = || find(key).expect("getters name keys of the table").default;
        self.set.get(key).map_or_else(default, String::as_str)
    }

    fn count(&self, key: &'static str) -> u64 {
        self.text(key).parse().expect("`set` takes nothing but numbers for a count")
    }

    fn time(&self, key: &'static str) -> Duration {
        parse_duration(self.text(key)).expect("`set` takes nothing but durations for a time")
    }

    fn size(&self, key: &'static str) -> u64 {
        parse_size(self.text(key)).expect("`set` takes nothing but sizes for a size")
    }
}

impl TryFrom<BTreeMap<String, String>> for TopologyConfig {
    type Error = ConfigError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        Self::from_pairs(pairs)
    }
}

impl From<TopologyConfig> for BTreeMap<String, String> {
    fn from(config: TopologyConfig) -> Self {
        config.set
    }
}

fn find(name: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.name == name)
}

impl ConfigKey {
    /// Says what is wrong with `value`, and what is allowed.
    fn check(&self, value: &str) -> Result<(), String> {
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
        };
        if inside { Ok(()) } else { Err(format!("it is outside of {range}")) }
    }
}

#[cfg(test)]
mod tests;
