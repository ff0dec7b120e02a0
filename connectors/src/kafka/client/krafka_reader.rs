//! Reading with krafka: partitions by hand, offsets through the group's coordinator.
//!
//! Committing for a group without being a member of it is what Kafka calls a simple consumer.

use std::time::Duration;

use krafka::admin::{
    AdminClient, AlterConsumerGroupOffsetsOptions, DescribeTopicsOptions,
    ListConsumerGroupOffsetsOptions, ListTopicsOptions,
};
use krafka::consumer::{AutoOffsetReset, Consumer, IsolationLevel, TopicPartition};
use krafka::error::ErrorCode;
use krafka::{ConsumerRecord, KrafkaError};

use super::{Begin, Fetch, Place, Reader, Stand, Trouble, connected};
use crate::kafka::connection::Brokers;
use crate::kafka::record::{Blob, Headers, KafkaRecord, TopicName};

/// Records of one call of `poll` at most, and as many again that the client keeps. What an answer of a
/// broker has beyond both is thrown away and fetched again, so this is more than most answers have: their
/// bytes are what is limited.
const POLL_RECORDS: i32 = 65_536;

/// How long a broker may wait for the first record.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// How long to wait for the group's coordinator.
const COMMIT_WAIT: Duration = Duration::from_secs(10);

/// Reads with krafka.
pub(in crate::kafka) struct KrafkaReader {
    consumer: Consumer,
    admin: AdminClient,
}

impl Reader for KrafkaReader {
    async fn connect(brokers: &Brokers, fetch: &Fetch) -> Result<Self, Trouble> {
        let kafka = connected(brokers).await?;
        let isolation = match fetch.committed_only {
            true => IsolationLevel::ReadCommitted,
            false => IsolationLevel::ReadUncommitted,
        };
        let reset = match fetch.reset_to_latest {
            true => AutoOffsetReset::Latest,
            false => AutoOffsetReset::Earliest,
        };
        let bytes_max = i32::try_from(fetch.bytes_max).unwrap_or(i32::MAX);
        let consumer = kafka
            .consumer_without_group()
            .enable_auto_commit(false)
            .auto_offset_reset(reset)
            .isolation_level(isolation)
            .fetch_max_wait(FETCH_WAIT)
            .fetch_max_bytes(bytes_max)
            .max_partition_fetch_bytes(bytes_max)
            .max_poll_records(POLL_RECORDS)
            .max_buffered_records(POLL_RECORDS)
            .metrics_push(false)
            .build()
            .await?;
        Ok(Self { consumer, admin: kafka.admin() })
    }

    async fn topics(&self) -> Result<Vec<String>, Trouble> {
        Ok(self.admin.list_topics(ListTopicsOptions::default()).await?)
    }

    async fn partitions(&self, topics: &[String]) -> Result<Vec<(String, Option<u32>)>, Trouble> {
        let described =
            self.admin.describe_topics(topics, DescribeTopicsOptions::default()).await?;
        let count = |(topic, described): (String, Result<krafka::admin::TopicDescription, _>)| {
            match described {
                Ok(it) => Ok((topic, u32::try_from(it.partitions.len()).ok())),
                Err(KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. }) => {
                    Ok((topic, None))
                }
                Err(error) => Err(error.into()),
            }
        };
        described.into_iter().map(count).collect()
    }

    async fn committed(&self, group: &str, of: &[Place]) -> Result<Vec<(Place, u64)>, Trouble> {
        let options = ListConsumerGroupOffsetsOptions::default()
            .partitions(of.iter().map(client_place).collect())
            .timeout(COMMIT_WAIT);
        let listed = self.admin.list_consumer_group_offsets(group, options).await?;
        let mut committed = Vec::new();
        for (place, offset) in listed {
            if let Some(offset) = offset?.offset {
                committed.push((own_place(&place), unsigned(offset)));
            }
        }
        Ok(committed)
    }

    async fn commit(&self, group: &str, offsets: &[(Place, u64)]) -> Result<(), Trouble> {
        let signed = |(place, offset): &(Place, u64)| {
            (client_place(place), i64::try_from(*offset).unwrap_or(i64::MAX))
        };
        let options = AlterConsumerGroupOffsetsOptions::default().timeout(COMMIT_WAIT);
        let offsets = offsets.iter().map(signed);
        let altered = self.admin.alter_consumer_group_offsets(group, offsets, options).await?;
        for result in altered.into_values() {
            result?;
        }
        Ok(())
    }

    async fn assign(
        &self,
        topic: &str,
        partitions: &[(u32, Option<Begin>)],
    ) -> Result<(), Trouble> {
        let all = partitions.iter().map(|(partition, _)| signed(*partition)).collect();
        self.consumer.assign(topic, all).await?;
        for (partition, from) in partitions {
            let partition = signed(*partition);
            match from {
                None => {}
                Some(Begin::Earliest) => self.consumer.seek_to_beginning(topic, partition).await?,
                Some(Begin::Latest) => self.consumer.seek_to_end(topic, partition).await?,
                Some(Begin::Offset(offset)) => {
                    let offset = i64::try_from(*offset).unwrap_or(i64::MAX);
                    self.consumer.seek(topic, partition, offset).await?;
                }
                Some(Begin::Time(time)) => {
                    match self.consumer.seek_to_timestamp(topic, partition, *time).await {
                        Err(KrafkaError::NoOffset { .. }) => {
                            self.consumer.seek_to_end(topic, partition).await?;
                        }
                        sought => sought?,
                    }
                }
            }
        }
        Ok(())
    }

    async fn end(&self, (topic, partition): &Place) -> Result<u64, Trouble> {
        let (_, end) = self.consumer.fetch_watermarks(topic, signed(*partition)).await?;
        Ok(unsigned(end))
    }

    async fn poll(&self, wait: Duration) -> Result<Vec<KafkaRecord>, Trouble> {
        let records = self.consumer.poll(wait).await?;
        Ok(records.into_iter().map(own_record).collect())
    }

    async fn stands(&self) -> Vec<Stand> {
        let lags = self.consumer.lag().await;
        let stand = |(place, lag): (TopicPartition, krafka::consumer::PartitionLag)| {
            let position = unsigned(lag.position?);
            Some(Stand { place: own_place(&place), position, lag: lag.lag.unwrap_or(0) })
        };
        lags.into_iter().filter_map(stand).collect()
    }

    async fn close(&self) {
        // What it says then helps nobody: what had to be committed was committed before.
        drop(self.consumer.close().await);
        drop(self.admin.close().await);
    }
}

fn own_record(record: ConsumerRecord) -> KafkaRecord {
    KafkaRecord {
        topic: TopicName(record.topic),
        partition: u32::try_from(record.partition).unwrap_or_default(),
        offset: unsigned(record.offset),
        timestamp_ms: record.timestamp,
        key: record.key.map(Blob),
        value: record.value.map(Blob),
        headers: Headers(record.headers),
    }
}

fn client_place((topic, partition): &Place) -> TopicPartition {
    TopicPartition::new(&**topic, signed(*partition))
}

fn own_place(place: &TopicPartition) -> Place {
    (place.topic.as_str().into(), u32::try_from(place.partition).unwrap_or_default())
}

/// Partitions are counted from zero, and so few that this always holds.
fn signed(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Offsets below zero mean that there is none.
fn unsigned(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or_default()
}
