//! What lies between a replaying spout and whoever keeps its dead letters, when nobody in the
//! topology reads them: on a cluster the supervisor, reached through the worker.
//!
//! The spout hands letters over and goes on; what became of them comes back to its desk. Looking at
//! an empty desk is one read of a flag, so it costs a spout nothing to look each time it is asked.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::{Tuple, Values};

/// Most bytes of a letter's text; the row has the whole tuple.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A dead letter on its way to a disk.
///
/// ```
/// use topology_api::runtime::Letter;
///
/// let letter = Letter { row: vec![1], reason: "error", attempts: 3, ..Letter::default() };
/// assert!(letter.text.is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// The tuple as a row, to be replayed.
    pub row: Vec<u8>,
    /// The tuple as JSON, for people; cut off if it is long.
    pub text: String,
    /// The name of the last reason.
    pub reason: &'static str,
    /// What was said of the last failure; empty if that is not known.
    pub error: String,
    /// How often it was emitted.
    pub attempts: u32,
    /// When it first failed, in milliseconds since 1970.
    pub first_failed_ms: u64,
    /// When it last failed, in milliseconds since 1970.
    pub last_failed_ms: u64,
}

/// What a keeper tells a task.
///
/// ```
/// use topology_api::runtime::KeeperNews;
///
/// assert_ne!(KeeperNews::Kept(1), KeeperNews::Refused(1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperNews {
    /// The letter that was handed over under this number is on disk.
    Kept(u64),
    /// It is not kept: there is no room, or it cannot be written. To be handed over again.
    Refused(u64),
    /// Somebody wants the tuple of a letter processed again.
    Replay {
        /// Which letter.
        letter: String,
        /// The tuple.
        row: Vec<u8>,
    },
}

/// What became of a letter that was replayed.
///
/// ```
/// use topology_api::runtime::Replayed;
///
/// assert_ne!(Replayed::Acked, Replayed::Unreadable("cut off".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It was processed.
    Acked,
    /// It failed too often again.
    Failed {
        /// The name of the last reason.
        reason: &'static str,
        /// What was said of the last failure; empty if that is not known.
        error: String,
        /// How often it was emitted this time.
        attempts: u32,
        /// When it last failed, in milliseconds since 1970.
        last_failed_ms: u64,
    },
    /// Its row is no tuple of this spout: why.
    Unreadable(String),
}

/// Keeps the dead letters of a worker's spouts; made by the worker. No method waits.
pub trait Keeper: std::fmt::Debug + Send + Sync {
    /// A task has a desk from now on, for as long as that lives.
    fn open(&self, component: &str, task: u32, desk: &Arc<Desk>);
    /// Takes a letter of a task that has a desk; the news of it will have the number returned.
    fn keep(&self, task: u32, letter: Letter) -> u64;
    /// A letter that was to be replayed has come to this.
    fn settle(&self, letter: &str, replayed: Replayed);
}

/// Where a keeper leaves news for one task.
///
/// ```
/// use std::task::Waker;
/// use topology_api::runtime::{Desk, KeeperNews};
///
/// let desk = Desk::new(Waker::noop().clone());
/// desk.put(KeeperNews::Kept(7));
/// assert_eq!(desk.take(), [KeeperNews::Kept(7)]);
/// assert!(desk.take().is_empty());
/// ```
#[derive(Debug)]
pub struct Desk {
    any: AtomicBool,
    news: Mutex<Vec<KeeperNews>>,
    waker: Waker,
}

impl Desk {
    /// Makes an empty desk; `waker` is woken when there is something on it.
    #[must_use]
    pub fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self { any: AtomicBool::new(false), news: Mutex::default(), waker })
    }

    /// Leaves news.
    pub fn put(&self, news: KeeperNews) {
        let mut all = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(news);
        self.any.store(true, Ordering::Relaxed);
        drop(all);
        self.waker.wake_by_ref();
    }

    /// Takes what is there, oldest first.
    pub fn take(&self) -> Vec<KeeperNews> {
        if !self.any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut all = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut all)
    }
}

/// The fields of a tuple by name as JSON, in their order.
pub(crate) fn fields_of<T: Tuple>(tuple: &T) -> Vec<(String, serde_json::Value)> {
    let any: &dyn Any = tuple;
    match any.downcast_ref::<Values>() {
        Some(values) => {
            values.iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect()
        }
        None => {
            let fields = T::schema().fields.into_iter().enumerate();
            fields.map(|(at, field)| (field.name.to_owned(), tuple.value(at).to_json())).collect()
        }
    }
}

/// Writes a tuple down for people: its fields as JSON, in their order.
pub(crate) fn text_of<T: Tuple>(tuple: &T) -> String {
    let fields = fields_of(tuple).into_iter();
    let fields: Vec<String> =
        fields.map(|(name, json)| format!("{}:{json}", serde_json::Value::from(name))).collect();
    let mut text = format!("{{{}}}", fields.join(","));
    if text.len() > TEXT_BYTES_MAX {
        let cut = (0..=TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Line, Value};

    #[test]
    fn a_tuple_is_shown_with_the_names_of_its_fields() {
        assert_eq!(text_of(&Line { text: "a \"b\"".into() }), r#"{"text":"a \"b\""}"#);
        let names = Values::names(["who", "n"]);
        let values = Values::new(&names, vec![Value::from("x"), Value::from(7)]);
        assert_eq!(text_of(&values), r#"{"who":"x","n":7}"#);
        let long = text_of(&Line { text: "é".repeat(TEXT_BYTES_MAX).into() });
        assert!(long.len() < TEXT_BYTES_MAX + 8 && long.ends_with('…'), "{} bytes", long.len());
    }
}
