//! Which streams to read, and as whom.

use std::time::Duration;

use topology_api::format_duration;

use crate::WrongOption;

/// Which streams to read, and as which group.
///
/// ```
/// use std::time::Duration;
/// use connectors::redis::StreamOptions;
///
/// let options = StreamOptions::new(["orders", "returns"], "squall")
///     .from_now()
///     .claim_after(Duration::from_secs(300));
/// assert!(options.check().is_ok());
/// assert_eq!(StreamOptions::new(["orders"], "").check().unwrap_err().option(), "group");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    pub(super) streams: Vec<String>,
    pub(super) group: String,
    pub(super) from_now: bool,
    pub(super) claim_after: Duration,
    pub(super) read: usize,
}

impl StreamOptions {
    /// Reads these streams as this group, which is made if there is none, and so are the streams.
    #[must_use]
    pub fn new<I>(streams: I, group: impl Into<String>) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            streams: streams.into_iter().map(Into::into).collect(),
            group: group.into(),
            from_now: false,
            claim_after: Duration::from_secs(120),
            read: 512,
        }
    }

    /// A group that is made begins with entries added from then on. Default: with the first there is.
    #[must_use]
    pub fn from_now(mut self) -> Self {
        self.from_now = true;
        self
    }

    /// Takes over what another consumer was given and has not acked for so long: it is dead, or it failed.
    /// More than `message_timeout`, or the living are robbed. Default 120 s.
    #[must_use]
    pub fn claim_after(mut self, time: Duration) -> Self {
        self.claim_after = time;
        self
    }

    /// Most entries that are read at once, and that wait to be emitted. Default 512.
    #[must_use]
    pub fn read(mut self, entries: usize) -> Self {
        self.read = entries;
        self
    }

    /// Looks whether the options make sense.
    ///
    /// # Errors
    ///
    /// The first one that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        if self.streams.is_empty() || self.streams.iter().any(String::is_empty) {
            let (why, fix) = ("a stream has no name", "name the keys of one or more streams");
            return Err(WrongOption::new("streams", format!("{:?}", self.streams), why, fix));
        }
        let mut sorted = self.streams.clone();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let (why, fix) = ("it is named twice", "name each stream once");
            return Err(WrongOption::new("streams", &twice[0], why, fix));
        }
        if self.group.is_empty() {
            let (why, fix) = ("the group has no name", "name the group to read as");
            return Err(WrongOption::new("group", "", why, fix));
        }
        if self.claim_after.is_zero() {
            let (why, fix) = ("the living would be robbed", "for example 120 s");
            return Err(WrongOption::new("claim_after", "0", why, fix));
        }
        if self.read == 0 {
            return Err(WrongOption::new("read", 0, "nothing would be read", "allow at least 1"));
        }
        Ok(())
    }

    /// Looks whether what is being worked on is left alone.
    pub(super) fn check_against(&self, message_timeout: Duration) -> Result<(), WrongOption> {
        if self.claim_after > message_timeout {
            return Ok(());
        }
        let why = format!(
            "tuples may be worked on for longer, `message_timeout` is {}",
            format_duration(message_timeout)
        );
        let fix = "make it longer than `message_timeout`, for example twice as long";
        Err(WrongOption::new("claim_after", format_duration(self.claim_after), why, fix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_is_wrong_is_told_by_its_name() {
        let of = |streams: &[&str]| StreamOptions::new(streams.iter().copied(), "group");
        assert!(of(&["a", "b"]).check().is_ok());
        let wrong = [
            (of(&[]), "streams"),
            (of(&["a", ""]), "streams"),
            (of(&["a", "b", "a"]), "streams"),
            (StreamOptions::new(["a"], ""), "group"),
            (of(&["a"]).claim_after(Duration::ZERO), "claim_after"),
            (of(&["a"]).read(0), "read"),
        ];
        for (options, option) in wrong {
            assert_eq!(options.check().unwrap_err().option(), option, "{options:?}");
        }
        let second = Duration::from_secs(1);
        let robber = of(&["a"]).claim_after(second).check_against(second * 30).unwrap_err();
        assert_eq!(robber.option(), "claim_after");
        assert!(of(&["a"]).check_against(second * 30).is_ok());
    }
}
