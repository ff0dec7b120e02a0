//! A real Kafka: one broker in a temporary folder, and kcat, a client that others wrote.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::etcd::free_ports;
use crate::{Process, until};

/// The user of the listener with TLS and SASL.
const USER: &str = "alice";

/// Its password.
const PASSWORD: &str = "alice-secret";

/// A broker, killed when it goes out of scope.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    folder: TempDir,
    port: u16,
    controller: u16,
    secure: u16,
}

impl Kafka {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it cannot be had or does not start.
    #[must_use]
    pub fn start() -> Self {
        // Installed first: that takes longer than any start.
        let installed = Command::new(script()).output().expect("the script can be run");
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let ([port, controller], [secure, _]) = (free_ports(), free_ports());
        let process = launch(folder.path(), port, controller, secure);
        let mut kafka = Self { process, folder, port, controller, secure };
        kafka.wait();
        kafka
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on what it had, at the same ports.
    pub fn restart(&mut self) {
        self.process = launch(self.folder.path(), self.port, self.controller, self.secure);
        self.wait();
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it speaks TLS and wants to know who asks.
    #[must_use]
    pub fn secure_address(&self) -> String {
        format!("127.0.0.1:{}", self.secure)
    }

    /// Who may ask there, and the password.
    #[must_use]
    pub fn user(&self) -> (&'static str, &'static str) {
        (USER, PASSWORD)
    }

    /// The certificate that it shows there.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Makes topics of so many partitions each, or gives those that exist more.
    ///
    /// # Panics
    ///
    /// If the broker does not make them.
    pub fn topics(&self, topics: &[(&str, u32)]) {
        for (topic, partitions) in topics {
            connectors::kafka::Topics::new(&self.address())
                .make(topic, *partitions)
                .expect("a topic is made");
        }
    }

    /// Writes lines to a topic with kcat: `key|value`, or values alone.
    ///
    /// # Panics
    ///
    /// If kcat cannot.
    pub fn produce(&self, topic: &str, lines: &str) {
        let file = self.folder.path().join(format!("{topic}.lines"));
        std::fs::write(&file, lines).expect("the folder of the test can be written to");
        let file = file.display().to_string();
        let separator: &[&str] = if lines.contains('|') { &["-K", "|"] } else { &[] };
        let arguments = [&["-P", "-t", topic, "-l", &file], separator].concat();
        kcat(&self.address(), &arguments);
    }

    /// Reads all of a topic with kcat: a line a record, `key|value`.
    #[must_use]
    pub fn consume(&self, topic: &str) -> Vec<String> {
        let format = "%k|%s\n";
        let text = kcat(&self.address(), &["-C", "-e", "-q", "-t", topic, "-f", format]);
        text.lines().map(str::to_owned).collect()
    }

    fn wait(&mut self) {
        let port = self.port;
        until("kafka is started", || self.process.log().contains("Kafka Server started"));
        until("kafka answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
}

/// Runs kcat against a broker, and gives what it prints.
///
/// # Panics
///
/// If it fails.
pub fn kcat(address: &str, arguments: &[&str]) -> String {
    let output = Command::new("kcat").args(["-b", address]).args(arguments).output();
    let output = output.expect("kcat is installed by tests/servers/kafka");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/kafka")
}

fn launch(folder: &Path, port: u16, controller: u16, secure: u16) -> Process {
    let mut command = Command::new(script());
    command
        .arg("run")
        .arg(folder)
        .arg(port.to_string())
        .args(["--controller", &controller.to_string()])
        .args(["--tls-sasl", &secure.to_string(), USER, PASSWORD]);
    Process::start(command, &folder.join("broker.log"))
}
