//! Asking a nimbus: finds the leader, tries again where that can help, explains where it cannot.
//!
//! Every mutation carries a request id made once per command, so that a repetition after a broken
//! connection gets the first answer instead of acting twice. A nimbus that does not lead names
//! the one that does; that redirect is followed. A standby answers questions too: its answer is
//! taken, with a remark, where the leader does not answer.

mod trouble;

use std::time::Duration;

use daemon::listen::Security;
use daemon::tls::Tls;
use daemon::{Backoff, Clock, grpc};
use proto::nimbus::nimbus_client::NimbusClient;
use proto::nimbus::{LogsChunk, LogsRequest, StatusRequest};
use serde::de::DeserializeOwned;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use crate::codes::Code;
use crate::error::{Exit, Failure};
use crate::output;
use trouble::{TLS_FIX, Trouble, classify, explain, gave_up, root_cause};

/// How long a nimbus that refuses connections is tried: long enough for a port that is just being
/// opened, short enough for a person who forgot to start it.
const UNREACHABLE_PATIENCE: Duration = Duration::from_millis(800);

/// How long anything else that may heal is tried: an election takes a few seconds.
const TRANSIENT_PATIENCE: Duration = Duration::from_secs(20);

/// How long one unary call may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a nimbus that hangs up, or whose coordination store is silent, is tried: long enough
/// for one that is being restarted.
const RESTART_PATIENCE: Duration = Duration::from_secs(3);

/// The longest pause between two tries: a new leader serves within a few seconds.
const RETRY_MAX: Duration = Duration::from_millis(500);

/// How long the leader may take to answer what a standby has answered already.
const LEADER_MAX: Duration = Duration::from_secs(2);

/// What hyper says of a connection that was closed before it could ask.
const HUNG_UP: &str = "operation was canceled";

/// Redirects followed in a row before we wait: two nimbuses may name each other for a moment.
const REDIRECTS_MAX: u32 = 4;

/// The status of a large topology with its results is longer than gRPC's usual 4 MiB.
const REPLY_BYTES_MAX: usize = 256 << 20;

/// A way to the leading nimbus.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Where nimbuses are, as the user said it.
    ///
    /// Invariant: not empty.
    addresses: Vec<String>,
    /// The leader, once somebody named it and until it stops answering.
    leader: Option<String>,
    /// Whether it was said that a standby answers.
    told: bool,
    security: Security,
    clock: Clock,
}

impl Client {
    /// Knows where to ask; connects when asked for something.
    pub(crate) fn new(addresses: Vec<String>, security: Security) -> Self {
        assert!(!addresses.is_empty(), "a client needs an address");
        Self { addresses, leader: None, told: false, security, clock: Clock::system() }
    }

    /// Says nothing of its own on standard error.
    pub(crate) fn quiet(self) -> Self {
        Self { told: true, ..self }
    }

