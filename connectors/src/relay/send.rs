//! The bolt that relays its inputs to another topology.

use std::path::Path;
use std::sync::{Arc, Mutex};

use daemon::Shutdown;
use daemon::listen::Security;
use daemon::tls::Files;
use tokio::sync::Notify;
use topology_api::{BoltResult, Context, Error, ExplicitBolt, Input, NoOutput, Output, Tuple};

use super::client::{Client, Figures, Shared};
use super::wire::FRAME_BYTES_MAX;
use crate::intake::listen::{Server, open_tls};
use crate::option::host_port;
use crate::{Circuit, Retry, WrongOption};

/// Most bytes of one row.
const ROW_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

/// Sends tuples to the [`RelayIn`](super::RelayIn) of another topology.
///
/// ```
/// use connectors::relay::RelayOut;
/// use topology_api::prelude::*;
///
/// let mut t = TopologyBuilder::new("collect");
/// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
/// t.explicit_bolt("out", |cx| RelayOut::new(["127.0.0.1:6800"]).open::<Line>(cx)).shuffle(&lines);
/// assert!(t.build().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct RelayOut {
    addresses: Vec<String>,
    tls: Option<Files>,
    retry: Retry,
}

impl RelayOut {
    /// Sends to the first of these addresses, `host:port`, that answers; each task begins with another.
    #[must_use]
    pub fn new<I>(addresses: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        let addresses = addresses.into_iter().map(Into::into).collect();
        Self { addresses, tls: None, retry: Retry::default() }
    }

    /// Speaks TLS with the certificate, the key and the authorities in these files, with a receiver
    /// whose certificate these authorities signed for its host.
    #[must_use]
    pub fn tls(
        mut self,
        cert: impl AsRef<Path>,
        key: impl AsRef<Path>,
        ca: impl AsRef<Path>,
    ) -> Self {
        self.tls = Some(Files::new(cert, key, ca));
        self
    }

    /// Sets how long to wait before the next try to connect, 100 ms to 10 s unless this says otherwise;
    /// there is no last try.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Looks whether the options make sense, to be told when the topology is built.
    ///
    /// # Errors
    ///
    /// The option that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        let fix = "give `host:port`, of one receiver at least";
        if self.addresses.is_empty() {
            return Err(WrongOption::new("addresses", "", "there is none", fix));
        }
        for address in &self.addresses {
            if let Err(why) = host_port(address) {
                return Err(WrongOption::new("addresses", address, why, fix));
            }
        }
        self.retry.check("retry")
    }

    /// Makes the bolt, which connects by itself.
    ///
    /// # Errors
    ///
    /// A wrong option, or TLS files that cannot be used.
    pub fn open<T: Tuple>(&self, cx: &Context) -> Result<RelayBolt<T>, Error> {
        self.check()?;
        let security = match &self.tls {
            None => Security::Insecure,
            Some(files) => Security::Tls(open_tls(files)?),
        };
        let shared = Arc::new(Shared { held: Mutex::default(), more: Notify::new() });
        let client = Client {
            shared: Arc::clone(&shared),
            addresses: self.addresses.clone(),
            at: cx.task_index() as usize,
            security,
            schema: T::schema().to_string(),
            circuit: Circuit::shown(self.retry.clone(), cx),
            figures: Figures {
                relayed: cx.counter("relayed"),
                failed: cx.counter("failed"),
                again: cx.counter("sent-again"),
                held: cx.gauge("held"),
            },
            cx: cx.clone(),
            shutdown: Shutdown::new(),
        };
        let (server, ()) = Server::start("relay-out", 1, async move |shutdown| {
            let mut client = client;
            client.shutdown = shutdown.clone();
            if let Some(tls) = client.security.tls() {
                tls.follow(shutdown);
            }
            shutdown.spawn_until_asked(client.run());
            Ok(())
        })?;
        Ok(RelayBolt { shared, _client: server })
    }
}

/// Relays its inputs; each is acked when the other side has said so. [`RelayOut`] opens it.
///
/// ```
/// # use connectors::relay::{RelayBolt, RelayOut};
/// # use topology_api::{Context, Error, Line};
/// fn open(cx: &Context) -> Result<RelayBolt<Line>, Error> {
///     RelayOut::new(["far:6800"]).open(cx)
/// }
/// ```
pub struct RelayBolt<T: Tuple> {
    shared: Arc<Shared<T>>,
    _client: Server,
}

impl<T: Tuple> std::fmt::Debug for RelayBolt<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bolt that relays")
    }
}

impl<T: Tuple> ExplicitBolt for RelayBolt<T> {
    type Input = T;
    type Output = NoOutput;

    fn execute(&mut self, input: Input<T>, _: &mut Output<NoOutput>) -> BoltResult {
        let weight = input.weight();
        if weight > ROW_BYTES_MAX {
            input.fail(format!("{weight} bytes are too many to relay; at most {ROW_BYTES_MAX}"));
            return Ok(());
        }
        self.shared.held().push(input, |input, rows| input.encode(rows));
        self.shared.more.notify_one();
        Ok(())
    }
}
