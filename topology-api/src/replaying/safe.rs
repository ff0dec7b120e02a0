//! Dead letters that nobody in the topology reads: with the keeper, or on the way there and back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::Context;
use crate::keeping::{Desk, Keeper, KeeperNews, Letter, Replayed};

/// The letters that one spout task gave to the keeper and that are not on disk, and those that come
/// back to be replayed.
pub(super) struct Safe<K> {
    keeper: Arc<dyn Keeper>,
    desk: Arc<Desk>,
    task: u32,
    /// By the number they were handed over under.
    handed: BTreeMap<u64, K>,
    news: VecDeque<KeeperNews>,
    /// Letters to be replayed, and their rows.
    replays: VecDeque<(String, Vec<u8>)>,
}

/// What a spout is to do about something it kept.
pub(super) enum Word<K> {
    /// It is on disk.
    Kept(K),
    /// It could not be kept.
    Refused(K),
}

impl<K> Safe<K> {
    /// Opens a desk for the task, where there is a keeper.
    pub(super) fn open(cx: &Context) -> Option<Self> {
        let keeper = cx.keeper()?;
        let (desk, task) = (Desk::new(cx.waker()), cx.task());
        keeper.open(cx.component(), task, &desk);
        let (handed, news, replays) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        Some(Self { keeper, desk, task, handed, news, replays })
    }

    /// Tells whether the keeper has yet to answer, or something is to be replayed.
    pub(super) fn is_busy(&self) -> bool {
        !self.handed.is_empty() || !self.replays.is_empty()
    }

    pub(super) fn keep(&mut self, letter: Letter, kept: K) {
        let number = self.keeper.keep(self.task, letter);
        self.handed.insert(number, kept);
    }

    pub(super) fn settle(&self, letter: &str, replayed: Replayed) {
        self.keeper.settle(letter, replayed);
    }

    /// The next word of the keeper about a letter that was handed over.
    pub(super) fn hear(&mut self) -> Option<Word<K>> {
        // One by one: should the spout inside panic over one, the others are still here.
        self.news.extend(self.desk.take());
        while let Some(news) = self.news.pop_front() {
            // A number that is not known was another instance's.
            let word = match news {
                KeeperNews::Kept(number) => self.handed.remove(&number).map(Word::Kept),
                KeeperNews::Refused(number) => self.handed.remove(&number).map(Word::Refused),
                KeeperNews::Replay { letter, row } => {
                    self.replays.push_back((letter, row));
                    None
                }
            };
            if word.is_some() {
                return word;
            }
        }
        None
    }

    /// The next letter to replay, and its row.
    pub(super) fn next_replay(&mut self) -> Option<(String, Vec<u8>)> {
        self.replays.pop_front()
    }
}
