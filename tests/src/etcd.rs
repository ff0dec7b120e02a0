//! A private etcd: the real server, in a temporary folder, tuned to start fast.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, post, until};

/// A private etcd, killed when it goes out of scope.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    folder: TempDir,
    /// Where clients and members reach it.
    addresses: [String; 2],
}

impl Etcd {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// If there is no etcd for this platform, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let addresses = free_ports().map(|port| format!("127.0.0.1:{port}"));
        let process = launch(&addresses, folder.path());
        let etcd = Self { process, folder, addresses };
        until("etcd answers", || etcd.range("/").is_some());
        etcd
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with what it held, at its old address.
    pub fn restart(&mut self) {
        self.process = launch(&self.addresses, self.folder.path());
        until("etcd answers again", || self.range("/").is_some());
    }

    /// Where it is, as `--etcd` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addresses[0])
    }

    /// All keys that start with `prefix`.
    ///
    /// # Panics
    ///
    /// If etcd does not answer.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.range(prefix).expect("etcd answers")
    }

    /// Asks through etcd's JSON gateway, which writes bytes in base 64.
    fn range(&self, prefix: &str) -> Option<Vec<String>> {
        let mut end = prefix.as_bytes().to_owned();
        *end.last_mut()? += 1;
        let request = json!({
            "key": encoded(prefix.as_bytes()), "range_end": encoded(&end), "keys_only": true
        });
        let (status, body) = post(&self.addresses[0], "/v3/kv/range", &request.to_string()).ok()?;
        let answer: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        let entries = answer["kvs"].as_array().cloned().unwrap_or_default();
        let key = |entry: &Value| decoded(entry["key"].as_str().unwrap_or_default());
        Some(entries.iter().map(key).collect())
    }
}

/// Starts the server on a folder.
fn launch([client, peer]: &[String; 2], folder: &Path) -> Process {
    let binary = etcd_bin_vendored::etcd_bin_path().expect("there is an etcd for this system");
    let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
    let mut command = Command::new(binary);
    command
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--name", "only", "--unsafe-no-fsync"])
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("only={peer_url}")]);
    Process::start(command, &folder.join("etcd.log"))
}

/// Two ports that nobody listens on; both are held until both are known, so that they differ.
pub(crate) fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes in base 64.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let place = group >> (18 - 6 * digit) & 63;
            let sign = if digit > chunk.len() { b'=' } else { DIGITS[place as usize] };
            text.push(char::from(sign));
        }
    }
    text
}

/// Reads text in base 64.
fn decoded(text: &str) -> String {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    let digits = text.bytes().filter_map(|sign| DIGITS.iter().position(|digit| *digit == sign));
    for digit in digits {
        bits = bits << 6 | u32::try_from(digit).expect("there are 64 digits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("masked to a byte"));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_reads_back() {
        for text in ["", "a", "ab", "abc", "/squall/v1/default/"] {
            assert_eq!(decoded(&encoded(text.as_bytes())), text);
        }
        assert_eq!(encoded(b"ab"), "YWI=");
    }

    #[test]
    fn a_private_etcd_starts_and_is_empty() {
        assert!(Etcd::start().keys("/").is_empty(), "nobody wrote anything");
    }
}
