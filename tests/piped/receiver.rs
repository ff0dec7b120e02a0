//! A server that takes requests, writes them down, and answers as it is told.
//!
//! `receiver PORT FOLDER [CERT KEY]`: each request is a line of JSON in `FOLDER/requests`. While there is
//! a file `FOLDER/answer`, that is the answer: a status, headers a line each, an empty line, the body.
//! A path `/status/N` is answered by that status.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

type Failure = Box<dyn std::error::Error>;

/// Where requests are written down.
#[derive(Clone)]
struct Ledger {
    requests: Arc<Mutex<File>>,
    answer: PathBuf,
}

/// Takes requests until it is killed.
pub(crate) fn run(words: &[String]) -> ExitCode {
    match serve(words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "receiver: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(words: &[String]) -> Result<(), Failure> {
    let [port, folder, tls @ ..] = words else {
        return Err("receiver PORT FOLDER [CERT KEY]".into());
    };
    let folder = PathBuf::from(folder);
    let requests = OpenOptions::new().create(true).append(true).open(folder.join("requests"))?;
    let ledger = Ledger { requests: Arc::new(Mutex::new(requests)), answer: folder.join("answer") };
    let app = Router::new().fallback(take).with_state(ledger);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>()?)).await?;
        match tls {
            [cert, key] => {
                let tls = Tls { listener, acceptor: acceptor(cert, key)? };
                Ok(axum::serve(tls, app).await?)
            }
            _ => Ok(axum::serve(listener, app).await?),
        }
    })
}

async fn take(
    State(ledger): State<Ledger>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    let text = |name: &str| headers.get(name).map(|it| String::from_utf8_lossy(it.as_bytes()));
    let line = serde_json::json!({
        "method": method.as_str(),
        "path": uri.to_string(),
        "key": text("idempotency-key"),
        "authorization": text("authorization"),
        "type": text("content-type"),
        "from": text("x-from"),
        "body": String::from_utf8_lossy(&body),
    });
    let mut requests = ledger.requests.lock().unwrap_or_else(PoisonError::into_inner);
    // One write: a kill leaves whole lines.
    requests.write_all(format!("{line}\n").as_bytes()).expect("the ledger can be written");
    drop(requests);
    let by_path = uri.path().strip_prefix("/status/").map(|status| format!("{status}\n\nby path"));
    let told = by_path.or_else(|| std::fs::read_to_string(&ledger.answer).ok());
    answer(told.as_deref().unwrap_or("200\n\ntaken"))
}

fn answer(told: &str) -> Response<String> {
    let (head, body) = told.split_once("\n\n").unwrap_or((told, ""));
    let mut lines = head.lines();
    let mut response = Response::builder().status(lines.next().unwrap_or("500").trim());
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        response = response.header(name, value);
    }
    response.body(body.to_owned()).expect("the test has written an answer")
}

/// A listener that talks TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            if let Ok((socket, from)) = self.listener.accept().await
                && let Ok(socket) = self.acceptor.accept(socket).await
            {
                return (socket, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn acceptor(cert: &str, key: &str) -> Result<TlsAcceptor, Failure> {
    let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
