//! The sink: leaves the records of a batch in the line, and decides on its tuples as the brokers answer.
//!
//! All records of a task share one client. Who first needs it connects, the others wait for that.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep};
use topology_api::{
    AsyncSink, BoltResult, Context, Counter, Input, Inputs, Tuple, format_duration,
};

use super::line::{Failure, Line, Sent};
use super::{KafkaOut, Target};
use crate::kafka::client::{Kind, KrafkaDelivery, KrafkaWriter, Outgoing, Trouble, Writer};
use crate::kafka::health::Health;
use crate::kafka::record::TopicName;

/// Bytes that a record takes besides its key, value and headers, at most.
const OVERHEAD: usize = 64;

/// How often records are looked for that are to be sent again, or are late.
const LOOK: Duration = Duration::from_millis(100);

/// The client of a task.
enum Client {
    /// There is none.
    Away,
    /// Somebody makes one.
    Connecting,
    /// With its number: each is another one.
    Ready(u64, Rc<KrafkaWriter>),
}

/// The way of a task to the brokers.
struct Link<T> {
    options: Arc<KafkaOut<T>>,
    client: RefCell<Client>,
    /// How many clients there were.
    clients: RefCell<u64>,
    /// The client is ready, or the try to connect has failed.
    changed: Notify,
    health: RefCell<Health>,
}

/// A tuple that is to be written.
struct Job<T> {
    input: Input<T>,
    /// Of its record.
    bytes: usize,
    /// How often that was not written.
    failed: u32,
    /// Then it is late.
    until: Instant,
}

type Jobs<T> = Line<Job<T>, KrafkaDelivery>;

/// What goes to a topic.
struct Lane<T> {
    line: Rc<Jobs<T>>,
    /// Sends what waits; ends when nothing does.
    sending: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Writes tuples to topics; [`KafkaOut::declare`] declares it.
pub struct KafkaSink<T> {
    options: Arc<KafkaOut<T>>,
    cx: Context,
    link: Rc<Link<T>>,
    /// By topic, for those to which something is on its way.
    lanes: HashMap<TopicName, Lane<T>>,
    /// What was not written, and when to send it again.
    again: Vec<(Instant, Job<T>)>,
    /// Tuples that were not decided on.
    open: usize,
    /// How long a tuple may take.
    patience: Duration,
    looks: Pin<Box<Sleep>>,
    written: Counter,
    bytes: Counter,
    retried: Counter,
}

impl<T> std::fmt::Debug for KafkaSink<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(f)
    }
}

/// Who connects; tells the others how it went, also when it is dropped.
struct Turn<'a, T>(&'a Link<T>);

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut client = self.0.client.borrow_mut();
        if matches!(*client, Client::Connecting) {
            *client = Client::Away;
        }
        drop(client);
        self.0.changed.notify_waiters();
    }
}

impl<T: Tuple> Link<T> {
    /// The client with its number, made if there is none.
    async fn client(&self) -> Result<(u64, Rc<KrafkaWriter>), Trouble> {
        loop {
            let is_away = match &*self.client.borrow() {
                Client::Ready(number, client) => return Ok((*number, Rc::clone(client))),
                Client::Connecting => false,
                Client::Away => true,
            };
            if !is_away {
                self.changed.notified().await;
                continue;
            }
            // Those that come while the circuit is open wait for it, and one of them tries.
            let wait = self.health.borrow_mut().wait();
            if let Some(wait) = wait {
                sleep(wait).await;
                continue;
            }
            *self.client.borrow_mut() = Client::Connecting;
            let turn = Turn(self);
            let topic = match &self.options.target {
                Target::One(topic) => Some(&**topic),
                Target::Each(_) => None,
            };
            let connecting =
                KrafkaWriter::connect(&self.options.brokers, &self.options.batching, topic);
            // On the heap, once: what only sends stays small.
            let client = Rc::new(Box::pin(connecting).await?);
            let number = *self.clients.borrow() + 1;
            *self.clients.borrow_mut() = number;
            *self.client.borrow_mut() = Client::Ready(number, Rc::clone(&client));
            drop(turn);
            return Ok((number, client));
        }
    }

