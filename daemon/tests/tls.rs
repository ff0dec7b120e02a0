//! Real handshakes: who is let in, who is refused, and what a change of the files does.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use daemon::accept::{self, Protocol};
use daemon::listen::{ListenError, ListenRange, Security, advertised, bind};
use daemon::tls::{Files, Tls, TlsError};
use daemon::{Clock, Shutdown, grpc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::http::Request;
use tonic::service::Routes;
use tonic::transport::Channel;

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const DAY: Duration = Duration::from_hours(24);

/// An authority that signs certificates, and a folder for them.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate for hosts that ends in so many days (or ended, where that is negative).
    fn issue(&self, name: &str, hosts: &[&str], days: i64) -> Files {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(Clock::system().wall_ms());
        params.not_before = (now - 1_000 * DAY).into();
        let days_of = |days: i64| DAY * u32::try_from(days.abs()).unwrap();
        params.not_after = if days < 0 { now - days_of(days) } else { now + days_of(days) }.into();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = Files::new(
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}-key.pem")),
            self.path("ca.pem"),
        );
        fs::write(&files.cert, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    fn node(&self) -> Tls {
        Tls::open(self.issue("node", &["127.0.0.1", "localhost", "::1"], 30)).unwrap()
    }
}

/// A gRPC server without services.
struct Server {
    address: String,
    shutdown: Shutdown,
}

impl Server {
    async fn start(security: &Security) -> Self {
        let any_port: ListenRange = "127.0.0.1:0".parse().unwrap();
        let listener = bind(any_port, security).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shutdown = Shutdown::new();
        let incoming = grpc::incoming(listener, security, &shutdown);
        shutdown.spawn_until_asked(async move {
            let server = grpc::server().add_routes(Routes::default());
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, shutdown }
    }

    /// Dials it and calls a method that it does not have: an answer, or why there is none.
    async fn call(&self, security: &Security) -> Result<(), String> {
        call(&mut self.dial(security).await?).await
    }

    async fn dial(&self, security: &Security) -> Result<Channel, String> {
        let endpoint = grpc::endpoint(&self.address).unwrap().connect_timeout(PATIENCE);
        grpc::connect(endpoint, security).await.map_err(|error| causes(&error))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.ask();
    }
}

async fn call(channel: &mut Channel) -> Result<(), String> {
    let request = Request::post("http://localhost/squall.Nothing/Nothing");
    let request = request.body(Body::empty()).unwrap();
    let ready = std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(channel, cx)).await;
    ready.map_err(|error| causes(&error))?;
    let answer = GrpcService::<Body>::call(channel, request).await;
    let answer = answer.map_err(|error| causes(&error))?;
    let status = answer.headers().get("grpc-status").cloned();
    assert!(status.is_some_and(|status| status == "12"), "it says that it has no such method");
    Ok(())
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

async fn until(what: &str, claim: impl Fn() -> bool) {
    let wait = async {
        while !claim() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until the server has refused somebody for this reason.
async fn until_refused(tls: &Tls, reason: &str) {
    until(reason, || tls.refusals().contains_key(reason)).await;
}

#[tokio::test]
async fn both_ends_with_certificates_of_the_authority_speak() {
    let authority = Authority::new();
    let (tls, client) = (authority.node(), authority.issue("client", &["client"], 30));
    let server = Server::start(&Security::Tls(tls.clone())).await;
    server.call(&Security::Tls(tls.clone())).await.expect("a node calls a node");
    let client = Security::Tls(Tls::open(client).unwrap());
    server.call(&client).await.expect("the name of a client is not looked at");
    assert!(tls.refusals().is_empty(), "{:?}", tls.refusals());
}

#[tokio::test]
async fn who_does_not_speak_tls_is_refused_and_told_so() {
    let authority = Authority::new();
    let tls = authority.node();
    let server = Server::start(&Security::Tls(tls.clone())).await;
    let why = server.call(&Security::Loopback).await.expect_err("it shows no certificate");
    assert!(why.contains("this port speaks TLS"), "{why}");
    until_refused(&tls, "not-tls").await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_by_who_wants_it() {
    let authority = Authority::new();
    let tls = authority.node();
    let server = Server::start(&Security::Loopback).await;
    let why = server.call(&Security::Tls(tls.clone())).await.expect_err("it cannot shake hands");
    assert!(why.contains("does it speak TLS?"), "{why}");
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused_by_both_ends() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (tls, stranger) = (authority.node(), other.node());
    let server = Server::start(&Security::Tls(tls.clone())).await;
    let why = server.call(&Security::Tls(stranger.clone())).await.expect_err("a stranger dials");
    assert!(why.contains("not signed by an authority"), "{why}");
    assert!(stranger.refusals().contains_key("unknown-authority"), "{:?}", stranger.refusals());

    // One that trusts the server, but shows a certificate of somebody else.
    let mut files = other.issue("mixed", &["mixed"], 30);
    let both = fs::read_to_string(other.path("ca.pem")).unwrap()
        + &fs::read_to_string(authority.path("ca.pem")).unwrap();
    files.ca = other.path("both.pem");
    fs::write(&files.ca, both).unwrap();
    let mixed = Tls::open(files).unwrap();
    let refused = server.call(&Security::Tls(mixed.clone())).await;
    assert!(refused.is_err(), "a certificate of another authority was let in");
    until_refused(&tls, "unknown-authority").await;
    until_refused(&mixed, "refuses-us").await;
    let why = mixed.take_refusal().unwrap();
    assert!(why.contains("refuses our certificate"), "{why}");
}

#[tokio::test]
async fn a_server_by_another_name_is_refused() {
    let authority = Authority::new();
    let elsewhere = Tls::open(authority.issue("elsewhere", &["127.0.0.9", "a.example"], 30));
    let server = Server::start(&Security::Tls(elsewhere.unwrap())).await;
    let tls = authority.node();
    let why = server.call(&Security::Tls(tls.clone())).await.expect_err("it is another host's");
    assert!(why.contains("127.0.0.1"), "it says which name was wanted: {why}");
    assert!(tls.refusals().contains_key("wrong-name"), "{:?}", tls.refusals());
}

#[tokio::test]
async fn what_peers_would_refuse_is_not_even_loaded() {
    let (authority, other) = (Authority::new(), Authority::new());
    let good = || authority.issue("good", &["127.0.0.1"], 30);
    let refused = |files: Files| Tls::open(files).expect_err("it cannot be used").to_string();

    let text = refused(authority.issue("old", &["127.0.0.1"], -1));
    assert!(text.contains("expired") && text.contains("old.pem"), "{text}");
    let text = refused(Files { ca: other.path("ca.pem"), ..good() });
    assert!(text.contains("not signed by a trusted authority"), "{text}");
    let key = authority.issue("else", &["127.0.0.1"], 30).key;
    let mixed = Tls::open(Files { key, ..good() });
    assert!(matches!(mixed, Err(TlsError::NotItsKey { .. })), "{mixed:?}");
    let text = refused(Files { cert: authority.path("none.pem"), ..good() });
    assert!(text.contains("none.pem"), "{text}");
    let text = refused(Files { key: good().cert, ..good() });
    assert!(text.contains("private key"), "{text}");
}

/// Shows a certificate that our own code would not load: an expired one.
#[tokio::test]
async fn who_shows_an_expired_certificate_is_refused() {
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let authority = Authority::new();
    let (tls, old) = (authority.node(), authority.issue("old", &["old"], -1));
    let server = Server::start(&Security::Tls(tls.clone())).await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&old.ca).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let chain = vec![CertificateDer::from_pem_file(&old.cert).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&old.key).unwrap();
    let mut without = builder.clone().with_no_client_auth();
    let mut expired = builder.with_client_auth_cert(chain, key).unwrap();
    for (config, reason) in [(&mut without, "no-certificate"), (&mut expired, "not-in-force")] {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(std::sync::Arc::new(config.clone()));
        let stream = TcpStream::connect(&server.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        if let Ok(mut stream) = connector.connect(name, stream).await {
            let read = stream.read_to_end(&mut Vec::new()).await;
            assert!(read.is_err(), "{reason} was let in");
        }
        until_refused(&tls, reason).await;
    }
}

#[tokio::test]
async fn a_stranger_that_sends_a_huge_handshake_costs_little_and_is_hung_up_on() {
    let authority = Authority::new();
    let tls = authority.node();
    let server = Server::start(&Security::Tls(tls.clone())).await;
    // A record of a handshake whose message says that it has 16 MiB, and one that never ends.
    for bytes in [&[22, 3, 1, 0, 4, 1, 255, 255, 255][..], &[22, 3, 1, 64, 0, 1]] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "the connection stays open");
    }
    server.call(&Security::Tls(tls)).await.expect("who belongs here is served all the same");
}

#[tokio::test]
async fn the_status_wants_a_certificate_unless_everybody_may_read() {
    let authority = Authority::new();
    let security = Security::Tls(authority.node());
    for open in [false, true] {
        let any_port: ListenRange = "127.0.0.1:0".parse().unwrap();
        let listener = bind(any_port, &security).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let protocol = Protocol::Http1 { open };
        let mut accepted = accept::connections(listener, protocol, &security, &shutdown);
        // What a browser without TLS gets.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
        let told = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(answer.contains(&format!("content-length: {}\r\n", told.len())), "{answer}");
        // What one with TLS, but without a certificate gets.
        let mut stream = browse(&authority.path("ca.pem"), &address.to_string()).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        if open {
            let mut connection = accepted.next().await.unwrap().unwrap();
            let mut request = [0; 14];
            connection.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"GET / HTTP/1.1");
        } else {
            assert!(stream.read_to_end(&mut Vec::new()).await.is_err(), "a stranger may read");
        }
        shutdown.ask();
    }
}

/// Dials with TLS and shows no certificate.
async fn browse(ca: &Path, address: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn changed_files_are_used_by_the_next_handshake_and_broken_ones_are_not() {
    let (authority, next) = (Authority::new(), Authority::new());
    let tls = authority.node();
    let shutdown = Shutdown::new();
    tls.follow(&shutdown);
    let server = Server::start(&Security::Tls(tls.clone())).await;
    let mut standing = server.dial(&Security::Tls(tls.clone())).await.unwrap();
    call(&mut standing).await.expect("the connection stands");

    // Broken: what was there before stays in use.
    fs::write(&tls.files().cert, "no certificate").unwrap();
    until("the change is seen", || tls.problem().is_some()).await;
    server.call(&Security::Tls(tls.clone())).await.expect("the earlier files are still in use");

    // Another authority and a certificate of it, in the same places.
    let new = next.issue("node", &["127.0.0.1"], 30);
    let stranger = Security::Tls(Tls::open(new.clone()).unwrap());
    assert!(server.call(&stranger).await.is_err(), "not yet");
    for (from, to) in
        [(&new.ca, &tls.files().ca), (&new.key, &tls.files().key), (&new.cert, &tls.files().cert)]
    {
        fs::copy(from, to).unwrap();
    }
    let changed = async {
        while server.call(&stranger).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.expect("the new files are used");
    assert_eq!(tls.problem(), None);
    call(&mut standing).await.expect("the connection that stood goes on");
    shutdown.ask();
}

#[tokio::test]
async fn with_tls_others_may_reach_the_listener() {
    let security = Security::Tls(Authority::new().node());
    let everywhere: ListenRange = "0.0.0.0:0".parse().unwrap();
    assert!(bind(everywhere, &security).await.is_ok(), "TLS guards it");
    assert!(bind(everywhere, &Security::Loopback).await.is_err(), "nothing guards it");
}

#[tokio::test]
async fn a_host_that_the_certificate_does_not_name_is_not_advertised() {
    let authority = Authority::new();
    let security = Security::Tls(authority.node());
    let bound = "127.0.0.1:7".parse().unwrap();
    assert_eq!(advertised(bound, None, &security).unwrap(), "127.0.0.1:7");
    assert_eq!(advertised(bound, Some("localhost"), &security).unwrap(), "localhost:7");
    assert_eq!(advertised(bound, Some("::1"), &security).unwrap(), "[::1]:7");
    let refused = advertised(bound, Some("other.example"), &security).unwrap_err();
    assert!(matches!(refused, ListenError::NotNamed { .. }), "{refused:?}");
    assert!(refused.to_string().contains("other.example"), "{refused}");
}
