//! Streams in: entries of Redis streams, each read by one consumer of a group, and acked there when its
//! tuple was.

mod open_entries;
mod options;
mod reader;
mod replies;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use topology_api::{
    Context, DeadLetter, FailReason, Next, Replays, Spout, SpoutDeclarer, SpoutOutput, SpoutResult,
    Stream, Text, TopologyBuilder, Tuple,
};

pub use self::options::StreamOptions;

use self::open_entries::Place;
use super::Redis;
use crate::WrongOption;

/// Most tuples that one call of `next` emits.
const AT_ONCE: usize = 256;

/// An entry of a stream.
///
/// ```
/// use connectors::redis::StreamEntry;
///
/// let entry = StreamEntry {
///     stream: "orders".into(),
///     id: "1700000000000-0".into(),
///     fields: vec![("user".into(), b"ann".to_vec())],
/// };
/// assert_eq!(entry.text("user"), Some("ann"));
/// assert_eq!(entry.field("amount"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct StreamEntry {
    /// The key of the stream.
    pub stream: Text,
    /// Its id there: milliseconds, a dash, and a number.
    pub id: Text,
    /// Its fields, in order. Names that are not UTF-8 have U+FFFD in them.
    pub fields: Vec<(Text, Vec<u8>)>,
}

impl StreamEntry {
    /// The value of its first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.field(name)?).ok()
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Acked(Place),
    /// It stays with the server, which gives it to somebody again.
    Failed(Place),
}

/// Reads streams of a Redis server as one consumer of a group.
///
/// The server remembers what a consumer was given and has not acked. An entry is acked there (`XACK`) when
/// its tuple was; until then, whoever dies, it comes again: to the same task when it is back, or to
/// another one after [`claim_after`](StreamOptions::claim_after). So each entry is processed at least once.
///
/// Each task reads on a thread of its own, as a consumer called after topology, component and task.
///
/// Counters: `entries`, `xacked`, `claimed`, `come-again`, `deleted-entries`, `connection-failures`; gauges
/// `circuit`, `open-entries`.
///
/// ```
/// use connectors::redis::{Redis, RedisStreams, StreamEntry, StreamOptions};
/// use topology_api::{Replays, prelude::*};
///
/// let mut t = TopologyBuilder::new("orders");
/// let redis = Redis::at("localhost:6379");
/// let options = StreamOptions::new(["orders"], "squall");
/// let (orders, _) = RedisStreams::declare(&mut t, "in", &redis, &options, Replays::default())?;
/// let orders = orders.parallelism(2).stream();
/// t.try_for_each("check", |order: StreamEntry| match order.text("user") {
///     Some(_) => Ok(()),
///     None => Err("an order without a user"),
/// })
/// .shuffle(&orders);
/// t.build()?;
/// # Ok::<(), topology_api::Error>(())
/// ```
#[derive(Debug)]
pub struct RedisStreams {
    entries: Receiver<(Place, StreamEntry)>,
    verdicts: UnboundedSender<Verdict>,
}

impl RedisStreams {
    /// Begins to read. Without [`Replaying`](topology_api::Replaying) around it, an entry that fails comes
    /// again only after `claim_after`, for ever.
    ///
    /// # Errors
    ///
    /// The option that makes no sense; that there can be no thread.
    pub fn open(
        redis: &Redis,
        options: &StreamOptions,
        cx: &Context,
    ) -> Result<Self, topology_api::Error> {
        redis.check()?;
        options.check()?;
        options.check_against(cx.config().message_timeout())?;
        let (entries_in, entries) = channel(options.read);
        let (verdicts, verdicts_out) = verdict_channel();
        reader::start(redis, options, cx, (entries_in, verdicts_out))?;
        Ok(Self { entries, verdicts })
    }

    /// Declares a spout of it whose tuples are replayed when they fail, and the stream of those that
    /// failed too often; see [`TopologyBuilder::replaying`].
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn declare(
        t: &mut TopologyBuilder,
        name: &str,
        redis: &Redis,
        options: &StreamOptions,
        replays: Replays,
    ) -> Result<(SpoutDeclarer<StreamEntry>, Stream<DeadLetter<StreamEntry>>), WrongOption> {
        redis.check()?;
        options.check()?;
        let (redis, options) = (redis.clone(), options.clone());
        Ok(t.replaying(name, replays, move |cx| Self::open(&redis, &options, cx)))
    }

    fn settle(&self, verdict: Verdict) {
        if self.verdicts.send(verdict).is_err() {
            // The thread has ended, as `next` will say; the server gives the entry to somebody again.
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it holds at most one verdict an open entry, and those are limited"
)]
fn verdict_channel() -> (UnboundedSender<Verdict>, UnboundedReceiver<Verdict>) {
    unbounded_channel()
}

impl Spout for RedisStreams {
    type Output = StreamEntry;
    type Id = Place;

    fn next(&mut self, out: &mut SpoutOutput<StreamEntry, Place>) -> SpoutResult {
        for at in 0..AT_ONCE {
            match self.entries.try_recv() {
                Ok((place, entry)) => out.emit(place, entry),
                Err(_) if at > 0 => return Ok(Next::Emitted),
                Err(TryRecvError::Empty) => return Ok(Next::Idle),
                Err(TryRecvError::Disconnected) => {
                    return Err("the thread that reads the streams has ended".into());
                }
            }
        }
        Ok(Next::Emitted)
    }

    fn ack(&mut self, place: Place) {
        self.settle(Verdict::Acked(place));
    }

    fn fail(&mut self, place: Place, _: FailReason) {
        self.settle(Verdict::Failed(place));
    }
}
