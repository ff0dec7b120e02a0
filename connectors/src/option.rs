//! A wrong option: what it is called, what was given, why that is wrong, and what to write instead.

use topology_api::BuildError;

/// Says which option of a connector is wrong.
///
/// ```
/// use connectors::WrongOption;
///
/// let wrong = WrongOption::new("brokers", "localhost", "it has no port", "write `host:port`");
/// assert_eq!(wrong.option(), "brokers");
/// assert_eq!(
///     wrong.to_string(),
///     "option `brokers` is wrong: `localhost`: it has no port; write `host:port`"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("option `{option}` is wrong: `{value}`: {why}; {fix}")]
pub struct WrongOption {
    option: &'static str,
    value: String,
    why: String,
    fix: String,
}

/// Most characters of a value that are repeated in an error.
const SHOWN_MAX: usize = 200;

impl WrongOption {
    /// Says that `option` has this value, why that is wrong, and what to do. Not for values of secrets.
    #[must_use]
    pub fn new(
        option: &'static str,
        value: impl ToString,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let value = value.to_string().chars().take(SHOWN_MAX).collect();
        Self { option, value, why: why.into(), fix: fix.into() }
    }

    /// What the option is called.
    #[must_use]
    pub fn option(&self) -> &'static str {
        self.option
    }
}

impl From<WrongOption> for BuildError {
    /// So that the function that builds a topology passes it on with `?`.
    fn from(wrong: WrongOption) -> Self {
        Self::new("", wrong.to_string())
    }
}

/// Takes `host:port` apart; else says what is wrong with it.
#[cfg(any(feature = "kafka", feature = "redis", feature = "relay"))]
pub(crate) fn host_port(address: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = address.rsplit_once(':').ok_or("it has no port")?;
    if host.is_empty() {
        return Err("it has no host");
    }
    let port = port.parse().ok().filter(|port| *port > 0);
    Ok((host, port.ok_or("its port is no number from 1 to 65535")?))
}

/// Looks whether times that have to pass are any.
#[cfg(any(feature = "files", feature = "http", feature = "push", feature = "redis"))]
pub(crate) fn check_times(
    times: &[(&'static str, std::time::Duration)],
) -> Result<(), WrongOption> {
    match times.iter().find(|(_, time)| time.is_zero()) {
        None => Ok(()),
        Some((option, _)) => {
            Err(WrongOption::new(option, "0 s", "it is no time at all", "for example 5 s"))
        }
    }
}
