//! Look-ups: a tuple is joined with what a Redis server knows of its key.
//!
//! Answers are kept for a while; tuples that ask for what is being asked wait for that answer. So the
//! server sees a key about once in `keep_for`, however hot it is.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use topology_api::{
    Async, AsyncBolt, BoltDeclarer, BoltResult, Context, Counter, Gauge, Output, TopologyBuilder,
    Tuple,
};

use super::cache::Cache;
use super::client::{Command, Reply, Trouble};
use super::link::Link;
use super::{Redis, verdicts};
use crate::WrongOption;
use crate::batches::{Batches, Outcome, Tried};

/// How many tuples of a task wait for the server at most, unless its declaration says otherwise.
const CONCURRENCY: u32 = 1_024;

/// What is kept of answers, and for how long.
///
/// ```
/// use std::time::Duration;
/// use connectors::redis::LookupOptions;
///
/// let options = LookupOptions::default().keep(50_000).keep_for(Duration::from_secs(300));
/// assert!(options.check().is_ok());
/// assert_eq!(options.keep_for(Duration::ZERO).check().unwrap_err().option(), "keep_for");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupOptions {
    keep: usize,
    keep_for: Duration,
    hash: Option<String>,
}

impl Default for LookupOptions {
    /// 10 000 answers for a minute, of keys of their own.
    fn default() -> Self {
        Self { keep: 10_000, keep_for: Duration::from_secs(60), hash: None }
    }
}

impl LookupOptions {
    /// How many answers a task keeps; that there is nothing is one too. With 0 it keeps none. Default 10 000.
    #[must_use]
    pub fn keep(mut self, answers: usize) -> Self {
        self.keep = answers;
        self
    }

    /// For how long an answer is good. Default 60 s.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep_for = time;
        self
    }

    /// Asks for fields of this hash (`HGET`). Default: for keys of their own (`GET`).
    #[must_use]
    pub fn hash(mut self, key: impl Into<String>) -> Self {
        self.hash = Some(key.into());
        self
    }

    /// Looks whether the options make sense.
    ///
    /// # Errors
    ///
    /// The first one that does not, by its name.
    pub fn check(&self) -> Result<(), WrongOption> {
        if self.keep_for.is_zero() {
            let fix = "for example 60 s; `keep(0)` keeps nothing";
            return Err(WrongOption::new("keep_for", "0", "answers would never be good", fix));
        }
        if self.hash.as_deref() == Some("") {
            return Err(WrongOption::new("hash", "", "the key is empty", "name the key of a hash"));
        }
        Ok(())
    }
}

/// What is known of a key: bytes, or that there is nothing.
type Found = Option<Rc<[u8]>>;

/// Joins tuples with what a Redis server knows of them.
///
/// Unless a tuple's answer is kept, it waits for the server as tuples of [`RedisCommands`](super::RedisCommands)
/// do, and what that says of a server that is away and of refusals holds here too. What a tuple becomes
/// leaves in the order of the tuples.
///
/// Counters: `looked-up`, `found-in-cache`, `connection-failures`; gauges `circuit`, `cached`.
///
/// ```
/// use connectors::redis::{LookupOptions, Redis, RedisLookup};
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Hit { client: Text }
/// #[derive(Clone, Debug, Tuple)]
/// struct Placed { client: Text, country: Text }
/// # struct Hits;
/// # impl Spout for Hits {
/// #     type Output = Hit;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<Hit, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// let mut t = TopologyBuilder::new("places");
/// let hits = t.spout("hits", |_| Hits).stream();
/// let redis = Redis::at("localhost:6379");
/// let options = LookupOptions::default().hash("countries");
/// RedisLookup::declare(
///     &mut t, "place", &redis, &options,
///     (|hit: &Hit| hit.client.as_bytes().to_vec(), |hit: Hit, found: Option<&[u8]>| {
///         let country = String::from_utf8_lossy(found.unwrap_or(b"unknown"));
///         Some(Placed { client: hit.client, country: (&*country).into() })
///     }),
/// )?
/// .fields(&hits, |hit| &hit.client);
/// t.build()?;
/// # Ok::<(), topology_api::Error>(())
/// ```
pub struct RedisLookup<I, O, K, J> {
    key: K,
    join: J,
    cx: Context,
    asked: RefCell<Asked>,
    shared: Rc<Shared>,
    looked_up: Counter,
    in_cache: Counter,
    cached: Gauge,
    tuples: PhantomData<fn(I) -> O>,
}

