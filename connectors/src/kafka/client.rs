//! The client library behind words of ours: nothing else of this connector names it.
//!
//! [`Reader`] and [`Writer`] are what a spout and a bolt need of a client; the rest can be replaced.
//! What goes wrong is a [`Trouble`]: its kind says what can be done, its text what to tell.

mod krafka_member;
mod krafka_reader;
mod krafka_topics;
mod krafka_writer;

use std::time::Duration;

use bytes::Bytes;
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::error::ErrorCode;
use krafka::{Kafka, KrafkaError};
use tokio::sync::oneshot;

pub(super) use krafka_reader::KrafkaReader;
pub(super) use krafka_topics::make_topic;
pub(super) use krafka_writer::{KrafkaDelivery, KrafkaWriter};

use super::connection::{Brokers, Scram};
use super::record::{Headers, KafkaRecord, TopicName};

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may go well if it is tried again.
    Retriable,
    /// The same client will not get further.
    Fatal,
    /// The record is too large, however often it is sent.
    TooLarge,
    /// The record is not one that the topic takes, however often it is sent.
    Refused,
    /// There is no such topic or partition.
    Missing,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) text: String,
}

impl From<KrafkaError> for Trouble {
    fn from(error: KrafkaError) -> Self {
        let kind = match &error {
            KrafkaError::Broker { code: ErrorCode::MessageTooLarge, .. } => Kind::TooLarge,
            KrafkaError::Broker { code: ErrorCode::InvalidRecord, .. } => Kind::Refused,
            KrafkaError::UnknownTopic { .. }
            | KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. } => Kind::Missing,
            error if error.is_fatal() => Kind::Fatal,
            KrafkaError::Config { .. } | KrafkaError::IllegalState { .. } => Kind::Fatal,
            _ => Kind::Retriable,
        };
        Self { kind, text: error.to_string() }
    }
}

/// A partition of a topic.
pub(super) type Place = (TopicName, u32);

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Offset(u64),
    Earliest,
    Latest,
    /// The first record of this time, in milliseconds since 1970, or a later one.
    Time(i64),
}

/// How far a partition was read.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    pub(super) place: Place,
    pub(super) position: u64,
    pub(super) lag: u64,
}

/// What a spout needs of a client.
pub(super) trait Reader: Sized {
    /// Finds the brokers.
    async fn connect(brokers: &Brokers, fetch: &Fetch) -> Result<Self, Trouble>;
    /// The names of all topics.
    async fn topics(&self) -> Result<Vec<String>, Trouble>;
    /// How many partitions each of these has; none: it does not exist.
    async fn partitions(&self, topics: &[String]) -> Result<Vec<(String, Option<u32>)>, Trouble>;
    /// What a group has committed of these.
    async fn committed(&self, group: &str, of: &[Place]) -> Result<Vec<(Place, u64)>, Trouble>;
    /// Commits for a group.
    async fn commit(&self, group: &str, offsets: &[(Place, u64)]) -> Result<(), Trouble>;
    /// Reads these partitions of a topic and no others of it; gives where the new ones begin.
    async fn assign(&self, topic: &str, partitions: &[(u32, Option<Begin>)])
    -> Result<(), Trouble>;
    /// Begins there in a partition that it reads.
    async fn begin(&self, place: &Place, begin: Begin) -> Result<(), Trouble>;
    /// Says as a member of its group which topics it reads.
    async fn subscribe(&self, topics: &[String]) -> Result<(), Trouble>;
    /// What the group has changed, heard while somebody polls; for ever nothing without a group.
    async fn change(&self) -> Change;
    /// Gives no records of these, or does again.
    async fn pause(&self, places: &[Place], pause: bool);
    /// The first offset that a partition has now, and the first behind all that it has.
    async fn bounds(&self, place: &Place) -> Result<(u64, u64), Trouble>;
    /// Waits for records.
    async fn poll(&self, wait: Duration) -> Result<Vec<KafkaRecord>, Trouble>;
    /// How far each partition was read.
    async fn stands(&self) -> Vec<Stand>;
    /// Lets go of the brokers, and leaves the group or stays in it for the one who comes after.
    async fn close(&self, leave: bool);
}

