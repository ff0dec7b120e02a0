//! Sends dead letters back to spouts.
//!
//! The letter stays where it is kept, and is marked, for as long as somebody waits for its outcome:
//! a task here, which asks a worker of this machine or the supervisor of another. If the worker, its
//! supervisor or the connection ends, so does the waiting, and the mark is taken off.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use daemon::listen::Security;
use daemon::{Shutdown, grpc};
use futures::StreamExt;
use proto::supervisor::letter_settled::Outcome;
use proto::supervisor::supervisor_client::SupervisorClient;
use proto::supervisor::{
    DeadLetter, LetterSettled, LettersDone, LettersRequest, ReplayHereRequest, ReplayLetter,
    ReplayRequest, SpoutPlace,
};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::Channel;

use super::Letters;
use crate::daemon::Message;

/// Letters of one request that are under way at a time.
const UNDER_WAY: usize = 64;

/// A letter on its way to a worker of this machine, and where its outcome is waited for.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Id of the topology.
    pub(crate) topology: String,
    /// The worker.
    pub(crate) worker: u32,
    /// The letter.
    pub(crate) letter: ReplayLetter,
    /// Dropped without a word if the worker is gone.
    pub(crate) reply: oneshot::Sender<LetterSettled>,
}

/// What replaying letters takes.
#[derive(Clone)]
pub(crate) struct Replays {
    pub(crate) letters: Letters,
    /// The loop, which knows the workers of this machine.
    pub(crate) messages: mpsc::Sender<Message>,
    /// How other supervisors are dialled.
    pub(crate) security: Security,
    pub(crate) parts: Shutdown,
}

impl Replays {
    /// Begins to replay letters that are kept here.
    pub(crate) async fn begin(&self, request: ReplayRequest) -> Result<LettersDone, String> {
        let LettersRequest { topology, numbers, .. } = request.letters.unwrap_or_default();
        let (begun, refused) = self.letters.begin_replay(topology.clone(), numbers).await?;
        let done = begun.len() as u64;
        let (run, places) = (self.clone(), Arc::new(Places::new(&self.letters.id, request.places)));
        self.parts.spawn_until_asked(async move {
            let each = |number| run.replay(&topology, number, &places);
            futures::stream::iter(begun).for_each_concurrent(UNDER_WAY, each).await;
        });
        Ok(LettersDone { done, refused })
    }

    /// Has a worker of this machine replay a letter; tells what became of it.
    pub(crate) async fn here(&self, request: ReplayHereRequest) -> LetterSettled {
        let ReplayHereRequest { topology, worker, letter } = request;
        let letter = letter.unwrap_or_default();
        let id = letter.letter.clone();
        let (reply, settled) = oneshot::channel();
        let replay = Message::Replay(Replay { topology, worker, letter, reply });
        let gone = |_| given_up(&id, format!("worker {worker} is gone"));
        match self.messages.send(replay).await {
            Ok(()) => settled.await.unwrap_or_else(gone),
            Err(_) => given_up(&id, "the supervisor stops".to_owned()),
        }
    }

    async fn replay(&self, topology: &str, number: u64, places: &Places) {
        let id = self.letters.id_of(number);
        let letter = self.letters.whole(topology.to_owned(), number).await;
        let settled = match letter {
            Ok(Some(letter)) => self.try_replay(topology, &id, letter, places).await,
            Ok(None) => given_up(&id, "it cannot be read".to_owned()),
            Err(problem) => given_up(&id, problem),
        };
        if let Some(Outcome::GivenUp(why)) = &settled.outcome {
            tracing::warn!(letter = %id, %why, "a dead letter could not be replayed");
        }
        self.letters.settle(topology.to_owned(), settled).await;
    }

    async fn try_replay(
        &self,
        topology: &str,
        id: &str,
        letter: DeadLetter,
        places: &Places,
    ) -> LetterSettled {
        let DeadLetter { component, row, number, .. } = letter;
        let Some(place) = places.choose(&component, number) else {
            return given_up(id, format!("no worker runs `{component}` now"));
        };
        let letter = ReplayLetter { letter: id.to_owned(), component, row };
        let (topology, worker) = (topology.to_owned(), place.worker);
        let request = ReplayHereRequest { topology, worker, letter: Some(letter) };
        if *place.supervisor == *self.letters.id {
            return self.here(request).await;
        }
        match places.channel(&place.address, &self.security).await {
            Ok(channel) => {
                let mut client = SupervisorClient::new(channel)
                    .max_encoding_message_size(usize::MAX)
                    .max_decoding_message_size(usize::MAX);
                let settled = client.replay_here(request).await.map(tonic::Response::into_inner);
                settled.unwrap_or_else(|status| given_up(id, status.message().to_owned()))
            }
            Err(why) => given_up(id, why),
        }
    }
}

fn given_up(letter: &str, why: String) -> LetterSettled {
    LetterSettled { letter: letter.to_owned(), outcome: Some(Outcome::GivenUp(why)) }
}

/// Where spouts run, and the connections there.
struct Places {
    /// By component; those on this machine if there are any.
    by_component: BTreeMap<String, Vec<SpoutPlace>>,
    channels: tokio::sync::Mutex<HashMap<String, Channel>>,
}

impl Places {
    fn new(me: &str, places: Vec<SpoutPlace>) -> Self {
        let mut by_component: BTreeMap<String, Vec<SpoutPlace>> = BTreeMap::new();
        for place in places {
            by_component.entry(place.component.clone()).or_default().push(place);
        }
        for places in by_component.values_mut() {
            if places.iter().any(|place| place.supervisor == me) {
                places.retain(|place| place.supervisor == me);
            }
        }
        Self { by_component, channels: tokio::sync::Mutex::default() }
    }

    /// Where a letter goes: they go round.
    fn choose(&self, component: &str, number: u64) -> Option<&SpoutPlace> {
        let places = self.by_component.get(component)?;
        places.get(usize::try_from(number).unwrap_or(0) % places.len().max(1))
    }

    async fn channel(&self, address: &str, security: &Security) -> Result<Channel, String> {
        let mut channels = self.channels.lock().await;
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = grpc::endpoint(address).map_err(|error| error.to_string())?;
        let channel = grpc::connect(endpoint, security).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let why = cause.unwrap_or_else(|| error.to_string());
            format!("the supervisor at {address} cannot be reached: {why}")
        })?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
