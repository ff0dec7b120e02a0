//! A real Redis: killed and started again on the same port with what it had.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::etcd::free_ports;
use crate::folder::new_log;
use crate::{Outcome, Process, signal, until};

/// A Redis server of its own; every write is on the disk before it is answered.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it cannot be had or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more options, as `redis-server` takes them.
    ///
    /// # Panics
    ///
    /// If it cannot be had or does not start.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let [port, _] = free_ports();
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let process = run(&folder, port, &arguments);
        let server = Self { process, port, arguments, folder };
        server.until_it_answers();
        server
    }

    /// Where it is, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its folder, for certificates.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with what it had.
    pub fn restart(&mut self) {
        self.process = run(&self.folder, self.port, &self.arguments);
        self.until_it_answers();
    }

    /// Lets it hang, or go on: `SIGSTOP`, `SIGCONT`.
    pub fn signal(&self, asked: Signal) {
        assert!(signal(self.process.id(), asked), "the server is there");
    }

    /// What `redis-cli` says to a command.
    ///
    /// # Panics
    ///
    /// If it cannot be run.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let mut command = script();
        command.args(["cli", &self.port.to_string()]).args(arguments);
        let outcome = Outcome::from(command.output().expect("redis-cli runs"));
        outcome.stdout.trim_end().to_owned()
    }

    /// The same, a line an item: the items of a list.
    #[must_use]
    pub fn list(&self, arguments: &[&str]) -> Vec<String> {
        self.cli(arguments).lines().map(str::to_owned).collect()
    }

    fn until_it_answers(&self) {
        until("redis answers", || {
            // With a password it says so, which is an answer too.
            let said = self.cli(&["ping"]);
            said.contains("PONG") || said.contains("NOAUTH")
        });
    }
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/servers/redis"))
}

fn run(folder: &TempDir, port: u16, arguments: &[String]) -> Process {
    let mut command = script();
    command.arg("run").arg(folder.path()).arg(port.to_string()).args(arguments);
    Process::start(command, &new_log(folder.path(), "redis"))
}
