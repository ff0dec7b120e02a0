//! The spout: emits what its thread has fetched, and knows how far each partition is done.
//!
//! It stands inside a [`Replaying`](topology_api::Replaying), which keeps what is under way, gives it
//! again when it fails and makes dead letters of it: so what fails holds up nothing behind it, and
//! this one hears only that a record is settled.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use topology_api::{Context, Counter, Error, Next, Spout, SpoutOutput, SpoutResult};

use super::client::{KrafkaReader, Place};
use super::feed::Feed;
use super::offsets::Offsets;
use super::queue::{Done, Queue, Told};
use super::record::KafkaRecord;
use super::source::KafkaIn;

/// How long the end of a task waits for the last commit.
const LAST_COMMIT: Duration = Duration::from_secs(3);

/// Which emitted record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Where its partition is among those that were ever read.
    at: usize,
    /// Which time of reading that partition.
    life: u64,
    offset: u64,
}

/// A partition that is or was read.
#[derive(Debug, Default)]
struct Partition {
    life: u64,
    offsets: Offsets,
    /// None: it is not read now.
    done: Option<Arc<Done>>,
}

/// A number of its own for each time that a partition is begun, in this process: what is acked late,
/// after its task became a new instance, is not taken for a record of that one.
fn next_life() -> u64 {
    static LIVES: AtomicU64 = AtomicU64::new(0);
    LIVES.fetch_add(1, Ordering::Relaxed)
}

/// Reads topics; [`KafkaIn::declare`] declares it.
#[derive(Debug)]
pub(super) struct KafkaSpout {
    queue: Arc<Queue>,
    records: std::vec::IntoIter<KafkaRecord>,
    partitions: Vec<Partition>,
    known: HashMap<Place, usize>,
    /// The partition of the last record: neighbours are mostly of the same.
    last: Option<(Place, usize)>,
    finished: bool,
    received: Counter,
    /// Says when the thread has ended.
    ended: Receiver<()>,
}

impl KafkaSpout {
    /// Starts the thread that fetches for this task.
    pub(super) fn open(options: &KafkaIn, cx: &Context) -> Result<Self, Error> {
        options.check()?;
        let queue = Arc::new(Queue::new(options.fetch_bytes as usize));
        let (end, ended) = channel();
        let feed = Feed::<KrafkaReader>::new(options.clone(), cx.clone(), Arc::clone(&queue));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("kafka-in".to_owned()).spawn(move || {
            runtime.block_on(feed.run());
            runtime.shutdown_background();
            drop(end);
        })?;
        Ok(Self {
            queue,
            records: Vec::new().into_iter(),
            partitions: Vec::new(),
            known: HashMap::new(),
            last: None,
            finished: false,
            received: cx.counter("records"),
            ended,
        })
    }

    /// Takes the next thing that was told; false: there is none.
    fn hear(&mut self, cx: &Context) -> bool {
        match self.queue.hear(|| cx.waker()) {
            None => return false,
            Some(Told::Records(records)) => {
                self.received.add(records.len() as u64);
                self.records = records.into_iter();
            }
            Some(Told::Gained(place, done)) => {
                let at = *self.known.entry(place).or_insert(self.partitions.len());
                if at == self.partitions.len() {
                    self.partitions.push(Partition::default());
                }
                let partition = &mut self.partitions[at];
                partition.life = next_life();
                partition.offsets = Offsets::default();
                partition.done = Some(done);
            }
            Some(Told::Lost(place)) => {
                if let Some(at) = self.known.get(&place) {
                    self.partitions[*at].done = None;
                }
            }
            Some(Told::Finished) => self.finished = true,
        }
        true
    }

    /// The partition of a record, if it is read.
    fn partition(&mut self, record: &KafkaRecord) -> Option<usize> {
        let same = |((topic, partition), _): &&(Place, usize)| {
            *partition == record.partition && *topic == record.topic
        };
        let at = match self.last.as_ref().filter(same) {
            Some((_, at)) => *at,
            None => {
                let place = (record.topic.clone(), record.partition);
                let at = *self.known.get(&place)?;
                self.last = Some((place, at));
                at
            }
        };
        self.partitions[at].done.is_some().then_some(at)
    }
}

impl Spout for KafkaSpout {
    type Output = KafkaRecord;
    type Id = Spot;

    fn next(&mut self, out: &mut SpoutOutput<KafkaRecord, Spot>) -> SpoutResult {
        loop {
            let Some(record) = self.records.next() else {
                if self.hear(out.context()) {
                    continue;
                }
                return Ok(if self.finished { Next::Finished } else { Next::Idle });
            };
            // It was taken away while its records waited: whoever has it now reads them.
            let Some(at) = self.partition(&record) else { continue };
            let partition = &mut self.partitions[at];
            if !partition.offsets.emit(record.offset) {
                partition.life = next_life();
            }
            let spot = Spot { at, life: partition.life, offset: record.offset };
            out.emit(spot, record);
            return Ok(Next::Emitted);
        }
    }

    fn ack(&mut self, spot: Spot) {
        // It may be of the instance before this one, or of a partition that has begun again.
        let Some(partition) = self.partitions.get_mut(spot.at) else { return };
        if partition.life != spot.life {
            return;
        }
        partition.offsets.ack(spot.offset);
        if let (Some(done), Some(low)) = (&partition.done, partition.offsets.committable()) {
            done.set(low);
        }
    }

    fn close(&mut self) {
        self.queue.stop();
        // Ended or too slow: what was not committed is read again.
        self.ended.recv_timeout(LAST_COMMIT).unwrap_or_default();
    }
}

impl Drop for KafkaSpout {
    fn drop(&mut self) {
        self.queue.stop();
    }
}
