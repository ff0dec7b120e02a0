//! The gRPC services: what the CLI asks, what supervisors report, and the binaries.
//!
//! Nothing is decided here. A request is checked for its size, turned into an event, and its answer
//! turned back.

mod binaries;
pub(crate) mod letters;
pub(crate) mod logs;
pub(crate) mod looks;
mod plan;
mod recover;
mod reports;
mod submit;
pub(crate) mod traces;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordination::{Keys, Store};
use daemon::Shutdown;
use futures::Stream;
use proto::nimbus::binaries_server::BinariesServer;
use proto::nimbus::nimbus_server::{Nimbus, NimbusServer};
use proto::nimbus::{
    DeadLettersReply, DeadLettersRequest, Done, KillRequest, LogLevelRequest, LogsChunk,
    LogsRequest, PlanReply, PlanRequest, RebalanceRequest, RecoverRequest, StatusReply,
    StatusRequest, SubmitPart, SubmitReply, TapRequest, Tapped, TopologyRequest, TraceRequest,
};
use proto::received::reports_server::ReportsServer;
use proto::supervisor::LogLevel;
use serde_json::json;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::binaries::Binaries;
use crate::daemon::Handle;
use crate::engine::command::{Refusal, RefusalKind, Reply};
use crate::engine::event::{self, Verb};
use crate::replicate::Copier;
use crate::status;

/// The largest message a client may send.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The largest report a supervisor may send: it may hold results of 1 MiB from many tasks.
const REPORT_BYTES_MAX: usize = 256 << 20;

/// Where the leader's address stands in the metadata of a refusal.
const LEADER: &str = "squall-leader";

/// Says in the metadata of a refusal that it is the coordination store that does not answer.
const STORE: &str = "squall-store";

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the services work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) binaries: Binaries,
    pub(crate) copier: Copier,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
}

