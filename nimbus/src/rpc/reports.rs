//! Where supervisors report, and workers whose supervisor is away: one stream each, answered report
//! by report.

use daemon::Shutdown;
use futures::stream;
use proto::nimbus::{ReportReply, WorkerNews, WorkerNewsReply};
use proto::received::Received;
use proto::received::reports_server::Reports;
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
    type ReportWorkerStream = BoxStream<WorkerNewsReply>;

    async fn report(
        &self,
        request: Request<Streaming<Received>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let replies = stream::try_unfold(self.converse(request)?, |mut conversation| async move {
            let Some(report) = conversation.next().await? else { return Ok(None) };
            let term = conversation.handle.role().term;
            if report.report.leader_term > term {
                // It knows of a later election than this nimbus has heard of.
                conversation.handle.tell(Event::Refused(Stale::Leadership)).await;
                return Err(not_leader(&conversation.handle));
            }
            let sequence = report.report.sequence;
            let ended = || Event::HungUp(report.report.supervisor.clone());
            conversation.ended.get_or_insert_with(ended);
            conversation.handle.report(report).await.map_err(refused)?;
            Ok(Some((ReportReply { sequence, term }, conversation)))
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn report_worker(
        &self,
        request: Request<Streaming<WorkerNews>>,
    ) -> Result<Response<Self::ReportWorkerStream>, Status> {
        let replies = stream::try_unfold(self.converse(request)?, |mut conversation| async move {
            let Some(news) = conversation.next().await? else { return Ok(None) };
            if news.cluster != conversation.handle.cluster() {
                return Err(Status::invalid_argument("this is another cluster"));
            }
            let ended = || Event::WorkerHungUp(news.topology.clone(), news.worker);
            conversation.ended.get_or_insert_with(ended);
            let sequence = news.report.as_ref().map_or(0, |report| report.sequence);
            let retired = conversation.handle.news(news).await.map_err(refused)?;
            Ok(Some((WorkerNewsReply { sequence, retired }, conversation)))
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

impl Service {
    fn converse<R>(&self, request: Request<Streaming<R>>) -> Result<Conversation<R>, Status> {
        if !self.handle.role().leading {
            return Err(not_leader(&self.handle));
        }
        Ok(Conversation {
            reports: request.into_inner(),
            handle: self.handle.clone(),
            shutdown: self.shutdown.clone(),
            ended: None,
        })
    }
}

struct Conversation<R> {
    reports: Streaming<R>,
    handle: Handle,
    shutdown: Shutdown,
    /// What its end is, once somebody has reported here.
    ended: Option<Event>,
}

impl<R> Drop for Conversation<R> {
    /// However the stream ended: the connection is gone, or whoever answers here has stopped.
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.handle.mention(ended);
        }
    }
}

impl<R> Conversation<R> {
    /// Takes the next report in; ends the stream when there is no more, or another nimbus leads.
    async fn next(&mut self) -> Result<Option<R>, Status> {
        tokio::select! {
            report = self.reports.message() => report,
            () = self.handle.not_leading() => Err(not_leader(&self.handle)),
            () = self.shutdown.asked() => Ok(None),
        }
    }
}

fn not_leader(handle: &Handle) -> Status {
    let role = handle.role();
    let elsewhere = role.leader.filter(|_| !role.leading).map(|(address, _)| address);
    refused(Refusal::not_leader(elsewhere))
}
