//! The dead letters that this machine keeps for topologies: asked for things here, kept in `files`,
//! sent back to spouts by `replay`.
//!
//! One task owns the files. It takes what waits, does all of it, has the disk take it once, and only
//! then answers: who hands over a letter and hears that it is kept may forget it.

mod files;
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon::Shutdown;
use proto::supervisor::letter_settled::Outcome;
use proto::supervisor::{
    DeadLetter, LetterRenewed, LetterSettled, LettersDone, LettersPage, LettersReport,
    LettersRequest,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::{Keep, chosen};
use crate::workdir::DataDir;
use files::{Failed, Files};

pub(crate) use replay::{Replay, Replays};

/// Questions that wait.
const QUESTIONS_MAX: usize = 1024;

/// Questions that are answered together.
const AT_ONCE: usize = 64;

/// Letters in one page of a list at most.
const PAGE_MAX: usize = 1000;

/// Answers once it is known what the disk did not take.
type Answer = Box<dyn FnOnce(&Failed) + Send>;

/// Does something to the files.
type Question = Box<dyn FnOnce(&mut Files) -> Answer + Send>;

/// What there is of each topology, by its id.
pub(crate) type Reports = BTreeMap<String, LettersReport>;

/// A cheap way to the letters.
#[derive(Clone)]
pub(crate) struct Letters {
    /// The id of this supervisor.
    id: Arc<str>,
    questions: mpsc::Sender<Question>,
    reports: watch::Receiver<Arc<Reports>>,
}

/// Opens what an earlier supervisor kept, and serves it until `parts` is asked to stop.
pub(crate) fn start(data: &DataDir, parts: &Shutdown) -> Letters {
    let files = Files::open(data.letters());
    let (told, reports) = watch::channel(Arc::new(files.reports()));
    let (questions, mut asked) = mpsc::channel::<Question>(QUESTIONS_MAX);
    parts.spawn_until_asked(async move {
        let mut files = files;
        let mut batch = Vec::new();
        while asked.recv_many(&mut batch, AT_ONCE).await > 0 {
            let questions = std::mem::take(&mut batch);
            let (folder, told) = (files.folder(), told.clone());
            let done = tokio::task::spawn_blocking(move || {
                let answers: Vec<Answer> =
                    questions.into_iter().map(|ask| ask(&mut files)).collect();
                let failed = files.sync();
                told.send_replace(Arc::new(files.reports()));
                answers.into_iter().for_each(|answer| answer(&failed));
                files
            });
            // After a panic the files on disk are what there is; who asked hears nothing.
            files = done.await.unwrap_or_else(|_| Files::open(folder));
        }
    });
    Letters { id: data.id.as_str().into(), questions, reports }
}

impl Letters {
    /// What there is of each topology.
    pub(crate) fn reports(&self) -> Arc<Reports> {
        Arc::clone(&self.reports.borrow())
    }

    /// The id of a letter.
    fn id_of(&self, number: u64) -> String {
        format!("{}.{number}", self.id)
    }

    /// The number of a letter that is kept here.
    fn number_of(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&*self.id)?.strip_prefix('.')?.parse().ok()
    }

    /// Does something to the file of a topology; the answer comes when the disk has taken it.
    fn ask<R, F>(
        &self,
        topology: &str,
        ask: F,
    ) -> impl Future<Output = Result<R, String>> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut Files) -> R + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let topology = topology.to_owned();
        let question: Question = Box::new(move |files| {
            let result = ask(files);
            Box::new(move |failed: &Failed| {
                let why = failed.get(&topology);
                // Who asked may be gone.
                drop(sender.send(why.map_or(Ok(result), |why| Err(why.clone()))));
            })
        });
        // In order of the calls, not of who is waited for first.
        let taken = self.questions.try_send(question);
        async move {
            taken.map_err(|_| "too much at once: try again".to_owned())?;
            answer.await.unwrap_or_else(|_| Err("it was not done: try again".to_owned()))
        }
    }

    /// Keeps a letter of a topology; the answer comes when it is on disk, or says why it is not.
    pub(crate) fn keep(
        &self,
        topology: String,
        letter: DeadLetter,
        bytes_max: u64,
    ) -> impl Future<Output = Result<(), Refused>> + Send + use<> {
        let kept =
            self.ask(&topology.clone(), move |files| files.keep(&topology, letter, bytes_max));
        async move {
            match kept.await {
                Ok(Ok(Keep::Append(_) | Keep::Known)) => Ok(()),
                Ok(Ok(Keep::Full)) => {
                    let fix = "`squall dead-letters` replays and drops them";
                    Err(Refused::Here(format!("there is no room for more letters: {fix}")))
                }
                Ok(Ok(Keep::Retired)) => Err(Refused::Retired),
                Ok(Err(error)) | Err(error) => Err(Refused::Here(error)),
            }
        }
    }

    /// Lists letters.
    pub(crate) async fn list(&self, request: LettersRequest) -> Result<LettersPage, String> {
        let me = self.id.to_string();
        let page = self.ask(&request.topology.clone(), move |files| {
            let mut page = match request.numbers[..] {
                [] => files.page(&request.topology, request.after, most(request.max)),
                ref numbers => {
                    let found = numbers.iter().take(PAGE_MAX);
                    let found = found.filter_map(|number| files.whole(&request.topology, *number));
                    LettersPage { letters: found.collect(), more: false }
                }
            };
            for letter in &mut page.letters {
                letter.supervisor.clone_from(&me);
                letter.row = Vec::new();
            }
            page
        });
        page.await
    }

    /// Drops letters.
    pub(crate) async fn discard(&self, request: LettersRequest) -> Result<LettersDone, String> {
        let of = request.topology.clone();
        self.ask(&of, move |files| files.discard(&request.topology, &request.numbers)).await
    }

    /// Marks letters as being replayed; returns them, and those that cannot be.
    async fn begin_replay(
        &self,
        topology: String,
        numbers: Vec<u64>,
    ) -> Result<(Vec<u64>, BTreeMap<u64, String>), String> {
        let begun = self.ask(&topology.clone(), move |files| {
            let Some(letters) = files.letters(&topology) else {
                return (Vec::new(), BTreeMap::new());
            };
            let (mut begun, mut refused) = (Vec::new(), BTreeMap::new());
            for number in chosen(letters, &numbers) {
                match letters.begin_replay(number) {
                    Ok(()) => begun.push(number),
                    // Whoever wants all of them has no quarrel with one that is under way.
                    Err(_) if numbers.is_empty() => {}
                    Err(why) => drop(refused.insert(number, why.to_owned())),
                }
            }
            (begun, refused)
        });
        begun.await
    }

    /// A whole letter.
    async fn whole(&self, topology: String, number: u64) -> Result<Option<DeadLetter>, String> {
        self.ask(&topology.clone(), move |files| files.whole(&topology, number)).await
    }

    /// Takes in what became of a letter of this supervisor that was replayed.
    pub(crate) async fn settle(&self, topology: String, settled: LetterSettled) {
        let Some(number) = self.number_of(&settled.letter) else { return };
        let done = self.ask(&topology.clone(), move |files| match settled.outcome {
            Some(Outcome::Acked(_)) => files.replayed(&topology, number),
            Some(Outcome::Failed(failed)) => {
                files.renew(&topology, LetterRenewed { number, ..failed });
            }
            Some(Outcome::GivenUp(_)) | None => files.give_up_replay(&topology, number),
        });
        if let Err(problem) = done.await {
            tracing::warn!(%problem, "cannot write down what became of a dead letter");
        }
    }

    /// Takes note, before anything that is asked later, that the store went back.
    pub(crate) fn store_went_back(&self, parts: &Shutdown) {
        for topology in self.reports().keys() {
            let of = topology.clone();
            let done = self.ask(topology, move |files| files.forget_epochs(&of));
            parts.spawn_until_asked(async move { drop(done.await) });
        }
    }

    /// Removes the letters of a topology that is gone.
    pub(crate) async fn remove(&self, topology: String) {
        let id = topology.clone();
        match self.ask(&topology, move |files| files.remove(&id)).await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) | Err(problem) => {
                tracing::warn!(%topology, %problem, "cannot remove dead letters, trying again");
            }
        }
    }
}

/// Why a letter is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Not now, and why.
    Here(String),
    /// Another incarnation of the worker has taken its place.
    Retired,
}

fn most(asked: u32) -> usize {
    match usize::try_from(asked).unwrap_or(PAGE_MAX) {
        0 => PAGE_MAX,
        asked => asked.min(PAGE_MAX),
    }
}
