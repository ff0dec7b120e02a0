//! How to reach the brokers: addresses, TLS, SASL, and how long to wait for an answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::option::host_port;
use crate::{Secret, WrongOption};

/// Longest a request may be allowed to take.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);

/// How to reach the brokers of a Kafka cluster.
///
/// ```
/// use connectors::kafka::{Brokers, Scram};
///
/// let plain = Brokers::new("127.0.0.1:9092");
/// assert!(plain.check().is_ok());
/// let secret = "env:KAFKA_PASSWORD".parse().unwrap();
/// let safe = Brokers::new("kafka-1:9093,kafka-2:9093")
///     .tls()
///     .trust("/etc/kafka/ca.pem")
///     .scram(Scram::Sha512, "orders", secret);
/// assert!(safe.check().is_ok());
/// assert_eq!(Brokers::new("localhost").check().unwrap_err().option(), "brokers");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brokers {
    pub(super) addresses: String,
    pub(super) tls: bool,
    pub(super) trust: Option<PathBuf>,
    pub(super) scram: Option<(Scram, String, Secret)>,
    pub(super) timeout: Duration,
}

/// Which hash SASL SCRAM is made with.
///
/// ```
/// assert_ne!(connectors::kafka::Scram::Sha256, connectors::kafka::Scram::Sha512);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scram {
    /// `SCRAM-SHA-256`.
    Sha256,
    /// `SCRAM-SHA-512`.
    Sha512,
}

impl Brokers {
    /// Those at `host:port`, several with commas between them; the client finds the others by these.
    #[must_use]
    pub fn new(addresses: impl Into<String>) -> Self {
        let timeout = Duration::from_secs(10);
        Self { addresses: addresses.into(), tls: false, trust: None, scram: None, timeout }
    }

    /// Speaks TLS, and trusts the usual authorities.
    #[must_use]
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Trusts the certificates of this PEM file instead, on each machine with a task.
    #[must_use]
    pub fn trust(self, certificates: impl AsRef<Path>) -> Self {
        Self { trust: Some(certificates.as_ref().to_owned()), ..self }
    }

    /// Says who it is by SASL SCRAM. The password is read when a task connects.
    #[must_use]
    pub fn scram(self, hash: Scram, user: impl Into<String>, password: Secret) -> Self {
        Self { scram: Some((hash, user.into(), password)), ..self }
    }

    /// Waits so long for an answer; 10 s unless this says otherwise.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Looks whether all of it makes sense, without asking anybody.
    ///
    /// # Errors
    ///
    /// An address without a host or port, a file of certificates without TLS, no user, a timeout below
    /// one second or above ten minutes.
    pub fn check(&self) -> Result<(), WrongOption> {
        let wrong = |why: &str| {
            let fix = "write `host:port`, several with commas between them";
            Err(WrongOption::new("brokers", &self.addresses, why, fix))
        };
        for address in self.addresses.split(',') {
            if let Err(why) = host_port(address.trim()) {
                return wrong(why);
            }
        }
        if let Some(path) = self.trust.as_ref().filter(|_| !self.tls) {
            let why = "certificates are trusted and TLS is not spoken";
            return Err(WrongOption::new(
                "trust",
                path.display(),
                why,
                "add `.tls()`, or leave it out",
            ));
        }
        if let Some((_, user, _)) = self.scram.as_ref().filter(|(_, user, _)| user.is_empty()) {
            return Err(WrongOption::new("scram", user, "the user has no name", "name the user"));
        }
        if self.timeout < Duration::from_secs(1) || self.timeout > TIMEOUT_MAX {
            let value = format!("{:?}", self.timeout);
            let why = "it is below one second or above ten minutes";
            return Err(WrongOption::new("timeout", value, why, "for example 10 s"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(brokers: &Brokers) -> &'static str {
        brokers.check().unwrap_err().option()
    }

    #[test]
    fn each_wrong_option_is_told_by_its_name() {
        for addresses in ["", "localhost", ":9092", "a:9092,,b:9092", "a:x", "a:0", "a:70000"] {
            assert_eq!(option(&Brokers::new(addresses)), "brokers", "{addresses:?}");
        }
        let good = Brokers::new("a:9092");
        assert_eq!(option(&good.clone().trust("ca.pem")), "trust");
        let secret: Secret = "env:PASSWORD".parse().unwrap();
        assert_eq!(option(&good.clone().scram(Scram::Sha256, "", secret)), "scram");
        assert_eq!(option(&good.clone().timeout(Duration::ZERO)), "timeout");
        assert_eq!(option(&good.timeout(Duration::from_secs(3_600))), "timeout");
    }
}
