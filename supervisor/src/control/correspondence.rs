//! Dead letters in the conversation with one worker: those it hands over, and those it replays.
//!
//! Nothing here waits: the disk may be slow, and a worker that hears nothing takes its supervisor for
//! away.

use std::collections::HashMap;

use daemon::Shutdown;
use proto::supervisor::{KeepLetter, LetterKept, LetterSettled, ReplayLetter, ToWorker, to_worker};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::Attachment;
use crate::daemon::Message;
use crate::letters::{Letters, Refused, Replay};

/// The letters of one conversation.
pub(super) struct Correspondence {
    pub(super) letters: Letters,
    pub(super) messages: mpsc::Sender<Message>,
    pub(super) answers: mpsc::Sender<Result<ToWorker, Status>>,
    pub(super) parts: Shutdown,
    /// Who waits for the outcome of a replay, by the letter's id: until this conversation ends.
    pub(super) waiting: HashMap<String, Vec<oneshot::Sender<LetterSettled>>>,
}

impl Correspondence {
    /// Keeps a letter, and answers when it is on disk.
    pub(super) fn keep(&self, letter: KeepLetter, attached: &Attachment) {
        let KeepLetter { letter, bytes_max } = letter;
        let mut letter = letter.unwrap_or_default();
        // Who hands it over is who proved to be it.
        (letter.worker, letter.epoch) = (attached.worker, Some(attached.epoch.into()));
        let ticket = letter.ticket;
        // The orders of an incarnation end when another takes its place.
        let is_current = attached.orders.has_changed().is_ok();
        let kept =
            is_current.then(|| self.letters.keep(attached.topology.clone(), letter, bytes_max));
        let (answers, messages) = (self.answers.clone(), self.messages.clone());
        let outdated = Message::Outdated { slot: attached.slot, epoch: attached.epoch.to_string() };
        self.parts.spawn_until_asked(async move {
            let kept = match kept {
                Some(kept) => kept.await,
                None => Err(Refused::Retired),
            };
            let refused = match kept {
                Ok(()) => String::new(),
                Err(Refused::Here(why)) => why,
                Err(Refused::Retired) => {
                    drop(messages.send(outdated).await);
                    "another incarnation of this worker has taken its place".to_owned()
                }
            };
            let kind = Some(to_worker::Kind::Kept(LetterKept { ticket, refused }));
            // A worker that is gone hands it over again when it is back.
            drop(answers.send(Ok(ToWorker { kind })).await);
        });
    }

    /// Notes who waits for the outcome of a letter that the worker is told to replay.
    pub(super) fn begin(&mut self, replay: Replay) -> ReplayLetter {
        let Replay { letter, reply, .. } = replay;
        self.waiting.entry(letter.letter.clone()).or_default().push(reply);
        letter
    }

    /// Passes on what became of a letter. Where nobody waits, the replay began before this
    /// conversation did: then it is taken in if the letter is kept here.
    pub(super) fn settle(&mut self, settled: LetterSettled, topology: &str) {
        let waiting = self.waiting.remove(&settled.letter).unwrap_or_default();
        let told = waiting.into_iter().filter_map(|reply| reply.send(settled.clone()).ok());
        if told.count() == 0 {
            let (letters, topology) = (self.letters.clone(), topology.to_owned());
            self.parts.spawn_until_asked(async move { letters.settle(topology, settled).await });
        }
    }
}
