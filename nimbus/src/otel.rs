//! Figures and tuple trees for an OpenTelemetry collector, over OTLP/gRPC, where the feature `otel` is
//! built in and an endpoint is given.
//!
//! Metrics are those of the page that Prometheus reads, under the same names; a tree of a sample becomes a
//! trace of which each hop is a span. A collector that is away costs nothing but what it would have heard:
//! nothing is kept for it. Counts are totals, so the next push makes up for those that were lost.

mod looks;
mod metrics;
mod spans;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use daemon::tls::authorities;
use daemon::{Clock, Shutdown};
use futures::{StreamExt, stream};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proto::nimbus::TraceRequest;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tracing::{debug, info, warn};

use crate::config::Otel;
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::traces::{Outcome, Traces};
use crate::rpc::traces::traces;
use crate::status;
use looks::Looks;

/// How long one push may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Topologies that are looked at for trees at a time: each takes some megabytes meanwhile.
const LOOKS_MAX: usize = 4;

/// Trees of a topology that are pushed at a time.
const TREES_MAX: u32 = 20;

/// Nanoseconds of a millisecond.
const NS: u64 = 1_000_000;

/// Starts pushing, until it is asked to stop.
///
/// # Errors
///
/// Why the endpoint cannot be used.
pub(crate) fn start(
    otel: &Otel,
    handle: Handle,
    clock: Clock,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let channel = dial(&otel.endpoint, otel.ca.as_deref())?;
    let Otel { every, traces, .. } = *otel;
    let pusher = Pusher { channel, handle, clock, every };
    if traces {
        let (pusher, asked) = (pusher.clone(), shutdown.clone());
        shutdown.spawn_until_asked(async move { pusher.push_trees(&asked).await });
    }
    shutdown.spawn_until_asked(async move { pusher.push_figures().await });
    Ok(())
}

/// A channel that is dialled with the first push, and again with each after it broke.
fn dial(endpoint: &str, ca: Option<&Path>) -> Result<Channel, String> {
    let channel = Endpoint::from_shared(endpoint.to_owned()).map_err(|error| error.to_string());
    let channel = match (endpoint.split_once("://").map(|(scheme, _)| scheme), ca) {
        (Some("http"), None) => channel?,
        (Some("http"), Some(_)) => {
            return Err("an authority is given, and http:// has no TLS: is it https://?".to_owned());
        }
        (Some("https"), Some(ca)) => {
            let authorities = authorities(ca).map_err(|error| error.to_string())?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities));
            channel?.tls_config(tls).map_err(|error| error.to_string())?
        }
        (Some("https"), None) => {
            return Err(
                "it is not said whom to believe that it is the collector: name the file of \
                        its authority with --otel-ca"
                    .to_owned(),
            );
        }
        _ => return Err("it does not begin with http:// or https://".to_owned()),
    };
    Ok(channel.connect_timeout(PATIENCE).timeout(PATIENCE).connect_lazy())
}

#[derive(Clone)]
struct Pusher {
    channel: Channel,
    handle: Handle,
    clock: Clock,
    every: Duration,
}

impl Pusher {
    async fn push_figures(self) {
        let (mut said, mut begun) = (Said::default(), (0, 0));
        loop {
            let term = self.handle.role().term;
            if begun.0 != term || begun.1 == 0 {
                // A new leader counts from nothing.
                begun = (term, self.clock.wall_ms() * NS);
            }
            if let Ok(page) = status::all_metrics(&self.handle).await {
                let times = (begun.1, self.clock.wall_ms() * NS);
                let mut problem = None;
                for request in metrics::requests(&page, &self.resource(), times) {
                    if let Err(why) = export_metrics(&self.channel, request).await {
                        problem = Some(why);
                        break;
                    }
                }
                said.tell("metrics", problem);
            }
            self.clock.sleep(self.every).await;
        }
    }