/// How partitions come and go in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// They are this member's now, and nothing is fetched before it is settled.
    Gained,
    /// They are to be given up, and still are this member's until it is settled.
    Asked,
    /// They were taken: somebody else may have them already.
    Lost,
}

/// What a group has changed.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) shift: Shift,
    pub(super) places: Vec<Place>,
    /// To be dropped, or told, when all is done that had to be.
    pub(super) settled: oneshot::Sender<()>,
}

/// Who a member of a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) group: String,
    /// The same for whoever comes in its place.
    pub(super) name: String,
}

/// How a reader fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    /// The group says which partitions are read, not the reader.
    pub(super) member: Option<Member>,
    /// Bytes of one answer of a broker.
    pub(super) bytes_max: u32,
    /// Records of aborted transactions are left out.
    pub(super) committed_only: bool,
    /// Begins at the end, not at the start, where an offset does not exist any more.
    pub(super) reset_to_latest: bool,
}

impl Trouble {
    /// A topic that does not exist, by the option that names it.
    pub(super) fn missing(option: &str, topic: &str, brokers: &Brokers) -> Self {
        let text = format!(
            "option `{option}`: `{topic}` does not exist on {}; make the topic or correct its name",
            brokers.addresses
        );
        Self { kind: Kind::Missing, text }
    }
}

/// A record to be written.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) topic: TopicName,
    pub(super) key: Option<Bytes>,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Headers,
}

impl Outgoing {
    /// How many bytes were given to be written.
    pub(super) fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.0.iter().map(|(name, value)| name.len() + length(value));
        length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// What a bolt needs of a client.
pub(super) trait Writer: Sized {
    /// Ends when the brokers have a record, or will not get it.
    type Delivery: Future<Output = Result<(), Trouble>>;
    /// Finds the brokers, and looks whether they have this topic.
    async fn connect(
        brokers: &Brokers,
        batching: &Batching,
        topic: Option<&str>,
    ) -> Result<Self, Trouble>;
    /// Takes a record to be written, behind those that it took before; waits for room at most.
    async fn enqueue(&self, record: Outgoing) -> Result<Self::Delivery, Trouble>;
}

/// How records are compressed.
///
/// ```
/// use connectors::kafka::Compression;
///
/// assert_eq!(Compression::default(), Compression::None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Small, slow.
    Gzip,
    /// Fast.
    Snappy,
    /// Fast, a bit smaller.
    Lz4,
    /// Small, and faster than gzip.
    Zstd,
}

/// How a writer makes batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batching {
    pub(super) bytes: u32,
    pub(super) linger: Duration,
    pub(super) record_bytes_max: u32,
    pub(super) delivery: Duration,
    pub(super) compression: Compression,
}

/// Connects, and reads the password for that.
async fn connected(brokers: &Brokers) -> Result<Kafka, Trouble> {
    let mut security = AuthConfig::plaintext();
    if let Some((hash, user, password)) = &brokers.scram {
        let password = password.read();
        let password = password.map_err(|error| Trouble {
            kind: Kind::Retriable,
            text: format!("option `scram`: {error}"),
        })?;
        security = match hash {
            Scram::Sha256 => AuthConfig::sasl_scram_sha256(user, password.reveal()),
            Scram::Sha512 => AuthConfig::sasl_scram_sha512(user, password.reveal()),
        };
    }
    if brokers.tls {
        let mut tls = TlsConfig::new();
        if let Some(path) = &brokers.trust {
            tls = tls.with_ca_cert(path.display().to_string());
        }
        security = security.with_tls(tls);
    }
    let connecting = Kafka::builder(&brokers.addresses)
        .client_id("squall")
        .security(security)
        .request_timeout(brokers.timeout)
        .connect_timeout(brokers.timeout.min(Duration::from_secs(10)))
        .connect()
        .await;
    connecting.map_err(|error| {
        let (option, fix) = match &error {
            KrafkaError::Auth { .. } => {
                ("scram", "look at the user, the password and the mechanism")
            }
            _ => (
                "brokers",
                "look whether a Kafka broker listens there, with TLS or without as given",
            ),
        };
        let text = format!("option `{option}`: {}: {error}; {fix}", brokers.addresses);
        // A client that was refused may be let in later: a password changes, a broker comes up.
        Trouble { kind: Kind::Retriable, text }
    })
}
