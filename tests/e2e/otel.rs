//! Tuple trees of a running topology at a collector for OpenTelemetry: `./test --servers`, for a `squall`
//! has this only if it was built with the feature `otel`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tests::{Cluster, until};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::path;

/// Takes spans, and keeps them.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let spans = resources.flat_map(|it| it.scope_spans).flat_map(|it| it.spans);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens as long as the runtime is there; returns where.
    fn listen(&self, runtime: &Runtime) -> String {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let server = Server::builder().add_service(TraceServiceServer::new(self.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        format!("http://{address}")
    }

    /// The names of all spans, and whether each that has a parent has one that came too.
    fn names(&self) -> (BTreeSet<String>, bool) {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: BTreeSet<&[u8]> = spans.iter().map(|it| &*it.span_id).collect();
        let parents = spans.iter().map(|it| &*it.parent_span_id).filter(|it| !it.is_empty());
        let whole = parents.clone().count() > 0 && parents.into_iter().all(|it| ids.contains(it));
        (spans.iter().map(|it| it.name.clone()).collect(), whole)
    }
}

#[test]
#[ignore = "needs a squall with the feature `otel`: ./test --servers"]
fn trees_of_live_workers_arrive_however_long_they_take() {
    let mut cluster = Cluster::start(2, 2);
    let (collector, runtime) = (Collector::default(), Runtime::new().expect("there are threads"));
    let endpoint = collector.listen(&runtime);
    cluster.kill_nimbus();
    let folder = cluster.nimbus_folder();
    let folder = folder.to_str().expect("the path is UTF-8");
    let [listen, http] = cluster.addresses().map(str::to_owned);
    let mut nimbus = cluster.start_squall(&[
        "nimbus",
        "--etcd",
        &cluster.etcd_url(),
        "--data-dir",
        folder,
        "--listen",
        &listen,
        "--http",
        &http,
        "--otel-endpoint",
        &endpoint,
        "--otel-traces",
    ]);
    nimbus.line("nimbus listens on ");
    // Each of its numbers takes 20 ms: with so many on their way a tree takes a tenth of a second, or eight.
    for (name, pending) in [("quick", "max_pending=5"), ("slow", "max_pending=400")] {
        let submit = ["submit", &path("trouble"), "--name", name, "--wait", "-c", pending];
        cluster.does(&[&submit[..], &["--", "--trouble=slow", "--count=100000000"]].concat());
    }
    let mut came = BTreeSet::new();
    until("spans of both came, each below another", || {
        let (names, whole) = collector.names();
        came = names;
        let all = ["quick numbers", "quick troubled", "slow numbers", "slow troubled"];
        whole && all.iter().all(|name| came.contains(*name))
    });
    assert!(came.contains("quick count") && came.contains("slow count"), "every hop: {came:?}");
    assert_eq!(nimbus.terminate(), Some(0));
}
