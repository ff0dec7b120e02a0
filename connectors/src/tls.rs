//! Who is believed to be a server: the authorities of the system, or one of the user's.
//!
//! rustls with ring: nothing but Rust and a C compiler is needed to build it.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::WrongOption;

/// How to know a server by its certificate.
///
/// ```
/// use connectors::Tls;
///
/// assert!(Tls::system().check("tls").is_ok());
/// let wrong = Tls::authority("/no/such/file.pem").check("tls").unwrap_err();
/// assert_eq!(wrong.option(), "tls");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// None: what the system believes.
    authority: Option<PathBuf>,
}

impl Tls {
    /// Believes whom the machine of the worker believes.
    #[must_use]
    pub fn system() -> Self {
        Self { authority: None }
    }

    /// Believes only those whose certificate was signed by one in this PEM file, on the worker's machine.
    #[must_use]
    pub fn authority(file: impl Into<PathBuf>) -> Self {
        Self { authority: Some(file.into()) }
    }

    /// Looks whether the certificates can be read.
    ///
    /// # Errors
    ///
    /// If not, by the name of `option`.
    pub fn check(&self, option: &'static str) -> Result<(), WrongOption> {
        self.client(option).map(|_| ())
    }

    /// Settings of a client.
    pub(crate) fn client(&self, option: &'static str) -> Result<Arc<ClientConfig>, WrongOption> {
        let roots = match &self.authority {
            Some(file) => {
                let wrong = |why: String| {
                    let fix = "name a PEM file with the certificate of the authority";
                    WrongOption::new(option, file.display(), why, fix)
                };
                let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
                let read: Vec<_> = read.map_err(|error| wrong(error.to_string()))?;
                let mut roots = RootCertStore::empty();
                let (taken, _) = roots.add_parsable_certificates(read);
                if taken == 0 {
                    return Err(wrong("it has no certificate".to_owned()));
                }
                roots
            }
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                let fix = "this is a fault of the connector";
                WrongOption::new(option, format!("{self:?}"), error.to_string(), fix)
            })?;
        Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
    }
}