    /// Calls the leader until it answers, or until trying longer would not help.
    ///
    /// `what` is the sentence a failure starts with: "cannot list topologies".
    pub(crate) async fn call<T>(
        &mut self,
        what: &str,
        mut call: impl AsyncFnMut(NimbusClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T, Failure> {
        let started = self.clock.now();
        let mut backoff = Backoff::new(Duration::from_millis(100), RETRY_MAX);
        let (mut redirects, mut answered) = (0, false);
        for attempt in 0_usize.. {
            let address = self.address(attempt);
            let trouble = match connect(&address, &self.security).await {
                Err(why) => Trouble::Unreachable(why),
                Ok(nimbus) => match call(nimbus).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => classify(status),
                },
            };
            answered |= matches!(trouble, Trouble::Redirect(_) | Trouble::StoreSilent(_));
            let refused = self.security.tls().and_then(Tls::take_refusal);
            let trouble = refused.map_or(trouble, Trouble::Refused);
            let (patience, failure) = match trouble {
                Trouble::Redirect(leader) if redirects < REDIRECTS_MAX => {
                    redirects += 1;
                    self.leader = Some(leader);
                    continue;
                }
                Trouble::Redirect(leader) => {
                    let why = format!("{address} says that {leader} leads, which denies it");
                    (TRANSIENT_PATIENCE, gave_up(what, Exit::Temporary, &why))
                }
                Trouble::Unreachable(why) if answered => {
                    // Others live and will elect another.
                    let why = format!("the leading nimbus at {address} cannot be reached: {why}");
                    (TRANSIENT_PATIENCE, gave_up(what, Exit::Temporary, &why))
                }
                Trouble::Unreachable(why) => {
                    let why = format!("nimbus at {address} cannot be reached: {why}");
                    (UNREACHABLE_PATIENCE, gave_up(what, Exit::Unavailable, &why))
                }
                Trouble::Refused(why) => {
                    let why = format!("no connection with {address}: {why}");
                    (UNREACHABLE_PATIENCE, Failure::new(Code::TlsRefused, what, why, TLS_FIX))
                }
                Trouble::Transient(why) if why == HUNG_UP => {
                    let why = format!("{address} hangs up: is it the gRPC address of a nimbus?");
                    (RESTART_PATIENCE, gave_up(what, Exit::Unavailable, &why))
                }
                Trouble::Transient(why) => {
                    let why = format!("nimbus at {address}: {why}");
                    (TRANSIENT_PATIENCE, gave_up(what, Exit::Temporary, &why))
                }
                Trouble::StoreSilent(status) => {
                    let failure = explain(what, &status);
                    (RESTART_PATIENCE, failure)
                }
                Trouble::Final(status) => return Err(explain(what, &status)),
            };
            self.leader = None;
            redirects = 0;
            let waited = self.clock.now().saturating_duration_since(started);
            let all_tried = attempt + 1 >= self.addresses.len();
            if all_tried && waited >= patience {
                return Err(failure);
            }
            if all_tried {
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// The leader if it is known, else the addresses in turn.
    fn address(&self, attempt: usize) -> String {
        match &self.leader {
            Some(leader) => leader.clone(),
            None => self.addresses[attempt % self.addresses.len()].clone(),
        }
    }

    /// Reads a status document as text.
    pub(crate) async fn status_text(&mut self, what: &str, path: &str) -> Result<String, Failure> {
        let request = || unary(StatusRequest { path: path.to_owned() });
        let reply = self.call(what, async |mut nimbus| nimbus.status(request()).await).await?;
        let Some(standby) = &reply.standby else { return Ok(reply.json) };
        if let Some(json) = self.leaders_status(&standby.leader, request()).await {
            return Ok(json);
        }
        if !self.told {
            self.told = true;
            let leader = match standby.leader.as_str() {
                "" => "no nimbus leads now".to_owned(),
                leader => format!("the leader at {leader} does not answer"),
            };
            output::note(&output::escape(&format!(
                "answered by the standby {}: {leader}; not known are {}",
                standby.nimbus_id, standby.unknown
            )));
        }
        Ok(reply.json)
    }

    /// Asks the leader that a standby named, once.
    async fn leaders_status(
        &mut self,
        leader: &str,
        request: tonic::Request<StatusRequest>,
    ) -> Option<String> {
        let asked = async {
            let mut nimbus =
                if leader.is_empty() { None } else { connect(leader, &self.security).await.ok() }?;
            nimbus.status(request).await.ok()
        };
        let reply = tokio::time::timeout(LEADER_MAX, asked).await.ok()??.into_inner();
        self.leader = Some(leader.to_owned());
        reply.standby.is_none().then_some(reply.json)
    }

    /// Reads a status document.
    pub(crate) async fn status<T: DeserializeOwned>(
        &mut self,
        what: &str,
        path: &str,
    ) -> Result<T, Failure> {
        let text = self.status_text(what, path).await?;
        serde_json::from_str(&text).map_err(|error| {
            let why = format!("nimbus sent a status this client cannot read: {error}");
            let fix = "use a squall of the same version as the cluster";
            Failure::new(Code::OtherVersion, what, why, fix)
        })
    }

    /// Opens a stream of log chunks.
    pub(crate) async fn logs(
        &mut self,
        what: &str,
        request: LogsRequest,
    ) -> Result<Streaming<LogsChunk>, Failure> {
        self.call(what, async |mut nimbus| nimbus.logs(request.clone()).await).await
    }
}

/// Wraps a message for a call that must answer in time.
pub(crate) fn unary<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// Makes a request id: unique without any coordination.
pub(crate) fn request_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Connects to one nimbus.
async fn connect(address: &str, security: &Security) -> Result<NimbusClient<Channel>, String> {
    // Patient pings: a person's link is slower than a cluster's.
    let endpoint = grpc::endpoint(address)
        .map_err(|error| format!("not an address: {error}"))?
        .connect_timeout(Duration::from_secs(3))
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(5));
    let channel = grpc::connect(endpoint, security).await.map_err(|error| root_cause(&error))?;
    Ok(NimbusClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ() {
        assert_ne!(request_id(), request_id());
        assert_eq!(request_id().len(), 32);
    }

    #[tokio::test]
    async fn a_nimbus_that_is_not_there_is_unavailable_soon_and_named() {
        let mut client = Client::new(vec!["127.0.0.1:1".into()], Security::Loopback);
        let failure = client.status_text("cannot ask", "cluster").await.expect_err("nobody there");
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.why.contains("127.0.0.1:1"), "{}", failure.why);
        assert!(failure.fix.contains("squall dev"), "{}", failure.fix);
    }
}
