//! `squall certs`: an authority and certificates for a cluster with TLS.
//!
//! For who has no authority of its own: one folder that can sign, kept away from the cluster, and a
//! certificate for each machine and person. Keys are P-256; nobody but their owner can read them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use daemon::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::codes::Code;
use crate::commands::Globals;
use crate::error::{Exit, Failure};

/// Certificate and key of the authority, in its folder.
const CA: (&str, &str) = ("ca.pem", "ca-key.pem");

/// What the authority is called in certificates.
const CA_NAME: &str = "Squall cluster authority";

const DAY: Duration = Duration::from_hours(24);

/// How long an authority lasts, in days: ten years.
const CA_DAYS: u32 = 3_650;

/// Clocks of machines may differ by so much.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);

/// Flags of `squall certs`.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    before_help = "Examples:\n  \
    squall certs init ca                                      an authority, in the folder ca\n  \
    squall certs issue ca nimbus1 --host nimbus1 --host 10.0.0.1\n  \
    squall certs issue ca alice                               for a person who only dials"
)]
pub(crate) struct Certs {
    #[command(subcommand)]
    command: Make,
}

/// What can be made.
#[derive(Debug, Subcommand)]
enum Make {
    /// Make an authority: the certificate that all trust, and the key that signs
    Init(Init),
    /// Sign a certificate for a machine or a person
    Issue(Issue),
}

/// Flags of `squall certs init`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall certs init ca          an authority, in the folder ca")]
struct Init {
    /// Where it is kept; ca.pem goes to every machine, ca-key.pem to none
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Flags of `squall certs issue`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall certs issue ca nimbus1 --host nimbus1 --host 10.0.0.1     for a machine\n  \
    squall certs issue ca alice                                      for a person who only dials")]
struct Issue {
    /// Where the authority is kept, and NAME.pem and NAME-key.pem will be
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Whose certificate it is
    #[arg(value_name = "NAME")]
    name: String,
    /// A name or address that others dial; may be repeated [default: NAME]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// How long it is in force
    #[arg(long, value_name = "DAYS", default_value_t = 365,
        value_parser = clap::value_parser!(u32).range(1..=CA_DAYS as i64))]
    days: u32,
}

/// Makes what is asked for.
pub(crate) fn run(certs: Certs, globals: &Globals) -> Result<(), Failure> {
    match certs.command {
        Make::Init(init) => {
            let folder = &init.folder;
            let what = format!("cannot make an authority in {}", folder.display());
            make_authority(folder).map_err(|error| error.explain(&what))?;
            let text = format!(
                "made an authority in {}\nca.pem     goes to every machine and person\n\
                 ca-key.pem signs: keep it where no machine of the cluster can read it",
                folder.display()
            );
            globals.show(&text, &json!({ "ca": folder.join(CA.0), "key": folder.join(CA.1) }))
        }
        Make::Issue(issue) => {
            let what = format!("cannot issue a certificate for {}", issue.name);
            if let Err(error) = topology_api::check_name("certificate", &issue.name) {
                return Err(Failure::new(Code::BadName, what, error, "choose another NAME"));
            }
            let (cert, key) = make_certificate(&issue).map_err(|error| error.explain(&what))?;
            let ca = issue.folder.join(CA.0);
            let text = format!(
                "issued {} for {} days; use it with\n--tls-cert {} --tls-key {} --tls-ca {}",
                cert.display(),
                issue.days,
                cert.display(),
                key.display(),
                ca.display()
            );
            globals.show(&text, &json!({ "cert": cert, "key": key, "ca": ca }))
        }
    }
}

/// Why nothing was made.
#[derive(Debug)]
enum Problem {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A host is none, or the key of the authority is none.
    Crypto(rcgen::Error),
}

impl From<rcgen::Error> for Problem {
    fn from(error: rcgen::Error) -> Self {
        Self::Crypto(error)
    }
}

