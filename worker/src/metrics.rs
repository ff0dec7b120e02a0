//! A worker's own metrics over HTTP, if its topology asks for them (`worker.metrics.listen`).
//!
//! They say of each task what nimbus shows by component only. Whoever asks gets the newest report,
//! which is made four times a second anyway: nothing is counted for it, and nothing is copied while
//! nobody asks. That it cannot listen does not keep a worker from its tuples; it says so.

mod page;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use daemon::Shutdown;
use daemon::accept::{Protocol, connections};
use daemon::exposition::CONTENT_TYPE;
use daemon::listen::{ListenError, ListenRange, Security, advertised, bind};
use daemon::tls::Connection;
use proto::supervisor::WorkerReport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use topology_api::Topology;

use crate::control::Control;
use crate::launch::Launch;

/// How long one answer may take to be read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who may be answered at once.
const READERS_MAX: usize = 8;

/// The longest request.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where a worker serves its metrics, or why it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Serving {
    /// `host:port`; empty: nowhere.
    pub(crate) address: String,
    /// Why not, although it is to.
    pub(crate) problem: String,
}

/// What is served.
struct Server {
    topology: String,
    worker: u32,
    /// A name by which it may be asked, beside addresses and `localhost`.
    host: String,
    reports: watch::Receiver<WorkerReport>,
}

/// Begins to serve, if the topology asks for it.
pub(crate) async fn start(
    topology: &Topology,
    launch: &Launch,
    security: &Security,
    (control, shutdown): (&Control, &Shutdown),
) -> Serving {
    let Some(listen) = topology.config().worker_metrics_listen() else { return Serving::default() };
    let server = Server {
        topology: topology.name().to_owned(),
        worker: launch.worker,
        host: launch.advertise.clone(),
        reports: control.report.subscribe(),
    };
    match server.listen(listen, (launch, security), shutdown).await {
        Ok(address) => Serving { address, ..Serving::default() },
        Err(problem) => {
            tracing::warn!(%problem, "cannot serve metrics of its own");
            Serving { problem, ..Serving::default() }
        }
    }
}

impl Server {
    async fn listen(
        self,
        listen: &str,
        (launch, security): (&Launch, &Security),
        shutdown: &Shutdown,
    ) -> Result<String, String> {
        let text = |error: ListenError| error.to_string();
        let range: ListenRange = listen.parse().map_err(|error| format!("{error}"))?;
        let security = allowed(&launch.listen, security);
        let listener = bind(range, &security).await.map_err(text)?;
        let bound = listener.local_addr().map_err(|error| error.to_string())?;
        let host = Some(launch.advertise.as_str()).filter(|_| !is_loopback(range.ip()));
        let address = advertised(bound, host, &security).map_err(text)?;
        let http = Protocol::Http1 { open: false };
        let mut accepted = connections(listener, http, &security, shutdown);
        let (asked, server, readers) =
            (shutdown.clone(), Arc::new(self), Arc::new(Semaphore::new(READERS_MAX)));
        shutdown.spawn_until_asked(async move {
            while let Some(connection) = accepted.next().await {
                let Ok(place) = Arc::clone(&readers).acquire_owned().await else { return };
                let Ok(connection) = connection else { continue };
                let server = Arc::clone(&server);
                asked.spawn_until_asked(async move {
                    // Who takes too long, or goes, has nothing of it.
                    timeout(PATIENCE, server.answer(connection)).await.ok();
                    drop(place);
                });
            }
        });
        Ok(address)
    }

    /// Answers one request and hangs up.
    async fn answer(&self, mut connection: Connection) {
        let (mut head, mut bytes) = (Vec::new(), [0; 4 << 10]);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
            let Ok(length @ 1..) = connection.read(&mut bytes).await else { return };
            head.extend_from_slice(&bytes[..length]);
        }
        let head = String::from_utf8_lossy(&head);
        let (status, kind, body) = match refusal(&head, &self.host) {
            None => ("200 OK", CONTENT_TYPE, self.page()),
            Some((status, why)) => (status, "text/plain; charset=utf-8", format!("{why}\n")),
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        );
        if connection.write_all(answer.as_bytes()).await.is_ok() {
            // Who has it all may have gone already.
            connection.shutdown().await.ok();
        }
    }

    fn page(&self) -> String {
        page::page(&self.reports.borrow(), &self.topology, self.worker)
    }
}

/// Who may be let in: a supervisor that listens for others without TLS was told that it may, and its
/// workers are no different.
fn allowed(listens: &str, security: &Security) -> Security {
    let elsewhere = |range: ListenRange| !is_loopback(range.ip());
    match security {
        Security::Loopback if listens.parse().is_ok_and(elsewhere) => Security::Insecure,
        _ => security.clone(),
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Says why a request is not answered with the page: it asks for something else, or under a name that
/// somebody else may have given to this address, to have a browser read it (DNS rebinding).
fn refusal(head: &str, host: &str) -> Option<(&'static str, &'static str)> {
    let mut lines = head.lines();
    let mut request = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
    let named = lines.filter_map(|line| line.split_once(':'));
    let mut named = named.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let asked = named.next().map_or("", |(_, value)| value.trim());
    let name = asked.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(asked, |(name, _)| name).trim_matches(['[', ']']);
    let is_known = name == host || name == "localhost" || name.parse::<IpAddr>().is_ok();
    if !is_known {
        return Some(("403 Forbidden", "ask by an address or by the name that is advertised"));
    }
    if target.split('?').next() != Some("/metrics") {
        return Some(("404 Not Found", "there is /metrics and nothing else"));
    }
    (method != "GET").then_some(("405 Method Not Allowed", "ask with GET"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_all_that_is_served_and_not_under_a_strange_name() {
        let status = |request: &str, host: &str| {
            let head = format!("{request} HTTP/1.1\r\naccept: */*\r\nHost: {host}\r\n\r\n");
            refusal(&head, "node-1").map_or("200", |(status, _)| &status[..3])
        };
        for host in ["127.0.0.1:9100", "localhost", "node-1:9100", "[::1]:9100", "10.0.0.7"] {
            assert_eq!(status("GET /metrics", host), "200", "{host}");
        }
        assert_eq!(status("GET /metrics?x=1", "localhost"), "200");
        assert_eq!(status("GET /metrics", "evil.example:9100"), "403");
        assert_eq!(status("GET /metrics", ""), "403");
        assert_eq!(status("GET /", "localhost"), "404");
        assert_eq!(status("POST /metrics", "localhost"), "405");
    }

    #[test]
    fn a_worker_may_listen_for_others_where_its_supervisor_may() {
        let name = |listens: &str| allowed(listens, &Security::Loopback).name();
        assert_eq!(name("127.0.0.1:0"), "loopback");
        assert_eq!(name("0.0.0.0:6701-6799"), "insecure");
        assert_eq!(allowed("0.0.0.0:0", &Security::Insecure).name(), "insecure");
    }
}
