//! Serves one connection after the other's posts: looks at the head, reads the body, posts, answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use daemon::Shutdown;
use daemon::tls::Connection;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::timeout;
use topology_api::{Context, Counter, Error, Tuple};

use super::super::records::Body;
use super::answer::{self, Answer};
use crate::SecretText;
use crate::intake::listen::GRACE;
use crate::intake::queue::Intake;

type Read<T> = Box<dyn Fn(&[u8]) -> Result<T, Error> + Send + Sync>;

/// What is asked of a post.
pub(super) struct Rules {
    pub(super) path: String,
    pub(super) token: Option<SecretText>,
    pub(super) body_bytes: usize,
    pub(super) records: usize,
    pub(super) header_time: Duration,
    pub(super) body_time: Duration,
    pub(super) answer_within: Duration,
}

/// Serves connections.
pub(super) struct Service<T> {
    rules: Rules,
    intake: Intake<T>,
    read: Read<T>,
    accepted: Counter,
    failed: Counter,
    rejected: Counter,
}

impl<T: Tuple> Service<T> {
    pub(super) fn new(
        rules: Rules,
        intake: Intake<T>,
        read: impl Fn(&[u8]) -> Result<T, Error> + Send + Sync + 'static,
        cx: &Context,
    ) -> Self {
        let (accepted, failed) = (cx.counter("posts-accepted"), cx.counter("posts-failed"));
        let rejected = cx.counter("posts-rejected");
        Self { rules, intake, read: Box::new(read), accepted, failed, rejected }
    }

    /// Serves the posts of a connection until it ends, or the task does.
    pub(super) async fn serve(self: Arc<Self>, connection: Connection, shutdown: Shutdown) {
        let mut server = http1::Builder::new();
        server.timer(TokioTimer::new()).header_read_timeout(self.rules.header_time);
        let service = service_fn(|request| {
            let (service, asked) = (Arc::clone(&self), shutdown.clone());
            async move { Ok::<_, Infallible>(*service.answer(request, &asked).await) }
        });
        let served = server.serve_connection(TokioIo::new(connection), service);
        let mut served = std::pin::pin!(served);
        tokio::select! {
            // Who hangs up, or speaks something else, is gone; there is nobody to tell.
            _ = served.as_mut() => {}
            () = shutdown.asked() => {
                served.as_mut().graceful_shutdown();
                timeout(GRACE, served).await.ok();
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>, shutdown: &Shutdown) -> Answer {
        let answer = match self.take(request, shutdown).await {
            Ok(answer) | Err(answer) => answer,
        };
        match answer.status().as_u16() {
            202 => &self.accepted,
            503 => &self.failed,
            _ => &self.rejected,
        }
        .add(1);
        answer
    }

    async fn take(
        &self,
        request: Request<Incoming>,
        shutdown: &Shutdown,
    ) -> Result<Answer, Answer> {
        let kind = self.look(&request)?;
        let mut body = request.into_body();
        let collected = Limited::new(&mut body, self.rules.body_bytes).collect();
        let collected = timeout(self.rules.body_time, collected).await;
        let body = match collected.map_err(|_| answer::slow())? {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                shutdown.spawn_until_asked(pass_over(body, self.rules.body_time));
                return Err(answer::too_large(self.rules.body_bytes));
            }
            Err(error) => return Err(answer::cut_off(&error.to_string())),
        };
        let records = kind.records(&body).map_err(|(at, why)| answer::malformed(at, &why))?;
        let count = records.len();
        if count > self.rules.records {
            return Err(answer::too_many(self.rules.records));
        }
        let tuples = records.iter().enumerate().map(|(at, record)| {
            (self.read)(record).map_err(|error| answer::malformed(at, &error.to_string()))
        });
        let tuples = tuples.collect::<Result<Vec<T>, Answer>>()?;
        let posted = timeout(self.rules.answer_within, self.intake.post(tuples)).await;
        Ok(posted.map_or_else(|_| answer::no_verdict(), |posted| answer::of(posted, count)))
    }

    /// Looks at the head, before anything of the body is read.
    fn look(&self, request: &Request<Incoming>) -> Result<Body, Answer> {
        if request.uri().path() != self.rules.path {
            return Err(answer::not_here(&self.rules.path));
        }
        if request.method() != Method::POST {
            return Err(answer::wrong_method());
        }
        if let Some(token) = &self.rules.token {
            let given = request.headers().get(AUTHORIZATION).map(|it| it.as_bytes());
            let given = given.and_then(|it| it.strip_prefix(b"Bearer "));
            if !given.is_some_and(|given| is_same(given, token.reveal().as_bytes())) {
                return Err(answer::unauthorized());
            }
        }
        if request.body().size_hint().lower() > self.rules.body_bytes as u64 {
            return Err(answer::too_large(self.rules.body_bytes));
        }
        let kind = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
        kind.and_then(Body::of).ok_or_else(answer::wrong_type)
    }
}

/// Reads on what nobody wants: a connection that is closed while its sender still writes loses the answer.
async fn pass_over(mut body: Incoming, within: Duration) {
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    timeout(within, all).await.ok();
}

/// Compares without telling by its time where they differ.
fn is_same(given: &[u8], wanted: &[u8]) -> bool {
    let pairs = given.iter().zip(wanted);
    given.len() == wanted.len() && pairs.fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
