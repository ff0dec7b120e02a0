//! Kafka in: the options of a spout that reads topics, and how it is declared.

use std::time::Duration;

use regex::Regex;
use topology_api::{DeadLetter, Replaying, Replays, SpoutDeclarer, Stream, TopologyBuilder};

use super::client::{Fetch, Member};
use super::connection::Brokers;
use super::record::KafkaRecord;
use super::spout::KafkaSpout;
use super::spread::{Otherwise, Start, Wanted};
use crate::{Retry, WrongOption};

/// Longest name of a topic that Kafka has.
const NAME_LENGTH_MAX: usize = 249;

/// Reads topics: a spout whose tasks share the partitions.
///
/// Partition p of a topic is read by task p modulo the number of tasks. Offsets are committed for the
/// group up to the lowest record that is not acked. What fails is replayed after a pause, and in the end
/// a dead letter, so no record holds up those behind it.
///
/// ```
/// use connectors::kafka::{Brokers, KafkaIn, KafkaRecord};
/// use topology_api::{Replays, prelude::*};
///
/// fn orders(_: &Args) -> Result<Topology, BuildError> {
///     let mut t = TopologyBuilder::new("orders");
///     let orders = KafkaIn::new(Brokers::new("127.0.0.1:9092"), "order-totals").topics(["orders"]);
///     let (records, dead) = orders.declare(&mut t, "records", Replays::default())?;
///     let records = records.parallelism(2).stream();
///     let lines = t
///         .try_map("parse", |record: KafkaRecord| Ok::<_, topology_api::Error>(Line { text: record.text()?.into() }))
///         .local_or_shuffle(&records)
///         .stream();
///     t.for_each("print", |line: Line| println!("{}", line.text)).shuffle(&lines);
///     # drop(dead);
///     t.build()
/// }
/// assert!(orders(&Args::default()).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct KafkaIn {
    pub(super) brokers: Brokers,
    pub(super) group: String,
    pub(super) names: Vec<String>,
    pub(super) pattern: Option<String>,
    pub(super) start: Start,
    pub(super) fetch_bytes: u32,
    pub(super) committed_only: bool,
    pub(super) commit_every: Duration,
    pub(super) look_every: Duration,
    pub(super) retry: Retry,
    pub(super) to_the_end: bool,
    pub(super) member: bool,
}

impl KafkaIn {
    /// Reads from these brokers, and commits for this group.
    #[must_use]
    pub fn new(brokers: Brokers, group: impl Into<String>) -> Self {
        Self {
            brokers,
            group: group.into(),
            names: Vec::new(),
            pattern: None,
            start: Start::default(),
            fetch_bytes: 1 << 20,
            committed_only: false,
            commit_every: Duration::from_secs(1),
            look_every: Duration::from_secs(30),
            retry: Retry::default(),
            to_the_end: false,
            member: false,
        }
    }

