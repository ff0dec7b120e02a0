//! As much HTTP as a test needs: one request, one answer, the connection closed.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gets a document: its status code and its body.
///
/// # Errors
///
/// If nobody listens there, or what answers does not speak HTTP.
pub fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

/// Posts a JSON document and returns the answer's status code and body.
///
/// # Errors
///
/// As [`get`].
pub fn post(address: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let length = body.len();
    ask(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// Gets a document over TLS, as a browser that trusts the authorities in the file `ca` and shows a
/// certificate, the files `identity`, if it has one.
///
/// # Errors
///
/// As [`get`], and if one end refuses the other.
pub fn get_over_tls(
    address: &str,
    path: &str,
    ca: &Path,
    identity: Option<(&Path, &Path)>,
) -> io::Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    exchange_over_tls(address, (ca, identity), &request)
}

/// Sends a request as it is written here over TLS, and returns status code and body of the answer;
/// whom it trusts and what it shows as for [`get_over_tls`].
///
/// # Errors
///
/// As [`get_over_tls`].
pub fn exchange_over_tls(
    address: &str,
    (ca, identity): (&Path, Option<(&Path, &Path)>),
    request: &str,
) -> io::Result<(u16, String)> {
    let other = |error: pem::Error| io::Error::other(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(other)? {
        roots.add(certificate.map_err(other)?).map_err(io::Error::other)?;
    }
    let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match identity {
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_file(cert).map_err(other)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(other)?;
            builder.with_client_auth_cert(vec![cert], key).map_err(io::Error::other)?
        }
        None => builder.with_no_client_auth(),
    };
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    ask_on(StreamOwned::new(connection, connect(address)?), request)
}

/// Sends a request as it is written here, head and body, and returns status code, head and body of
/// the answer.
///
/// # Errors
///
/// As [`get`].
pub fn exchange(address: &str, request: &str) -> io::Result<(u16, String, String)> {
    whole(connect(address)?, request)
}

/// Sends a request and reads the answer until its text holds so many of `mark`, then hangs up.
///
/// # Errors
///
/// As [`get`], and if it ends before.
pub fn read_until(address: &str, request: &str, mark: &str, count: usize) -> io::Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(request.as_bytes())?;
    let (mut text, mut bytes) = (String::new(), [0; 64 << 10]);
    while text.matches(mark).count() < count {
        let length = stream.read(&mut bytes)?;
        if length == 0 {
            let why = format!("it ended: {text}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        text += &String::from_utf8_lossy(&bytes[..length]);
    }
    Ok(text)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(address: &str, request: &str) -> io::Result<(u16, String)> {
    ask_on(connect(address)?, request)
}

fn ask_on(stream: impl Read + Write, request: &str) -> io::Result<(u16, String)> {
    whole(stream, request).map(|(status, _, body)| (status, body))
}

fn whole(mut stream: impl Read + Write, request: &str) -> io::Result<(u16, String, String)> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {answer}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { joined(body) } else { body.to_owned() };
    Ok((status, head.to_ascii_lowercase(), body))
}

/// Takes the lengths out of a body that came in chunks.
fn joined(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..length).filter(|chunk| !chunk.is_empty()) else { break };
        text.push_str(chunk);
        body = rest[length..].trim_start_matches("\r\n");
    }
    text
}
