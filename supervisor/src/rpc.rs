//! What a supervisor serves to others on its `--listen` address: logs, dead letters, and what
//! people ask of its workers.

use std::io;

use daemon::tls::Connection;
use daemon::{Shutdown, grpc};
use proto::supervisor::supervisor_server::{Supervisor, SupervisorServer};
use proto::supervisor::{
    LetterSettled, LettersDone, LettersPage, LettersRequest, LogChunk, LogsRequest,
    ReplayHereRequest, ReplayRequest, TapRequest, Tapped,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::letters::Replays;
use crate::logs::Logs;
use crate::looks::Looks;

/// A letter has a whole tuple in it.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Serves until `parts` is asked to stop.
pub(crate) fn serve(
    connections: ReceiverStream<io::Result<Connection>>,
    service: Service,
    parts: &Shutdown,
) {
    let asked = parts.clone();
    parts.spawn(async move {
        let service = SupervisorServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let served = grpc::server()
            .add_service(service)
            .serve_with_incoming_shutdown(connections, asked.asked())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "cannot serve logs and dead letters any more");
        }
    });
}

/// What is served.
pub(crate) struct Service {
    pub(crate) logs: Logs,
    pub(crate) replays: Replays,
    pub(crate) looks: Looks,
}

#[tonic::async_trait]
impl Supervisor for Service {
    type LogsStream = ReceiverStream<Result<LogChunk, Status>>;
    type TapStream = ReceiverStream<Result<Tapped, Status>>;

    async fn tap(&self, request: Request<TapRequest>) -> Result<Response<Self::TapStream>, Status> {
        self.looks.tap(request.into_inner()).await.map(Response::new)
    }

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        self.logs.open(request.into_inner()).await.map(Response::new)
    }

    async fn list_letters(
        &self,
        request: Request<LettersRequest>,
    ) -> Result<Response<LettersPage>, Status> {
        answer(self.replays.letters.list(request.into_inner()).await)
    }

    async fn drop_letters(
        &self,
        request: Request<LettersRequest>,
    ) -> Result<Response<LettersDone>, Status> {
        answer(self.replays.letters.discard(request.into_inner()).await)
    }

    async fn replay_letters(
        &self,
        request: Request<ReplayRequest>,
    ) -> Result<Response<LettersDone>, Status> {
        answer(self.replays.begin(request.into_inner()).await)
    }

    async fn replay_here(
        &self,
        request: Request<ReplayHereRequest>,
    ) -> Result<Response<LetterSettled>, Status> {
        Ok(Response::new(self.replays.here(request.into_inner()).await))
    }
}

fn answer<T>(answer: Result<T, String>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(Status::unavailable)
}
