//! Tells the leading nimbus what the slots do: one stream, dialled again whenever it breaks or
//! another nimbus leads.
//!
//! Only the newest report counts: while nobody takes reports, none pile up. A nimbus that was elected
//! before the leader the store shows is not reported to: it may not know yet that it leads no more.

mod portions;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daemon::listen::Security;
use daemon::{Backoff, Clock, Shutdown};
use proto::nimbus::reports_client::ReportsClient;
use proto::supervisor::SupervisorReport;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

pub use portions::Portions;

/// A nimbus that takes no report for so long is dialled anew.
const SEND_MAX: Duration = Duration::from_secs(2);

/// The leading nimbus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    /// `host:port` of its gRPC endpoint.
    pub(crate) address: String,
    /// Revision at which it was elected.
    pub(crate) term: u64,
}

/// Where the reports come from and go to.
pub(crate) struct Reporter {
    /// The newest report.
    pub(crate) reports: watch::Receiver<Arc<SupervisorReport>>,
    /// The leading nimbus.
    pub(crate) leader: watch::Receiver<Option<Leader>>,
    /// How nimbus is dialled.
    pub(crate) security: Security,
    /// How often a nimbus answered that leads no more.
    pub(crate) stale_leaders: Arc<AtomicU64>,
    /// What tells the time.
    pub(crate) clock: Clock,
}

impl Reporter {
    /// Reports until `parts` is asked to stop.
    pub(crate) fn start(mut self, parts: &Shutdown) {
        parts.spawn_until_asked(async move { self.run().await });
    }

    async fn run(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        loop {
            let leader = self.leader.borrow_and_update().clone();
            let Some(leader) = leader else {
                if self.leader.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Err(problem) = self.report_to(&leader, &mut backoff).await else { continue };
            tracing::debug!(leader = leader.address, %problem, "cannot report to nimbus, trying again");
            tokio::select! {
                () = tokio::time::sleep(backoff.next(rand::random())) => {}
                _ = self.leader.changed() => self.leader.mark_changed(),
            }
        }
    }

    /// Reports to this nimbus until another leads (`Ok`) or the stream breaks.
    async fn report_to(&mut self, leader: &Leader, backoff: &mut Backoff) -> Result<(), String> {
        let channel = crate::channel::dial(&leader.address, &self.security).await?;
        let (sender, stream) = mpsc::channel(1);
        // In the stream before it is opened: a server may want to see one before it answers.
        let mut portions = Portions::default();
        let mut first = self.newest(leader, &mut portions).into_iter();
        let begin = first.next().unwrap_or_default();
        sender.send(begin).await.map_err(|_| "the stream is closed")?;
        let mut client = ReportsClient::new(channel);
        let opened = client.report(ReceiverStream::new(stream));
        let opened = tokio::time::timeout(SEND_MAX, opened).await.map_err(|_| "no answer")?;
        let mut replies = opened.map_err(|status| status.message().to_owned())?.into_inner();
        tracing::info!(leader = leader.address, "reporting to nimbus");
        send(&sender, first).await?;
        loop {
            tokio::select! {
                reply = replies.message() => match reply {
                    Ok(Some(reply)) if reply.term < leader.term => {
                        self.stale_leaders.fetch_add(1, Ordering::Relaxed);
                        return Err("it does not know yet that it leads anew".to_owned());
                    }
                    Ok(Some(_)) => backoff.reset(),
                    Ok(None) => return Err("it ended the stream".to_owned()),
                    Err(status) => return Err(status.message().to_owned()),
                },
                changed = self.leader.changed() => {
                    let moved = self.leader.borrow_and_update().as_ref() != Some(leader);
                    if changed.is_err() || moved {
                        return Ok(());
                    }
                }
                changed = self.reports.changed() => {
                    changed.map_err(|_| "the supervisor stopped")?;
                    send(&sender, self.newest(leader, &mut portions)).await?;
                }
            }
        }
    }

    /// Returns the newest report, with the election that the supervisor knows of, in portions.
    fn newest(&mut self, leader: &Leader, portions: &mut Portions) -> Vec<SupervisorReport> {
        let newest = self.reports.borrow_and_update().as_ref().clone();
        let report = SupervisorReport { leader_term: leader.term, ..newest };
        portions.of(report, self.clock.now())
    }
}

async fn send(
    sender: &mpsc::Sender<SupervisorReport>,
    portions: impl IntoIterator<Item = SupervisorReport>,
) -> Result<(), &'static str> {
    for portion in portions {
        let sent = tokio::time::timeout(SEND_MAX, sender.send(portion)).await;
        sent.map_err(|_| "it takes no reports")?.map_err(|_| "the stream broke")?;
    }
    Ok(())
}
