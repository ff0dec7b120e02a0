//! The thread that reads the streams of one task, and tells the server what was processed.
//!
//! One loop reads, on a connection that may be blocked; another acks, on a connection of its own. Both
//! run on one thread with a tokio runtime of its own, so that a spout whose topology is not active still
//! acks, and a loop of the worker is never held up.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use topology_api::{Context, Counter, Error, Gauge};

use super::open_entries::{OpenEntries, Place};
use super::replies::{self, Listed};
use super::{StreamEntry, StreamOptions, Verdict};
use crate::redis::Redis;
use crate::redis::client::{Command, Connection, Refusal, Reply, Trouble};
use crate::redis::link::Link;

/// How long the server may keep a call that asks for new entries.
const BLOCK: Duration = Duration::from_secs(1);

/// Most entries that the server is told of at once.
const ACKS: usize = 1_024;

type Entries = Sender<(Place, StreamEntry)>;

/// Why a round of reading ended.
enum Stop {
    Trouble(Trouble),
    /// The server does not do it, in its words or ours.
    Refused(String),
    /// The spout is gone.
    Closed,
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

/// What both loops share.
struct Reader {
    redis: Redis,
    options: StreamOptions,
    cx: Context,
    consumer: String,
    open: RefCell<OpenEntries>,
    entries: Counter,
    claimed: Counter,
    again: Counter,
    deleted: Counter,
    xacked: Counter,
    open_count: Gauge,
}

/// Starts the thread; it ends when the spout has dropped its ends of the channels.
pub(super) fn start(
    redis: &Redis,
    options: &StreamOptions,
    cx: &Context,
    (entries, verdicts): (Entries, UnboundedReceiver<Verdict>),
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (redis, options, cx) = (redis.clone(), options.clone(), cx.clone());
    let thread = std::thread::Builder::new().name("redis-streams".to_owned());
    thread.spawn(move || {
        let reader = Reader {
            consumer: format!("{}-{}-{}", cx.topology(), cx.component(), cx.task_index()),
            open: RefCell::new(OpenEntries::default()),
            entries: cx.counter("entries"),
            claimed: cx.counter("claimed"),
            again: cx.counter("come-again"),
            deleted: cx.counter("deleted-entries"),
            xacked: cx.counter("xacked"),
            open_count: cx.gauge("open-entries"),
            redis,
            options,
            cx,
        };
        runtime.block_on(async {
            tokio::select! {
                () = reader.read(entries) => {}
                () = reader.tell(verdicts) => {}
            }
        });
    })?;
    Ok(())
}

impl Reader {
    /// Reads until the spout is gone, on one connection after the other.
    async fn read(&self, entries: Entries) {
        let link = Link::new(&self.redis, &self.cx);
        loop {
            match self.read_on_one_connection(&link, &entries).await {
                Stop::Closed => return,
                Stop::Trouble(trouble) => link.failed(&trouble).await,
                Stop::Refused(why) => link.pause(&why).await,
            }
            if entries.is_closed() {
                return;
            }
        }
    }

    async fn read_on_one_connection(&self, link: &Link, entries: &Entries) -> Stop {
        let mut connection = match link.connection().await {
            Ok(connection) => connection,
            Err(trouble) => return trouble.into(),
        };
        match self.read_rounds(link, &mut connection, entries).await {
            Err(stop) => stop,
            Ok(never) => match never {},
        }
    }

    async fn read_rounds(
        &self,
        link: &Link,
        connection: &mut Connection,
        entries: &Entries,
    ) -> Result<std::convert::Infallible, Stop> {
        self.make_groups(connection).await?;
        link.worked();
        self.read_own(connection, entries).await?;
        let mut claim_at = self.cx.now();
        loop {
            if self.cx.now() >= claim_at {
                self.claim(connection, entries).await?;
                claim_at = self.cx.now() + self.options.claim_after / 4;
            }
            let reply = connection.ask(&self.ask_for(">", None), BLOCK).await?;
            link.worked();
            for (stream, listed) in replies::of_streams(accepted(reply)?)? {
                self.hand_over(&stream, listed, entries).await?;
            }
        }
    }

