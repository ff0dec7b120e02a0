//! The client: the only module that names its crate.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, Url};

use super::verdict::{self, SHOWN_MAX, Verdict};
use super::{Http, Request};
use crate::WrongOption;

/// Most bytes of an answer that are read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What goes out: all of it is known, and the same in each try.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Sends requests; connections are kept.
#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::Client,
    method: Method,
    base: Url,
    hosts: Vec<String>,
    headers: HeaderMap,
    key_header: Option<HeaderName>,
}

/// Looks whether requests can go to an address.
pub(super) fn check_address(address: &str) -> Result<(), WrongOption> {
    let fix = "write `http://host/path` or `https://host/path`";
    let wrong = |why: &str| {
        // It may have a password in it.
        let shown = if address.contains('@') { ".." } else { address };
        WrongOption::new("address", shown, why, fix)
    };
    let url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it is no URL of HTTP"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it has a password; that belongs into `secret_header`"));
    }
    Ok(())
}

/// Looks whether a header can be sent.
pub(super) fn check_header(
    option: &'static str,
    name: &str,
    value: &str,
) -> Result<(), WrongOption> {
    let fix = "write a name of letters, digits and dashes, and a value of one line";
    HeaderName::try_from(name)
        .map_err(|error| WrongOption::new(option, name, error.to_string(), fix))?;
    let value = HeaderValue::try_from(value);
    value.map_err(|error| WrongOption::new(option, name, error.to_string(), fix))?;
    Ok(())
}

impl Client {
    /// Makes one by options that were checked.
    pub(super) fn new(http: &Http) -> Result<Self, WrongOption> {
        let broken = |error: &dyn std::fmt::Display| {
            WrongOption::new("address", &http.address, error.to_string(), "name another")
        };
        let tls = (*http.tls.client("tls")?).clone();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(http.connect_timeout)
            .timeout(http.timeout)
            .build()
            .map_err(|error| broken(&error))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &http.headers {
            add(&mut headers, name, value).map_err(|error| broken(&error))?;
        }
        let key_header = http.key_header.as_deref().map(HeaderName::try_from);
        Ok(Self {
            client,
            method: Method::try_from(http.method.as_str()).map_err(|error| broken(&error))?,
            base: Url::parse(&http.address).map_err(|error| broken(&error))?,
            hosts: http.hosts.clone(),
            headers,
            key_header: key_header.transpose().map_err(|error| broken(&error))?,
        })
    }

    /// What goes out for a request, with this body and key.
    pub(super) fn outgoing(
        &self,
        request: &Request,
        body: Vec<u8>,
        key: &str,
    ) -> Result<Outgoing, String> {
        let url = match &request.url {
            Some(url) => allowed(&self.base, &self.hosts, url)?,
            None => below(&self.base, &request.path)?,
        };
        let mut headers = self.headers.clone();
        if !request.content_type.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(request.content_type));
        }
        for (name, value) in &request.headers {
            add(&mut headers, name, value)?;
        }
        if let Some(name) = &self.key_header {
            let key =
                HeaderValue::try_from(key).map_err(|error| format!("key `{key}`: {error}"))?;
            headers.insert(name.clone(), key);
        }
        Ok(Outgoing { url, headers, body })
    }

    /// Tries once; an error is that there was no answer.
    pub(super) async fn send(
        &self,
        outgoing: &Outgoing,
        secrets: &[(String, String)],
    ) -> Result<Verdict, String> {
        let mut headers = outgoing.headers.clone();
        for (name, value) in secrets {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            // Of the value nothing is repeated.
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                format!("option `secret_header` is wrong: the secret of `{name}` is not one line")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let request = self.client.request(self.method.clone(), outgoing.url.clone());
        let sent = request.headers(headers).body(outgoing.body.clone()).send().await;
        let mut answer = sent.map_err(|error| self.told(&error))?;
        let status = answer.status().as_u16();
        let after =
            answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()).map(str::to_owned);
        let (mut start, mut read) = (Vec::new(), 0);
        while read < ANSWER_BYTES_MAX {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    read += chunk.len();
                    let room = (4 * SHOWN_MAX).saturating_sub(start.len());
                    start.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => break,
                // The status has said what there is to say.
                Err(_) if status >= 300 => break,
                Err(error) => return Err(self.told(&error)),
            }
        }
        Ok(verdict::of_answer(status, after.as_deref(), &start))
    }

    /// Why there was no answer, down to the last cause.
    fn told(&self, error: &reqwest::Error) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port_or_known_default().unwrap_or_default();
        let mut cause: &dyn std::error::Error = error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        let what = if error.is_timeout() { "no answer within `timeout`" } else { "no answer" };
        format!("http server at {host}:{port}: {what}: {cause}")
    }
}

