//! Reading as a member of a group: its brokers say which partitions, and may take them back.
//!
//! What is to be given up is committed as far as it is done and given up then; what is still open is
//! read again by whoever has it next.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Feed;
use crate::kafka::client::{Begin, Change, Kind, Place, Reader, Shift, Trouble};
use crate::kafka::queue::Told;
use crate::kafka::record::KafkaRecord;

/// How often a member that has no room asks what its group has changed.
const GROUP_LOOK: Duration = Duration::from_millis(500);

impl<R: Reader> Feed<R> {
    /// What the task is called in the group: whoever runs it next is called the same.
    pub(super) fn member_name(&self) -> String {
        let cx = &self.cx;
        format!("{}-{}-{}", cx.topology(), cx.component(), cx.task_index())
    }

    /// Tells the group which topics it reads. Who has the first partition of a topic that has got
    /// others joins anew, as nothing else makes the group share them out.
    pub(super) async fn subscribe(
        &mut self,
        reader: &R,
        found: Vec<(String, u32)>,
    ) -> Result<(), Trouble> {
        let found: BTreeMap<String, u32> = found.into_iter().collect();
        let grown = |(topic, before): (&String, &u32)| {
            let is_first = |(name, partition): &Place| **name == **topic && *partition == 0;
            found.get(topic).is_some_and(|now| now > before) && self.held.keys().any(is_first)
        };
        self.rejoins = self.subscribed.iter().any(grown);
        if !found.is_empty() && !found.keys().eq(self.subscribed.keys()) {
            let topics: Vec<String> = found.keys().cloned().collect();
            reader.subscribe(&topics).await?;
        }
        self.subscribed = found;
        Ok(())
    }

    /// Waits for records, and settles what the group changes meanwhile.
    pub(super) async fn poll_as_member(
        &mut self,
        reader: &R,
        wait: Duration,
    ) -> Result<Vec<KafkaRecord>, Trouble> {
        let mut polled = std::pin::pin!(reader.poll(wait));
        loop {
            let change = tokio::select! {
                records = &mut polled => return records,
                change = reader.change() => change,
            };
            self.settle(reader, change).await?;
        }
    }

    /// Waits for room, and meanwhile asks now and then what the group has changed: one that does not is
    /// taken for dead.
    pub(super) async fn await_room(&mut self, reader: &R, left: Duration) -> Result<(), Trouble> {
        if tokio::time::timeout(left.min(GROUP_LOOK), self.queue.room()).await.is_ok() {
            return Ok(());
        }
        let held: Vec<Place> = self.held.keys().cloned().collect();
        reader.pause(&held, true).await;
        let polled = self.poll_as_member(reader, Duration::ZERO).await;
        reader.pause(&held, false).await;
        let records = polled?;
        if !records.is_empty() {
            self.queue.tell(Told::Records(records));
        }
        Ok(())
    }

    /// Does what a change asks for. Partitions that it cannot begin to read are more than this client can
    /// get over.
    async fn settle(&mut self, reader: &R, change: Change) -> Result<(), Trouble> {
        let Change { shift, places, settled } = change;
        let done = match shift {
            Shift::Gained => {
                let gained = self.gain(reader, places).await;
                gained.map_err(|trouble| Trouble { kind: Kind::Fatal, ..trouble })
            }
            Shift::Asked | Shift::Lost => {
                if shift == Shift::Asked
                    && let Err(trouble) = self.commit(reader).await
                {
                    // Whoever has them next reads more of it again.
                    self.health.failed("commit", &trouble);
                }
                self.give_up(&places);
                Ok(())
            }
        };
        drop(settled);
        done
    }

    fn give_up(&mut self, places: &[Place]) {
        self.lose(|place| places.contains(place));
        // Others read on there: where this one was is of no interest when they come back.
        self.resume.clear();
    }

    /// Begins to read what the group gave it. Where the group has committed nothing, it does now, so that
    /// whoever is next begins at the same record, whatever has come in between.
    async fn gain(&mut self, reader: &R, places: Vec<Place>) -> Result<(), Trouble> {
        let group = self.options.group.clone();
        let committed = reader.committed(&group, &places).await?;
        let mut committed: BTreeMap<Place, u64> = committed.into_iter().collect();
        let mut fresh = Vec::new();
        for place in &places {
            let before = committed.get(place).copied();
            let offset = match self.options.start.begin(before, self.begun) {
                Begin::Offset(offset) => offset,
                Begin::Latest => reader.bounds(place).await?.1,
                Begin::Earliest | Begin::Time(_) => reader.bounds(place).await?.0,
            };
            reader.begin(place, Begin::Offset(offset)).await?;
            if before.is_none() {
                fresh.push((place.clone(), offset));
            }
        }
        if !fresh.is_empty() {
            reader.commit(&group, &fresh).await?;
        }
        committed.extend(fresh);
        for place in places {
            let offset = committed.get(&place).copied();
            self.hold(place, offset, None);
        }
        self.begun = true;
        Ok(())
    }
}
