//! Who may ask: what keeps pages of other sites from reading and changing things in the name of
//! whoever looks at them.
//!
//! * **Host allow-list.** A page of another site may let its name point here (DNS rebinding): the
//!   browser then takes us for that site. So a request for a name that this nimbus is not known by
//!   is refused. Addresses are let in, for there is no name to point elsewhere; and with TLS every
//!   name is, for the certificate names whom the browser may trust.
//! * **Same origin.** A change is refused that a page of another site sends, by `Origin` and
//!   `Sec-Fetch-Site` (W3C Fetch Metadata, 2021), and one without the type of JSON, which a form
//!   cannot send. There is no CORS.
//! * **Certificates.** Where everybody may read (`http_open_read`), who shows no certificate changes
//!   nothing.
//! * **Headers.** Nothing but our own files runs or is framed in what we serve.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use daemon::listen::Security;

use super::problem::{Code, Problem};
use crate::status::Connections;

/// What everything that is served says to the browser.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         object-src 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("squall-schema-version", "1"),
];

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// It showed a certificate, or none is wanted.
    identified: bool,
}

impl Connected<IncomingStream<'_, Connections>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        Self { identified: stream.io().is_identified() }
    }
}

/// By what this nimbus is known.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Names, in lower case.
    hosts: Arc<[String]>,
    /// `http` or `https`.
    scheme: &'static str,
}

impl Guard {
    /// A nimbus that listens in this way and is known by these names.
    pub(crate) fn new(security: &Security, hosts: &[String]) -> Self {
        let hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { hosts, scheme: security.scheme() }
    }

    /// Lets a request in, or says why not.
    fn check(&self, request: (&Method, &HeaderMap), peer: Peer) -> Result<(), Problem> {
        let (method, headers) = request;
        for host in headers.get_all(header::HOST) {
            let host = host.to_str().unwrap_or("\u{fffd}");
            if !self.is_known(name_of(host)) {
                let shown: String = name_of(host).chars().take(128).collect();
                let why = format!("this nimbus is not known by the name `{shown}`");
                let fix =
                    "use its address, or start it with that name as --advertise or --http-host";
                return Err(refused(&why, fix));
            }
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        if !self.is_of_here(headers) {
            let why = "a page of another site sent it";
            return Err(refused(why, "use the dashboard of this nimbus, `squall`, or curl"));
        }
        if !peer.identified {
            let why = "who shows no certificate may only read";
            return Err(refused(why, "show a certificate that this cluster trusts"));
        }
        Ok(())
    }

    fn is_known(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_address = || {
            let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            bare.unwrap_or(&name).parse::<IpAddr>().is_ok()
        };
        self.scheme == "https"
            || name == "localhost"
            || name.ends_with(".localhost")
            || is_address()
            || self.hosts.contains(&name)
    }

    /// Whether no page of another site can have sent this.
    fn is_of_here(&self, headers: &HeaderMap) -> bool {
        let text =
            |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
        let site = text("sec-fetch-site");
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return false;
        }
        let Some(origin) = text("origin") else { return true };
        let here = text("host").map(|host| format!("{}://{host}", self.scheme));
        here.is_some_and(|here| origin.eq_ignore_ascii_case(&here))
    }
}

/// The name in `name:port`.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn refused(why: &str, fix: &str) -> Problem {
    Problem::new(Code::Forbidden, "this request is refused", why, fix)
}

/// Stands before everything that is served.
pub(crate) async fn guard(
    State(guard): State<Guard>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = guard.check((request.method(), request.headers()), peer);
    let is_data = request.uri().path().starts_with("/api/");
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_data {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // One request a connection: an idle one would stay open for as long as it likes.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEBODY: Peer = Peer { identified: true };

    fn asks(method: &Method, headers: &[(&'static str, &str)]) -> bool {
        asks_of(&Security::Insecure, method, headers, SOMEBODY)
    }

    fn asks_of(
        security: &Security,
        method: &Method,
        headers: &[(&'static str, &str)],
        peer: Peer,
    ) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        Guard::new(security, &["Node1.example".to_owned()]).check((method, &map), peer).is_ok()
    }

    #[test]
    fn only_names_that_nobody_else_can_point_here_are_let_in() {
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "10.1.2.3",
            "localhost:1",
            "nimbus.localhost",
            "node1.EXAMPLE:8080",
            "node1.example.",
        ] {
            assert!(asks(&Method::GET, &[("host", host)]), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "", "a:b:c", "é"]
        {
            assert!(!asks(&Method::GET, &[("host", host)]), "{host}");
        }
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert!(!asks(&Method::GET, &two), "each of two");
    }

    #[test]
    fn a_change_is_refused_that_a_page_of_another_site_may_have_sent() {
        let host = ("host", "localhost:8080");
        let post =
            |headers: &[(&'static str, &str)]| asks(&Method::POST, &[&[host], headers].concat());
        assert!(post(&[]), "curl says nothing");
        assert!(post(&[("origin", "http://localhost:8080"), ("sec-fetch-site", "same-origin")]));
        assert!(post(&[("sec-fetch-site", "none")]));
        for origin in [
            "http://localhost",
            "https://localhost:8080",
            "http://evil.example",
            "null",
            "http://localhost:8080.evil.example",
        ] {
            assert!(!post(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "nonsense"] {
            assert!(!post(&[("sec-fetch-site", site)]), "{site}");
            let headers = [host, ("sec-fetch-site", site)];
            assert!(asks(&Method::GET, &headers), "what is read cannot be seen by them: {site}");
        }
        let stranger = Peer { identified: false };
        let of = |method| asks_of(&Security::Insecure, method, &[host], stranger);
        assert!(of(&Method::GET) && !of(&Method::POST) && !of(&Method::DELETE));
    }
}