/// Answers that are kept, and what is being asked for.
struct Asked {
    cache: Cache<Found>,
    under_way: HashMap<Vec<u8>, Rc<Question>>,
}

/// Something that is being asked for.
#[derive(Default)]
struct Question {
    /// None until it was answered; and for ever, if the call that asks was dropped.
    answer: RefCell<Option<Result<Found, String>>>,
    has_ended: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Question {
    /// Waits for its answer; none, if nobody asks any more.
    async fn answer(&self) -> Option<Result<Found, String>> {
        poll_fn(|polled| {
            if self.has_ended.get() {
                return Poll::Ready(self.answer.borrow().clone());
            }
            self.waiting.borrow_mut().push(polled.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The call that asks; when it ends, however it does, those that wait go on.
struct Asking<'a> {
    asked: &'a RefCell<Asked>,
    key: Vec<u8>,
    question: Rc<Question>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asked.borrow_mut().under_way.remove(&self.key);
        self.question.has_ended.set(true);
        self.question.waiting.take().into_iter().for_each(Waker::wake);
    }
}

struct Shared {
    link: Link,
    batches: Batches<Vec<u8>, Reply>,
    hash: Option<String>,
}

impl<I, O, K, J> std::fmt::Debug for RedisLookup<I, O, K, J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "look-ups in redis by {:?}", self.shared.link)
    }
}

impl<I, O, K, J> RedisLookup<I, O, K, J>
where
    I: Tuple,
    O: Tuple,
    K: Fn(&I) -> Vec<u8> + 'static,
    J: Fn(I, Option<&[u8]>) -> Option<O> + 'static,
{
    /// Makes one; `key` says what to ask for, `join` what comes of the tuple and the answer.
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn open(
        redis: &Redis,
        options: &LookupOptions,
        key: K,
        join: J,
        cx: &Context,
    ) -> Result<Self, WrongOption> {
        redis.check()?;
        options.check()?;
        let cache = Cache::new(options.keep, options.keep_for);
        let shared = Shared {
            link: Link::new(redis, cx),
            batches: Batches::new(redis.limits(), redis.retry.clone()),
            hash: options.hash.clone(),
        };
        Ok(Self {
            key,
            join,
            cx: cx.clone(),
            asked: RefCell::new(Asked { cache, under_way: HashMap::new() }),
            shared: Rc::new(shared),
            looked_up: cx.counter("looked-up"),
            in_cache: cx.counter("found-in-cache"),
            cached: cx.gauge("cached"),
            tuples: PhantomData,
        })
    }

    /// Declares a bolt of it, which still wants a grouping; with `.fields(..)` by the key each answer is
    /// kept by one task only. At most 1024 tuples of a task are under way.
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn declare(
        t: &mut TopologyBuilder,
        name: &str,
        redis: &Redis,
        options: &LookupOptions,
        (key, join): (K, J),
    ) -> Result<BoltDeclarer<I, O, Async>, WrongOption>
    where
        K: Clone + Send + Sync,
        J: Clone + Send + Sync,
    {
        redis.check()?;
        options.check()?;
        let (redis, options) = (redis.clone(), options.clone());
        let bolt = t.async_bolt(name, move |cx| {
            Self::open(&redis, &options, key.clone(), join.clone(), cx)
        });
        Ok(bolt.concurrency(CONCURRENCY))
    }

    /// The answer for a key: what is kept, what another call is being told, or the server's.
    async fn find(&self, key: Vec<u8>) -> Result<Found, String> {
        loop {
            let known = self.asked.borrow_mut().cache.find(&key, self.cx.now());
            if let Some(found) = known {
                self.in_cache.add(1);
                return Ok(found);
            }
            let question = self.asked.borrow().under_way.get(&key).cloned();
            let Some(question) = question else { break };
            if let Some(answer) = question.answer().await {
                self.in_cache.add(1);
                return answer;
            }
        }
        self.ask(key).await
    }

    /// Asks the server, for this call and those that come meanwhile.
    async fn ask(&self, key: Vec<u8>) -> Result<Found, String> {
        let question = Rc::new(Question::default());
        self.asked.borrow_mut().under_way.insert(key.clone(), Rc::clone(&question));
        let asking = Asking { asked: &self.asked, key, question };
        let shared = &self.shared;
        let attempt = |jobs| attempt(Rc::clone(shared), jobs);
        let key = &asking.key;
        let answer = match shared.batches.call(key.clone(), key.len(), attempt).await {
            Ok(Reply::Nil) => Ok(None),
            Ok(Reply::Bytes(bytes)) => Ok(Some(Rc::from(bytes))),
            Ok(Reply::Integer(number)) => Ok(Some(Rc::from(number.to_string().into_bytes()))),
            Ok(Reply::Refused(refusal)) => Err(refusal.to_string()),
            Ok(Reply::List(_)) => Err("the answer is a list".to_owned()),
            Err(why) => Err(why),
        };
        self.looked_up.add(1);
        if let Ok(found) = &answer {
            let mut asked = self.asked.borrow_mut();
            asked.cache.keep(key.clone(), found.clone(), self.cx.now());
            self.cached.set(asked.cache.len() as f64);
        }
        asking.question.answer.replace(Some(answer.clone()));
        answer
    }
}

impl<I, O, K, J> AsyncBolt for RedisLookup<I, O, K, J>
where
    I: Tuple,
    O: Tuple,
    K: Fn(&I) -> Vec<u8> + 'static,
    J: Fn(I, Option<&[u8]>) -> Option<O> + 'static,
{
    type Input = I;
    type Output = O;

    async fn execute(&self, input: I, out: &mut Output<O>) -> BoltResult {
        let found = self.find((self.key)(&input)).await;
        let found = found.map_err(|why| self.shared.link.error(why))?;
        if let Some(tuple) = (self.join)(input, found.as_deref()) {
            out.emit(tuple);
        }
        Ok(())
    }

    fn late(&self) -> Option<String> {
        self.shared.link.away()
    }
}

/// Asks for a batch of keys.
async fn attempt(shared: Rc<Shared>, keys: Vec<Vec<u8>>) -> Tried<Vec<u8>, Reply> {
    match send(&shared, &keys).await {
        Ok(outcomes) => {
            let passing = outcomes.iter().find_map(|outcome| match outcome {
                Outcome::Again(why) => Some(why.as_str()),
                Outcome::Done(_) | Outcome::Untried => None,
            });
            match passing {
                Some(why) => shared.link.pause(why).await,
                None => shared.link.worked(),
            }
            keys.into_iter().zip(outcomes).collect()
        }
        Err(trouble) => {
            shared.link.failed(&trouble).await;
            keys.into_iter().map(|key| (key, Outcome::Again(trouble.to_string()))).collect()
        }
    }
}

async fn send(shared: &Shared, keys: &[Vec<u8>]) -> Result<Vec<Outcome<Reply>>, Trouble> {
    let question = |key: &Vec<u8>| match &shared.hash {
        Some(hash) => Command::new("HGET").arg(hash).arg(key.as_slice()),
        None => Command::new("GET").arg(key.as_slice()),
    };
    let commands: Vec<Command> = keys.iter().map(question).collect();
    let mut connection = shared.link.connection().await?;
    let replies = connection.send(commands.iter(), false).await?;
    let outcome = |reply| match reply {
        Reply::Refused(refusal) if verdicts::is_passing(&refusal) => {
            Outcome::Again(refusal.to_string())
        }
        reply => Outcome::Done(Ok(reply)),
    };
    Ok(replies.into_iter().map(outcome).collect())
}
