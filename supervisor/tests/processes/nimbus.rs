//! The side of nimbus that a supervisor talks to: hands out one binary, takes reports.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use daemon::Shutdown;
use futures::Stream;
use proto::nimbus::binaries_server::{Binaries, BinariesServer};
use proto::nimbus::reports_server::{Reports, ReportsServer};
use proto::nimbus::{
    BinaryChunk, FetchRequest, KeepReply, KeepRequest, ReportReply, WorkerNews, WorkerNewsReply,
};
use proto::supervisor::SupervisorReport;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// A nimbus; a cheap handle.
#[derive(Clone)]
pub(crate) struct Nimbus {
    pub(crate) address: String,
    pub(crate) reports: watch::Receiver<SupervisorReport>,
    shared: Arc<Shared>,
}

struct Shared {
    digest: String,
    binary: Vec<u8>,
    forged: AtomicBool,
    newest: watch::Sender<SupervisorReport>,
    /// Every state a slot was ever reported in.
    states: Mutex<BTreeSet<String>>,
    shutdown: Shutdown,
}

impl Shared {
    fn note(&self, report: SupervisorReport) {
        let states = report.slots.iter().map(|slot| slot.state.clone());
        self.states.lock().unwrap().extend(states);
        self.newest.send_replace(report);
    }
}

#[derive(Clone)]
struct Service(Arc<Shared>);

impl Nimbus {
    pub(crate) async fn start(digest: String, binary: Vec<u8>, shutdown: &Shutdown) -> Self {
        let (newest, reports) = watch::channel(SupervisorReport::default());
        let (forged, states) = (AtomicBool::new(false), Mutex::default());
        let shutdown = shutdown.clone();
        let shared = Arc::new(Shared { digest, binary, forged, newest, states, shutdown });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = Service(Arc::clone(&shared));
        let server = tonic::transport::Server::builder()
            .add_service(BinariesServer::new(service.clone()))
            .add_service(ReportsServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        shared.shutdown.spawn_until_asked(async move { server.await.unwrap() });
        Self { address, reports, shared }
    }

    /// Hands out another binary under the same digest from now on.
    pub(crate) fn forge(&self) {
        self.shared.forged.store(true, Ordering::Relaxed);
    }

    /// Every state a slot was ever reported in.
    pub(crate) fn states(&self) -> BTreeSet<String> {
        self.shared.states.lock().unwrap().clone()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Binaries for Service {
    type FetchStream = Answers<BinaryChunk>;

    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        if request.into_inner().digest != self.0.digest {
            return Err(Status::not_found("no such binary"));
        }
        let shared = Arc::clone(&self.0);
        let (sender, chunks) = mpsc::channel(2);
        self.0.shutdown.spawn(async move {
            let forged: &[u8] = if shared.forged.load(Ordering::Relaxed) { b"forged" } else { b"" };
            for chunk in shared.binary.chunks(1 << 20).chain(forged.chunks(1 << 20)) {
                if sender.send(Ok(BinaryChunk { data: chunk.to_vec() })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(chunks))))
    }

    async fn keep(&self, _: Request<KeepRequest>) -> Result<Response<KeepReply>, Status> {
        Err(Status::unimplemented("no supervisor asks for that"))
    }
}

#[tonic::async_trait]
impl Reports for Service {
    type ReportStream = Answers<ReportReply>;

    async fn report(
        &self,
        request: Request<Streaming<SupervisorReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let mut reports = request.into_inner();
        let (sender, replies) = mpsc::channel(2);
        let shared = Arc::clone(&self.0);
        self.0.shutdown.spawn_until_asked(async move {
            while let Ok(Some(report)) = reports.message().await {
                let sequence = report.sequence;
                shared.note(report);
                if sender.send(Ok(ReportReply { sequence, term: u64::MAX })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(replies))))
    }

    type ReportWorkerStream = Answers<WorkerNewsReply>;

    async fn report_worker(
        &self,
        _: Request<Streaming<WorkerNews>>,
    ) -> Result<Response<Self::ReportWorkerStream>, Status> {
        Err(Status::unavailable("the workers of these tests have no word for nimbus"))
    }
}
