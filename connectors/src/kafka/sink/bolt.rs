//! The bolt: each call leaves a record in the line and waits until the brokers have it.
//!
//! Thousands of calls wait at once, and the client makes batches of their records. All calls of a task
//! share one client, and the call that drives the line works for all of them. Who first needs the client
//! connects, the others wait for that.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::coop::unconstrained;
use topology_api::{
    AsyncBolt, BoltResult, Context, Counter, Error, NoOutput, Output, Tuple, Unavailable,
};

use super::line::{Failure, Line, Sent, Written};
use super::{KafkaOut, Target};
use crate::kafka::client::{Kind, KrafkaDelivery, KrafkaWriter, Outgoing, Trouble, Writer};
use crate::kafka::health::Health;
use crate::kafka::record::TopicName;

/// Bytes that a record takes besides its key, value and headers, at most.
const OVERHEAD: usize = 64;

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

/// Sends what waits for a topic; ends when nothing does.
type Sending = Pin<Box<dyn Future<Output = ()>>>;

/// Writes tuples to topics; [`KafkaOut::declare`] declares it.
pub struct KafkaBolt<T> {
    options: Arc<KafkaOut<T>>,
    cx: Context,
    link: Rc<Link<T>>,
    line: Rc<Line<KrafkaDelivery>>,
    /// What is being sent, by topic.
    sending: RefCell<HashMap<TopicName, Sending>>,
    written: Counter,
    bytes: Counter,
    retried: Counter,
}

impl<T> std::fmt::Debug for KafkaBolt<T> {
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
                tokio::time::sleep(wait).await;
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

/// Sends what waits for a topic, in its order.
async fn send_all<T: Tuple>(link: Rc<Link<T>>, line: Rc<Line<KrafkaDelivery>>, topic: TopicName) {
    while let Some((ticket, record)) = line.next(&topic) {
        let sent = link.send(record).await;
        line.sent(&topic, ticket, sent);
    }
}

/// A call that waits; gives its record up when it is dropped.
struct Call<'a, T: Tuple> {
    bolt: &'a KafkaBolt<T>,
    ticket: usize,
}

impl<T: Tuple> Call<'_, T> {
    fn poll(&self, cx: &mut task::Context<'_>) -> Poll<Written> {
        let line = &self.bolt.line;
        let mut written = line.written(self.ticket);
        if written.is_none() && line.wait(self.ticket, cx.waker()) {
            self.bolt.drive(cx);
            written = line.written(self.ticket);
        }
        written.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<T: Tuple> Drop for Call<'_, T> {
    fn drop(&mut self) {
        self.bolt.line.leave(self.ticket);
    }
}

impl<T: Tuple> KafkaBolt<T> {
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
            line: Rc::new(Line::new()),
            sending: RefCell::default(),
            written: cx.counter("records-written"),
            bytes: cx.counter("bytes-written"),
            retried: cx.counter("retried"),
        }
    }

    /// Has what waits sent, and looks what the brokers say.
    fn drive(&self, cx: &mut task::Context<'_>) {
        for (topic, is_sending) in self.line.topics() {
            if is_sending {
                let sending = &mut *self.sending.borrow_mut();
                let send = sending.entry(topic.clone()).or_insert_with(|| {
                    let (link, line) = (Rc::clone(&self.link), Rc::clone(&self.line));
                    Box::pin(unconstrained(send_all(link, line, topic.clone())))
                });
                if send.as_mut().poll(cx).is_ready() {
                    sending.remove(&topic);
                }
            }
            self.line.drain(&topic, cx);
        }
    }

    /// Waits until the brokers have a record.
    async fn write(&self, record: Outgoing) -> Result<(), Trouble> {
        let call = Call { bolt: self, ticket: self.line.enter(record) };
        let Err(Failure { trouble, client }) = poll_fn(|cx| call.poll(cx)).await else {
            return Ok(());
        };
        if let Some(client) = client.filter(|_| trouble.kind == Kind::Fatal) {
            self.link.give_up(client);
        }
        Err(trouble)
    }

    /// What to do with a record that was not written for this reason: to wait so long and try again, or
    /// to fail its tuple.
    fn failed(
        &self,
        trouble: &Trouble,
        (record, failed): (&Outgoing, u32),
    ) -> Result<Duration, Error> {
        if trouble.kind == Kind::TooLarge {
            let most = self.options.batching.record_bytes_max;
            let why = format!(
                "the brokers refuse it ({}): raise `max.message.bytes` of `{}`, or lower `record_bytes_max`, now {most}",
                trouble.text, record.topic
            );
            return Err(self.too_large(record.bytes() + OVERHEAD, &why));
        }
        let text = || format!("kafka write: {}", trouble.text);
        if trouble.kind == Kind::Refused {
            return Err(text().into());
        }
        self.link.health.borrow_mut().failed("write", trouble);
        let wait = self.options.retry.wait(failed, rand::random());
        wait.ok_or_else(|| match (trouble.kind, &self.options.target) {
            // Another record may have another topic, so this may be the record's fault.
            (Kind::Missing, Target::Each(_)) => text().into(),
            _ => Unavailable::new(text()).into(),
        })
    }

    fn too_large(&self, bytes: usize, why: &str) -> Error {
        self.cx.count("too-large", 1);
        format!("a record of {bytes} bytes is too large: {why}").into()
    }
}

impl<T: Tuple> AsyncBolt for KafkaBolt<T> {
    type Input = T;
    type Output = NoOutput;

    async fn execute(&self, tuple: T, _: &mut Output<NoOutput>) -> BoltResult {
        let record = self.options.record(&tuple);
        drop(tuple);
        let bytes = record.bytes() + OVERHEAD;
        let most = self.options.batching.record_bytes_max;
        if bytes > most as usize {
            let why = format!("`record_bytes_max` allows {most}");
            return Err(self.too_large(bytes, &why));
        }
        let mut failed = 0;
        while let Err(trouble) = self.write(record.clone()).await {
            failed += 1;
            let wait = self.failed(&trouble, (&record, failed))?;
            self.retried.add(1);
            // On the heap: hardly any call gets here, and all of them would have room for it.
            Box::pin(tokio::time::sleep(wait)).await;
        }
        self.written.add(1);
        self.bytes.add(bytes as u64);
        self.link.health.borrow_mut().worked("write");
        Ok(())
    }

    fn late(&self) -> Option<String> {
        self.link.health.borrow().away()
    }
}
