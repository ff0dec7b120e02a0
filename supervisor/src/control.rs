//! The conversation with the workers, over one Unix socket.
//!
//! A worker dials, proves who it is with its token, and is told what to run: its assignment, the
//! routing table, what its spouts may do, in this order and again whatever changes. It reports. Who
//! is not known is told to stop. The socket's path stays the same over restarts of the supervisor,
//! so a worker that lost it dials again until it is answered.

mod correspondence;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use daemon::grpc::FRAME_BYTES_MAX;
use daemon::{Clock, Shutdown};
use futures::Stream;
use proto::store::{AssignmentRecord, LogFilter};
use proto::supervisor::worker_control_server::{WorkerControl, WorkerControlServer};
use proto::supervisor::{
    Beat, DesiredState, FromWorker, LogLevel, Nimbuses, Stop, ToWorker, WorkerHello, from_worker,
    to_worker,
};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::daemon::Message;
use crate::engine::{Epoch, Instructions};
use crate::letters::{Letters, Replay};
use crate::looks::{Look, Lookers};
use correspondence::Correspondence;

/// Who says nothing for so long after dialling is hung up on.
const HELLO_MAX: Duration = Duration::from_secs(5);

/// A worker that does not read for so long is hung up on; it dials again.
const SEND_MAX: Duration = Duration::from_secs(5);

/// A report carries results of up to 1 MiB a task.
const REPORT_BYTES_MAX: usize = 256 << 20;

/// Messages on their way to one worker.
const WAITING_MAX: usize = 16;

/// What a worker is to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// What to run; `None` until the engine has said so.
    pub(crate) instructions: Option<Instructions>,
    /// Why to exit.
    pub(crate) stop: Option<String>,
}

/// A worker that proved who it is.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Its slot.
    pub(crate) slot: u32,
    /// Which of its conversations this is.
    pub(crate) number: u64,
    /// Id of its topology.
    pub(crate) topology: String,
    /// Its number there.
    pub(crate) worker: u32,
    /// Its incarnation.
    pub(crate) epoch: Epoch,
    /// What it is to be told.
    pub(crate) orders: watch::Receiver<Orders>,
    /// Where the nimbuses are, for the time when this supervisor is away.
    pub(crate) nimbuses: watch::Receiver<Vec<String>>,
    /// Dead letters that it is to replay.
    pub(crate) replays: mpsc::Receiver<Replay>,
    /// What people ask of it.
    pub(crate) looks: mpsc::Receiver<Look>,
}

/// A worker that says hello, and where the loop answers.
#[derive(Debug)]
pub(crate) struct Knock {
    /// What it says.
    pub(crate) hello: WorkerHello,
    /// Attached, or the reason why not.
    pub(crate) reply: oneshot::Sender<Result<Attachment, String>>,
}

/// Serves the workers until `parts` is asked to stop.
pub(crate) fn serve(
    listener: UnixListener,
    messages: mpsc::Sender<Message>,
    letters: Letters,
    (clock, parts): (&Clock, &Shutdown),
) {
    let service = Control { messages, letters, clock: clock.clone(), parts: parts.clone() };
    let server = WorkerControlServer::new(service).max_decoding_message_size(REPORT_BYTES_MAX);
    let asked = parts.clone();
    parts.spawn(async move {
        // No pings: the system tells when the other end of such a socket is gone, and silence is
        // for the engine to judge.
        let served = tonic::transport::Server::builder()
            .max_frame_size(FRAME_BYTES_MAX)
            .add_service(server)
            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), asked.asked())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "cannot serve workers any more");
        }
    });
}

struct Control {
    messages: mpsc::Sender<Message>,
    letters: Letters,
    clock: Clock,
    parts: Shutdown,
}

