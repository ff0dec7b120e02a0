//! The bolt: each call writes one record and waits until the brokers have it.
//!
//! Thousands of calls wait at once, and the client makes batches of their records. All calls of a task
//! share one client; the first that needs it connects, the others wait for that.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use topology_api::{AsyncBolt, BoltResult, Context, Counter, NoOutput, Output, Tuple};

use super::{KafkaOut, Target};
use crate::kafka::client::{Kind, KrafkaWriter, Outgoing, Trouble, Writer};
use crate::kafka::health::Health;

/// Bytes that a record takes besides its key, value and headers, at most.
const OVERHEAD: usize = 64;

/// The client of a task.
enum Client {
    /// There is none.
    Away,
    /// A call makes one.
    Connecting,
    Ready(Rc<KrafkaWriter>),
}

/// Writes tuples to topics; [`KafkaOut::declare`] declares it.
pub struct KafkaBolt<T> {
    options: Arc<KafkaOut<T>>,
    cx: Context,
    client: RefCell<Client>,
    /// The client is ready, or the try to connect has failed.
    changed: Notify,
    health: RefCell<Health>,
    written: Counter,
    bytes: Counter,
    retried: Counter,
}

impl<T> std::fmt::Debug for KafkaBolt<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.options.fmt(f)
    }
}

/// Who connects; tells the others how it went, also when its call is dropped.
struct Turn<'a, T>(&'a KafkaBolt<T>);

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

impl<T: Tuple> KafkaBolt<T> {
    pub(super) fn new(options: Arc<KafkaOut<T>>, cx: &Context) -> Self {
        Self {
            health: RefCell::new(Health::new(options.retry.clone(), cx)),
            options,
            cx: cx.clone(),
            client: RefCell::new(Client::Away),
            changed: Notify::new(),
            written: cx.counter("records-written"),
            bytes: cx.counter("bytes-written"),
            retried: cx.counter("retried"),
        }
    }

    /// The client, made if there is none.
    async fn client(&self) -> Result<Rc<KrafkaWriter>, Trouble> {
        loop {
            let is_away = match &*self.client.borrow() {
                Client::Ready(client) => return Ok(Rc::clone(client)),
                Client::Connecting => false,
                Client::Away => true,
            };
            if !is_away {
                self.changed.notified().await;
                continue;
            }
            // Calls that come while the circuit is open wait for it, and one of them tries.
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
            // On the heap, once: a call that only writes stays small.
            let client = Rc::new(Box::pin(connecting).await?);
            *self.client.borrow_mut() = Client::Ready(Rc::clone(&client));
            drop(turn);
            return Ok(client);
        }
    }

    /// Lets go of a client that gets no further.
    fn give_up(&self, of: &Rc<KrafkaWriter>) {
        let mut client = self.client.borrow_mut();
        if matches!(&*client, Client::Ready(now) if Rc::ptr_eq(now, of)) {
            *client = Client::Away;
        }
    }

    async fn write(&self, record: Outgoing) -> Result<(), Trouble> {
        let client = self.client().await?;
        let written = client.write(record).await;
        if written.as_ref().is_err_and(|trouble| trouble.kind == Kind::Fatal) {
            self.give_up(&client);
        }
        written
    }

    fn too_large(&self, bytes: usize, why: &str) -> topology_api::Error {
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
        loop {
            let Err(trouble) = self.write(record.clone()).await else {
                self.written.add(1);
                self.bytes.add(bytes as u64);
                self.health.borrow_mut().worked("write");
                return Ok(());
            };
            if trouble.kind == Kind::TooLarge {
                let why = format!(
                    "the brokers refuse it ({}): raise `max.message.bytes` of `{}`, or lower `record_bytes_max`, now {most}",
                    trouble.text, record.topic
                );
                return Err(self.too_large(bytes, &why));
            }
            self.health.borrow_mut().failed("write", &trouble);
            failed += 1;
            match self.options.retry.wait(failed, rand::random()) {
                None => return Err(format!("kafka write: {}", trouble.text).into()),
                Some(wait) => {
                    self.retried.add(1);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}
