//! Making topics with krafka.

use std::time::Duration;

use krafka::KrafkaError;
use krafka::admin::{
    AdminClient, CreatePartitionsOptions, CreateTopicsOptions, DescribeTopicsOptions, NewTopic,
};
use krafka::error::ErrorCode;

use super::{Brokers, Trouble, connected};

/// How long to wait before looking again whether a new topic has its leaders.
const PAUSE: Duration = Duration::from_millis(50);

/// How often to look.
const LOOKS: u32 = 200;

/// Makes a topic, or gives it more partitions, and waits until it can be used.
pub(in crate::kafka) async fn make_topic(
    brokers: &Brokers,
    topic: &str,
    partitions: u32,
) -> Result<(), Trouble> {
    let admin = connected(brokers).await?.admin();
    let count = i32::try_from(partitions).unwrap_or(i32::MAX);
    let made = admin
        .create_topics([NewTopic::new(topic, count, -1)?], CreateTopicsOptions::default())
        .await?;
    match made.into_values().find_map(Result::err) {
        None => {}
        Some(KrafkaError::Broker { code: ErrorCode::TopicAlreadyExists, .. }) => {
            let raised = admin
                .create_partitions([(topic, count)], CreatePartitionsOptions::default())
                .await?;
            for result in raised.into_values() {
                result?;
            }
        }
        Some(error) => return Err(error.into()),
    }
    for _ in 0..LOOKS {
        if leaders(&admin, topic).await? >= partitions as usize {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    drop(admin.close().await);
    Ok(())
}

/// How many partitions have a leader.
async fn leaders(admin: &AdminClient, topic: &str) -> Result<usize, Trouble> {
    let described = admin.describe_topics([topic], DescribeTopicsOptions::default()).await?;
    match described.into_values().next() {
        Some(Ok(topic)) => Ok(topic.partitions.iter().filter(|it| it.leader.is_some()).count()),
        // Not all brokers know of it yet.
        Some(Err(_)) | None => Ok(0),
    }
}
