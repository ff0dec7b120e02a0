//! Kafka out: the options of a sink that writes to topics, and how it is declared.

mod line;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use topology_api::{BoltDeclarer, NoOutput, Sink, TopologyBuilder, Tuple};

pub use self::write::KafkaSink;

use super::client::{Batching, Compression, Outgoing};
use super::connection::Brokers;
use super::record::{Blob, Headers, TopicName};
use super::source::check_topic;
use crate::{Retry, WrongOption};

/// Tuples that a task holds at most: what waits for the brokers' answers.
const CONCURRENCY: u32 = 8_192;

type Accessor<T, V> = Arc<dyn Fn(&T) -> V + Send + Sync>;

/// Where tuples go.
pub(super) enum Target<T> {
    One(TopicName),
    Each(Accessor<T, TopicName>),
}

/// Writes tuples to topics: an async sink that acks its input when the brokers have it.
///
/// Records are batched, and written by an idempotent producer, so that what the client sends again is
/// not written twice. A tuple that is replayed is.
///
/// ```
/// use connectors::kafka::{Brokers, KafkaOut};
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Total { user: Text, cents: u64 }
///
/// # struct Totals;
/// # impl Spout for Totals {
/// #     type Output = Total;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<Total, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// fn totals(_: &Args) -> Result<Topology, BuildError> {
///     let mut t = TopologyBuilder::new("totals");
///     # let totals = t.spout("totals", |_| Totals).stream();
///     KafkaOut::new(Brokers::new("127.0.0.1:9092"), "totals", |it: &Total| it.cents.to_string())
///         .key(|it| it.user.as_str().to_owned())
///         .declare(&mut t, "out")?
///         .shuffle(&totals);
///     t.build()
/// }
/// assert!(totals(&Args::default()).is_ok());
/// ```
pub struct KafkaOut<T> {
    brokers: Brokers,
    target: Target<T>,
    key: Option<Accessor<T, Blob>>,
    value: Accessor<T, Blob>,
    deletes: Option<Accessor<T, bool>>,
    headers: Option<Accessor<T, Headers>>,
    pub(super) batching: Batching,
    pub(super) retry: Retry,
}

impl<T> fmt::Debug for KafkaOut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "writes to Kafka at {}", self.brokers.addresses)
    }
}