    /// Lets go of a client that gets no further.
    fn give_up(&self, number: u64) {
        let mut client = self.client.borrow_mut();
        if matches!(&*client, Client::Ready(now, _) if *now == number) {
            *client = Client::Away;
        }
    }

    /// Gives a record to the client.
    async fn send(&self, record: Outgoing) -> Result<Sent<KrafkaDelivery>, Failure> {
        let client = self.client().await;
        let (client, writer) = client.map_err(|trouble| Failure { trouble, client: None })?;
        let enqueued = writer.enqueue(record).await;
        let delivery = enqueued.map_err(|trouble| Failure { trouble, client: Some(client) })?;
        Ok(Sent { partition: delivery.partition(), client, delivery })
    }
}

/// Sends what waits, in its order.
async fn send_all<T: Tuple>(link: Rc<Link<T>>, line: Rc<Jobs<T>>) {
    while let Some(record) = line.next() {
        let sent = link.send(record).await;
        line.sent(sent);
    }
}

impl<T: Tuple> KafkaSink<T> {
    pub(super) fn new(options: Arc<KafkaOut<T>>, cx: &Context) -> Self {
        let link = Link {
            options: Arc::clone(&options),
            client: RefCell::new(Client::Away),
            clients: RefCell::new(0),
            changed: Notify::new(),
            health: RefCell::new(Health::new(options.retry.clone(), cx)),
        };
        Self {
            options,
            cx: cx.clone(),
            link: Rc::new(link),
            lanes: HashMap::new(),
            again: Vec::new(),
            open: 0,
            // A quarter for the way here: then the tree would fail anyway, without a word of this sink.
            patience: cx.config().message_timeout() / 4 * 3,
            looks: Box::pin(sleep(LOOK)),
            written: cx.counter("records-written"),
            bytes: cx.counter("bytes-written"),
            retried: cx.counter("retried"),
        }
    }