    /// Looks at all topologies, some at a time, again and again.
    async fn push_trees(self, shutdown: &Shutdown) {
        let (mut said, mut looks) = (Said::default(), Looks::default());
        loop {
            let names = self.topologies().await;
            looks.keep(&names);
            let looking = names.into_iter().map(|name| {
                let time = looks.time(&name);
                Box::pin(self.look(name, time, shutdown))
            });
            let looking: Vec<_> = looking.collect();
            let mut looking = stream::iter(looking).buffer_unordered(LOOKS_MAX);
            while let Some(traces) = looking.next().await {
                let Some(traces) = traces else { continue };
                let ended = traces.trees.iter().filter(|it| it.outcome != Outcome::Open).count();
                looks.note(&traces.topology, traces.seen, ended);
                debug!(topology = traces.topology, seen = traces.seen, ended, "looked for trees");
                if let Some(request) = spans::request(&traces, &self.resource()) {
                    said.tell("traces", export_traces(&self.channel, request).await.err());
                }
            }
            self.clock.sleep(self.every).await;
        }
    }

    /// Looks at a topology until enough of its trees have ended, or the time is over.
    async fn look(&self, name: String, time: Duration, shutdown: &Shutdown) -> Option<Traces> {
        let for_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let request = TraceRequest { name, for_ms, limit: TREES_MAX, ..Default::default() };
        match traces(&self.handle, shutdown, request).await {
            Ok(traces) => Some(traces),
            Err(refusal) => {
                debug!(why = refusal.why, "no trees");
                None
            }
        }
    }

    /// Those of the cluster that this nimbus leads.
    async fn topologies(&self) -> Vec<String> {
        let names = |engine: &Engine, _| {
            let known = engine.view().topologies.values().filter(|_| engine.is_leading());
            known.map(|known| known.record.name.clone()).collect()
        };
        self.handle.look(names).await.unwrap_or_default()
    }

    fn resource(&self) -> Resource {
        let attributes = vec![
            attribute("service.name", "squall-nimbus"),
            attribute("service.namespace", self.handle.cluster()),
            attribute("service.instance.id", self.handle.id()),
            attribute("service.version", crate::VERSION),
        ];
        Resource { attributes, ..Resource::default() }
    }
}

async fn export_metrics(
    channel: &Channel,
    request: ExportMetricsServiceRequest,
) -> Result<(), String> {
    let reply = MetricsServiceClient::new(channel.clone()).export(request).await;
    let refused = reply.map_err(|status| status.message().to_owned())?.into_inner().partial_success;
    match refused.filter(|it| it.rejected_data_points > 0) {
        None => Ok(()),
        Some(it) => Err(format!("it refused {}: {}", it.rejected_data_points, it.error_message)),
    }
}

async fn export_traces(
    channel: &Channel,
    request: ExportTraceServiceRequest,
) -> Result<(), String> {
    let reply = TraceServiceClient::new(channel.clone()).export(request).await;
    let refused = reply.map_err(|status| status.message().to_owned())?.into_inner().partial_success;
    match refused.filter(|it| it.rejected_spans > 0) {
        None => Ok(()),
        Some(it) => Err(format!("it refused {}: {}", it.rejected_spans, it.error_message)),
    }
}

/// What was said of a collector: that it takes nothing, or takes what it is sent again.
#[derive(Debug, Default)]
struct Said {
    failing: bool,
}

impl Said {
    /// Says it if it changed.
    fn tell(&mut self, what: &str, problem: Option<String>) {
        match (self.changed(problem.is_some()), problem) {
            (true, Some(problem)) => {
                warn!(what, %problem, "cannot push to the OpenTelemetry collector");
            }
            (true, None) => info!(what, "pushing to the OpenTelemetry collector again"),
            (false, _) => {}
        }
    }

    fn changed(&mut self, failing: bool) -> bool {
        std::mem::replace(&mut self.failing, failing) != failing
    }
}

fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "squall".to_owned(), ..InstrumentationScope::default() })
}

fn attribute(key: &str, value: &str) -> KeyValue {
    with_value(key, Value::StringValue(value.to_owned()))
}

fn with_value(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
