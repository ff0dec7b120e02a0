//! The settings of a topology: every knob, its unit, its default and what it is for.
//!
//! A setting is text, as it is in the store, on the command line and in the status; it is checked
//! when it is set, so the getters cannot fail. One table, [`config_keys`], is the reference: the
//! command line prints it and an unknown key is compared with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::did_you_mean;
use crate::units::{parse_duration, parse_size};

mod keys;

pub use keys::{ConfigKey, ConfigKind, config_keys};
use keys::{KEYS, NONE, find, parse_cores};

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

    /// Bytes the runtime of one worker may hold: `worker.memory`, and no more than half of
    /// `worker.memory.limit`, so that its queues alone do not end the worker.
    pub fn worker_memory(&self) -> u64 {
        let half = self.worker_memory_limit().map_or(u64::MAX, |limit| limit / 2);
        self.size("worker.memory").min(half)
    }

    /// Bytes that a whole worker may use (`worker.memory.limit`); `None`: what the machine has.
    pub fn worker_memory_limit(&self) -> Option<u64> {
        self.size_limit("worker.memory.limit")
    }

    /// Thousandths of a core that a worker may use (`worker.cpu.limit`); `None`: what is free.
    pub fn worker_cpu_limit(&self) -> Option<u32> {
        let text = Some(self.text("worker.cpu.limit")).filter(|text| *text != NONE)?;
        Some(parse_cores(text).expect("`set` takes nothing but cores for a limit of cores"))
    }

    /// Bytes a second that a worker may log in the long run (`worker.log.rate`); `None`: all.
    pub fn worker_log_rate(&self) -> Option<u64> {
        self.size_limit("worker.log.rate")
    }

    /// Whether a worker logs JSON objects (`worker.log.json`).
    pub fn worker_log_json(&self) -> bool {
        self.text("worker.log.json") == "true"
    }

    /// Where each worker serves metrics of its own (`worker.metrics.listen`): `IP:PORT` or
    /// `IP:FIRST-LAST`; `None`: nowhere.
    pub fn worker_metrics_listen(&self) -> Option<&str> {
        Some(self.text("worker.metrics.listen")).filter(|text| *text != NONE)
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

    fn size_limit(&self, key: &'static str) -> Option<u64> {
        (self.text(key) != NONE).then(|| self.size(key))
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

#[cfg(test)]
mod tests;
