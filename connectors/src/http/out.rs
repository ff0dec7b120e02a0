//! The bolt: a request for each tuple or batch, tried until it is taken or refused.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use topology_api::{
    Async, AsyncBolt, BoltDeclarer, BoltResult, Context, Counter, Error, Histogram, NoOutput,
    Output, TopologyBuilder, Tuple,
};

use super::client::{Client, Outgoing, longer, new_key};
use super::verdict::Verdict;
use super::{Http, Request};
use crate::batches::{BatchLimits, Batches, Outcome, Tried};
use crate::circuit::{failure, until_open};
use crate::{Circuit, CircuitState, WrongOption};

/// Sends a request for each tuple, or one for many; a tuple is acked when the server has taken it.
///
/// What passes is tried again: no answer, 5xx, 408, 425 and 429, with the wait that the server asks for.
/// Every other answer but 2xx fails the tuple, with the status and how the body begins. Each request has
/// a key that is the same in all its tries, so that a server that remembers keys does things once.
///
/// Requests of a task are under way side by side, in no order; batches follow each other.
///
/// Counters: `requests`, `taken`, `refused`, `tried-again`, `connection-failures`; gauge `circuit`;
/// histogram `batch-tuples`.
///
/// ```
/// use connectors::http::{Http, HttpOut, Request};
/// use topology_api::prelude::*;
///
/// # struct Lines;
/// # impl Spout for Lines {
/// #     type Output = Line;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<Line, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// let mut t = TopologyBuilder::new("alerts");
/// let lines = t.spout("lines", |_| Lines).stream();
/// let hook = Http::to("https://hooks.example.org/in");
/// HttpOut::declare(&mut t, "hook", &hook, |line: &Line| Request::json(line.text.as_str()))?
///     .shuffle(&lines);
/// t.build()?;
/// # Ok::<(), topology_api::Error>(())
/// ```
pub struct HttpOut<I, F> {
    make: F,
    shared: Rc<Shared>,
    tuples: PhantomData<fn(I)>,
}

struct Shared {
    http: Http,
    cx: Context,
    client: Client,
    circuit: RefCell<Circuit>,
    /// What the secret headers were when they were read last.
    secrets: RefCell<Vec<(String, String)>>,
    /// That it does not work now was reported.
    is_told: Cell<bool>,
    batches: Batches<Request, ()>,
    requests: Counter,
    taken: Counter,
    refused: Counter,
    again: Counter,
    sizes: Histogram,
}

impl<I, F> std::fmt::Debug for HttpOut<I, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "requests by {:?}", self.shared.client)
    }
}

impl<I: Tuple, F: Fn(&I) -> Request + 'static> HttpOut<I, F> {
    /// Makes one; `make` says what request a tuple is.
    ///
    /// # Errors
    ///
    /// The option that makes no sense; a secret that is not there.
    pub fn open(http: &Http, make: F, cx: &Context) -> Result<Self, Error> {
        http.check()?;
        let limits = BatchLimits { jobs: http.batch, bytes: http.batch_bytes };
        let shared = Shared {
            client: Client::new(http)?,
            circuit: RefCell::new(Circuit::shown(http.retry.clone(), cx)),
            secrets: RefCell::new(read_secrets(http)?),
            is_told: Cell::new(false),
            batches: Batches::new(limits, http.retry.clone()),
            requests: cx.counter("requests"),
            taken: cx.counter("taken"),
            refused: cx.counter("refused"),
            again: cx.counter("tried-again"),
            sizes: cx.histogram("batch-tuples"),
            http: http.clone(),
            cx: cx.clone(),
        };
        Ok(Self { make, shared: Rc::new(shared), tuples: PhantomData })
    }

    /// Declares a bolt of it, which still wants a grouping.
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn declare(
        t: &mut TopologyBuilder,
        name: &str,
        http: &Http,
        make: F,
    ) -> Result<BoltDeclarer<I, NoOutput, Async>, WrongOption>
    where
        F: Clone + Send + Sync,
    {
        http.check()?;
        let (http, concurrency) = (http.clone(), http.concurrency);
        let bolt = t.async_bolt(name, move |cx| Self::open(&http, make.clone(), cx));
        Ok(bolt.concurrency(concurrency).unordered())
    }
}

