//! The way to a server: one connection, what is known of it, and who is told.

use std::cell::{Cell, RefCell};

use topology_api::{Context, Error};

use super::Redis;
use super::client::{Connection, Trouble};
use crate::circuit::{failure, until_open};
use crate::{Circuit, CircuitState};

/// The way to one server, of one task.
#[derive(Debug)]
pub(super) struct Link {
    redis: Redis,
    cx: Context,
    circuit: RefCell<Circuit>,
    connection: RefCell<Option<Connection>>,
    /// What was reported since it last worked.
    told: RefCell<Option<std::mem::Discriminant<Trouble>>>,
    /// It is one of two ways of a task: the other one says what there is to say.
    is_hidden: bool,
    /// How many tries have failed in a row, of those that the circuit does not count.
    refused: Cell<u32>,
}

impl Link {
    /// A way that was not gone yet.
    pub(super) fn new(redis: &Redis, cx: &Context) -> Self {
        Self::with(redis, cx, Circuit::shown(redis.retry.clone(), cx), false)
    }

    /// A second way of a task, whose state the first one shows.
    pub(super) fn hidden(redis: &Redis, cx: &Context) -> Self {
        Self::with(redis, cx, Circuit::new(redis.retry.clone()), true)
    }

    fn with(redis: &Redis, cx: &Context, circuit: Circuit, is_hidden: bool) -> Self {
        Self {
            redis: redis.clone(),
            cx: cx.clone(),
            circuit: RefCell::new(circuit),
            connection: RefCell::new(None),
            told: RefCell::new(None),
            is_hidden,
            refused: Cell::new(0),
        }
    }

    /// Gives the connection when it is time to use it; opens one if there is none.
    pub(super) async fn connection(&self) -> Result<Connection, Trouble> {
        until_open(&self.circuit, &self.cx).await;
        if let Some(connection) = self.connection.borrow().clone() {
            return Ok(connection);
        }
        let opened = Connection::open(&self.redis).await?;
        *self.connection.borrow_mut() = Some(opened.clone());
        Ok(opened)
    }

    /// What is away, if the server does not answer or cannot now.
    pub(super) fn away(&self) -> Option<String> {
        let answers = self.circuit.borrow().state() == CircuitState::Closed;
        let is_away = !answers || self.refused.get() > 0;
        is_away.then(|| format!("redis at {} is away", self.redis.address))
    }

    /// What a failed call's error is, by whether the server is away.
    pub(super) fn error(&self, why: String) -> Error {
        failure(why, self.away())
    }

    /// It was answered.
    pub(super) fn worked(&self) {
        self.circuit.borrow_mut().worked();
        self.refused.set(0);
        self.told.take();
    }

    /// There was no answer: the connection is given up, and after a pause the same may be tried again.
    pub(super) async fn failed(&self, trouble: &Trouble) {
        self.connection.take();
        let kind = std::mem::discriminant(trouble);
        if self.told.replace(Some(kind)) != Some(kind) && !self.is_hidden {
            self.cx.report_error(&format!("{trouble}; it is tried again until it works"));
        }
        let pause = self.circuit.borrow_mut().failed(self.cx.now(), rand::random());
        tokio::time::sleep(pause).await;
    }

    /// The server answers, but cannot now: gives it some time.
    pub(super) async fn pause(&self, why: &str) {
        // The address may lead to another server by now: a replica that was the primary stays read only.
        self.connection.take();
        let refused = self.refused.get().saturating_add(1);
        self.refused.set(refused);
        if refused == 1 {
            let address = &self.redis.address;
            self.cx.report_error(&format!(
                "redis at {address}: {why}; it is tried again until it works"
            ));
        }
        tokio::time::sleep(self.redis.retry.pause(refused, rand::random())).await;
    }
}
