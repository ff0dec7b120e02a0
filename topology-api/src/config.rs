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

    /// Bytes of the largest encoded tuple (`tuple.max_bytes`).
    pub fn tuple_max_bytes(&self) -> u64 {
        self.size("tuple.max_bytes")
    }

    /// Bytes that one call of a component may emit (`output.budget`).
    pub fn output_budget(&self) -> u64 {
        self.size("output.budget")
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
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_the_reference_says() {
        let config = TopologyConfig::default();
        assert_eq!((config.max_pending(), config.worker_cores()), (10_000, 0));
        let times = [config.message_timeout(), config.stuck_after(), config.kill_after().unwrap()];
        assert_eq!(times, [30, 30, 120].map(Duration::from_secs));
        assert!(config.acking() && config.fusion(), "both are on unless turned off");
        let sizes = [config.worker_memory(), config.tuple_max_bytes(), config.output_budget()];
        assert_eq!(sizes, [512 << 20, 16 << 20, 16 << 20]);
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let mut config = TopologyConfig::default();
        let refused = [
            ("max_pending", "0", "1 to 1048576"),
            ("max_pending", "1048577", "1 to 1048576"),
            ("message_timeout", "0s", "100ms to 1d"),
            ("message_timeout", "30", "no unit"),
            ("acking", "yes", "true or false"),
            ("tuple.max_bytes", "3TiB", "1KiB to 64MiB"),
            ("worker.memory.limit", "1KiB", "none, or 64MiB to 1024TiB"),
            ("worker.memory.limit", "much", "or none"),
            ("worker.cpu.limit", "0", "none, or 0.01 to 1024"),
            ("worker.cpu.limit", "1.5 cores", "such as 0.5 or 2"),
        ];
        for (key, value, part) in refused {
            let error = config.set(key, value).expect_err(value).to_string();
            assert!(error.contains(part), "{error:?} should say {part:?}");
        }
        assert_eq!(config, TopologyConfig::default(), "a refused value changes nothing");
    }

    #[test]
    fn a_limit_is_none_until_it_is_set_and_halves_what_the_runtime_may_hold() {
        let mut config = TopologyConfig::default();
        assert_eq!((config.worker_memory_limit(), config.worker_cpu_limit()), (None, None));
        assert_eq!(config.worker_log_rate(), Some(1 << 20));
        for (key, value) in [("worker.memory.limit", "256MiB"), ("worker.cpu.limit", "1.5")] {
            config.set(key, value).expect(key);
        }
        let limits = (config.worker_memory_limit(), config.worker_cpu_limit());
        assert_eq!(limits, (Some(256 << 20), Some(1_500)));
        assert_eq!(config.worker_memory(), 128 << 20, "half of what there is");
        config.set("worker.memory", "64MiB").expect("less is allowed");
        assert_eq!(config.worker_memory(), 64 << 20, "less was asked for");
        config.set("worker.log.rate", "none").expect("a limit need not be");
        assert_eq!(config.worker_log_rate(), None);
    }

    #[test]
    fn it_travels_as_a_map_and_is_checked_on_arrival() {
        let config = TopologyConfig::from_pairs([("max_pending", "7")]).expect("7 is allowed");
        let json = serde_json::to_string(&config).expect("a map is JSON");
        assert_eq!(json, r#"{"max_pending":"7"}"#);
        assert_eq!(serde_json::from_str::<TopologyConfig>(&json).expect("it reads back"), config);
        let error = serde_json::from_str::<TopologyConfig>(r#"{"ackin":"true"}"#).unwrap_err();
        assert!(error.to_string().contains("did you mean `acking`?"), "{error}");
    }
}
