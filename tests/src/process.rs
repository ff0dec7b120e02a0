//! A process with its log, killed by its id when it goes out of scope.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::until;

/// A process with its log, killed by its id when it goes out of scope.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with both its outputs in a new file at `log`.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::create(log).expect("the folder of the test can be written to");
        let copy = file.try_clone().expect("an open file has a second handle");
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until a line of its log starts with `start`, and returns what follows there.
    ///
    /// # Panics
    ///
    /// If it ends before, or is too slow.
    pub fn line(&mut self, start: &str) -> String {
        let mut found = None;
        until(&format!("{:?} says {start:?}", self.log), || {
            // A line without its end may still grow.
            let log = self.log();
            let mut lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            found = lines.find_map(|line| line.strip_prefix(start).map(|it| it.trim().to_owned()));
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(found.is_some() || ended.is_none(), "it ended ({ended:?}) and said:\n{log}");
            found.is_some()
        });
        found.expect("just found")
    }

    /// Kills it as a power cut would, and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end, and returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.end(Signal::SIGTERM)
    }

    /// Interrupts it as ctrl-c does, and returns its exit code.
    pub fn interrupt(&mut self) -> Option<i32> {
        self.end(Signal::SIGINT)
    }

    /// Waits until it ends by itself, and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.ended("it ends by itself")
    }

    /// How much memory it uses, in bytes.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        rss_bytes(self.id())
    }

    fn end(&mut self, asked: Signal) -> Option<i32> {
        signal(self.id(), asked);
        self.ended("a daemon that is asked to stop ends")
    }

    fn ended(&mut self, what: &str) -> Option<i32> {
        let mut ended = None;
        until(what, || {
            ended = self.child.try_wait().expect("a child can be waited for");
            ended.is_some()
        });
        ended.and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process, and says whether it was there to take it.
///
/// # Panics
///
/// If the id is not that of one single process.
pub fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).expect("process ids are small");
    assert!(pid > 1, "{pid} is no process of ours");
    kill(Pid::from_raw(pid), signal).is_ok()
}

/// How much memory a process uses, in bytes; nothing once it is gone.
#[must_use]
pub fn rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// The processes that work in a folder below `folder`, as workers do.
#[must_use]
pub fn processes_below(folder: &Path) -> Vec<u32> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let works_there = |pid: &u32| -> io::Result<bool> {
        // The dead that nobody has waited for yet have no folder either: that is an error here.
        Ok(fs::read_link(format!("/proc/{pid}/cwd"))?.starts_with(&folder))
    };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    ids.filter(|pid| works_there(pid).unwrap_or(false)).collect()
}
