//! A server that takes requests, writes them down, and answers as it is told: `piped receiver`.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::etcd::free_ports;
use crate::folder::new_log;
use crate::{Process, program, signal, until};

/// A request, as the receiver wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Method and path.
    pub what: String,
    /// The header `Idempotency-Key`.
    pub key: String,
    /// The header `Authorization`.
    pub authorization: String,
    /// The headers `Content-Type` and `X-From`.
    pub others: [String; 2],
    /// The body.
    pub body: String,
}

/// A server that takes requests.
#[derive(Debug)]
pub struct Receiver {
    process: Process,
    port: u16,
    tls: Vec<String>,
    folder: TempDir,
}

impl Receiver {
    /// Starts one and waits until it listens.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with a certificate and its key, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_with(tls: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let [port, _] = free_ports();
        let tls: Vec<String> = tls.iter().map(|it| (*it).to_owned()).collect();
        let process = run(&folder, port, &tls);
        let receiver = Self { process, port, tls, folder };
        receiver.until_it_listens();
        receiver
    }

    /// Where it is, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        self.process = run(&self.folder, self.port, &self.tls);
        self.until_it_listens();
    }

    /// Lets it hang, or go on.
    ///
    /// # Panics
    ///
    /// If it is gone.
    pub fn signal(&self, asked: Signal) {
        assert!(signal(self.process.id(), asked), "the receiver is there");
    }

    /// Has it answer so: a status, headers a line each, an empty line, the body. None: as usual.
    ///
    /// # Panics
    ///
    /// If its folder cannot be written to.
    pub fn answers(&self, answer: Option<&str>) {
        let (path, part) = (self.file("answer"), self.file("answer.part"));
        match answer {
            Some(text) => {
                let written = fs::write(&part, text).and_then(|()| fs::rename(part, path));
                written.expect("its folder can be written to");
            }
            None => drop(fs::remove_file(path)),
        }
    }

    /// All that it took so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        let text = fs::read_to_string(self.file("requests")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let word = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        lines
            .map(|it| Received {
                what: format!("{} {}", word(&it, "method"), word(&it, "path")),
                key: word(&it, "key"),
                authorization: word(&it, "authorization"),
                others: [word(&it, "type"), word(&it, "from")],
                body: word(&it, "body"),
            })
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn until_it_listens(&self) {
        until("the receiver listens", || TcpStream::connect(self.address()).is_ok());
    }
}

fn run(folder: &TempDir, port: u16, tls: &[String]) -> Process {
    let mut command = Command::new(program("piped"));
    command.arg("receiver").arg(port.to_string()).arg(folder.path()).args(tls);
    Process::start(command, &new_log(folder.path(), "receiver"))
}
