//! What is wrong with a handshake, in words, and as one of a few reasons to count.

use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// Why a connection was refused, or refused us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It does not speak TLS.
    NotTls,
    /// It shows no certificate.
    NoCertificate,
    /// Its certificate was signed by somebody else.
    UnknownAuthority,
    /// Its certificate is not in force any more, or not yet.
    NotInForce,
    /// Its certificate is another host's.
    WrongName,
    /// It refuses our certificate.
    RefusesUs,
    /// It did not finish in time.
    Slow,
    /// Anything else.
    Other,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub(super) const ALL: [Self; 8] = [
        Self::NotTls,
        Self::NoCertificate,
        Self::UnknownAuthority,
        Self::NotInForce,
        Self::WrongName,
        Self::RefusesUs,
        Self::Slow,
        Self::Other,
    ];

    /// Its name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not-tls",
            Self::NoCertificate => "no-certificate",
            Self::UnknownAuthority => "unknown-authority",
            Self::NotInForce => "not-in-force",
            Self::WrongName => "wrong-name",
            Self::RefusesUs => "refuses-us",
            Self::Slow => "slow",
            Self::Other => "other",
        }
    }

    /// Finds it in what a handshake or a later read came to.
    pub(super) fn of(error: &io::Error) -> Self {
        match tls(error) {
            Some(Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(Error::InvalidCertificate(problem)) => match problem {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::NotInForce,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                // An authority of the same name with another key makes it the latter.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::UnknownAuthority
                }
                _ => Self::Other,
            },
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            Some(Error::AlertReceived(alert)) if is_verdict(*alert) => Self::RefusesUs,
            Some(_) => Self::Other,
            None if error.kind() == io::ErrorKind::TimedOut => Self::Slow,
            None => Self::Other,
        }
    }
}

/// Finds the word of TLS in an error of a socket.
pub(super) fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Whether an alert is about the certificate that the other end was shown.
fn is_verdict(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError
    )
}

/// What an error of a connection means.
pub(super) fn of(error: &io::Error) -> String {
    let Some(problem) = tls(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "it hung up during the TLS handshake: does it speak TLS?".to_owned()
            }
            _ => error.to_string(),
        };
    };
    match problem {
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate was not signed by an authority that we trust".to_owned(),
        Error::InvalidCertificate(problem) => format!("its certificate is not valid: {problem}"),
        Error::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a certificate and was shown none".to_owned()
        }
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "it refuses our certificate: it trusts other authorities".to_owned()
        }
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "it refuses our certificate: that has expired".to_owned()
        }
        Error::AlertReceived(alert) if is_verdict(*alert) => {
            format!("it refuses our certificate: {alert:?}")
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "it speaks another protocol: is that the port of the status?".to_owned()
        }
        other => other.to_string(),
    }
}

/// What is wrong with our own certificate.
pub(super) fn of_own(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "it was not signed by a trusted authority".to_owned(),
        Error::InvalidCertificate(problem) => problem.to_string(),
        other => other.to_string(),
    }
}
