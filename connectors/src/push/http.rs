//! Records by HTTP: posted, and answered when they were processed or are safe.

mod answer;
mod service;

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use daemon::accept::Protocol;
use topology_api::{Context, Error, Line, Tuple};

use self::service::{Rules, Service};
use crate::buffer::BufferOptions;
use crate::intake::listen::{Listen, Server, serve};
use crate::intake::{PushSpout, tell_address};
use crate::option::check_times;
use crate::{Secret, WrongOption};

/// Most threads that serve one task.
const THREADS_MAX: usize = 4;

/// Takes records that are posted by HTTP.
///
/// A post is answered 202 when its records and all that came of them were processed, or, with a buffer,
/// when they are safe in it.
///
/// ```
/// use connectors::push::HttpIn;
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("collect");
/// let lines = t.spout("posted", |cx| HttpIn::new("127.0.0.1:8081").lines(cx)).stream();
/// t.for_each("show", |line: Line| println!("{}", line.text)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct HttpIn {
    listen: Listen,
    path: String,
    token: Option<Secret>,
    buffer: Option<BufferOptions>,
    body_bytes: usize,
    records: usize,
    pending: usize,
    header_time: Duration,
    body_time: Duration,
    answer_within: Duration,
}

impl HttpIn {
    /// Listens there, on `ip:port`, or the first free port of `ip:first-last`.
    #[must_use]
    pub fn new(listen: impl Into<Listen>) -> Self {
        Self {
            listen: listen.into(),
            path: "/".to_owned(),
            token: None,
            buffer: None,
            body_bytes: 1 << 20,
            records: 1_000,
            pending: 10_000,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_within: Duration::from_secs(60),
        }
    }

    /// Sets the path that is posted to, `/` unless this says otherwise.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Lets in only who sends `authorization: Bearer` with this secret.
    #[must_use]
    pub fn token(mut self, secret: Secret) -> Self {
        self.token = Some(secret);
        self
    }

    /// Answers when records are safe in a buffer, instead of when they were processed.
    #[must_use]
    pub fn buffer(mut self, options: BufferOptions) -> Self {
        self.buffer = Some(options);
        self
    }

    /// Sets how many bytes a body may have, 1 MiB unless this says otherwise.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Sets how many records a body may have, 1000 unless this says otherwise.
    #[must_use]
    pub fn records_max(mut self, records: usize) -> Self {
        self.records = records;
        self
    }

    /// Sets how many records may be without a verdict, 10 000 unless this says otherwise; then posts are
    /// answered 429. With a buffer its size counts instead.
    #[must_use]
    pub fn pending_max(mut self, records: usize) -> Self {
        self.pending = records;
        self
    }

    /// Sets how long the head of a request may take, and how long a connection may be idle; 10 s unless
    /// this says otherwise. A new connection has 2 s for its first head.
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Self {
        self.header_time = time;
        self
    }

    /// Sets how long a body may take, 30 s unless this says otherwise.
    #[must_use]
    pub fn body_time(mut self, time: Duration) -> Self {
        self.body_time = time;
        self
    }

    /// Sets how long a post waits for its verdict before it is answered 503, 60 s unless this says
    /// otherwise.
    #[must_use]
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.answer_within = time;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.listen.check()?;
        if !self.path.starts_with('/') {
            let fix = "begin it with `/`";
            return Err(WrongOption::new("path", &self.path, "it is no path", fix));
        }
        let numbers = [
            ("body_bytes_max", self.body_bytes),
            ("records_max", self.records),
            ("pending_max", self.pending),
        ];
        for (option, value) in numbers {
            if value == 0 {
                return Err(WrongOption::new(option, 0, "nothing could be posted", "raise it"));
            }
        }
        if self.records > self.pending && self.buffer.is_none() {
            let why = "a body of that many records could never be taken";
            let fix = "make it at most `pending_max`";
            return Err(WrongOption::new("records_max", self.records, why, fix));
        }
        check_times(&[
            ("header_time", self.header_time),
            ("body_time", self.body_time),
            ("answer_within", self.answer_within),
        ])?;
        self.buffer.as_ref().map_or(Ok(()), BufferOptions::check)
    }

    /// Listens, with each record as a [`Line`]. Records that are no UTF-8 are answered 400.
    ///
    /// # Errors
    ///
    /// As [`records`](Self::records).
    pub fn lines(&self, cx: &Context) -> Result<PushSpout<Line>, Error> {
        self.records(cx, super::line)
    }

    /// Listens; `read` makes a tuple of each record, and the post that has one it refuses is answered
    /// 400 with its error.
    ///
    /// # Errors
    ///
    /// A wrong option, a port that is taken, a secret or a buffer that cannot be read.
    pub fn records<T, F>(&self, cx: &Context, read: F) -> Result<PushSpout<T>, Error>
    where
        T: Tuple,
        F: Fn(&[u8]) -> Result<T, Error> + Send + Sync + 'static,
    {
        self.check()?;
        let token = self.token.as_ref().map(Secret::read).transpose()?;
        let (spout, intake) = PushSpout::open(self.pending, self.buffer.as_ref(), cx)?;
        let rules = Rules {
            path: self.path.clone(),
            token,
            body_bytes: self.body_bytes,
            records: self.records,
            header_time: self.header_time,
            body_time: self.body_time,
            answer_within: self.answer_within,
        };
        let service = Arc::new(Service::new(rules, intake, read, cx));
        let (listen, threads) = (self.listen.clone(), threads());
        let (server, address) = Server::start("http-in", threads, async move |shutdown| {
            let http = Protocol::Http1 { open: listen.open };
            let asked = shutdown.clone();
            let each = move |connection| Arc::clone(&service).serve(connection, asked.clone());
            serve(&listen, http, shutdown, each).await
        })?;
        tell_address(cx, address);
        Ok(spout.with_server(server))
    }
}

fn threads() -> usize {
    available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}