/// A new key, for a request that has none of its own.
pub(super) fn new_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The longest wait of those that are wanted.
pub(super) fn longer(usual: Duration, asked: Option<Duration>, most: Duration) -> Duration {
    usual.max(asked.unwrap_or_default().min(most))
}

fn add(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("header `{name}`: {error}");
    let known = HeaderName::try_from(name).map_err(|error| wrong(&error))?;
    headers.append(known, HeaderValue::try_from(value).map_err(|error| wrong(&error))?);
    Ok(())
}

/// The address with more path, which stays below it.
fn below(base: &Url, path: &str) -> Result<Url, String> {
    if path.is_empty() {
        return Ok(base.clone());
    }
    let wrong = |why: &str| format!("the path `{path}` is refused: {why}");
    let mut folder = base.clone();
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", base.path()));
    }
    // Before it is a path, it could be a URL of its own.
    let path = path.trim_start_matches('/');
    let joined = folder.join(&format!("./{path}")).map_err(|error| wrong(&error.to_string()))?;
    let is_below = joined.origin() == base.origin() && joined.path().starts_with(folder.path());
    if is_below { Ok(joined) } else { Err(wrong("it leads out of the address")) }
}

/// A URL of a tuple's own, if its host is listed.
fn allowed(base: &Url, hosts: &[String], url: &str) -> Result<Url, String> {
    let wrong = |why: &str| format!("the URL of the tuple is refused: {why}");
    let parsed = Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    let host = parsed.host_str().unwrap_or_default();
    let port = parsed.port_or_known_default().unwrap_or_default();
    let with_port = format!("{host}:{port}");
    let usual = matches!((parsed.scheme(), port), ("http", 80) | ("https", 443));
    let is_listed = hosts.iter().any(|it| *it == with_port || (usual && it == host));
    if !is_listed && parsed.origin() != base.origin() {
        return Err(wrong(&format!("option `hosts` does not list `{with_port}`")));
    }
    if !["http", "https"].contains(&parsed.scheme())
        || (base.scheme() == "https" && parsed.scheme() == "http")
    {
        return Err(wrong("it is not of HTTP, or without TLS although the address has that"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong("it has a password"));
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_path_stays_below_its_address() {
        let base = url("https://example.org/in");
        let path = |path: &str| below(&base, path).map(|it| it.to_string());
        assert_eq!(path("").unwrap(), "https://example.org/in");
        assert_eq!(path("users/7?a=b").unwrap(), "https://example.org/in/users/7?a=b");
        assert_eq!(path("/users/7").unwrap(), "https://example.org/in/users/7");
        assert_eq!(path("//evil.org/x").unwrap(), "https://example.org/in/evil.org/x");
        assert_eq!(path("http://evil.org/").unwrap(), "https://example.org/in/http://evil.org/");
        for wrong in ["../out", "a/../../out", "%2e%2e/out", "..\\out"] {
            assert!(path(wrong).is_err(), "{wrong}: {:?}", path(wrong));
        }
    }

    #[test]
    fn a_url_of_a_tuple_goes_only_to_hosts_that_are_listed() {
        let base = url("https://example.org/in");
        let hosts = ["other.org".to_owned(), "more.org:8443".to_owned()];
        let may = |url: &str| allowed(&base, &hosts, url).is_ok();
        for right in ["https://example.org/x", "https://other.org/x", "https://more.org:8443/"] {
            assert!(may(right), "{right}");
        }
        let wrong = [
            "https://evil.org/",
            "https://other.org:8443/",
            "https://more.org/",
            "http://other.org/",
            "https://other.org.evil.org/",
            "https://a:b@other.org/",
            "file:///etc/passwd",
            "other.org",
            "https://other.org@evil.org/",
            "http://169.254.169.254/",
        ];
        for wrong in wrong {
            assert!(!may(wrong), "{wrong}");
        }
    }
}
