//! Commands out: what a tuple means to a Redis server, done before the tuple is acked.

use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;

use topology_api::{
    Async, AsyncBolt, BoltDeclarer, BoltResult, Context, Counter, Histogram, NoOutput, Output,
    TopologyBuilder, Tuple,
};

use super::client::{Command, Trouble};
use super::link::Link;
use super::{Redis, verdicts};
use crate::WrongOption;
use crate::batches::{Batches, Outcome, Tried};

/// How many tuples of a task wait for the server at most, unless its declaration says otherwise.
const CONCURRENCY: u32 = 2_048;

/// The commands of one tuple.
type Job = Vec<Command>;

/// Runs commands of tuples on a Redis server; each tuple is acked when the server has answered.
///
/// Tuples that come while a batch is under way travel together, as one transaction: the server does all
/// commands of a tuple together, and what it cannot do now is tried again in its order. So from one task
/// on, commands are run in the order of their tuples, and what was acked was done at least once.
///
/// A refusal of the tuple's own, such as `WRONGTYPE`, fails the tuple with the server's words. What passes
/// (`OOM`, `READONLY`, `LOADING` ...) and a server that is away make the tuples wait, and in the end the
/// components before them.
///
/// Counters: `commands`, `refused`, `connection-failures`; gauge `circuit`; histogram `batch-tuples`.
///
/// ```
/// use connectors::redis::{Command, Redis, RedisCommands};
/// use topology_api::prelude::*;
///
/// # struct Lines;
/// # impl Spout for Lines {
/// #     type Output = Line;
/// #     type Id = ();
/// #     fn next(&mut self, _: &mut SpoutOutput<Line, ()>) -> SpoutResult { Ok(Next::Finished) }
/// # }
/// let mut t = TopologyBuilder::new("words");
/// let lines = t.spout("lines", |_| Lines).stream();
/// let redis = Redis::at("localhost:6379");
/// RedisCommands::declare(&mut t, "count", &redis, |line: &Line| {
///     line.text.split_whitespace().map(|word| Command::new("HINCRBY").arg("words").arg(word).arg(1))
///         .collect::<Vec<_>>()
/// })?
/// .fields(&lines, |line| &line.text);
/// t.build()?;
/// # Ok::<(), topology_api::Error>(())
/// ```
pub struct RedisCommands<I, F> {
    make: F,
    shared: Rc<Shared>,
    tuples: PhantomData<fn(I)>,
}

struct Shared {
    link: Link,
    batches: Batches<Job, ()>,
    sent: Counter,
    refused: Counter,
    sizes: Histogram,
}

impl<I, F> std::fmt::Debug for RedisCommands<I, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "commands to redis by {:?}", self.shared.link)
    }
}

impl<I, C, F> RedisCommands<I, F>
where
    I: Tuple,
    C: IntoIterator<Item = Command>,
    F: Fn(&I) -> C + 'static,
{
    /// Makes one; `make` says which commands a tuple is.
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn open(redis: &Redis, make: F, cx: &Context) -> Result<Self, WrongOption> {
        redis.check()?;
        let shared = Shared {
            link: Link::new(redis, cx),
            batches: Batches::new(redis.limits(), redis.retry.clone()),
            sent: cx.counter("commands"),
            refused: cx.counter("refused"),
            sizes: cx.histogram("batch-tuples"),
        };
        Ok(Self { make, shared: Rc::new(shared), tuples: PhantomData })
    }

    /// Declares a bolt of it, which still wants a grouping; `.fields(..)` by what the order is to be kept
    /// of. At most 2048 tuples of a task are under way.
    ///
    /// # Errors
    ///
    /// The option that makes no sense.
    pub fn declare(
        t: &mut TopologyBuilder,
        name: &str,
        redis: &Redis,
        make: F,
    ) -> Result<BoltDeclarer<I, NoOutput, Async>, WrongOption>
    where
        F: Clone + Send + Sync,
    {
        redis.check()?;
        let redis = redis.clone();
        let bolt = t.async_bolt(name, move |cx| Self::open(&redis, make.clone(), cx));
        Ok(bolt.concurrency(CONCURRENCY).unordered())
    }
}

impl<I, C, F> AsyncBolt for RedisCommands<I, F>
where
    I: Tuple,
    C: IntoIterator<Item = Command>,
    F: Fn(&I) -> C + 'static,
{
    type Input = I;
    type Output = NoOutput;

    fn execute(&self, input: I, _: &mut Output<NoOutput>) -> impl Future<Output = BoltResult> {
        let commands: Job = (self.make)(&input).into_iter().collect();
        async move {
            if let Some(command) = commands.iter().find(|it| it.is_of_connection()) {
                let why = "it would change the connection that all tuples share";
                return Err(format!("`{command:?}` is refused: {why}").into());
            }
            if commands.is_empty() {
                return Ok(());
            }
            let shared = &self.shared;
            let bytes = commands.iter().map(Command::bytes).sum();
            let attempt = |jobs| attempt(Rc::clone(shared), jobs);
            let called = shared.batches.call(commands, bytes, attempt).await;
            called.map_err(|why| shared.link.error(why))
        }
    }

    fn late(&self) -> Option<String> {
        self.shared.link.away()
    }
}

/// Tries a batch: all of it or nothing, but for what the server refuses for good.
async fn attempt(shared: Rc<Shared>, jobs: Vec<Job>) -> Tried<Job, ()> {
    let outcomes = match send(&shared, &jobs).await {
        Ok(outcomes) => {
            if let Some(Outcome::Again(why)) = outcomes.iter().find(|it| is_again(it)) {
                shared.link.pause(why).await;
            }
            outcomes
        }
        Err(trouble) => {
            shared.link.failed(&trouble).await;
            jobs.iter().map(|_| Outcome::Again(trouble.to_string())).collect()
        }
    };
    jobs.into_iter().zip(outcomes).collect()
}

fn is_again(outcome: &Outcome<()>) -> bool {
    matches!(outcome, Outcome::Again(_))
}

async fn send(shared: &Shared, jobs: &[Job]) -> Result<Vec<Outcome<()>>, Trouble> {
    let mut connection = shared.link.connection().await?;
    let counts: Vec<usize> = jobs.iter().map(Vec::len).collect();
    let replies = connection.send(jobs.iter().flatten(), true).await?;
    let outcomes = verdicts::of_transaction(&counts, replies);
    let refused = outcomes.iter().filter(|it| matches!(it, Outcome::Done(Err(_)))).count();
    shared.refused.add(refused as u64);
    shared.sizes.record(jobs.len() as u64);
    if !outcomes.iter().any(is_again) {
        shared.sent.add(counts.iter().sum::<usize>() as u64);
        shared.link.worked();
    }
    Ok(outcomes)
}