    /// Makes the groups and streams that there are none of.
    async fn make_groups(&self, connection: &mut Connection) -> Result<(), Stop> {
        let from = if self.options.from_now { "$" } else { "0" };
        for stream in &self.options.streams {
            let make = Command::new("XGROUP").arg("CREATE").arg(stream).arg(&self.options.group);
            match connection.ask(&make.arg(from).arg("MKSTREAM"), Duration::ZERO).await? {
                Reply::Refused(refusal) if refusal.code() == "BUSYGROUP" => {}
                Reply::Refused(refusal) if refusal.code() == "WRONGTYPE" => {
                    return Err(Stop::Refused(format!(
                        "option `streams` is wrong: `{stream}` is no stream: {refusal}; name the key of one"
                    )));
                }
                Reply::Refused(refusal) => return Err(refusal.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads what this consumer was given before, in another life or on a connection that broke.
    async fn read_own(&self, connection: &mut Connection, entries: &Entries) -> Result<(), Stop> {
        for stream in &self.options.streams {
            let mut after = "0".to_owned();
            loop {
                let ask = self.ask_for(&after, Some(stream));
                let reply = connection.ask(&ask, Duration::ZERO).await?;
                let listed = replies::of_streams(accepted(reply)?)?.pop();
                let listed = listed.map_or_else(Vec::new, |(_, listed)| listed);
                let Some(last) = listed.last() else { break };
                after = last.id.to_string();
                let given = self.hand_over(stream, listed, entries).await?;
                self.again.add(given);
            }
        }
        Ok(())
    }

    /// Takes over what others were given and have not acked for too long.
    async fn claim(&self, connection: &mut Connection, entries: &Entries) -> Result<(), Stop> {
        let idle = u64::try_from(self.options.claim_after.as_millis()).unwrap_or(u64::MAX);
        for stream in &self.options.streams {
            let mut from = Some("0-0".to_owned());
            while let Some(cursor) = from {
                let claim = Command::new("XAUTOCLAIM").arg(stream).arg(&self.options.group);
                let claim = claim.arg(&self.consumer).arg(idle).arg(&cursor);
                let claim = claim.arg("COUNT").arg(self.options.read);
                let reply = connection.ask(&claim, Duration::ZERO).await?;
                let (next, listed) = replies::of_claim(accepted(reply)?)?;
                from = next;
                let given = self.hand_over(stream, listed, entries).await?;
                self.claimed.add(given);
            }
        }
        Ok(())
    }

    /// Asks for entries after an id, of one stream or all; `>` are those that nobody was given.
    fn ask_for(&self, after: &str, stream: Option<&String>) -> Command {
        let streams = stream.map_or(self.options.streams.as_slice(), std::slice::from_ref);
        let mut ask = Command::new("XREADGROUP").arg("GROUP").arg(&self.options.group);
        ask = ask.arg(&self.consumer).arg("COUNT").arg(self.options.read);
        if after == ">" {
            ask = ask.arg("BLOCK").arg(BLOCK.as_millis() as u64);
        }
        ask = ask.arg("STREAMS");
        for stream in streams {
            ask = ask.arg(stream);
        }
        streams.iter().fold(ask, |ask, _| ask.arg(after))
    }

    /// Gives entries to the spout, as far as they are new here; says how many. Waits for room.
    async fn hand_over(
        &self,
        stream: &str,
        listed: Vec<Listed>,
        entries: &Entries,
    ) -> Result<u64, Stop> {
        let index = self.options.streams.iter().position(|own| own == stream);
        let Some(index) = index else {
            return Err(Stop::Refused(format!("who asked for `{stream}`?")));
        };
        let mut given = 0;
        for Listed { id, fields } in listed {
            let place = Place { stream: index as u32, id };
            let Some(fields) = fields else {
                // It was deleted or trimmed before it was processed.
                self.deleted.add(1);
                self.open.borrow_mut().acked(place);
                continue;
            };
            if !self.open.borrow_mut().take_in(place) {
                continue;
            }
            given += 1;
            let entry = StreamEntry { stream: stream.into(), id: id.to_string().into(), fields };
            match entries.try_send((place, entry)) {
                Ok(()) => {}
                Err(tokio::sync::mpsc::error::TrySendError::Full(entry)) => {
                    self.cx.waker().wake();
                    entries.send(entry).await.map_err(|_| Stop::Closed)?;
                }
                Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => return Err(Stop::Closed),
            }
        }
        if given > 0 {
            self.entries.add(given);
            self.open_count.set(self.open.borrow().len() as f64);
            self.cx.waker().wake();
        }
        Ok(given)
    }

    /// Tells the server what was processed, until the spout is gone.
    async fn tell(&self, mut verdicts: UnboundedReceiver<Verdict>) {
        let link = Link::hidden(&self.redis, &self.cx);
        loop {
            if !self.open.borrow().has_acks() {
                match verdicts.recv().await {
                    Some(verdict) => self.settle(verdict),
                    None => return,
                }
            }
            let ended = loop {
                match verdicts.try_recv() {
                    Ok(verdict) => self.settle(verdict),
                    Err(error) => break error == TryRecvError::Disconnected,
                }
            };
            let places = self.open.borrow_mut().next_acks(ACKS);
            if places.is_empty() {
                continue;
            }
            if let Err(stop) = self.ack(&link, &places).await {
                self.open.borrow_mut().not_told(places);
                if ended {
                    return;
                }
                match stop {
                    Stop::Trouble(trouble) => link.failed(&trouble).await,
                    Stop::Refused(why) => link.pause(&why).await,
                    Stop::Closed => return,
                }
            }
        }
    }

    fn settle(&self, verdict: Verdict) {
        let mut open = self.open.borrow_mut();
        match verdict {
            Verdict::Acked(place) => open.acked(place),
            Verdict::Failed(place) => open.failed(place),
        }
    }

    /// Acks entries of one stream there.
    async fn ack(&self, link: &Link, places: &[Place]) -> Result<(), Stop> {
        let Some(first) = places.first() else { return Ok(()) };
        let stream = &self.options.streams[first.stream as usize];
        let mut ack = Command::new("XACK").arg(stream).arg(&self.options.group);
        for place in places {
            ack = ack.arg(place.id.to_string());
        }
        let reply = link.connection().await?.ask(&ack, Duration::ZERO).await?;
        accepted(reply)?;
        link.worked();
        let mut open = self.open.borrow_mut();
        open.told(places);
        self.xacked.add(places.len() as u64);
        self.open_count.set(open.len() as f64);
        Ok(())
    }
}

/// A reply that is no refusal.
fn accepted(reply: Reply) -> Result<Reply, Refusal> {
    match reply {
        Reply::Refused(refusal) => Err(refusal),
        reply => Ok(reply),
    }
}
