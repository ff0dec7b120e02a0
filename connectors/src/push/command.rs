//! What a command writes to its standard output: a line a record.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use tokio::process::{Child, Command};
use topology_api::{Context, Error, Line, Tuple};

use super::framing::Framing;
use super::stream::{Limits, Streams};
use crate::buffer::BufferOptions;
use crate::intake::PushSpout;
use crate::intake::listen::Server;
use crate::{Retry, WrongOption};

/// When a command that has ended is started again.
///
/// ```
/// use connectors::push::Restart;
///
/// assert_eq!(Restart::default(), Restart::Always);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    #[default]
    Always,
    /// If it failed; if it did not, the spout is finished.
    OnFailure,
    /// Not: the spout is finished.
    Never,
}

/// Runs a command and takes the lines that it writes. There is no shell: the program is given its
/// arguments as they are.
///
/// ```
/// use connectors::push::{CommandIn, Restart};
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("collect");
/// let lines = t
///     .spout("dmesg", |cx| CommandIn::new("dmesg", ["--follow"]).restart(Restart::Always).lines(cx))
///     .stream();
/// t.for_each("show", |line: Line| println!("{}", line.text)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct CommandIn {
    program: String,
    arguments: Vec<String>,
    restart: Restart,
    retry: Retry,
    limits: Limits,
}

impl CommandIn {
    /// Runs this program with these arguments.
    #[must_use]
    pub fn new<I>(program: impl Into<String>, arguments: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            restart: Restart::default(),
            retry: Retry::default(),
            limits: Limits::default(),
        }
    }

    /// Sets when it is started again, always unless this says otherwise.
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how long to wait before it is started again, and how often that may be in a row, 100 ms to
    /// 10 s and without end unless this says otherwise. A command that wrote something begins anew.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Keeps lines in a buffer on disk until they are processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.limits.buffer = Some(options);
        self
    }

    /// Sets how many bytes a line may have, 1 MiB unless this says otherwise; what is longer is cut.
    #[must_use]
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.line_bytes = bytes;
        self
    }

    /// Sets how many lines may be without a verdict, 10 000 unless this says otherwise; then nothing
    /// more is read, and the command waits. With a buffer its size counts instead.
    #[must_use]
    pub fn pending_max(mut self, lines: usize) -> Self {
        self.limits.pending = lines;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        if self.program.is_empty() || self.program.contains('\0') {
            let fix = "give the name or the path of a program";
            return Err(WrongOption::new("program", &self.program, "it names nothing", fix));
        }
        self.retry.check("retry")?;
        self.limits.check("line_bytes_max")
    }

    /// Starts it, with each line as a [`Line`]. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn lines(&self, cx: &Context) -> Result<PushSpout<Line>, Error> {
        self.records(cx, super::line_with_replacements)
    }

    /// Starts it; `read` makes a tuple of each line. Lines that it refuses are counted and left out.
    ///
    /// # Errors
    ///
    /// A wrong option, a program that cannot be started, a buffer that cannot be read.
    pub fn records<T, F>(&self, cx: &Context, read: F) -> Result<PushSpout<T>, Error>
    where
        T: Tuple,
        F: Fn(&[u8]) -> Result<T, Error> + Send + Sync + 'static,
    {
        self.check()?;
        let (spout, streams) = self.limits.open(cx, Framing::Lines, Arc::new(read))?;
        let command = self.clone();
        let (server, ()) = Server::start("command-in", 1, async move |shutdown| {
            let child = command.start()?;
            shutdown.spawn_until_asked(command.run(child, streams));
            Ok(())
        })?;
        Ok(spout.with_server(server))
    }

    /// Starts it once; it is killed when what this gives is dropped.
    fn start(&self) -> Result<Child, WrongOption> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.kill_on_drop(true).spawn().map_err(|error| {
            let why = format!("it cannot be started: {error}");
            let fix = "give the path of a program on the machine that runs the task";
            WrongOption::new("program", &self.program, why, fix)
        })
    }

    /// Reads what it writes, and starts it again as long as that is wanted.
    async fn run<T: Tuple>(self, first: Child, streams: Streams<T>) {
        let (mut child, mut failed) = (Some(first), 0_u32);
        let (restarts, cx) = (streams.cx.counter("restarts"), streams.cx.clone());
        loop {
            let (works, said) = match child.take() {
                Some(child) => self.follow(child, &streams, &mut failed).await,
                None => (false, "it cannot be started".to_owned()),
            };
            let again = match self.restart {
                Restart::Always => true,
                Restart::OnFailure => !works,
                Restart::Never => false,
            };
            failed = failed.saturating_add(1);
            let wait = self.retry.wait(failed, rand::random_range(0.0..=1.0)).filter(|_| again);
            let then = wait.map_or_else(
                || "it is not started again".to_owned(),
                |wait| format!("it is started again in {} ms", wait.as_millis()),
            );
            cx.report_error(&format!("command `{}`: {said}; {then}", self.program));
            let Some(wait) = wait else { break };
            tokio::time::sleep(wait).await;
            restarts.add(1);
            child = self.start().ok();
        }
        streams.intake.finish();
    }

    /// Reads what it writes to the end; tells whether it went well, and how it ended.
    async fn follow<T: Tuple>(
        &self,
        mut child: Child,
        streams: &Streams<T>,
        failed: &mut u32,
    ) -> (bool, String) {
        let before = streams.counts.taken.get();
        if let Some(output) = child.stdout.take() {
            // A broken pipe is the end of it, too.
            streams.read_all(output).await.ok();
        }
        if streams.counts.taken.get() > before {
            *failed = 0;
        }
        match child.wait().await {
            Ok(status) => (status.success(), ended(status)),
            Err(error) => (false, format!("nobody knows how it ended: {error}")),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    format!("it has ended: {status}")
}
