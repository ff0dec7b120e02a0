//! Reports of a worker to nimbus itself, while its supervisor is away.
//!
//! A worker that has lost its supervisor works on. So that nobody takes its machine for lost, it
//! tells the leading nimbus what it would tell the supervisor, until that is back. It knows the
//! nimbuses from its supervisor; it never asks the store. A nimbus that knows this incarnation to be
//! retired says so with the revision that retired it, and the worker exits.

use std::time::Duration;

use daemon::listen::Security;
use daemon::{Backoff, Shutdown};
use proto::nimbus::reports_client::ReportsClient;
use proto::nimbus::{WorkerNews, WorkerNewsReply};
use proto::store::Epoch;
use proto::supervisor::to_worker::Kind as Told;
use proto::supervisor::{Stop, WorkerReport};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::launch::Launch;

/// A nimbus that does not answer for so long is left for the next one.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Where the leader's address stands in the refusal of a nimbus that does not lead.
const LEADER: &str = "squall-leader";

/// Who reports.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    cluster: String,
    topology: String,
    worker: u32,
    epoch: Epoch,
}

impl Identity {
    /// Reads it from what the worker was started with.
    pub(crate) fn of(launch: &Launch) -> Self {
        let (cluster, topology) = (launch.cluster.clone(), launch.topology.clone());
        let epoch = Epoch { revision: launch.epoch.revision, restarts: launch.epoch.restarts };
        Self { cluster, topology, worker: launch.worker, epoch }
    }

    fn news(&self, report: WorkerReport) -> WorkerNews {
        WorkerNews {
            cluster: self.cluster.clone(),
            topology: self.topology.clone(),
            worker: self.worker,
            epoch: Some(self.epoch),
            report: Some(report),
        }
    }
}

/// The way to nimbus.
pub(crate) struct Direct {
    pub(crate) me: Identity,
    /// How nimbus is dialled.
    pub(crate) security: Security,
    /// The newest report.
    pub(crate) reports: watch::Receiver<WorkerReport>,
    /// Whether the supervisor is away.
    pub(crate) away: watch::Receiver<bool>,
    /// Where the nimbuses are.
    pub(crate) nimbuses: watch::Receiver<Vec<String>>,
    /// Where the worker is told to stop.
    pub(crate) telling: mpsc::Sender<Told>,
}

/// How a conversation with a nimbus ended.
enum Ended {
    /// The supervisor is back, or the worker was told to stop.
    Done,
    /// Another nimbus leads, there.
    Elsewhere(String),
    Broken(String),
}

impl Direct {
    /// Reports, whenever the supervisor is away, until `shutdown`.
    pub(crate) fn start(mut self, shutdown: &Shutdown) {
        shutdown.spawn_until_asked(async move {
            while self.away.wait_for(|away| *away).await.is_ok() {
                self.report_while_away().await;
            }
        });
    }

    async fn report_while_away(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut elsewhere = None;
        while *self.away.borrow() {
            let known = self.nimbuses.borrow().clone();
            for nimbus in elsewhere.take().into_iter().chain(known) {
                let mut away = self.away.clone();
                let ended = tokio::select! {
                    ended = self.report_to(&nimbus) => ended,
                    _ = away.wait_for(|away| !away) => Ended::Done,
                };
                match ended {
                    Ended::Done => {
                        tracing::info!("the supervisor is back");
                        return;
                    }
                    Ended::Elsewhere(leader) => {
                        elsewhere = Some(leader);
                        break;
                    }
                    Ended::Broken(problem) => {
                        tracing::debug!(nimbus, problem, "cannot report to nimbus");
                    }
                }
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    async fn report_to(&mut self, nimbus: &str) -> Ended {
        match self.converse(nimbus).await {
            Ok(()) => Ended::Done,
            Err(status) => match status.metadata().get(LEADER).and_then(|it| it.to_str().ok()) {
                Some(leader) if leader != nimbus => Ended::Elsewhere(leader.to_owned()),
                _ => Ended::Broken(status.message().to_owned()),
            },
        }
    }

    async fn converse(&mut self, nimbus: &str) -> Result<(), tonic::Status> {
        let broken = |error: String| tonic::Status::unavailable(error);
        let endpoint = daemon::grpc::endpoint(nimbus).map_err(|error| broken(error.to_string()))?;
        let channel = daemon::grpc::connect(endpoint, &self.security).await;
        let channel = channel.map_err(|error| broken(error.to_string()))?;
        let (sending, sent) = mpsc::channel(1);
        let first = self.me.news(self.reports.borrow_and_update().clone());
        sending.send(first).await.map_err(|error| broken(error.to_string()))?;
        let mut client = ReportsClient::new(channel);
        let opened = client.report_worker(ReceiverStream::new(sent));
        let late = |_| broken("no answer".to_owned());
        let opened = tokio::time::timeout(ANSWER_MAX, opened).await.map_err(late)?;
        let mut replies = opened?.into_inner();
        tracing::info!(nimbus, "the supervisor is away, reporting to nimbus");
        loop {
            tokio::select! {
                reply = tokio::time::timeout(ANSWER_MAX, replies.message()) => {
                    let reply = reply.map_err(late)??;
                    let reply = reply.ok_or_else(|| broken("it ended the stream".to_owned()))?;
                    if self.is_retired(reply).await {
                        return Ok(());
                    }
                }
                changed = self.reports.changed() => {
                    changed.map_err(|error| broken(error.to_string()))?;
                    let news = self.me.news(self.reports.borrow_and_update().clone());
                    // Only the newest counts: one that is not taken is left out.
                    drop(sending.try_send(news));
                }
            }
        }
    }

    /// Has the worker stop if nimbus says that it is retired.
    async fn is_retired(&self, reply: WorkerNewsReply) -> bool {
        let Some(retired) = reply.retired else { return false };
        let version = retired.table_version;
        let reason = format!("retired, as nimbus knows at revision {version}: {}", retired.reason);
        self.telling.send(Told::Stop(Stop { reason })).await.is_ok()
    }
}
