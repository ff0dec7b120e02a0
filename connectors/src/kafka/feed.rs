//! What fetches for one task of the spout, on a thread of its own: connects, shares out partitions,
//! reads while there is room, commits what is done.
//!
//! Here nothing is decided about single records. What goes wrong is tried again for ever, reported
//! once until it goes well again, and shown by the circuit.

mod group;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use topology_api::{Context, Gauge};

use super::client::{Begin, Kind, Place, Reader, Trouble};
use super::health::Health;
use super::queue::{Done, Queue, Told};
use super::record::TopicName;
use super::source::KafkaIn;
use super::spread::{Wanted, share};

/// How long one look for records takes at most.
const POLL: Duration = Duration::from_millis(250);

/// How soon to look again for a topic that does not exist.
const MISSING: Duration = Duration::from_secs(1);

/// How long the last commit may take.
const LAST_COMMIT: Duration = Duration::from_secs(2);

/// A partition that this task reads.
#[derive(Debug)]
struct Held {
    done: Arc<Done>,
    committed: Option<u64>,
    /// Where to stop, for one that reads to the end.
    end: Option<u64>,
}

/// Fetches for one task.
pub(super) struct Feed<R> {
    options: KafkaIn,
    cx: Context,
    queue: Arc<Queue>,
    health: Health,
    held: BTreeMap<Place, Held>,
    /// Where to go on in those that were held when the client was lost.
    resume: BTreeMap<Place, u64>,
    /// Partitions were shared out before: others are new.
    begun: bool,
    /// As a member: the topics that it told the group, and how many partitions they had.
    subscribed: BTreeMap<String, u32>,
    /// As a member: leaves the group and joins it again.
    rejoins: bool,
    finished: bool,
    look_at: Instant,
    commit_at: Instant,
    lag: Gauge,
    position: Gauge,
    committed: Gauge,
    partitions: Gauge,
    reader: PhantomData<fn() -> R>,
}

impl<R: Reader> Feed<R> {
    pub(super) fn new(options: KafkaIn, cx: Context, queue: Arc<Queue>) -> Self {
        let now = cx.now();
        Self {
            health: Health::new(options.retry.clone(), &cx),
            queue,
            held: BTreeMap::new(),
            resume: BTreeMap::new(),
            begun: false,
            subscribed: BTreeMap::new(),
            rejoins: false,
            finished: false,
            look_at: now,
            commit_at: now + options.commit_every,
            lag: cx.gauge("lag"),
            position: cx.gauge("position"),
            committed: cx.gauge("committed"),
            partitions: cx.gauge("partitions"),
            reader: PhantomData,
            options,
            cx,
        }
    }

