//! A nimbus and a collector: what is pushed arrives, and a collector that is away holds nobody up.

use std::sync::{Arc, Mutex, PoisonError};

use coordination::MemoryStore;
use daemon::grpc;
use daemon::listen::{Security, bind};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::*;
use crate::Config;

/// How long something may take to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came in.
#[derive(Clone, Default)]
struct Collector {
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    spans: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.metrics.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens there until the shutdown is asked; returns where.
    async fn listen(&self, address: &str, shutdown: &Shutdown) -> String {
        let address: std::net::SocketAddr = address.parse().expect("that is an address");
        let listener = bind(address, &Security::Loopback).await.expect("it is free");
        let address = listener.local_addr().expect("it is bound");
        let services = Routes::new(MetricsServiceServer::new(self.clone()))
            .add_service(TraceServiceServer::new(self.clone()));
        let incoming = grpc::incoming(listener, &Security::Loopback, shutdown);
        let asked = shutdown.clone();
        shutdown.spawn(async move {
            let server = grpc::server().add_routes(services);
            let asked = async move { asked.asked().await };
            let served = server.serve_with_incoming_shutdown(incoming, asked).await;
            served.expect("it serves");
        });
        address.to_string()
    }

    /// Listens with TLS until the shutdown is asked; returns where.
    async fn listen_with_tls(&self, identity: Identity, shutdown: &Shutdown) -> String {
        let any_port = "127.0.0.1:0".parse::<std::net::SocketAddr>().expect("that is an address");
        let listener = bind(any_port, &Security::Loopback).await.expect("it is free");
        let address = listener.local_addr().expect("it is bound");
        let tls = ServerTlsConfig::new().identity(identity);
        let mut server = grpc::server().tls_config(tls).expect("they fit");
        let server = server.add_service(TraceServiceServer::new(self.clone()));
        let asked = shutdown.clone();
        shutdown.spawn(async move {
            let asked = async move { asked.asked().await };
            let incoming = TcpListenerStream::new(listener);
            let served = server.serve_with_incoming_shutdown(incoming, asked).await;
            served.expect("it serves");
        });
        address.to_string()
    }

    /// The value of a metric, of the newest request that has it.
    fn gauge(&self, name: &str) -> Option<f64> {
        let all = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = all.iter().rev().flat_map(|request| &request.resource_metrics);
        let mut metrics = metrics.flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
        let metric = metrics.find(|metric| metric.name == name)?;
        let Some(Data::Gauge(gauge)) = &metric.data else { return None };
        match gauge.data_points.first()?.value? {
            number_data_point::Value::AsDouble(value) => Some(value),
            number_data_point::Value::AsInt(_) => None,
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}

/// Starts a nimbus that pushes to this address.
async fn nimbus(collector: &str, folder: &Path, shutdown: &Shutdown) -> crate::Running {
    let any_port = "127.0.0.1:0".parse().expect("that is an address");
    let every = Duration::from_millis(50);
    let otel = Otel { every, ..Otel::new(format!("http://{collector}")) };
    let config = Config {
        listen: any_port,
        http: any_port,
        cluster: "test".to_owned(),
        otel: Some(otel),
        ..Config::new("nimbus-1", folder)
    };
    let clock = Clock::system();
    let store = Arc::new(MemoryStore::new(clock.clone()));
    crate::start(config, store, clock, shutdown.clone()).await.expect("it starts")
}

/// What is read of the status of a nimbus.
async fn get(address: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it answers");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prometheus_would_read_is_pushed_and_again_when_the_collector_is_back() {
    let (collector, first, shutdown) = (Collector::default(), Shutdown::new(), Shutdown::new());
    let address = collector.listen("127.0.0.1:0", &first).await;
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let running = nimbus(&address, folder.path(), &shutdown).await;
    let leads = || collector.gauge("squall_nimbus_leading") == Some(1.0);
    until("it is pushed that it leads", leads).await;
    let resource = collector.metrics.lock().unwrap_or_else(PoisonError::into_inner)[0]
        .resource_metrics[0]
        .resource
        .clone();
    let attributes = resource.expect("it says who it is").attributes;
    assert!(attributes.contains(&attribute("service.instance.id", "nimbus-1")), "{attributes:?}");

    first.ask();
    first.wait(PATIENCE).await.expect("it stops");
    collector.metrics.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let page = get(running.http_address, "/metrics").await;
    assert!(page.contains("squall_nimbus_leading 1"), "it serves without a collector: {page}");

    let second = Shutdown::new();
    collector.listen(&address, &second).await;
    until("it is pushed again", || collector.gauge("squall_nimbus_leading") == Some(1.0)).await;
    shutdown.ask();
    second.ask();
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_tree_arrive() {
    let (collector, shutdown) = (Collector::default(), Shutdown::new());
    let address = collector.listen("127.0.0.1:0", &shutdown).await;
    let channel = dial(&format!("http://{address}"), None).expect("that is an endpoint");
    let request = spans::request(&spans::tests::traces(), &Resource::default());
    let request = request.expect("a tree has ended");
    export_traces(&channel, request.clone()).await.expect("it takes them");
    let came = collector.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(came, [request]);
    shutdown.ask();
}

#[test]
fn what_is_said_of_a_collector_is_said_once_a_change() {
    let mut said = Said::default();
    let changes = [false, true, true, true, false, false].map(|failing| said.changed(failing));
    assert_eq!(changes, [false, true, false, false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_only_who_the_authority_signed_for_is_told() {
    let (collector, shutdown) = (Collector::default(), Shutdown::new());
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let [ca, other] = ["ca.pem", "other.pem"].map(|name| folder.path().join(name));
    let identity = identity(&ca);
    drop(self::identity(&other));
    let address = collector.listen_with_tls(identity, &shutdown).await;
    let endpoint = format!("https://{address}");
    let request = spans::request(&spans::tests::traces(), &Resource::default());
    let request = request.expect("a tree has ended");
    let trusting = dial(&endpoint, Some(&ca)).expect("that is an endpoint");
    export_traces(&trusting, request.clone()).await.expect("it takes them");
    let came = collector.spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(came, std::slice::from_ref(&request));
    let wary = dial(&endpoint, Some(&other)).expect("that is an endpoint");
    export_traces(&wary, request).await.expect_err("another signed for it");
    shutdown.ask();
}

/// Makes an authority, whose certificate is put into a file, and what it signs for a collector.
fn identity(ca: &Path) -> Identity {
    let key = || rcgen::KeyPair::generate().expect("there is a generator");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key()).expect("it signs itself");
    std::fs::write(ca, authority.pem()).expect("there is room");
    let key = key();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("that is a name");
    let signed = params.signed_by(&key, &authority).expect("it signs");
    Identity::from_pem(signed.pem(), key.serialize_pem())
}

#[test]
fn only_what_can_be_dialled_is_an_endpoint() {
    for wrong in ["127.0.0.1:4317", "https://collector:4317", "http://", "http://a b", "ftp://a"] {
        assert!(dial(wrong, None).is_err(), "{wrong}");
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = folder.path().join("none.pem");
    let refused = |endpoint: &str| dial(endpoint, Some(&file)).expect_err(endpoint);
    assert!(refused("http://collector:4317").contains("has no TLS"));
    let why = refused("https://collector:4317");
    assert!(why.starts_with("cannot read") && why.contains("none.pem"), "{why}");
    std::fs::write(&file, "this is none").expect("there is room");
    let why = refused("https://collector:4317");
    assert!(why.contains("holds no certificate in PEM: there is none"), "{why}");
}
