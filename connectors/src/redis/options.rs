//! Where a Redis server is, and how to talk to it.

use std::time::Duration;

use crate::batches::BatchLimits;
use crate::option::{check_times, host_port};
use crate::{Retry, Secret, Tls, WrongOption};

/// Most jobs of a batch.
const BATCH: usize = 1_024;

/// Most bytes of a batch.
const BATCH_BYTES: usize = 1 << 20;

/// A server, and how to talk to it.
///
/// ```
/// use std::time::Duration;
/// use connectors::{Secret, Tls};
/// use connectors::redis::Redis;
///
/// let redis = Redis::at("redis.example.org:6379")
///     .password(Secret::Env("REDIS_PASSWORD".to_owned()))
///     .database(3)
///     .tls(Tls::system())
///     .response_timeout(Duration::from_secs(5));
/// assert!(redis.check().is_ok());
/// assert_eq!(Redis::at("localhost").check().unwrap_err().option(), "address");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    pub(super) address: String,
    pub(super) tls: Option<Tls>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) retry: Retry,
    pub(super) batch: usize,
    pub(super) batch_bytes: usize,
}

impl Redis {
    /// A server at `host:port`, without TLS and password.
    #[must_use]
    pub fn at(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: None,
            username: None,
            password: None,
            database: 0,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(10),
            retry: Retry::default(),
            batch: BATCH,
            batch_bytes: BATCH_BYTES,
        }
    }

    /// Talks TLS. Default: not.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The user of the password, as Redis 6 and later have them. Default: the server's `default`.
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.username = Some(name.into());
        self
    }

    /// Where the password is. Default: none is sent.
    #[must_use]
    pub fn password(mut self, secret: Secret) -> Self {
        self.password = Some(secret);
        self
    }

    /// The number of the database. Default 0.
    #[must_use]
    pub fn database(mut self, number: u32) -> Self {
        self.database = number;
        self
    }

    /// How long it may take to connect, TLS and password included. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may take to answer before the connection is taken for dead. Default 10 s.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout;
        self
    }

    /// How often and with which waits to try again while the server is away. Default: from 100 ms to
    /// 10 s, without end.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Most tuples whose commands travel together. Default 1024.
    #[must_use]
    pub fn batch(mut self, tuples: usize) -> Self {
        self.batch = tuples;
        self
    }

    /// Most bytes of commands that travel together; a tuple alone may have more. Default 1 MiB.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// Looks whether the options make sense, without asking the server.
    ///
    /// # Errors
    ///
    /// The first one that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        let address = |why: &str| {
            // It may be a URL with a password in it.
            let shown = if self.address.contains('@') { ".." } else { &self.address };
            Err(WrongOption::new(
                "address",
                shown,
                why,
                "write `host:port`, for example `localhost:6379`",
            ))
        };
        if self.address.contains("://") || self.address.contains('@') {
            return address("it is a URL; password, database and TLS are options of their own");
        }
        if let Err(why) = host_port(&self.address) {
            return address(why);
        }
        if self.username.is_some() && self.password.is_none() {
            let name = self.username.as_deref().unwrap_or_default();
            let (why, fix) = ("a user without a password", "set `password` too");
            return Err(WrongOption::new("username", name, why, fix));
        }
        check_times(&[
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ])?;
        for (option, most) in [("batch", self.batch), ("batch_bytes", self.batch_bytes)] {
            if most == 0 {
                return Err(WrongOption::new(option, most, "nothing fits", "allow at least 1"));
            }
        }
        self.retry.check("retry")?;
        self.tls.as_ref().map_or(Ok(()), |tls| tls.check("tls"))
    }

    pub(super) fn limits(&self) -> BatchLimits {
        BatchLimits { jobs: self.batch, bytes: self.batch_bytes }
    }

    /// The name of the host, for its certificate.
    pub(super) fn host(&self) -> &str {
        let host = host_port(&self.address).map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_is_wrong_is_told_by_its_name() {
        let at = || Redis::at("localhost:6379");
        assert!(at().check().is_ok());
        let wrong = [
            (Redis::at("localhost"), "address"),
            (Redis::at(":6379"), "address"),
            (Redis::at("localhost:0"), "address"),
            (Redis::at("localhost:redis"), "address"),
            (Redis::at("redis://localhost:6379"), "address"),
            (at().username("ann"), "username"),
            (at().connect_timeout(Duration::ZERO), "connect_timeout"),
            (at().response_timeout(Duration::ZERO), "response_timeout"),
            (at().batch(0), "batch"),
            (at().batch_bytes(0), "batch_bytes"),
            (at().retry(Retry::default().attempts(0)), "retry"),
            (at().tls(Tls::authority("/no/such/file")), "tls"),
        ];
        for (redis, option) in wrong {
            assert_eq!(redis.check().unwrap_err().option(), option, "{redis:?}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_repeated() {
        let told = Redis::at("redis://:hunter2@localhost:6379").check().unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}
