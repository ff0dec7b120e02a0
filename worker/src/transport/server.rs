//! The listening end: one gRPC stream per worker that sends to us.
//!
//! Two halves a stream. One tokio task reads frames and hands them on; the response is a stream
//! that says what was received and what may be sent, as much as there is each time it is asked.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use daemon::Shutdown;
use daemon::tls::Connection;
use futures::{Stream, StreamExt, stream};
use proto::transport::transport_server::{Transport, TransportServer};
use proto::transport::{FromReceiver, FromSender, from_sender};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, error, info};

use super::incoming::{Incoming, News, SAY_AFTER, Session};
use super::wire;

/// A worker says hello with its request; what does not is none.
const HELLO: Duration = Duration::from_secs(2);

/// How long streams have to end after the worker was asked to stop.
const GRACE: Duration = Duration::from_millis(500);

/// Serves links until shutdown.
pub(super) async fn serve(
    connections: ReceiverStream<io::Result<Connection>>,
    incoming: Arc<Incoming>,
    message_max: usize,
    shutdown: Shutdown,
) {
    let service = Service { incoming, shutdown: shutdown.clone() };
    let service = TransportServer::new(service).max_decoding_message_size(message_max);
    let served = wire::server()
        .add_service(service)
        .serve_with_incoming_shutdown(connections, shutdown.asked());
    let late = async {
        shutdown.asked().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = served => if let Err(problem) = ended {
            error!(%problem, "transport stopped serving");
        },
        () = late => debug!("transport left connections open at shutdown"),
    }
}

struct Service {
    incoming: Arc<Incoming>,
    shutdown: Shutdown,
}

type Responses = Pin<Box<dyn Stream<Item = Result<FromReceiver, Status>> + Send>>;

#[tonic::async_trait]
impl Transport for Service {
    type ExchangeStream = Responses;

    async fn exchange(
        &self,
        request: Request<Streaming<FromSender>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut frames = request.into_inner();
        let late = |_| Status::deadline_exceeded("no hello came");
        let first = timeout(HELLO, frames.message()).await.map_err(late)??;
        let Some(from_sender::Kind::Hello(hello)) = first.and_then(|message| message.kind) else {
            return Err(Status::invalid_argument("a stream starts with a hello"));
        };
        let hello = wire::read_hello(hello)
            .ok_or_else(|| Status::invalid_argument("a hello names both incarnations"))?;
        let peer = hello.sender.worker;
        let (session, welcome) = match self.incoming.meet(&hello) {
            Ok(met) => met,
            Err(refusal) => {
                info!(peer, epoch = ?hello.sender.epoch, %refusal, "refused a worker");
                let refused = wire::refused(refusal, self.incoming.version());
                return Ok(Response::new(stream::iter([Ok(refused)]).boxed()));
            }
        };
        info!(peer, epoch = ?hello.sender.epoch, "accepted a worker");
        let reading = read(frames, Arc::clone(&session), Arc::clone(&self.incoming));
        self.shutdown.spawn_until_asked(reading);
        let answers = answers(session, Arc::clone(&self.incoming), self.shutdown.clone());
        Ok(Response::new(stream::iter([Ok(welcome)]).chain(answers).boxed()))
    }
}

/// Takes in the frames of a session until its stream or the session ends.
async fn read(mut frames: Streaming<FromSender>, session: Arc<Session>, incoming: Arc<Incoming>) {
    let leaving = Leaving(session);
    let session = &leaving.0;
    loop {
        match frames.message().await {
            Ok(Some(FromSender { kind: Some(from_sender::Kind::Frame(frame)) })) => {
                if !incoming.take(session, &frame) {
                    break;
                }
            }
            Ok(Some(_)) => {
                debug!("a stream said something else than frames");
                break;
            }
            Ok(None) => break,
            Err(status) => {
                debug!(%status, "a stream of frames broke");
                break;
            }
        }
    }
}

/// Ends the session also when its tokio task is dropped at shutdown.
struct Leaving(Arc<Session>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What is said to the sender, until the session is over or the worker shuts down.
fn answers(
    session: Arc<Session>,
    incoming: Arc<Incoming>,
    shutdown: Shutdown,
) -> impl Stream<Item = Result<FromReceiver, Status>> {
    stream::unfold(Some((session, incoming, shutdown)), |state| async move {
        let (session, incoming, shutdown) = state?;
        loop {
            match session.news() {
                News::Progress(message) => {
                    return Some((Ok(message), Some((session, incoming, shutdown))));
                }
                News::Nothing => {}
                News::Over(refusal) => {
                    let refused = wire::refused(refusal?, incoming.version());
                    return Some((Ok(refused), None));
                }
            }
            let by_and_by = async {
                session.later.notified().await;
                tokio::time::sleep(SAY_AFTER).await;
            };
            tokio::select! {
                () = session.news.notified() => {}
                () = by_and_by => {}
                () = shutdown.asked() => return None,
            }
        }
    })
}