impl<T: Tuple> KafkaOut<T> {
    /// Writes to this topic; the accessor gives the value of a tuple's record.
    #[must_use]
    pub fn new<V: Into<Blob>>(
        brokers: Brokers,
        topic: &str,
        value: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Self {
        Self {
            brokers,
            target: Target::One(topic.into()),
            key: None,
            value: Arc::new(move |tuple| value(tuple).into()),
            deletes: None,
            headers: None,
            batching: Batching {
                bytes: 128 << 10,
                linger: Duration::from_millis(5),
                record_bytes_max: 1 << 20,
                delivery: Duration::from_secs(15),
                compression: Compression::None,
            },
            retry: Retry::new(Duration::from_millis(100), Duration::from_secs(5)).attempts(3),
        }
    }

    /// Writes each tuple to the topic that this gives.
    #[must_use]
    pub fn topic_of(mut self, topic: impl Fn(&T) -> TopicName + Send + Sync + 'static) -> Self {
        self.target = Target::Each(Arc::new(topic));
        self
    }

    /// The key of a tuple's record: those of one key go to one partition, in order. Without a key they
    /// are spread.
    #[must_use]
    pub fn key<K: Into<Blob>>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(move |tuple| key(tuple).into()));
        self
    }

    /// Writes a record without a value for the tuples for which this holds: what was said of their key
    /// is deleted.
    #[must_use]
    pub fn deletes(mut self, deletes: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.deletes = Some(Arc::new(deletes));
        self
    }

    /// The headers of a tuple's record.
    #[must_use]
    pub fn headers(mut self, headers: impl Fn(&T) -> Headers + Send + Sync + 'static) -> Self {
        self.headers = Some(Arc::new(headers));
        self
    }

    /// Compresses batches; not at all unless this says otherwise.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.batching.compression = compression;
        self
    }

    /// Sends a batch when it has so many bytes, 128 KiB unless this says otherwise.
    #[must_use]
    pub fn batch_bytes(mut self, bytes: u32) -> Self {
        self.batching.bytes = bytes;
        self
    }

    /// Sends a batch when its first record has waited so long, 5 ms unless this says otherwise.
    #[must_use]
    pub fn linger(mut self, linger: Duration) -> Self {
        self.batching.linger = linger;
        self
    }

    /// Fails a tuple whose record would be larger than this, 1 MiB unless this says otherwise. The
    /// brokers have a limit of their own, `max.message.bytes` of the topic.
    #[must_use]
    pub fn record_bytes_max(mut self, bytes: u32) -> Self {
        self.batching.record_bytes_max = bytes;
        self
    }

    /// Lets the client try for so long to have a record written, 15 s unless this says otherwise.
    #[must_use]
    pub fn delivery(mut self, time: Duration) -> Self {
        self.batching.delivery = time;
        self
    }

    /// Tries again when the client has given up; three tries unless this says otherwise. After the last
    /// one the tuple fails.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Looks whether all options make sense, without asking the brokers.
    ///
    /// # Errors
    ///
    /// The first that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.brokers.check()?;
        self.retry.check("retry")?;
        if let Target::One(topic) = &self.target {
            check_topic("topic", topic)?;
        }
        let Batching { bytes, linger, record_bytes_max, delivery, .. } = self.batching;
        for (name, value) in [("batch_bytes", bytes), ("record_bytes_max", record_bytes_max)] {
            if !(1 << 10..=1 << 30).contains(&value) {
                let why = "it is below 1 KiB or above 1 GiB";
                return Err(WrongOption::new(name, value, why, "for example 128 KiB"));
            }
        }
        if linger > Duration::from_secs(10) {
            let value = format!("{linger:?}");
            return Err(WrongOption::new("linger", value, "it is above 10 s", "for example 5 ms"));
        }
        if delivery < linger + self.brokers.timeout || delivery > Duration::from_secs(3_600) {
            let why = "it is above one hour, or shorter than one request and `linger` may take";
            let fix = "make it longer than `timeout` of the brokers and `linger` together";
            return Err(WrongOption::new("delivery", format!("{delivery:?}"), why, fix));
        }
        Ok(())
    }

    /// Declares the sink; connect it to what it writes.
    ///
    /// # Errors
    ///
    /// An option that is wrong, by its name.
    #[track_caller]
    pub fn declare(
        self,
        t: &mut TopologyBuilder,
        name: &str,
    ) -> Result<BoltDeclarer<T, NoOutput, Sink>, WrongOption> {
        self.check()?;
        let options = Arc::new(self);
        let sink = t.async_sink(name, move |cx| KafkaSink::new(Arc::clone(&options), cx));
        Ok(sink.concurrency(CONCURRENCY))
    }

    /// What is written for a tuple.
    fn record(&self, tuple: &T) -> Outgoing {
        let topic = match &self.target {
            Target::One(topic) => topic.clone(),
            Target::Each(topic) => topic(tuple),
        };
        let deletes = self.deletes.as_ref().is_some_and(|deletes| deletes(tuple));
        Outgoing {
            topic,
            key: self.key.as_ref().map(|key| key(tuple).0),
            value: (!deletes).then(|| (self.value)(tuple).0),
            headers: self.headers.as_ref().map_or_else(Headers::default, |headers| headers(tuple)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::Line;

    fn good() -> KafkaOut<Line> {
        KafkaOut::new(Brokers::new("a:9092"), "lines", |line: &Line| line.text.to_string())
    }

    #[test]
    fn each_wrong_option_is_told_by_its_name() {
        assert!(good().check().is_ok());
        let none = Duration::ZERO;
        let value = |line: &Line| line.text.to_string();
        let wrong = [
            ("brokers", KafkaOut::new(Brokers::new("a"), "lines", value)),
            ("topic", KafkaOut::new(Brokers::new("a:9092"), "li/nes", value)),
            ("batch_bytes", good().batch_bytes(1)),
            ("record_bytes_max", good().record_bytes_max(u32::MAX)),
            ("linger", good().linger(Duration::from_secs(60))),
            ("delivery", good().delivery(Duration::from_secs(1))),
            ("retry", good().retry(Retry::new(none, none))),
        ];
        for (option, options) in wrong {
            assert_eq!(options.check().unwrap_err().option(), option, "{option}");
            assert!(
                options.declare(&mut TopologyBuilder::new("wrong"), "out").is_err(),
                "{option}"
            );
        }
    }

    #[test]
    fn a_record_is_made_by_the_accessors() {
        let out = good()
            .key(|line| line.text[..1].to_owned())
            .headers(|line| Headers::default().with("length", line.text.len().to_string()))
            .deletes(|line| line.text.ends_with('-'));
        let record = out.record(&Line { text: "ann 3".into() });
        assert_eq!(
            (record.key.as_deref(), record.value.as_deref()),
            (Some(&b"a"[..]), Some(&b"ann 3"[..]))
        );
        assert_eq!(record.headers.first("length"), Some(&b"5"[..]));
        assert_eq!(out.record(&Line { text: "ann-".into() }).value, None, "a tombstone");
        let each = good().topic_of(|line| (&*line.text).into());
        assert_eq!(&*each.record(&Line { text: "eu".into() }).topic, "eu");
    }
}
