//! Reading with krafka: partitions by hand, offsets through the group's coordinator; or as a member of
//! the group, whose coordinator then says which partitions.
//!
//! Committing for a group without being a member of it is what Kafka calls a simple consumer.

use std::time::Duration;

use krafka::admin::{
    AdminClient, AlterConsumerGroupOffsetsOptions, DescribeTopicsOptions,
    ListConsumerGroupOffsetsOptions, ListTopicsOptions,
};
use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerBuilder, IsolationLevel, OffsetAndMetadata,
    PartitionAssignmentStrategy, TopicPartition,
};
use krafka::error::ErrorCode;
use krafka::{CloseOptions, ConsumerRecord, GroupMembershipOperation, Kafka, KrafkaError};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;

use super::krafka_member::listener;
use super::{Begin, Change, Fetch, Kind, Place, Reader, Stand, Trouble, connected};
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

/// How long a member of a group may be silent before its partitions go to others.
const SESSION: Duration = Duration::from_secs(10);

/// How often a member says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Reads with krafka.
pub(in crate::kafka) struct KrafkaReader {
    consumer: Consumer,
    admin: AdminClient,
    /// As a member of a group: what it changes.
    changes: Option<Mutex<Receiver<Change>>>,
}

/// A consumer that is a member of a group where that is wanted, and what it hears of the group.
fn consumer(kafka: &Kafka, fetch: &Fetch) -> (ConsumerBuilder, Option<Receiver<Change>>) {
    let Some(member) = &fetch.member else { return (kafka.consumer_without_group(), None) };
    let (listener, changes) = listener();
    // Whoever is first in the place of another gets its partitions at once, without a new sharing out.
    let consumer = kafka
        .consumer(&*member.group)
        .group_instance_id(&*member.name)
        .partition_assignment_strategies([
            PartitionAssignmentStrategy::CooperativeSticky,
            PartitionAssignmentStrategy::Range,
        ])
        .session_timeout(SESSION)
        .heartbeat_interval(HEARTBEAT)
        .rebalance_listener(listener);
    (consumer, Some(changes))
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
        let (consumer, changes) = consumer(&kafka, fetch);
        let consumer = consumer
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
        Ok(Self { consumer, admin: kafka.admin(), changes: changes.map(Mutex::new) })
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
        if self.changes.is_some() {
            // With its generation: one that is no longer a member is refused.
            let offsets = offsets.iter().map(signed);
            let offsets = offsets.map(|(place, offset)| (place, OffsetAndMetadata::new(offset)));
            let commit = self.consumer.commit_offsets(offsets);
            let Ok(committed) = tokio::time::timeout(COMMIT_WAIT, commit).await else {
                let text = format!("the coordinator of `{group}` has not answered a commit");
                return Err(Trouble { kind: Kind::Retriable, text });
            };
            return Ok(committed?);
        }
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
            if let Some(begin) = from {
                self.begin(&(topic.into(), *partition), *begin).await?;
            }
        }
        Ok(())
    }

    async fn begin(&self, (topic, partition): &Place, begin: Begin) -> Result<(), Trouble> {
        let partition = signed(*partition);
        match begin {
            Begin::Earliest => self.consumer.seek_to_beginning(topic, partition).await?,
            Begin::Latest => self.consumer.seek_to_end(topic, partition).await?,
            Begin::Offset(offset) => {
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                self.consumer.seek(topic, partition, offset).await?;
            }
            Begin::Time(time) => {
                match self.consumer.seek_to_timestamp(topic, partition, time).await {
                    Err(KrafkaError::NoOffset { .. }) => {
                        self.consumer.seek_to_end(topic, partition).await?;
                    }
                    sought => sought?,
                }
            }
        }
        Ok(())
    }

    async fn subscribe(&self, topics: &[String]) -> Result<(), Trouble> {
        Ok(self.consumer.subscribe(topics).await?)
    }

    async fn change(&self) -> Change {
        if let Some(changes) = &self.changes
            && let Some(change) = changes.lock().await.recv().await
        {
            return change;
        }
        std::future::pending().await
    }

    async fn pause(&self, places: &[Place], pause: bool) {
        for (topic, partition) in places {
            let partition = [signed(*partition)];
            match pause {
                true => self.consumer.pause(topic, &partition).await,
                false => self.consumer.resume(topic, &partition).await,
            }
        }
    }

    async fn bounds(&self, (topic, partition): &Place) -> Result<(u64, u64), Trouble> {
        let (start, end) = self.consumer.fetch_watermarks(topic, signed(*partition)).await?;
        Ok((unsigned(start), unsigned(end)))
    }

    async fn poll(&self, wait: Duration) -> Result<Vec<KafkaRecord>, Trouble> {
        let records = self.consumer.poll(wait).await.map_err(|error| match &error {
            KrafkaError::Broker { code: ErrorCode::FencedInstanceId, .. } => {
                let text = format!(
                    "option `member`: {error}; another topology of this name, or another process, \
                     is a member of the group in the place of this task: end one of the two"
                );
                Trouble { kind: Kind::Fatal, text }
            }
            _ => Trouble::from(error),
        })?;
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

    async fn close(&self, leave: bool) {
        if let Some(changes) = &self.changes {
            // What it takes back now, nobody settles any more.
            changes.lock().await.close();
        }
        let membership = match leave {
            true => GroupMembershipOperation::LeaveGroup,
            false => GroupMembershipOperation::Default,
        };
        let options = CloseOptions::new().group_membership_operation(membership);
        // What it says then helps nobody: what had to be committed was committed before.
        drop(self.consumer.close_with(options).await);
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

pub(super) fn own_place(place: &TopicPartition) -> Place {
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