#[tonic::async_trait]
impl WorkerControl for Control {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToWorker, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (sender, answers) = mpsc::channel(WAITING_MAX);
        let (messages, asked) = (self.messages.clone(), self.parts.clone());
        let clock = self.clock.clone();
        let letters = Correspondence {
            letters: self.letters.clone(),
            messages: messages.clone(),
            answers: sender.clone(),
            parts: self.parts.clone(),
            waiting: HashMap::new(),
        };
        self.parts.spawn(async move {
            let mut worker = Conversation {
                heard: request.into_inner(),
                answers: sender,
                messages,
                letters,
                lookers: Lookers::default(),
                clock,
                sent: Sent::default(),
            };
            tokio::select! {
                () = asked.asked() => {}
                () = worker.hold() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

/// What a worker was told on this conversation.
#[derive(Default)]
struct Sent {
    assignment: Option<Arc<AssignmentRecord>>,
    table_version: u64,
    state: i32,
    nimbuses: Vec<String>,
    /// What it logs; nothing in it if that was not changed.
    log: Option<LogFilter>,
    stop: bool,
}

struct Conversation {
    heard: Streaming<FromWorker>,
    answers: mpsc::Sender<Result<ToWorker, Status>>,
    messages: mpsc::Sender<Message>,
    letters: Correspondence,
    lookers: Lookers,
    clock: Clock,
    sent: Sent,
}

impl Conversation {
    async fn hold(&mut self) {
        let first = tokio::time::timeout(HELLO_MAX, self.heard.message()).await;
        let Ok(Ok(Some(FromWorker { kind: Some(from_worker::Kind::Hello(hello)) }))) = first else {
            return;
        };
        let (reply, answer) = oneshot::channel();
        if self.messages.send(Message::Hello(Knock { hello, reply })).await.is_err() {
            return;
        }
        match answer.await {
            Ok(Ok(attachment)) => self.converse(attachment).await,
            Ok(Err(reason)) => {
                tracing::info!(%reason, "refusing a worker");
                self.say(to_worker::Kind::Stop(Stop { reason })).await;
            }
            Err(_) => {}
        }
    }

    async fn converse(&mut self, mut attached: Attachment) {
        let (slot, attachment) = (attached.slot, attached.number);
        loop {
            let orders = attached.orders.borrow_and_update().clone();
            let nimbuses = attached.nimbuses.borrow_and_update().clone();
            if !self.tell(orders).await || !self.tell_nimbuses(nimbuses).await {
                break;
            }
            tokio::select! {
                changed = attached.orders.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                changed = attached.nimbuses.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                Some(replay) = attached.replays.recv() => {
                    let letter = self.letters.begin(replay);
                    if !self.say(to_worker::Kind::Replay(letter)).await {
                        break;
                    }
                }
                Some(look) = attached.looks.recv() => {
                    let tap = self.lookers.begin(look);
                    if !self.say(to_worker::Kind::Tap(tap)).await {
                        break;
                    }
                }
                message = self.heard.message() => {
                    let Ok(Some(FromWorker { kind: Some(kind) })) = message else { break };
                    if !self.hear(kind, &attached).await {
                        break;
                    }
                }
            }
        }
        // Whoever does not take this any more does not care either.
        drop(self.messages.send(Message::Detached { slot, attachment }).await);
    }

    /// Takes what a worker says; false if there is nobody to take it, or it does not listen.
    async fn hear(&mut self, kind: from_worker::Kind, attached: &Attachment) -> bool {
        let &Attachment { slot, number: attachment, .. } = attached;
        match kind {
            // Said once, at the beginning.
            from_worker::Kind::Hello(_) => true,
            from_worker::Kind::Report(report) => {
                let report = Message::Report { slot, attachment, report: Box::new(report) };
                self.messages.send(report).await.is_ok()
                    && self.say(to_worker::Kind::Beat(Beat {})).await
            }
            from_worker::Kind::Letter(letter) => {
                self.letters.keep(letter, attached);
                true
            }
            from_worker::Kind::Settled(settled) => {
                self.letters.settle(settled, &attached.topology);
                true
            }
            from_worker::Kind::Looked(looked) => {
                for gone in self.lookers.show(looked) {
                    if !self.say(to_worker::Kind::Untap(gone)).await {
                        return false;
                    }
                }
                true
            }
        }
    }

    /// Sends what the worker was not told yet; false if it does not listen.
    async fn tell(&mut self, orders: Orders) -> bool {
        if let Some(instructions) = orders.instructions {
            // First, so that it logs by it how it begins.
            let log = instructions.log.unwrap_or_default();
            if self.sent.log.as_ref() != Some(&log) {
                let level = level(&log, self.clock.wall_ms());
                self.sent.log = Some(log);
                if !self.say(to_worker::Kind::LogLevel(level)).await {
                    return false;
                }
            }
            let assignment = instructions.assignment;
            if self.sent.assignment.as_ref() != Some(&assignment) {
                self.sent.assignment = Some(Arc::clone(&assignment));
                let record = (*assignment).clone();
                if !self.say(to_worker::Kind::Assignment(record)).await {
                    return false;
                }
            }
            if let Some(table) = instructions.table
                && table.version > self.sent.table_version
            {
                self.sent.table_version = table.version;
                if !self.say(to_worker::Kind::Table((*table).clone())).await {
                    return false;
                }
            }
            if let Some(state) = instructions.state
                && state as i32 != self.sent.state
            {
                self.sent.state = state.into();
                let state = DesiredState { state: state.into() };
                if !self.say(to_worker::Kind::State(state)).await {
                    return false;
                }
            }
        }
        match orders.stop {
            Some(reason) if !std::mem::replace(&mut self.sent.stop, true) => {
                self.say(to_worker::Kind::Stop(Stop { reason })).await
            }
            _ => true,
        }
    }

    async fn tell_nimbuses(&mut self, addresses: Vec<String>) -> bool {
        if addresses == self.sent.nimbuses {
            return true;
        }
        self.sent.nimbuses.clone_from(&addresses);
        self.say(to_worker::Kind::Nimbuses(Nimbuses { addresses })).await
    }

    async fn say(&self, kind: to_worker::Kind) -> bool {
        let message = ToWorker { kind: Some(kind) };
        let sent = tokio::time::timeout(SEND_MAX, self.answers.send(Ok(message))).await;
        matches!(sent, Ok(Ok(())))
    }
}

/// What a worker is told of a filter: for how long from now on; what it logged at first, if it is over.
fn level(log: &LogFilter, now_ms: u64) -> LogLevel {
    let LogFilter { filter, until_ms } = log.clone();
    match until_ms {
        0 => LogLevel { filter, for_ms: 0 },
        _ if until_ms > now_ms => LogLevel { filter, for_ms: until_ms - now_ms },
        _ => LogLevel::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_comes_later_logs_by_a_filter_for_the_rest_of_its_time() {
        let kept = |until_ms| LogFilter { filter: "debug".to_owned(), until_ms };
        let told = |log: LogFilter| {
            let LogLevel { filter, for_ms } = level(&log, 1_000);
            (filter, for_ms)
        };
        assert_eq!(told(kept(4_000)), ("debug".to_owned(), 3_000));
        assert_eq!(told(kept(0)), ("debug".to_owned(), 0), "until it is changed");
        assert_eq!(told(kept(1_000)), (String::new(), 0), "it is over");
        assert_eq!(told(LogFilter::default()), (String::new(), 0), "as at first");
    }
}
