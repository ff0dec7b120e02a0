//! Which partitions a task reads, and where it begins in each. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::Regex;
use topology_api::key_hash;

use super::client::{Begin, Place};

/// Where a spout begins to read a partition.
///
/// [`Start::Committed`] is for work that must not be lost: after a crash it goes on where the group
/// was. The others ignore what was committed, whenever a task starts: also when its worker was started
/// again. Partitions that appear later are read from their start, unless the group was there before.
///
/// ```
/// use connectors::kafka::{Otherwise, Start};
///
/// assert_eq!(Start::default(), Start::Committed(Otherwise::Earliest));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the offset that the group has committed, and where there is none as said.
    Committed(Otherwise),
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record of this time or a later one, by the timestamps of the records.
    Time(SystemTime),
}

impl Default for Start {
    fn default() -> Self {
        Self::Committed(Otherwise::Earliest)
    }
}

/// Where to begin where nothing is committed, or what is committed does not exist any more.
///
/// ```
/// assert_ne!(connectors::kafka::Otherwise::Earliest, connectors::kafka::Otherwise::Latest);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
}

impl Start {
    /// Whether it asks what is committed.
    pub(super) fn asks(self) -> bool {
        matches!(self, Self::Committed(_))
    }

    /// Where to begin in a partition. What is found `late`, after the task has begun, is new: it has
    /// nothing before its start that anybody chose to leave out.
    pub(super) fn begin(self, committed: Option<u64>, late: bool) -> Begin {
        match (self, committed) {
            (Self::Committed(_), Some(offset)) => Begin::Offset(offset),
            _ if late => Begin::Earliest,
            (Self::Committed(Otherwise::Earliest) | Self::Earliest, _) => Begin::Earliest,
            (Self::Committed(Otherwise::Latest) | Self::Latest, _) => Begin::Latest,
            (Self::Time(time), _) => Begin::Time(milliseconds(time)),
        }
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Which topics are read.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    /// These.
    Named(Vec<String>),
    /// Those whose whole name matches.
    Matching(Regex),
}

impl Wanted {
    /// Whether there will never be another topic.
    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::Named(names) if names.len() == 1)
    }

    /// Of all the topics there are, those to be read: not those of Kafka itself.
    pub(super) fn of(&self, all: Vec<String>) -> Vec<String> {
        match self {
            Self::Named(names) => names.clone(),
            Self::Matching(pattern) => {
                let wanted = |name: &String| !name.starts_with("__") && pattern.is_match(name);
                all.into_iter().filter(wanted).collect()
            }
        }
    }
}

/// The partitions of a task: every n-th, where each topic begins at another task, so that many topics
/// of one partition do not all meet at the first task. A `single` topic is all that will ever be read.
pub(super) fn share(topics: &[(String, u32)], single: bool, task: u32, tasks: u32) -> Vec<Place> {
    let tasks = u64::from(tasks.max(1));
    let mut share = Vec::new();
    for (topic, partitions) in topics {
        let first = if single { 0 } else { key_hash(topic.as_str()) % tasks };
        let own = |partition: &u32| (first + u64::from(*partition)) % tasks == u64::from(task);
        let name = topic.as_str().into();
        let place = |partition| (super::record::TopicName::clone(&name), partition);
        share.extend((0..*partitions).filter(own).map(place));
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_begins_where_it_is_told_to() {
        let time = UNIX_EPOCH + Duration::from_millis(1_500);
        let begins = [
            (Start::default(), Some(7), Begin::Offset(7)),
            (Start::default(), None, Begin::Earliest),
            (Start::Committed(Otherwise::Latest), None, Begin::Latest),
            (Start::Committed(Otherwise::Latest), Some(7), Begin::Offset(7)),
            (Start::Earliest, Some(7), Begin::Earliest),
            (Start::Latest, Some(7), Begin::Latest),
            (Start::Time(time), Some(7), Begin::Time(1_500)),
        ];
        for (start, committed, begin) in begins {
            assert_eq!(start.begin(committed, false), begin, "{start:?} at {committed:?}");
        }
        assert_eq!(Start::Latest.begin(None, true), Begin::Earliest, "a new partition");
        assert_eq!(Start::default().begin(Some(7), true), Begin::Offset(7));
    }

    #[test]
    fn a_pattern_takes_whole_names_and_nothing_of_kafkas_own() {
        let topics = Wanted::Matching(Regex::new("^(?:.*orders)$").unwrap());
        let all = ["orders", "eu-orders", "orders-dead", "__orders"].map(str::to_owned);
        assert_eq!(topics.of(all.to_vec()), ["orders", "eu-orders"]);
    }

    proptest! {
        #[test]
        fn each_partition_is_read_by_exactly_one_task_and_none_has_much_more_than_another(
            partitions in proptest::collection::vec(1_u32..20, 1..6), tasks in 1_u32..8,
        ) {
            let topics: Vec<_> = partitions.iter().enumerate()
                .map(|(at, count)| (format!("topic-{at}"), *count)).collect();
            let shares: Vec<_> = (0..tasks).map(|task| share(&topics, topics.len() == 1, task, tasks)).collect();
            let mut all: Vec<_> = shares.concat();
            all.sort();
            all.dedup();
            let count = partitions.iter().sum::<u32>() as usize;
            prop_assert_eq!((all.len(), shares.concat().len()), (count, count));
            let most = shares.iter().map(Vec::len).max().unwrap_or_default();
            let least = shares.iter().map(Vec::len).min().unwrap_or_default();
            prop_assert!(most - least <= topics.len());
        }
    }
}