/// Makes the services of a nimbus.
pub(crate) fn services(context: Context, shutdown: &Shutdown) -> Routes {
    let (handle, binaries) = (context.handle.clone(), context.binaries.clone());
    let nimbus = Service { context, shutdown: shutdown.clone() };
    let reports = reports::Service { handle: handle.clone(), shutdown: shutdown.clone() };
    let binaries = binaries::Service { handle, binaries };
    Routes::new(NimbusServer::new(nimbus).max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(ReportsServer::new(reports).max_decoding_message_size(REPORT_BYTES_MAX))
        .add_service(BinariesServer::new(binaries).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// What the CLI talks to.
struct Service {
    context: Context,
    shutdown: Shutdown,
}

impl Service {
    /// Refuses a question. What a standby does not find may have come just now: the leader knows.
    fn refused_here(&self, refusal: Refusal) -> Status {
        let role = self.context.handle.role();
        let elsewhere = role.leader.filter(|_| !role.leading).map(|(address, _)| address);
        match elsewhere {
            Some(leader) if refusal.kind == RefusalKind::NotFound => {
                refused(Refusal::not_leader(Some(leader)))
            }
            _ => refused(refusal),
        }
    }

    async fn change(&self, id: String, verb: Verb) -> Result<Response<Done>, Status> {
        match self.context.handle.ask(event::Request { id, verb }).await.map_err(refused)? {
            Reply::Done(done) => Ok(Response::new(done)),
            Reply::Submitted(_) => Err(Status::internal("a submission answered this request")),
        }
    }
}

#[tonic::async_trait]
impl Nimbus for Service {
    type LogsStream = BoxStream<LogsChunk>;
    type TapStream = BoxStream<Tapped>;

    async fn submit(
        &self,
        request: Request<Streaming<SubmitPart>>,
    ) -> Result<Response<SubmitReply>, Status> {
        let submit = submit::submit(&self.context, request.into_inner());
        submit.await.map(Response::new)
    }

    async fn activate(&self, request: Request<TopologyRequest>) -> Result<Response<Done>, Status> {
        let TopologyRequest { request_id, name } = request.into_inner();
        self.change(request_id, Verb::Activate(name)).await
    }

    async fn deactivate(
        &self,
        request: Request<TopologyRequest>,
    ) -> Result<Response<Done>, Status> {
        let TopologyRequest { request_id, name } = request.into_inner();
        self.change(request_id, Verb::Deactivate(name)).await
    }

    async fn kill(&self, request: Request<KillRequest>) -> Result<Response<Done>, Status> {
        let KillRequest { request_id, name, wait_ms } = request.into_inner();
        self.change(request_id, Verb::Kill { name, wait: Duration::from_millis(wait_ms) }).await
    }

    async fn rebalance(
        &self,
        request: Request<RebalanceRequest>,
    ) -> Result<Response<Done>, Status> {
        let RebalanceRequest { request_id, name, workers, executors } = request.into_inner();
        self.change(request_id, Verb::Rebalance { name, workers, executors }).await
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        let path = request.into_inner().path;
        let document = status::document(&self.context.handle, path).await;
        let document = document.map_err(|refusal| self.refused_here(refusal))?;
        let status::Document { json, standby } = document;
        Ok(Response::new(StatusReply { json: json.to_string(), standby }))
    }

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let logs = logs::logs(&self.context.handle, &self.shutdown, request.into_inner());
        logs.await.map(Response::new)
    }

    async fn tap(&self, request: Request<TapRequest>) -> Result<Response<Self::TapStream>, Status> {
        let tap = looks::tap(&self.context.handle, &self.shutdown, request.into_inner());
        tap.await.map(Response::new)
    }

    async fn set_log_level(
        &self,
        request: Request<LogLevelRequest>,
    ) -> Result<Response<Done>, Status> {
        let LogLevelRequest { name, level, request_id } = request.into_inner();
        let LogLevel { filter, for_ms } = level.unwrap_or_default();
        let time = Duration::from_millis(for_ms);
        self.change(request_id, Verb::LogLevel { name, filter, time }).await
    }

    async fn dead_letters(
        &self,
        request: Request<DeadLettersRequest>,
    ) -> Result<Response<DeadLettersReply>, Status> {
        let letters = letters::dead_letters(&self.context.handle, request.into_inner()).await;
        letters.map(Response::new).map_err(|refusal| self.refused_here(refusal))
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanReply>, Status> {
        let plan = plan::plan(&self.context.handle, request.into_inner()).await;
        plan.map(Response::new).map_err(refused)
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<StatusReply>, Status> {
        let traced = traces::traces(&self.context.handle, &self.shutdown, request.into_inner());
        let traced = traced.await.map_err(|refusal| self.refused_here(refusal))?;
        let json = serde_json::to_string(&traced).expect("the documents are plain data");
        Ok(Response::new(StatusReply { json, standby: None }))
    }

    async fn recover(&self, _: Request<RecoverRequest>) -> Result<Response<Done>, Status> {
        recover::recover(&self.context).await.map(Response::new).map_err(refused)
    }
}

/// Turns a refusal into a gRPC status: its message for people, its details as JSON for programs.
fn refused(refusal: Refusal) -> Status {
    let Refusal { kind, what, why, fix } = refusal;
    let code = match &kind {
        RefusalKind::NotLeader(Some(_)) | RefusalKind::NotNow => Code::FailedPrecondition,
        // Without an address there is nobody to turn to: the client asks again, as after a failure.
        RefusalKind::NotLeader(None) => Code::Unavailable,
        RefusalKind::AlreadyExists => Code::AlreadyExists,
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::Invalid => Code::InvalidArgument,
        RefusalKind::Unavailable | RefusalKind::StoreSilent => Code::Unavailable,
        RefusalKind::Exhausted => Code::ResourceExhausted,
    };
    let mut metadata = MetadataMap::new();
    if let RefusalKind::NotLeader(Some(leader)) = &kind
        && let Ok(leader) = leader.parse()
    {
        metadata.insert(LEADER, leader);
    }
    if kind == RefusalKind::StoreSilent {
        metadata.insert(STORE, MetadataValue::from_static("silent"));
    }
    let message = format!("{what}: {why}; {fix}");
    let details = json!({ "what": what, "why": why, "fix": fix }).to_string();
    Status::with_details_and_metadata(code, message, Bytes::from(details), metadata)
}
