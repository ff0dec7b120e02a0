//! Where settings come from: flags, then the environment, then the file, then the default.
//!
//! clap already puts flags before the environment; what it found is laid over the file here. A
//! file with a key nobody knows is refused, so that a misspelt key is not a silent default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use daemon::tls::{Files, Tls};
use serde::Deserialize;

use crate::args::size;
use crate::codes::Code;
use crate::daemons::LogFormat;
use crate::error::Failure;
use crate::output::Format;

/// Where a nimbus is reached when nothing else is said.
pub(crate) const NIMBUS_PORT: u16 = 6627;

/// Where its status endpoint is when nothing else is said.
pub(crate) const HTTP_PORT: u16 = 8080;

/// The name of the cluster when nothing else is said.
pub(crate) const CLUSTER: &str = "default";

/// Workers a machine takes when nothing else is said.
pub(crate) const SLOTS: u32 = 4;

/// The configuration file.
///
/// ```toml
/// cluster = "default"
/// etcd = ["http://127.0.0.1:2379"]
///
/// [client]
/// nimbus = ["10.0.0.1:6627", "10.0.0.2:6627"]
///
/// [nimbus]
/// data-dir = "/var/lib/squall/nimbus"
///
/// [supervisor]
/// data-dir = "/var/lib/squall/supervisor"
/// slots = 8
///
/// [topology]
/// message_timeout = "30s"
/// ```
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct File {
    /// Name of the cluster, for both daemons.
    pub(crate) cluster: Option<String>,
    /// Where etcd is, for both daemons.
    pub(crate) etcd: Option<Vec<String>>,
    /// Whether both daemons may listen beyond loopback without TLS.
    pub(crate) insecure: Option<bool>,
    /// What lines of the logs of daemons look like.
    pub(crate) log_format: Option<LogFormat>,
    /// The certificate that is shown to others.
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its private key.
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates of the authorities that are trusted.
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificates of the authorities that etcd's is from.
    pub(crate) etcd_ca: Option<PathBuf>,
    /// The certificate that etcd is shown.
    pub(crate) etcd_cert: Option<PathBuf>,
    /// Its private key.
    pub(crate) etcd_key: Option<PathBuf>,
    /// For the verbs that ask a nimbus.
    pub(crate) client: ClientSection,
    /// For `squall nimbus`.
    pub(crate) nimbus: NimbusSection,
    /// For `squall supervisor`.
    pub(crate) supervisor: SupervisorSection,
    /// Configuration of every topology submitted with this file; `-c` wins.
    pub(crate) topology: toml::Table,
}

/// `[client]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ClientSection {
    /// Addresses of nimbuses.
    pub(crate) nimbus: Option<Vec<String>>,
    /// How results are written.
    pub(crate) output: Option<Format>,
}

/// `[nimbus]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct NimbusSection {
    /// Name of this nimbus.
    pub(crate) id: Option<String>,
    /// Where it keeps binaries.
    pub(crate) data_dir: Option<PathBuf>,
    /// Where clients and supervisors reach it.
    pub(crate) listen: Option<SocketAddr>,
    /// Where its status endpoint is.
    pub(crate) http: Option<SocketAddr>,
    /// Whether who shows no certificate may read the status.
    pub(crate) http_open_read: Option<bool>,
    /// More names by which browsers may reach its status endpoint.
    pub(crate) http_host: Vec<String>,
    /// The name others reach it under.
    pub(crate) advertise: Option<String>,
    /// The largest binary that may be submitted: "512MiB".
    pub(crate) binary_max: Option<String>,
    /// How many nimbuses hold a binary before its submission is acknowledged.
    pub(crate) replication: Option<u32>,
    /// Where an OpenTelemetry collector is.
    pub(crate) otel_endpoint: Option<String>,
    /// Who signs for it.
    pub(crate) otel_ca: Option<PathBuf>,
    /// Whether tuple trees are pushed there too.
    pub(crate) otel_traces: Option<bool>,
}

