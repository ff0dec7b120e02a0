//! Where supervisors report: one stream each, answered report by report.

use daemon::Shutdown;
use futures::stream;
use proto::nimbus::ReportReply;
use proto::nimbus::reports_server::Reports;
use proto::supervisor::SupervisorReport;
use tonic::{Request, Response, Status, Streaming};

use super::{BoxStream, refused};
use crate::daemon::Handle;
use crate::engine::command::Refusal;
use crate::engine::event::{Event, Stale};

/// Takes the reports of supervisors, while this nimbus leads.
pub(super) struct Service {
    pub(super) handle: Handle,
    pub(super) shutdown: Shutdown,
}

#[tonic::async_trait]
impl Reports for Service {
    type ReportStream = BoxStream<ReportReply>;

    async fn report(
        &self,
        request: Request<Streaming<SupervisorReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        if !self.handle.role().leading {
            return Err(not_leader(&self.handle));
        }
        let conversation = Conversation {
            reports: request.into_inner(),
            handle: self.handle.clone(),
            shutdown: self.shutdown.clone(),
        };
        let replies = stream::try_unfold(conversation, |mut conversation| async move {
            let reply = conversation.next().await?;
            Ok(reply.map(|reply| (reply, conversation)))
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

struct Conversation {
    reports: Streaming<SupervisorReport>,
    handle: Handle,
    shutdown: Shutdown,
}

impl Conversation {
    /// Takes the next report in; ends the stream when there is no more, or another nimbus leads.
    async fn next(&mut self) -> Result<Option<ReportReply>, Status> {
        let report = tokio::select! {
            report = self.reports.message() => report?,
            () = self.handle.not_leading() => return Err(not_leader(&self.handle)),
            () = self.shutdown.asked() => None,
        };
        let Some(report) = report else { return Ok(None) };
        let term = self.handle.role().term;
        if report.leader_term > term {
            // It knows of a later election than this nimbus has heard of.
            self.handle.tell(Event::Refused(Stale::Leadership)).await;
            return Err(not_leader(&self.handle));
        }
        let sequence = report.sequence;
        self.handle.report(report).await.map_err(refused)?;
        Ok(Some(ReportReply { sequence, term }))
    }
}

fn not_leader(handle: &Handle) -> Status {
    let role = handle.role();
    let elsewhere = role.leader.filter(|_| !role.leading).map(|(address, _)| address);
    refused(Refusal::not_leader(elsewhere))
}
