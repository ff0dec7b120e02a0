//! The worker's end of the conversation with its supervisor: dials the Unix socket for as long as
//! the worker lives, says hello, reports, and passes on what it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::listen::Security;
use daemon::{Backoff, Shutdown};
use hyper_util::rt::TokioIo;
use proto::supervisor::from_worker::Kind as Said;
use proto::supervisor::to_worker::Kind as Told;
use proto::supervisor::worker_control_client::WorkerControlClient;
use proto::supervisor::{FromWorker, Looked, WorkerHello, WorkerReport};
use tokio::net::UnixStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::direct::{Direct, Identity};
use crate::executor::taps::Taps;
use crate::launch::Launch;
use crate::letters::Letters;

/// Largest message either side sends, in bytes: results of up to 1 MiB a task.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the supervisor told, waiting for the worker.
const TOLD_MAX: usize = 64;

/// A supervisor that says nothing for so long is away, though its socket may be open: it answers
/// each report, four times a second.
const AWAY_AFTER: Duration = Duration::from_millis(750);

/// The worker's end of the conversation.
pub(crate) struct Control {
    /// What the supervisor told.
    pub(crate) told: mpsc::Receiver<Told>,
    /// The newest report; it is sent when it changes.
    pub(crate) report: watch::Sender<WorkerReport>,
}

/// How often those who look are shown something.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// What of the conversation others act on.
struct Ends {
    telling: mpsc::Sender<Told>,
    reports: watch::Receiver<WorkerReport>,
    /// Whether the supervisor is away.
    away: watch::Sender<bool>,
    /// Where the nimbuses are.
    nimbuses: watch::Sender<Vec<String>>,
    /// Dead letters, for the supervisor and from it.
    letters: Arc<Letters>,
    /// Who looks at what is emitted here.
    taps: Arc<Taps>,
}

impl Control {
    /// Dials the supervisor until `shutdown`, and reports to a nimbus while it is away.
    pub(crate) fn start(
        (launch, security): (&Launch, &Security),
        hello: WorkerHello,
        (letters, taps): (Arc<Letters>, Arc<Taps>),
        shutdown: &Shutdown,
    ) -> Self {
        let (telling, told) = mpsc::channel(TOLD_MAX);
        let (report, reports) = watch::channel(WorkerReport::default());
        let ends = Ends {
            telling: telling.clone(),
            reports: reports.clone(),
            away: watch::Sender::new(false),
            nimbuses: watch::Sender::default(),
            letters,
            taps,
        };
        let direct = Direct {
            me: Identity::of(launch),
            security: security.clone(),
            reports,
            away: ends.away.subscribe(),
            nimbuses: ends.nimbuses.subscribe(),
            telling,
        };
        direct.start(shutdown);
        let socket = launch.socket.clone();
        shutdown.spawn_until_asked(async move {
            let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
            loop {
                let mut hello = hello.clone();
                hello.released.clone_from(&ends.reports.borrow().released);
                match converse(&socket, &hello, &ends).await {
                    Ok(()) => backoff.reset(),
                    Err(error) => {
                        tracing::debug!(%error, "the supervisor is away");
                    }
                }
                ends.away.send_replace(true);
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        });
        Self { told, report }
    }
}

/// One conversation: ends when the supervisor hangs up.
async fn converse(
    socket: &Path,
    hello: &WorkerHello,
    ends: &Ends,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut reports = ends.reports.clone();
    let (saying, said) = mpsc::channel::<FromWorker>(4);
    saying.send(FromWorker { kind: Some(Said::Hello(hello.clone())) }).await?;
    let mut client = WorkerControlClient::new(dial(socket.to_owned()).await?)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let mut told = client.attach(ReceiverStream::new(said)).await?.into_inner();
    let silence = tokio::time::sleep(AWAY_AFTER);
    tokio::pin!(silence);
    let mut answers = false;
    ends.letters.begin();
    // Who asked did so in another conversation, and waits no more.
    ends.taps.close_all();
    let mut show = tokio::time::interval(SHOW_EVERY);
    show.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = told.next() => match next {
                None => return Ok(()),
                Some(message) => {
                    ends.away.send_if_modified(std::mem::take);
                    silence.as_mut().reset(tokio::time::Instant::now() + AWAY_AFTER);
                    match message?.kind {
                        Some(Told::Beat(_)) => answers = true,
                        Some(Told::Nimbuses(they)) => {
                            ends.nimbuses.send_replace(they.addresses);
                        }
                        Some(Told::Kept(kept)) => ends.letters.answered(&kept),
                        Some(Told::Replay(replay)) => ends.letters.replay(replay),
                        Some(Told::Tap(tap)) => ends.taps.open(&tap),
                        Some(Told::Untap(id)) => ends.taps.close(id),
                        Some(kind) => ends.telling.send(kind).await?,
                        None => {}
                    }
                }
            },
            changed = reports.changed() => {
                changed?;
                ends.letters.sweep();
                let report = reports.borrow_and_update().clone();
                // Only the newest counts: what a supervisor that stands still does not take is left
                // out, and this end does not wait for it.
                let sent = saying.try_send(FromWorker { kind: Some(Said::Report(report)) });
                if let Err(TrySendError::Closed(_)) = sent {
                    return Ok(());
                }
            }
            permit = something_to_say(&saying, &ends.letters) => {
                let Some(permit) = permit else { return Ok(()) };
                if let Some(kind) = ends.letters.next() {
                    permit.send(FromWorker { kind: Some(kind) });
                    // There may be more.
                    ends.letters.changed.notify_one();
                }
            }
            _ = show.tick(), if ends.taps.is_watched() => {
                // What a supervisor that stands still does not take waits, as much as may.
                if let Ok(permit) = saying.try_reserve() {
                    let looked = Looked { taps: ends.taps.fetch() };
                    permit.send(FromWorker { kind: Some(Said::Looked(looked)) });
                }
            }
            () = &mut silence, if answers && !*ends.away.borrow() => {
                ends.away.send_replace(true);
            }
        }
    }
}

/// Waits until there is something to say of letters, and room to say it; none if nobody listens.
async fn something_to_say<'a>(
    saying: &'a mpsc::Sender<FromWorker>,
    letters: &Letters,
) -> Option<mpsc::Permit<'a, FromWorker>> {
    // In this order nothing is forgotten when this is dropped while it waits.
    let permit = saying.reserve().await.ok()?;
    letters.changed.notified().await;
    Some(permit)
}

async fn dial(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    // The address is not used: the connector knows the socket.
    Endpoint::from_static("http://supervisor.invalid")
        .connect_timeout(Duration::from_secs(2))
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
}