/// `[supervisor]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct SupervisorSection {
    /// Where it keeps binaries, logs and the folders of its workers.
    pub(crate) data_dir: Option<PathBuf>,
    /// How many workers it takes.
    pub(crate) slots: Option<u32>,
    /// Where it is reached, and on which address its workers listen.
    pub(crate) listen: Option<SocketAddr>,
    /// The name others reach it under.
    pub(crate) advertise: Option<String>,
    /// Cores each worker gets.
    pub(crate) cores_per_worker: Option<u32>,
    /// Ports of its workers: "6701-6799".
    pub(crate) worker_ports: Option<String>,
    /// The cgroup to divide among its workers.
    pub(crate) cgroup: Option<PathBuf>,
    /// How much room binaries may take that no topology uses now: "2GiB".
    pub(crate) binaries_max: Option<String>,
}

impl File {
    /// Reads the file at `path`; no path is an empty file.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let what = format!("cannot use the configuration file {}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| {
            let fix = "check --config (or SQUALL_CONFIG_FILE)";
            Failure::new(Code::ConfigFile, &what, error, fix)
        })?;
        Self::parse(&text).map_err(|why| {
            let fix = "correct the file; `squall VERB --help` names what can be set";
            Failure::new(Code::ConfigFile, what, why, fix)
        })
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The `[topology]` section as configuration keys and values.
    pub(crate) fn topology_pairs(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut pairs = Vec::new();
        flatten("", &self.topology, &mut pairs)?;
        Ok(pairs)
    }
}

/// Turns `[a] b = 1` and `"a.b" = 1` into the same pair `a.b`, `1`.
fn flatten(
    prefix: &str,
    table: &toml::Table,
    pairs: &mut Vec<(String, String)>,
) -> Result<(), Failure> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let value = match value {
            toml::Value::Table(inner) => {
                flatten(&key, inner, pairs)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
                value.to_string()
            }
            toml::Value::Datetime(_) | toml::Value::Array(_) => {
                let what = format!("cannot use `{key}` of the configuration file");
                let why = format!("{} is no value of a topology's configuration", value.type_str());
                return Err(Failure::new(Code::ConfigFile, what, why, "write it as text"));
            }
        };
        pairs.push((key, value));
    }
    Ok(())
}

/// Where the client finds a nimbus: what was typed or set, else the file, else the default.
pub(crate) fn nimbus_addresses(
    given: Option<Vec<String>>,
    file: &File,
) -> Result<Vec<String>, Failure> {
    let addresses = given.or_else(|| file.client.nimbus.clone());
    let addresses = addresses.unwrap_or_else(|| vec![format!("127.0.0.1:{NIMBUS_PORT}")]);
    addresses.iter().map(|address| with_port(address.trim())).collect()
}

/// Adds the usual port where none is given, and refuses what is no address.
fn with_port(address: &str) -> Result<String, Failure> {
    let bad = |why: &str| {
        let what = format!("`{address}` is not an address of a nimbus");
        Failure::new(
            Code::BadAddress,
            what,
            why,
            "write it as host:port, for example 127.0.0.1:6627",
        )
    };
    if address.is_empty() || address.contains(['/', '?', '#', '@', ' ']) {
        return Err(bad("only a host and a port belong there"));
    }
    if let Ok(IpAddr::V6(ip)) = address.trim_matches(['[', ']']).parse() {
        return Ok(format!("[{ip}]:{NIMBUS_PORT}"));
    }
    match address.rsplit_once(':') {
        None => Ok(format!("{address}:{NIMBUS_PORT}")),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(address.to_owned())
        }
        Some(_) => Err(bad("the part after the colon is not a port")),
    }
}

/// The TLS that everything speaks, if its three files are named: certificate, key, authorities.
pub(crate) fn tls(
    [cert, key, ca]: [Option<PathBuf>; 3],
    file: &File,
) -> Result<Option<Tls>, Failure> {
    const WHAT: &str = "cannot use TLS";
    let named = [
        ("--tls-cert", cert.or_else(|| file.tls_cert.clone())),
        ("--tls-key", key.or_else(|| file.tls_key.clone())),
        ("--tls-ca", ca.or_else(|| file.tls_ca.clone())),
    ];
    let missing: Vec<&str> =
        named.iter().filter(|(_, path)| path.is_none()).map(|(flag, _)| *flag).collect();
    let [(_, Some(cert)), (_, Some(key)), (_, Some(ca))] = named else {
        if missing.len() == named.len() {
            return Ok(None);
        }
        let why = format!("{} is missing, and all three are needed", missing.join(" and "));
        let fix = "give --tls-cert, --tls-key and --tls-ca (or SQUALL_TLS_CERT, SQUALL_TLS_KEY and \
                   SQUALL_TLS_CA), or none of them";
        return Err(Failure::new(Code::TlsFiles, WHAT, why, fix));
    };
    let opened = Tls::open(Files::new(cert, key, ca));
    opened.map(Some).map_err(|error| {
        let fix = "`squall certs issue` makes certificates that fit; docs/security.md says how";
        Failure::new(Code::TlsFiles, WHAT, error, fix)
    })
}

