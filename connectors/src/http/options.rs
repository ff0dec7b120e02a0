//! Where requests go, and how.

use std::time::Duration;

use super::client;
use crate::option::check_times;
use crate::{Retry, Secret, Tls, WrongOption};

/// The methods that a request may have.
const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "GET"];

/// Where requests go, and how.
///
/// All of them go below one address. A tuple may add to its path; another host it may only name if
/// [`hosts`](Self::hosts) lists that.
///
/// ```
/// use connectors::Secret;
/// use connectors::http::Http;
///
/// let hook = Http::to("https://hooks.example.org/in")
///     .method("PUT")
///     .header("X-From", "squall")
///     .secret_header("Authorization", Secret::Env("HOOK_TOKEN".to_owned()))
///     .batch(100);
/// assert!(hook.check().is_ok());
/// assert_eq!(Http::to("hooks.example.org").check().unwrap_err().option(), "address");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub(super) address: String,
    pub(super) hosts: Vec<String>,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) secret_headers: Vec<(String, Secret)>,
    pub(super) key_header: Option<String>,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) retry_after_max: Duration,
    pub(super) concurrency: u32,
    pub(super) batch: usize,
    pub(super) batch_bytes: usize,
}

impl Http {
    /// Requests to this address, `http://` or `https://`.
    #[must_use]
    pub fn to(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            hosts: Vec::new(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            key_header: Some("Idempotency-Key".to_owned()),
            tls: Tls::system(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            retry_after_max: Duration::from_secs(60),
            concurrency: 64,
            batch: 1,
            batch_bytes: 1 << 20,
        }
    }

    /// More hosts, as `host` or `host:port`, that a tuple may name in a URL of its own. Default: none.
    #[must_use]
    pub fn hosts<I: IntoIterator<Item: Into<String>>>(mut self, hosts: I) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// `POST`, `PUT`, `PATCH`, `DELETE` or `GET`. Default `POST`.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.method = method.into();
        self
    }

    /// Adds a header to each request. Default: none but those of the body.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header whose value is a secret, such as `Authorization`. It is read again when the server
    /// answers 401 or 403.
    #[must_use]
    pub fn secret_header(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secret_headers.push((name.into(), value));
        self
    }

    /// The header that has the key by which a server knows a request again; with `None` there is none.
    /// Default `Idempotency-Key`.
    #[must_use]
    pub fn key_header(mut self, name: Option<&str>) -> Self {
        self.key_header = name.map(str::to_owned);
        self
    }

    /// How to know a server that talks TLS. Default: as the system does.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// How long it may take to connect. Default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one try may take, to the end of the answer. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often and with which waits to try again. Default: from 100 ms to 10 s, without end; the
    /// deadline of the bolt's calls ends it all the same.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The longest wait that a server may ask for by `Retry-After`. Default 60 s.
    #[must_use]
    pub fn retry_after_max(mut self, wait: Duration) -> Self {
        self.retry_after_max = wait;
        self
    }

    /// How many tuples of a task are under way at most. Default 64, or four batches.
    #[must_use]
    pub fn concurrency(mut self, tuples: u32) -> Self {
        self.concurrency = tuples;
        self
    }

    /// Sends up to so many tuples in one request, as a JSON array of their bodies, which are JSON then.
    /// One request of a task is under way at a time. Default 1: each tuple by itself, and no array.
    #[must_use]
    pub fn batch(mut self, tuples: usize) -> Self {
        self.batch = tuples;
        self.concurrency =
            self.concurrency.max(u32::try_from(tuples).map_or(u32::MAX, |it| it.saturating_mul(4)));
        self
    }

    /// Most bytes of the bodies of one batch; one alone may have more. Default 1 MiB.
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
        client::check_address(&self.address)?;
        if !METHODS.contains(&self.method.as_str()) {
            let fix = format!("write one of {}", METHODS.join(", "));
            return Err(WrongOption::new("method", &self.method, "it is none of ours", fix));
        }
        let hosts =
            self.hosts.iter().find(|host| host.is_empty() || host.contains(['/', '@', ' ']));
        if let Some(host) = hosts {
            let fix = "write `host` or `host:port`";
            return Err(WrongOption::new("hosts", host, "it is no host", fix));
        }
        for (name, value) in &self.headers {
            client::check_header("header", name, value)?;
        }
        for (name, _) in &self.secret_headers {
            client::check_header("secret_header", name, "")?;
        }
        if let Some(name) = &self.key_header {
            client::check_header("key_header", name, "")?;
        }
        check_times(&[("connect_timeout", self.connect_timeout), ("timeout", self.timeout)])?;
        let concurrency = self.concurrency as usize;
        let numbers = [
            ("concurrency", concurrency),
            ("batch", self.batch),
            ("batch_bytes", self.batch_bytes),
        ];
        for (option, most) in numbers {
            if most == 0 {
                return Err(WrongOption::new(option, 0, "nothing fits", "allow at least 1"));
            }
        }
        if self.batch > 1 && self.method == "GET" {
            let fix = "use `POST`, or no batches";
            return Err(WrongOption::new("method", "GET", "it has no body for a batch", fix));
        }
        self.retry.check("retry")?;
        self.tls.check("tls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_is_wrong_is_told_by_its_name() {
        let to = || Http::to("http://localhost:8080/in");
        assert!(to().check().is_ok());
        let wrong = [
            (Http::to("localhost:8080"), "address"),
            (Http::to("ftp://localhost"), "address"),
            (Http::to("http://ann:hunter2@localhost"), "address"),
            (to().method("FETCH"), "method"),
            (to().method("GET").batch(2), "method"),
            (to().hosts(["a/b"]), "hosts"),
            (to().header("a b", "x"), "header"),
            (to().header("a", "x\ny"), "header"),
            (to().secret_header("", Secret::Env("X".to_owned())), "secret_header"),
            (to().key_header(Some("a:b")), "key_header"),
            (to().connect_timeout(Duration::ZERO), "connect_timeout"),
            (to().timeout(Duration::ZERO), "timeout"),
            (to().concurrency(0), "concurrency"),
            (to().batch(0), "batch"),
            (to().batch_bytes(0), "batch_bytes"),
            (to().retry(Retry::default().attempts(0)), "retry"),
            (to().tls(Tls::authority("/no/such/file")), "tls"),
        ];
        for (http, option) in wrong {
            let told = http.check().unwrap_err();
            assert_eq!(told.option(), option, "{http:?}");
            assert!(!told.to_string().contains("hunter2"), "{told}");
        }
    }
}