    /// Reads these topics. One that does not exist yet is waited for, and reported.
    #[must_use]
    pub fn topics<I>(self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self { names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Reads all topics whose whole name matches this regular expression, those too that appear later.
    #[must_use]
    pub fn pattern(self, pattern: impl Into<String>) -> Self {
        Self { pattern: Some(pattern.into()), ..self }
    }

    /// Begins there; where the group is, or else at the first record, unless this says otherwise.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Takes so many bytes in one answer of a broker at most, 1 MiB unless this says otherwise. A
    /// larger record comes alone.
    #[must_use]
    pub fn fetch_bytes(self, bytes: u32) -> Self {
        Self { fetch_bytes: bytes, ..self }
    }

    /// Leaves out the records of transactions that are open or were aborted.
    #[must_use]
    pub fn committed_only(self) -> Self {
        Self { committed_only: true, ..self }
    }

    /// Commits so often, every second unless this says otherwise. After a crash at most what was acked
    /// since is read again, besides what was open.
    #[must_use]
    pub fn commit_every(self, period: Duration) -> Self {
        Self { commit_every: period, ..self }
    }

    /// Looks so often for new partitions and topics, every 30 s unless this says otherwise.
    #[must_use]
    pub fn look_every(self, period: Duration) -> Self {
        Self { look_every: period, ..self }
    }

    /// Waits so between tries to reach the brokers; it tries for ever, whatever number this has.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Reads up to what there is when it starts, and is finished: for a topology that works off a
    /// backlog and ends.
    #[must_use]
    pub fn to_the_end(self) -> Self {
        Self { to_the_end: true, ..self }
    }

    /// Each task becomes a member of the group, whose brokers share out the partitions among all
    /// members: those of other topologies and programs too. Without this partitions are spread over the
    /// tasks by number, and nobody else may be in the group.
    ///
    /// A task goes by the name `TOPOLOGY-COMPONENT-INDEX` there, so that the process that replaces a dead
    /// one has its partitions at once; a member that nobody replaces loses them after 10 s.
    #[must_use]
    pub fn member(self) -> Self {
        Self { member: true, ..self }
    }

    /// Looks whether all options make sense, without asking the brokers.
    ///
    /// # Errors
    ///
    /// The first that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        self.brokers.check()?;
        self.retry.check("retry")?;
        if self.group.is_empty() {
            let fix = "name the group that offsets are committed for";
            return Err(WrongOption::new("group", "", "it has no name", fix));
        }
        self.wanted()?;
        self.check_member()?;
        if self.fetch_bytes < 1 << 10 || self.fetch_bytes > 1 << 30 {
            let why = "it is below 1 KiB or above 1 GiB";
            return Err(WrongOption::new(
                "fetch_bytes",
                self.fetch_bytes,
                why,
                "for example 4 MiB",
            ));
        }
        let hour = Duration::from_secs(3_600);
        for (name, period) in [("commit_every", self.commit_every), ("look_every", self.look_every)]
        {
            if period < Duration::from_millis(10) || period > hour {
                let why = "it is below 10 ms or above one hour";
                return Err(WrongOption::new(name, format!("{period:?}"), why, "for example 1 s"));
            }
        }
        Ok(())
    }

    fn check_member(&self) -> Result<(), WrongOption> {
        let wrong = |why, fix| Err(WrongOption::new("member", true, why, fix));
        if self.member && self.to_the_end {
            let why = "what a member reads changes, so it never comes to the end";
            return wrong(why, "leave out `to_the_end` or this");
        }
        if self.member && !self.start.asks() {
            let why = "a member goes on where the one before it was, but `start` says otherwise";
            return wrong(why, "begin at `Start::Committed`, or leave out this");
        }
        Ok(())
    }

    /// Which topics are read.
    pub(super) fn wanted(&self) -> Result<Wanted, WrongOption> {
        let fix = "give either names or a pattern";
        let Some(pattern) = &self.pattern else {
            if self.names.is_empty() {
                return Err(WrongOption::new("topics", "", "no topic is named", fix));
            }
            for name in &self.names {
                check_topic("topics", name)?;
            }
            let mut names = self.names.clone();
            names.sort();
            names.dedup();
            return Ok(Wanted::Named(names));
        };
        if !self.names.is_empty() {
            return Err(WrongOption::new("pattern", pattern, "there are names of topics too", fix));
        }
        let whole = Regex::new(&format!("^(?:{pattern})$"));
        whole.map(Wanted::Matching).map_err(|error| {
            WrongOption::new("pattern", pattern, error.to_string(), "write a regular expression")
        })
    }

    /// How a task fetches, that goes by this name if it is a member.
    pub(super) fn fetch(&self, name: impl FnOnce() -> String) -> Fetch {
        Fetch {
            member: self.member.then(|| Member { group: self.group.clone(), name: name() }),
            bytes_max: self.fetch_bytes,
            committed_only: self.committed_only,
            reset_to_latest: matches!(
                self.start,
                Start::Latest | Start::Committed(Otherwise::Latest)
            ),
        }
    }

    /// Declares the spout, and the stream of records that failed too often. Where nobody reads that
    /// stream, a cluster keeps them for `squall dead-letters`.
    ///
    /// # Errors
    ///
    /// An option that is wrong, by its name.
    #[track_caller]
    pub fn declare(
        self,
        t: &mut TopologyBuilder,
        name: &str,
        replays: Replays,
    ) -> Result<(SpoutDeclarer<KafkaRecord>, Stream<DeadLetter<KafkaRecord>>), WrongOption> {
        self.check()?;
        let spout =
            t.spout(name, move |cx| Replaying::new(KafkaSpout::open(&self, cx)?, replays, cx));
        let dead = spout.output(Replaying::<KafkaSpout>::DEAD_LETTERS);
        Ok((spout, dead))
    }
}

/// Looks whether Kafka could have a topic of this name.
pub(super) fn check_topic(option: &'static str, name: &str) -> Result<(), WrongOption> {
    let good = |sign: char| sign.is_ascii_alphanumeric() || "._-".contains(sign);
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.chars().all(good) {
        let why = "no topic can be called so";
        let fix = "use up to 249 letters, digits, dots, hyphens and underscores";
        return Err(WrongOption::new(option, name, why, fix));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> KafkaIn {
        KafkaIn::new(Brokers::new("a:9092"), "group").topics(["orders"])
    }

    #[test]
    fn each_wrong_option_is_told_by_its_name() {
        assert!(good().check().is_ok());
        let none = Duration::ZERO;
        let wrong = [
            ("brokers", KafkaIn::new(Brokers::new("a"), "group").topics(["orders"])),
            ("group", KafkaIn::new(Brokers::new("a:9092"), "").topics(["orders"])),
            ("topics", KafkaIn::new(Brokers::new("a:9092"), "group")),
            ("topics", good().topics(["or/ders"])),
            ("topics", good().topics([""])),
            ("topics", good().topics(["o".repeat(250)])),
            ("pattern", good().pattern("o.*")),
            ("pattern", good().topics(Vec::<String>::new()).pattern("o(")),
            ("fetch_bytes", good().fetch_bytes(1)),
            ("fetch_bytes", good().fetch_bytes(u32::MAX)),
            ("commit_every", good().commit_every(none)),
            ("look_every", good().look_every(Duration::from_secs(100_000))),
            ("retry", good().retry(Retry::new(none, none))),
            ("member", good().member().to_the_end()),
            ("member", good().member().start(Start::Latest)),
        ];
        for (option, options) in wrong {
            assert_eq!(options.check().unwrap_err().option(), option, "{options:?}");
            let mut t = TopologyBuilder::new("wrong");
            assert!(options.declare(&mut t, "in", Replays::default()).is_err(), "{option}");
        }
    }
}
