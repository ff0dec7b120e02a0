//! Kafka: topics in and out.
//!
//! [`KafkaIn`] declares a spout that reads topics, [`KafkaOut`] a bolt that writes to them; [`Brokers`]
//! says how both find the cluster. From one to the other tuples are delivered at least once: offsets
//! are committed when their tuples are acked, and the bolt acks what the brokers have.
//!
//! The client library stands behind the traits of `client`. What is decided is pure: which offsets may
//! be committed (`offsets`), and who reads what from where (`spread`).

mod client;
mod connection;
mod feed;
mod health;
mod offsets;
mod queue;
mod record;
mod sink;
mod source;
mod spout;
mod spread;
mod topics;

pub use self::client::Compression;
pub use self::connection::{Brokers, Scram};
pub use self::record::{Blob, Headers, KafkaRecord, TopicName};
pub use self::sink::{KafkaOut, KafkaSink};
pub use self::source::KafkaIn;
pub use self::spread::{Otherwise, Start};
pub use self::topics::Topics;