/// Loopback with this port.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

/// Reads a size of the file as people write it.
pub(crate) fn size_in_file(key: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    text.map(size).transpose().map_err(|why| bad_value(key, why))
}

/// A value of the file that makes no sense.
pub(crate) fn bad_value(key: &str, why: String) -> Failure {
    let what = format!("cannot use `{key}` of the configuration file");
    Failure::new(Code::ConfigFile, what, why, "correct the file")
}

/// A value that has no default and was not given.
pub(crate) fn required<T>(
    value: Option<T>,
    flag: &str,
    env: &str,
    key: &str,
) -> Result<T, Failure> {
    value.ok_or_else(|| {
        let what = format!("{flag} is missing");
        let why = "there is no default for it";
        let fix = format!("give {flag}, or set {env}, or `{key}` in the configuration file");
        Failure::new(Code::SettingMissing, what, why, fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn file(text: &str) -> File {
        File::parse(text).expect("the file is well-formed")
    }

    #[test]
    fn what_was_given_wins_over_the_file_and_the_file_over_the_default() {
        let set = file("[client]\nnimbus = [\"file:1\"]");
        let given = Some(vec!["flag:2".to_owned()]);
        assert_eq!(nimbus_addresses(given, &set).unwrap(), ["flag:2"]);
        assert_eq!(nimbus_addresses(None, &set).unwrap(), ["file:1"]);
        assert_eq!(nimbus_addresses(None, &File::default()).unwrap(), ["127.0.0.1:6627"]);
    }

    #[test]
    fn an_address_without_a_port_gets_the_usual_one() {
        for (given, full) in [
            ("db1", "db1:6627"),
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("::1", "[::1]:6627"),
            ("[::1]:7000", "[::1]:7000"),
        ] {
            assert_eq!(with_port(given).unwrap(), full);
        }
        for bad in ["", "http://a:1", "a:", ":7", "a:99999", "a b"] {
            let failure = with_port(bad).expect_err(bad);
            assert_eq!(failure.exit, Exit::Config, "{bad}");
        }
    }

    #[test]
    fn a_key_nobody_knows_is_refused() {
        let error = File::parse("[nimbus]\nlisten-on = \"127.0.0.1:1\"").expect_err("unknown key");
        assert!(error.to_string().contains("listen-on"), "{error}");
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn tls_needs_all_its_files_or_none() {
        let some = |path: &str| Some(PathBuf::from(path));
        let none = || [None, None, None];
        assert!(tls(none(), &File::default()).unwrap().is_none());
        let failure = tls([some("a"), None, None], &File::default()).expect_err("two are missing");
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.why.contains("--tls-key and --tls-ca"), "{}", failure.why);
        let set = file("tls-cert = \"/no/cert\"\ntls-key = \"/no/key\"");
        let failure = tls([None, None, some("/no/ca")], &set).expect_err("they are not there");
        assert!(failure.why.contains("/no/c"), "{}", failure.why);
    }

    #[test]
    fn nested_and_quoted_topology_keys_mean_the_same() {
        let nested = file("[topology.message]\ntimeout = \"30s\"");
        let quoted = file("[topology]\n\"message.timeout\" = \"30s\"");
        let expected = [("message.timeout".to_owned(), "30s".to_owned())];
        assert_eq!(nested.topology_pairs().unwrap(), expected);
        assert_eq!(quoted.topology_pairs().unwrap(), expected);
        let list = file("[topology]\nx = [1]").topology_pairs().expect_err("a list is no value");
        assert_eq!(list.exit, Exit::Config);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_configuration_failure_that_names_it() {
        let failure = File::read(Some(Path::new("/no/such/squall.toml"))).expect_err("no file");
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("/no/such/squall.toml"), "{}", failure.what);
    }
}
