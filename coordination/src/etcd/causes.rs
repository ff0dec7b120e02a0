//! What lies behind an error or an alarm of etcd: what a caller can do, and words for people.

use std::error::Error as _;

use tonic::Code;

/// What a status means for the caller.
pub(super) enum Verdict {
    NotFound,
    Refused,
    Unavailable,
}

pub(super) fn verdict(code: Code) -> Verdict {
    match code {
        Code::NotFound => Verdict::NotFound,
        Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Verdict::Refused,
        // Among these `ResourceExhausted`: out of space or too busy, which people or time can mend.
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Verdict::Unavailable,
    }
}

/// Says what is behind a status: tonic's own text is only "tcp connect error".
pub(super) fn root_cause(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        if error.source().is_none() && !text.contains(&error.to_string()) {
            text = format!("{text}: {error}");
        }
        source = error.source();
    }
    text
}

/// Says what an entry in the errors of a member means, if it keeps etcd from taking writes.
pub(super) fn alarm(error: &str) -> Option<String> {
    if error.contains("NOSPACE") {
        let text = "etcd is out of space (alarm NOSPACE): compact and defragment it, or raise its \
                    quota, then `etcdctl alarm disarm`";
        return Some(text.to_owned());
    }
    error.contains("CORRUPT").then(|| "etcd found its data corrupt (alarm CORRUPT)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::alarm;

    #[test]
    fn an_alarm_is_told_from_what_passes() {
        assert!(alarm("memberID:1 alarm:NOSPACE ").is_some_and(|it| it.contains("out of space")));
        assert!(alarm("memberID:1 alarm:CORRUPT ").is_some_and(|it| it.contains("corrupt")));
        assert_eq!(alarm("etcdserver: no leader"), None);
    }
}