    /// Goes on as far as it can; ready when its inputs have ended and all of them are decided on.
    fn go_on(&mut self, inputs: &mut Inputs<T>, cx: &mut task::Context<'_>) -> Poll<BoltResult> {
        loop {
            match inputs.poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(batch)) => self.take(batch),
                Poll::Ready(None) if self.open == 0 => return Poll::Ready(Ok(())),
                Poll::Ready(None) => break,
            }
        }
        while self.open > 0 && self.looks.as_mut().poll(cx).is_ready() {
            self.looks.set(sleep(LOOK));
            self.look();
        }
        self.drive(cx);
        Poll::Pending
    }

    /// Puts the records of these tuples in line.
    fn take(&mut self, batch: Vec<Input<T>>) {
        let most = self.options.batching.record_bytes_max as usize;
        let until = self.cx.now() + self.patience;
        // Mostly all go to one topic: it is not looked up for each.
        let mut last: Option<(TopicName, Rc<Jobs<T>>)> = None;
        for input in batch {
            let record = self.options.record(&input);
            let bytes = record.bytes() + OVERHEAD;
            if bytes > most {
                input.fail(self.too_large(bytes, &format!("`record_bytes_max` allows {most}")));
                continue;
            }
            self.open += 1;
            let line = match &last {
                Some((topic, line)) if *topic == record.topic => line,
                _ => {
                    let line = (record.topic.clone(), Rc::clone(self.line(&record.topic)));
                    &last.insert(line).1
                }
            };
            line.enter(Job { input, bytes, failed: 0, until }, record);
        }
    }

    /// The line of a topic.
    fn line(&mut self, topic: &TopicName) -> &Rc<Jobs<T>> {
        let lane = || Lane { line: Rc::new(Line::new()), sending: None };
        &self.lanes.entry(topic.clone()).or_insert_with(lane).line
    }

    /// Has what waits sent, and looks what the brokers say.
    fn drive(&mut self, cx: &mut task::Context<'_>) {
        let (mut written, mut bytes, mut failed) = (0, 0, Vec::new());
        for lane in self.lanes.values_mut() {
            if lane.line.is_to_send() {
                let send = lane.sending.get_or_insert_with(|| {
                    Box::pin(send_all(Rc::clone(&self.link), Rc::clone(&lane.line)))
                });
                if send.as_mut().poll(cx).is_ready() {
                    lane.sending = None;
                }
            }
            failed.append(&mut lane.line.drain(cx, |job| {
                written += 1;
                bytes += job.bytes as u64;
                job.input.ack();
            }));
        }
        self.lanes.retain(|_, lane| !lane.line.is_empty());
        failed.into_iter().for_each(|(job, failure)| self.failed(job, failure));
        if written > 0 {
            self.open -= written;
            self.written.add(written as u64);
            self.bytes.add(bytes);
            self.link.health.borrow_mut().worked("write");
        }
    }

    /// A record was not written: it is to be sent again, or its tuple fails.
    fn failed(&mut self, mut job: Job<T>, Failure { trouble, client }: Failure) {
        if let Some(client) = client.filter(|_| trouble.kind == Kind::Fatal) {
            self.link.give_up(client);
        }
        let text = || format!("kafka write: {}", trouble.text);
        self.open -= 1;
        match trouble.kind {
            Kind::TooLarge => {
                let most = self.options.batching.record_bytes_max;
                let why = format!(
                    "the brokers refuse it ({}): raise `max.message.bytes` of `{}`, or lower `record_bytes_max`, now {most}",
                    trouble.text,
                    self.options.record(&job.input).topic
                );
                return job.input.fail(self.too_large(job.bytes, &why));
            }
            Kind::Refused => return job.input.fail(text()),
            Kind::Retriable | Kind::Fatal | Kind::Missing => {}
        }
        self.link.health.borrow_mut().failed("write", &trouble);
        job.failed += 1;
        match (self.options.retry.wait(job.failed, rand::random()), &self.options.target) {
            (Some(wait), _) => {
                self.open += 1;
                self.again.push((self.cx.now() + wait, job));
            }
            // Another record may have another topic, so this may be the record's fault.
            (None, Target::Each(_)) if trouble.kind == Kind::Missing => job.input.fail(text()),
            (None, _) => job.input.unavailable(text()),
        }
    }

    /// Puts those in line again whose wait is over, and gives up those that are late.
    fn look(&mut self) {
        let now = self.cx.now();
        let late = self.lanes.values().map(|lane| lane.line.take_out(|job| job.until <= now));
        let mut late: Vec<Job<T>> = late.flatten().collect();
        for (at, job) in std::mem::take(&mut self.again) {
            if job.until <= now {
                late.push(job);
            } else if at <= now {
                self.retried.add(1);
                let record = self.options.record(&job.input);
                self.line(&record.topic).enter(job, record);
            } else {
                self.again.push((at, job));
            }
        }
        self.open -= late.len();
        let after = format_duration(self.patience);
        let away = self.link.health.borrow().away();
        for job in late {
            match &away {
                Some(away) => job.input.unavailable(format!("{away} (given up after {after})")),
                None => job.input.fail(format!("kafka write: no answer after {after}")),
            }
        }
    }

    fn too_large(&self, bytes: usize, why: &str) -> String {
        self.cx.count("too-large", 1);
        format!("a record of {bytes} bytes is too large: {why}")
    }
}

impl<T: Tuple> AsyncSink for KafkaSink<T> {
    type Input = T;

    async fn run(mut self, mut inputs: Inputs<T>) -> BoltResult {
        // All answers that are there, however many: tokio would have it pause after a hundred.
        unconstrained(poll_fn(|cx| self.go_on(&mut inputs, cx))).await
    }
}
