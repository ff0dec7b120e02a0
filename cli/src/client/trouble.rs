//! What went wrong when a nimbus was asked: what helps against it, and how it is told.

use daemon::accept::WANTS_TLS;
use serde::Deserialize;
use tonic::{Code as Grpc, Status};

use crate::codes::Code;
use crate::error::{Exit, Failure};

/// The metadata key under which a nimbus names the leader.
const LEADER_KEY: &str = "squall-leader";

/// The metadata key under which a nimbus says that its coordination store is silent.
const STORE_KEY: &str = "squall-store";

/// What went wrong with one attempt, by what helps.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Ask this nimbus instead.
    Redirect(String),
    /// Nobody listens there.
    Unreachable(String),
    /// One end wants TLS and the other has none, or one refuses the other's certificate.
    Refused(String),
    /// The coordination store does not answer.
    StoreSilent(Status),
    /// Wait and try again.
    Transient(String),
    /// Trying again gives the same answer.
    Final(Status),
}

/// The innermost cause: "Connection refused" instead of "transport error".
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Says what helps against a status.
pub(super) fn classify(status: Status) -> Trouble {
    let leader = status.metadata().get(LEADER_KEY).and_then(|value| value.to_str().ok());
    if let Some(leader) = leader.filter(|leader| !leader.is_empty()) {
        return Trouble::Redirect(leader.to_owned());
    }
    if status.metadata().contains_key(STORE_KEY) {
        return Trouble::StoreSilent(status);
    }
    if root_cause(&status).contains(WANTS_TLS) {
        return Trouble::Refused(WANTS_TLS.to_owned());
    }
    match status.code() {
        Grpc::Unavailable | Grpc::Aborted | Grpc::Cancelled | Grpc::DeadlineExceeded => {
            Trouble::Transient(status.message().to_owned())
        }
        // tonic calls a connection that broke under a call "unknown" and keeps the cause.
        Grpc::Unknown if std::error::Error::source(&status).is_some() => {
            Trouble::Transient(root_cause(&status))
        }
        // And "internal" one that HTTP/2 broke off, after a late ping for example.
        Grpc::Internal if status.message().starts_with("h2 protocol error") => {
            Trouble::Transient(status.message().to_owned())
        }
        _ => Trouble::Final(status),
    }
}

/// A failure that trying longer would not help.
pub(super) fn gave_up(what: &str, exit: Exit, why: &str) -> Failure {
    let fix = match exit {
        Exit::Unavailable => {
            "start one with `squall nimbus` or `squall dev`, or say where it is with --nimbus \
             HOST:PORT (or SQUALL_NIMBUS)"
        }
        _ => "wait a moment and try again; `squall describe` shows the state of the cluster",
    };
    let code = match exit {
        Exit::Unavailable => Code::NoNimbus,
        Exit::Temporary => Code::NoLeader,
        other => other.into(),
    };
    Failure::new(code, what, why, fix)
}

/// What a nimbus says of a refusal, in the details of its status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    why: String,
    fix: String,
}

/// What to do where the two ends do not agree on TLS.
pub(super) const TLS_FIX: &str = "give --tls-cert, --tls-key and --tls-ca (or SQUALL_TLS_CERT, SQUALL_TLS_KEY \
    and SQUALL_TLS_CA) if the cluster has TLS and leave them out if it has none; the certificate \
    must be of the cluster's authority, and that of nimbus must name the host in --nimbus";

/// What to do where something answers, but not as a nimbus would.
const NOT_A_NIMBUS: &str = "see that --nimbus (or SQUALL_NIMBUS) is the gRPC address of a nimbus, \
    not that of its status, and that its version is that of this squall";

/// Turns the final answer of a nimbus into a failure.
pub(super) fn explain(what: &str, status: &Status) -> Failure {
    let (code, fix) = match status.code() {
        Grpc::InvalidArgument | Grpc::OutOfRange | Grpc::DataLoss => {
            (Code::Data, "correct what was given and try again")
        }
        Grpc::NotFound => (Code::NotThere, "`squall list` shows the topologies there are"),
        Grpc::AlreadyExists => {
            (Code::NameTaken, "choose another name with --name, or `squall kill` the old one")
        }
        Grpc::FailedPrecondition => {
            (Code::Temporary, "`squall describe NAME` shows the state of the topology")
        }
        Grpc::ResourceExhausted => (Code::Temporary, "free some room, or try again later"),
        Grpc::Unavailable => (Code::Unavailable, "try again when it answers"),
        Grpc::Unimplemented => (Code::NotANimbus, NOT_A_NIMBUS),
        // What tonic calls an answer that is none of gRPC.
        Grpc::Internal if status.message().starts_with("protocol error") => {
            (Code::NotANimbus, NOT_A_NIMBUS)
        }
        _ => (Code::Internal, "see the log of nimbus; this may be a bug in squall"),
    };
    let details: Details = serde_json::from_slice(status.details()).unwrap_or_default();
    let or = |said: String, usual: &str| if said.is_empty() { usual.to_owned() } else { said };
    Failure::new(code, what, or(details.why, status.message()), or(details.fix, fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_known_by_its_metadata() {
        let mut status = Status::failed_precondition("not the leader");
        status.metadata_mut().insert(LEADER_KEY, "10.0.0.2:6627".parse().unwrap());
        assert!(matches!(classify(status), Trouble::Redirect(it) if it == "10.0.0.2:6627"));
    }

    #[test]
    fn what_may_heal_is_tried_again_and_what_cannot_is_not() {
        assert!(matches!(classify(Status::unavailable("no leader yet")), Trouble::Transient(_)));
        assert!(matches!(classify(Status::aborted("conflict")), Trouble::Transient(_)));
        let broken = Status::internal("h2 protocol error: http2 error");
        assert!(matches!(classify(broken), Trouble::Transient(_)));
        assert!(matches!(classify(Status::internal("a bug")), Trouble::Final(_)));
        assert!(matches!(classify(Status::invalid_argument("bad")), Trouble::Final(_)));
        assert!(matches!(classify(Status::unknown("by the server")), Trouble::Final(_)));
    }

    #[test]
    fn kinds_of_refusal_have_their_exit_codes() {
        for (status, exit) in [
            (Status::invalid_argument("x"), Exit::Data),
            (Status::not_found("x"), Exit::NoInput),
            (Status::already_exists("x"), Exit::CannotCreate),
            (Status::resource_exhausted("x"), Exit::Temporary),
            (Status::internal("x"), Exit::Internal),
        ] {
            assert_eq!(explain("cannot", &status).exit, exit, "{status:?}");
        }
    }

    #[test]
    fn what_nimbus_says_of_a_refusal_is_passed_on() {
        let details = br#"{"what":"w","why":"the name is taken","fix":"take another"}"#;
        let details = details.to_vec().into();
        let status = Status::with_details(Grpc::AlreadyExists, "w: y; f", details);
        let failure = explain("cannot submit x", &status);
        assert_eq!(failure.what, "cannot submit x");
        assert_eq!(
            (failure.why.as_str(), failure.fix.as_str()),
            ("the name is taken", "take another")
        );
    }
}
