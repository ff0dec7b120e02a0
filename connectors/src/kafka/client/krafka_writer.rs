//! Writing with krafka: an idempotent producer that batches and retries by itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use krafka::admin::DescribeTopicsOptions;
use krafka::producer::{Acks, DeliveryHandle, Producer};
use krafka::{Compression as Codec, Record};

use super::{Batching, Compression, Kind, Outgoing, Trouble, Writer, connected};
use crate::kafka::connection::Brokers;

/// Bytes of records that wait to be sent, at most: then writing waits.
const BUFFER_BYTES: usize = 32 << 20;

/// How long to look for the partitions of a topic, and to wait for room.
const TOPIC_WAIT: Duration = Duration::from_secs(5);

/// Writes with krafka.
pub(in crate::kafka) struct KrafkaWriter {
    producer: Producer,
}

impl Writer for KrafkaWriter {
    async fn connect(
        brokers: &Brokers,
        batching: &Batching,
        topic: Option<&str>,
    ) -> Result<Self, Trouble> {
        let kafka = connected(brokers).await?;
        if let Some(topic) = topic {
            let admin = kafka.admin();
            let described = admin.describe_topics([topic], DescribeTopicsOptions::default());
            let trouble = described.await?.remove(topic).and_then(Result::err).map(Trouble::from);
            match trouble {
                Some(trouble) if trouble.kind == Kind::Missing => {
                    return Err(Trouble::missing("topic", topic, brokers));
                }
                Some(trouble) => return Err(trouble),
                None => {}
            }
        }
        let codec = match batching.compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip,
            Compression::Snappy => Codec::Snappy,
            Compression::Lz4 => Codec::Lz4,
            Compression::Zstd => Codec::Zstd,
        };
        let record_bytes_max = batching.record_bytes_max as usize;
        let producer = kafka
            .producer()
            .acks(Acks::All)
            .idempotent(true)
            .compression(codec)
            .batch_size(batching.bytes as usize)
            .linger(batching.linger)
            .max_request_size(record_bytes_max.max(batching.bytes as usize) + (64 << 10))
            .buffer_memory(BUFFER_BYTES.max(record_bytes_max * 2))
            .delivery_timeout(batching.delivery)
            .max_block(TOPIC_WAIT)
            .metrics_push(false)
            .build()
            .await?;
        Ok(Self { producer })
    }

    type Delivery = KrafkaDelivery;

    async fn enqueue(&self, record: Outgoing) -> Result<KrafkaDelivery, Trouble> {
        let is_deletion = record.value.is_none();
        let mut sent = Record::new(&*record.topic, record.value.unwrap_or_default());
        if is_deletion {
            sent = sent.without_value();
        }
        if let Some(key) = record.key {
            sent = sent.key(key);
        }
        sent.headers = record.headers.0;
        Ok(KrafkaDelivery(self.producer.enqueue(sent).await?))
    }
}

/// The brokers' answer to come.
pub(in crate::kafka) struct KrafkaDelivery(DeliveryHandle);

impl KrafkaDelivery {
    /// The partition that the record goes to.
    pub(in crate::kafka) fn partition(&self) -> usize {
        usize::try_from(self.0.partition()).unwrap_or_default()
    }
}

impl Future for KrafkaDelivery {
    type Output = Result<(), Trouble>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = Pin::new(&mut self.0).poll(cx);
        answered.map(|answer| answer.map(drop).map_err(Trouble::from))
    }
}