    /// Runs until the spout is gone.
    pub(super) async fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        while !queue.is_stopping() {
            let fetch = self.options.fetch(|| self.member_name());
            let connecting = R::connect(&self.options.brokers, &fetch);
            let connected = tokio::select! {
                () = queue.stopped() => return,
                connected = connecting => connected,
            };
            match connected {
                Err(trouble) => {
                    let wait = self.health.failed("connect", &trouble);
                    self.wait(wait).await;
                }
                Ok(reader) => {
                    self.health.worked("connect");
                    let trouble = tokio::select! {
                        () = queue.stopped() => None,
                        trouble = self.session(&reader) => trouble,
                    };
                    self.part(&reader).await;
                    if let Some(trouble) = trouble {
                        let wait = self.health.failed("fetch", &trouble);
                        self.wait(wait).await;
                    }
                }
            }
        }
    }

    /// Reads with one client, until that gets no further, or is to begin anew. May be dropped at any
    /// `.await`.
    async fn session(&mut self, reader: &R) -> Option<Trouble> {
        while !self.rejoins {
            let due = self.due(reader).await;
            let step = match due {
                Ok(()) => self.read_on(reader).await.map_err(|trouble| ("fetch", trouble)),
                failed => failed,
            };
            let Err((stage, trouble)) = step else { continue };
            if trouble.kind == Kind::Fatal {
                return Some(trouble);
            }
            let wait = self.health.failed(stage, &trouble);
            match stage {
                "topics" => self.look_at = self.cx.now() + wait.max(MISSING),
                "fetch" => tokio::time::sleep(wait).await,
                // In its turn.
                _ => {}
            }
        }
        None
    }

    /// Does what is due besides reading.
    async fn due(&mut self, reader: &R) -> Result<(), (&'static str, Trouble)> {
        if self.cx.now() >= self.look_at {
            self.look(reader).await.map_err(|trouble| ("topics", trouble))?;
        }
        let now = self.cx.now();
        if now >= self.commit_at {
            self.commit_at = now + self.options.commit_every;
            self.show(reader).await;
            self.commit(reader).await.map_err(|trouble| ("commit", trouble))?;
        }
        Ok(())
    }

    /// Fetches, or waits for room, until something is due at the latest.
    async fn read_on(&mut self, reader: &R) -> Result<(), Trouble> {
        let left = self.commit_at.saturating_duration_since(self.cx.now());
        let member = self.options.member;
        // What a member has to read, it hears when it asks for it.
        if !member && (self.finished || self.held.is_empty()) {
            let left = self.look_at.saturating_duration_since(self.cx.now()).min(left);
            tokio::time::sleep(left).await;
        } else if self.queue.has_room() {
            self.fetch(reader, POLL.min(left)).await?;
        } else if member {
            self.await_room(reader, left).await?;
        } else {
            // Late or not: it looks again.
            drop(tokio::time::timeout(left, self.queue.room()).await);
        }
        Ok(())
    }

    async fn fetch(&mut self, reader: &R, wait: Duration) -> Result<(), Trouble> {
        let records = match self.options.member {
            true => self.poll_as_member(reader, wait).await?,
            false => reader.poll(wait).await?,
        };
        self.health.worked("fetch");
        if !records.is_empty() {
            self.queue.tell(Told::Records(records));
        }
        self.finish(reader).await;
        Ok(())
    }

    /// Looks which partitions there are, and takes this task's share of them.
    async fn look(&mut self, reader: &R) -> Result<(), Trouble> {
        self.look_at = self.cx.now() + self.options.look_every;
        let wanted = self.options.wanted();
        let wanted =
            wanted.map_err(|wrong| Trouble { kind: Kind::Fatal, text: wrong.to_string() })?;
        let all = match &wanted {
            Wanted::Named(_) => Vec::new(),
            Wanted::Matching(_) => reader.topics().await?,
        };
        let found = reader.partitions(&wanted.of(all)).await?;
        let missing: Vec<&str> =
            found.iter().filter(|(_, count)| count.is_none()).map(|(name, _)| &**name).collect();
        if missing.is_empty() {
            self.health.worked("topics");
        } else {
            self.look_at = self.cx.now() + MISSING.min(self.options.look_every);
            let names = missing.join("`, `");
            self.health
                .failed("topics", &Trouble::missing("topics", &names, &self.options.brokers));
        }
        let mut found: Vec<(String, u32)> =
            found.into_iter().filter_map(|(name, count)| Some((name, count?))).collect();
        found.sort();
        if self.options.member {
            return self.subscribe(reader, found).await;
        }
        let (index, tasks) = (self.cx.task_index(), self.cx.task_count());
        let mine = share(&found, wanted.is_single(), index, tasks);
        let gone = self.lose(|place| !mine.contains(place));
        for topic in gone.iter().filter(|gone| !mine.iter().any(|(topic, _)| topic == *gone)) {
            // It is away: what the client says of it is of no interest.
            drop(reader.assign(topic, &[]).await);
        }
        self.take(reader, mine).await?;
        if missing_none(&found, &wanted) {
            self.begun = true;
            self.finish(reader).await;
        }
        Ok(())
    }

    /// Begins to read those of these that it does not read yet.
    async fn take(&mut self, reader: &R, mine: Vec<Place>) -> Result<(), Trouble> {
        let fresh: Vec<Place> =
            mine.iter().filter(|place| !self.held.contains_key(*place)).cloned().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let committed: BTreeMap<Place, u64> = match self.options.start.asks() {
            true => reader.committed(&self.options.group, &fresh).await?.into_iter().collect(),
            false => BTreeMap::new(),
        };
        let mut topics: BTreeMap<&str, Vec<(u32, Option<Begin>)>> = BTreeMap::new();
        for place in &mine {
            let begin = (!self.held.contains_key(place)).then(|| {
                let resumed = self.resume.get(place).copied().map(Begin::Offset);
                let begin = self.options.start.begin(committed.get(place).copied(), self.begun);
                resumed.unwrap_or(begin)
            });
            topics.entry(&*place.0).or_default().push((place.1, begin));
        }
        for (topic, partitions) in topics {
            if partitions.iter().any(|(_, begin)| begin.is_some()) {
                reader.assign(topic, &partitions).await?;
            }
        }
        for place in fresh {
            let end = match self.options.to_the_end && !self.begun {
                true => Some(reader.bounds(&place).await?.1),
                false => None,
            };
            let committed = committed.get(&place).copied();
            self.hold(place, committed, end);
        }
        Ok(())
    }

    /// Tells the spout that this partition is read from now on.
    fn hold(&mut self, place: Place, committed: Option<u64>, end: Option<u64>) {
        let done = Arc::<Done>::default();
        self.queue.tell(Told::Gained(place.clone(), Arc::clone(&done)));
        self.resume.remove(&place);
        self.held.insert(place, Held { done, committed, end });
        self.partitions.set(self.held.len() as f64);
    }

    /// Reads those no longer for which this holds, and gives their topics. If they come back it goes on
    /// where it was.
    fn lose(&mut self, lost: impl Fn(&Place) -> bool) -> BTreeSet<TopicName> {
        let gone: Vec<Place> = self.held.keys().filter(|place| lost(place)).cloned().collect();
        for place in &gone {
            let held = self.held.remove(place);
            if let Some(offset) = held.and_then(|held| held.done.committable().or(held.committed)) {
                self.resume.insert(place.clone(), offset);
            }
            self.queue.tell(Told::Lost(place.clone()));
        }
        self.partitions.set(self.held.len() as f64);
        gone.into_iter().map(|(topic, _)| topic).collect()
    }

    /// Says that all was read, where that is the case.
    async fn finish(&mut self, reader: &R) {
        if !self.options.to_the_end || self.finished || !self.begun {
            return;
        }
        let at: BTreeMap<Place, u64> =
            reader.stands().await.into_iter().map(|stand| (stand.place, stand.position)).collect();
        let is_over = |(place, held): (&Place, &Held)| {
            held.end.is_none_or(|end| at.get(place).is_some_and(|position| *position >= end))
        };
        if self.held.iter().all(is_over) {
            self.finished = true;
            self.queue.tell(Told::Finished);
        }
    }

    /// Commits what was done since the last time.
    async fn commit(&mut self, reader: &R) -> Result<(), Trouble> {
        let fresh = |(place, held): (&Place, &Held)| {
            let done = held.done.committable()?;
            held.committed.is_none_or(|before| before < done).then(|| (place.clone(), done))
        };
        let offsets: Vec<(Place, u64)> = self.held.iter().filter_map(fresh).collect();
        if !offsets.is_empty() {
            reader.commit(&self.options.group, &offsets).await?;
            self.health.worked("commit");
            for (place, offset) in offsets {
                if let Some(held) = self.held.get_mut(&place) {
                    held.committed = Some(offset);
                }
            }
        }
        let committed: u64 = self.held.values().filter_map(|held| held.committed).sum();
        self.committed.set(committed as f64);
        Ok(())
    }

    /// Shows how far it is.
    async fn show(&self, reader: &R) {
        let stands = reader.stands().await;
        self.lag.set(stands.iter().map(|stand| stand.lag).sum::<u64>() as f64);
        self.position.set(stands.iter().map(|stand| stand.position).sum::<u64>() as f64);
    }

    /// Lets go of a client, with a last commit if the brokers still answer.
    async fn part(&mut self, reader: &R) {
        let rejoins = std::mem::take(&mut self.rejoins);
        let last = async {
            let commit = self.commit(reader).await;
            reader.close(rejoins).await;
            commit
        };
        // Late: what was not committed is read again.
        if let Ok(Err(trouble)) = tokio::time::timeout(LAST_COMMIT, last).await {
            self.health.failed("commit", &trouble);
        }
        self.lose(|_| true);
        self.begun = false;
        self.subscribed.clear();
        self.look_at = self.cx.now();
    }

    async fn wait(&self, wait: Duration) {
        tokio::select! {
            () = self.queue.stopped() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// All that were wanted are there.
fn missing_none(found: &[(String, u32)], wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Named(names) => found.len() == names.len(),
        Wanted::Matching(_) => true,
    }
}