impl Problem {
    fn explain(self, what: &str) -> Failure {
        match self {
            Self::File(path, error) => {
                let (exit, fix) = match error.kind() {
                    io::ErrorKind::AlreadyExists => {
                        (Exit::CannotCreate, "nothing is overwritten: move it away first")
                    }
                    io::ErrorKind::NotFound => (Exit::NoInput, "run `squall certs init DIR` first"),
                    _ => (Exit::CannotCreate, "check the folder, its owner and the space left"),
                };
                Failure::new(exit, what, format!("{}: {error}", path.display()), fix)
            }
            Self::Crypto(error) => {
                let fix = "a --host is a name or an address without a port, and ca-key.pem must be \
                           one that `squall certs init` made";
                Failure::new(Code::BadCertificate, what, error, fix)
            }
        }
    }
}

fn make_authority(folder: &Path) -> Result<(), Problem> {
    let made = std::fs::create_dir_all(folder);
    made.map_err(|error| Problem::File(folder.to_owned(), error))?;
    let key = KeyPair::generate()?;
    let certificate = authority(CA_DAYS)?.self_signed(&key)?;
    write(&folder.join(CA.1), &key.serialize_pem(), 0o600)?;
    write(&folder.join(CA.0), &certificate.pem(), 0o644)
}

/// What the certificate of the authority says. Always the same but for its dates, so that the key
/// alone can sign.
fn authority(days: u32) -> Result<CertificateParams, Problem> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    in_force(&mut params, days);
    Ok(params)
}

fn in_force(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(Clock::system().wall_ms());
    params.not_before = (now - CLOCKS_DIFFER).into();
    params.not_after = (now + DAY * days).into();
}

fn make_certificate(issue: &Issue) -> Result<(PathBuf, PathBuf), Problem> {
    let signs = issue.folder.join(CA.1);
    let signing =
        std::fs::read_to_string(&signs).map_err(|error| Problem::File(signs.clone(), error))?;
    let issuer = Issuer::new(authority(issue.days)?, KeyPair::from_pem(&signing)?);
    let hosts = if issue.hosts.is_empty() { vec![issue.name.clone()] } else { issue.hosts.clone() };
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name.push(DnType::CommonName, &issue.name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    in_force(&mut params, issue.days);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    let path = |end: &str| issue.folder.join(format!("{}{end}", issue.name));
    let (cert, private) = (path(".pem"), path("-key.pem"));
    write(&private, &key.serialize_pem(), 0o600)?;
    write(&cert, &certificate.pem(), 0o644)?;
    Ok((cert, private))
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Problem> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Problem::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use daemon::tls::{Files, Tls};

    use super::*;

    fn issue(folder: &Path, name: &str, hosts: &[&str]) -> Result<(PathBuf, PathBuf), Problem> {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        make_certificate(&Issue { folder: folder.into(), name: name.into(), hosts, days: 30 })
    }

    #[test]
    fn what_is_issued_can_be_used_and_its_keys_are_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        make_authority(path).expect("there is nothing yet");
        let (cert, key) = issue(path, "node", &["10.0.0.1", "node.example"]).expect("it can sign");
        let tls = Tls::open(Files::new(cert, &key, path.join(CA.0))).expect("peers would take it");
        for (host, named) in
            [("10.0.0.1", true), ("node.example", true), ("node", false), ("10.0.0.2", false)]
        {
            assert_eq!(tls.names(host), named, "{host}");
        }
        let (cert, private) = issue(path, "alice", &[]).expect("a person has no host");
        let alice = Tls::open(Files::new(cert, private, path.join(CA.0))).expect("it is good");
        assert!(alice.names("alice"));
        for secret in [key, path.join(CA.1)] {
            let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let missing = issue(folder.path(), "node", &[]).expect_err("there is no authority");
        assert_eq!(missing.explain("x").exit, Exit::NoInput);
        make_authority(folder.path()).unwrap();
        let again = make_authority(folder.path()).expect_err("there is one").explain("x");
        assert_eq!(again.exit, Exit::CannotCreate);
        issue(folder.path(), "node", &[]).unwrap();
        let again = issue(folder.path(), "node", &[]).expect_err("there is one").explain("x");
        assert!(again.why.contains("node-key.pem"), "{}", again.why);
    }
}