impl<I: Tuple, F: Fn(&I) -> Request + 'static> AsyncBolt for HttpOut<I, F> {
    type Input = I;
    type Output = NoOutput;

    async fn execute(&self, input: I, _: &mut Output<NoOutput>) -> BoltResult {
        let (shared, request) = (&self.shared, (self.make)(&input));
        drop(input);
        let body = request.body()?.to_vec();
        if shared.http.batch > 1 {
            request.fits_a_batch()?;
            let attempt = |requests| send_batch(Rc::clone(shared), requests);
            let called = shared.batches.call(request, body.len(), attempt).await;
            return called.map_err(|why| failure(why, shared.away()));
        }
        let key = request.key.clone().unwrap_or_else(new_key);
        let outgoing = shared.client.outgoing(&request, body, &key)?;
        shared.deliver(&outgoing).await.map_err(|why| failure(why, shared.away()))
    }

    fn late(&self) -> Option<String> {
        self.shared.away()
    }
}

/// Sends a batch as one array, until it is taken or refused as a whole: tried again it is the same.
async fn send_batch(shared: Rc<Shared>, requests: Vec<Request>) -> Tried<Request, ()> {
    let mut body = vec![b'['];
    for request in &requests {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(request.body().unwrap_or_default());
    }
    body.push(b']');
    shared.sizes.record(requests.len() as u64);
    let sent = match requests.first() {
        None => Ok(()),
        Some(first) => match shared.client.outgoing(first, body, &new_key()) {
            Ok(outgoing) => shared.deliver(&outgoing).await,
            Err(why) => Err(why),
        },
    };
    requests.into_iter().map(|request| (request, Outcome::Done(sent.clone()))).collect()
}

impl Shared {
    /// Sends until it is taken, refused, or tried often enough.
    async fn deliver(&self, outgoing: &Outgoing) -> Result<(), String> {
        let mut failed = 0;
        let mut read_again = false;
        loop {
            until_open(&self.circuit, &self.cx).await;
            self.requests.add(1);
            let secrets = self.secrets.borrow().clone();
            let (why, asked) = match self.client.send(outgoing, &secrets).await {
                Ok(Verdict::Done) => {
                    self.worked();
                    self.taken.add(1);
                    return Ok(());
                }
                Ok(Verdict::NotLetIn(why)) => {
                    self.worked();
                    if !std::mem::replace(&mut read_again, true) && self.read_new_secrets(&secrets)
                    {
                        continue;
                    }
                    return self.refuse(why);
                }
                Ok(Verdict::Failed(why)) => {
                    self.worked();
                    return self.refuse(why);
                }
                Ok(Verdict::Again(why, asked)) => (why, asked),
                Err(why) => (why, None),
            };
            failed += 1;
            self.again.add(1);
            let pause = self.failed(&why);
            if self.http.retry.is_over(failed) {
                return self.refuse(format!("{why} (tried {failed} times)"));
            }
            let own = self.http.retry.pause(failed, rand::random());
            let wait = longer(own.max(pause), asked, self.http.retry_after_max);
            tokio::time::sleep(wait).await;
        }
    }

    /// What is away, if the server does not answer or cannot now.
    fn away(&self) -> Option<String> {
        let is_away = self.circuit.borrow().state() != CircuitState::Closed;
        is_away.then(|| "the server does not answer, or cannot now".to_owned())
    }

    fn refuse(&self, why: String) -> Result<(), String> {
        self.refused.add(1);
        Err(why)
    }

    fn worked(&self) {
        self.circuit.borrow_mut().worked();
        self.is_told.set(false);
    }

    fn failed(&self, why: &str) -> Duration {
        if !self.is_told.replace(true) {
            self.cx.report_error(&format!("{why}; it is tried again"));
        }
        self.circuit.borrow_mut().failed(self.cx.now(), rand::random())
    }

    /// Reads the secrets again; whether they are others than those that were sent.
    fn read_new_secrets(&self, sent: &[(String, String)]) -> bool {
        match read_secrets(&self.http) {
            Ok(read) => {
                let is_new = read != sent;
                *self.secrets.borrow_mut() = read;
                is_new
            }
            Err(error) => {
                self.cx.report_error(&error.to_string());
                false
            }
        }
    }
}

fn read_secrets(http: &Http) -> Result<Vec<(String, String)>, Error> {
    let read = |(name, secret): &(String, crate::Secret)| {
        let text =
            secret.read().map_err(|error| format!("option `secret_header` is wrong: {error}"))?;
        Ok((name.clone(), text.reveal().to_owned()))
    };
    http.secret_headers.iter().map(read).collect()
}
