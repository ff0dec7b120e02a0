//! The dead letters of one topology that a supervisor keeps: which there are, and what stands in
//! their file.
//!
//! The file is a log: a letter came, one is gone, one was replayed and failed again. Each record is
//! its length, a checksum and its bytes, so a file that was cut off anywhere reads as what came
//! before. When half of it is history it is written anew. Nothing here touches a disk: changes come
//! back as bytes to append, and letters are known by where they stand.

mod record;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto::supervisor::letter_record::Kind;
use proto::supervisor::{
    DeadLetter, LetterRecord, LetterRenewed, LettersBegun, LettersHeard, LettersReport,
};

use self::record::{first_record, framed};
use super::Epoch;

/// What a letter counts as beside its tuple: what is known of it is in memory too.
const LETTER_BYTES: u64 = 1024;

/// A file is not written anew before so much of it is history.
const HISTORY_BYTES_MIN: u64 = 1 << 20;

/// Tickets of one worker that are remembered: more than it hands over without an answer.
const TICKETS: usize = 256;

/// Bytes of a letter's text that are at hand for lists.
const TEXT_BYTES: usize = 256;

/// Where a record stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub offset: u64,
    /// Its own.
    pub bytes: usize,
}

/// What became of a letter that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is kept once these bytes are at the end of the file.
    Append(Vec<u8>),
    /// It was handed over before, and is or was kept.
    Known,
    /// There is no room for it.
    Full,
    /// The incarnation of the worker that hands it over was replaced.
    Retired,
}

#[derive(Clone, Debug)]
struct Held {
    place: Place,
    weight: u64,
    /// The letter without its row, and with no more than the beginning of its text.
    letter: DeadLetter,
    replaying: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    epoch: Epoch,
    tickets: VecDeque<u64>,
}

/// The dead letters of one topology.
///
/// ```
/// use proto::supervisor::DeadLetter;
/// use supervisor::engine::{Keep, Letters};
///
/// let (mut letters, _) = Letters::read(&[]);
/// let letter = DeadLetter { ticket: 1, component: "orders".into(), ..DeadLetter::default() };
/// let Keep::Append(file) = letters.keep(letter.clone(), 1 << 20) else { panic!("there is room") };
/// assert_eq!(letters.keep(letter, 1 << 20), Keep::Known, "it is handed over again");
/// let (again, whole) = Letters::read(&file);
/// assert_eq!((again.count(), whole), (1, file.len()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Letters {
    held: BTreeMap<u64, Held>,
    /// By worker.
    heard: BTreeMap<u32, Heard>,
    /// The number of the newest letter.
    newest: u64,
    /// What the letters count as.
    weight: u64,
    /// How long the file is, and how much of it letters take that are still kept.
    file: u64,
    live: u64,
    refused: u64,
}

impl Letters {
    /// Reads a file; returns with it how many of its bytes are whole records.
    #[must_use]
    pub fn read(file: &[u8]) -> (Self, usize) {
        let mut letters = Self::default();
        let mut rest = file;
        while let Some((record, bytes)) = first_record(rest) {
            letters.take(record, bytes);
            rest = &rest[bytes..];
        }
        (letters, file.len() - rest.len())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// How long the file is.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file
    }

    /// Takes a letter that a worker hands over, if the letters have no more than `bytes_max` with it.
    pub fn keep(&mut self, mut letter: DeadLetter, bytes_max: u64) -> Keep {
        let epoch = letter.epoch.map(Epoch::from).unwrap_or_default();
        if let Some(heard) = self.heard.get(&letter.worker) {
            if heard.epoch > epoch {
                return Keep::Retired;
            }
            if heard.epoch == epoch && heard.tickets.contains(&letter.ticket) {
                return Keep::Known;
            }
        }
        if self.weight.saturating_add(weight(&letter)) > bytes_max {
            self.refused += 1;
            return Keep::Full;
        }
        letter.number = self.newest + 1;
        (letter.replaying, letter.supervisor) = (false, String::new());
        let record = LetterRecord { kind: Some(Kind::Kept(letter)) };
        let bytes = framed(&record);
        self.take(record, bytes.len());
        Keep::Append(bytes)
    }

    /// Drops a letter; gives what to append, or why it cannot be dropped.
    ///
    /// # Errors
    ///
    /// That there is none, or that it is being replayed.
    pub fn discard(&mut self, number: u64) -> Result<Vec<u8>, &'static str> {
        match self.held.get(&number) {
            None => Err(NONE),
            Some(held) if held.replaying => Err("it is being replayed"),
            Some(_) => Ok(self.gone(number)),
        }
    }

    /// Marks a letter as being replayed.
    ///
    /// # Errors
    ///
    /// That there is none, or that it is marked already.
    pub fn begin_replay(&mut self, number: u64) -> Result<(), &'static str> {
        let held = self.held.get_mut(&number).ok_or(NONE)?;
        match std::mem::replace(&mut held.replaying, true) {
            true => Err("it is being replayed already"),
            false => Ok(()),
        }
    }

    /// Takes the mark off a letter; it stays as it is.
    pub fn give_up_replay(&mut self, number: u64) {
        if let Some(held) = self.held.get_mut(&number) {
            held.replaying = false;
        }
    }

    /// A letter that was replayed was processed: gives what to append, if it is still there.
    pub fn replayed(&mut self, number: u64) -> Option<Vec<u8>> {
        self.held.contains_key(&number).then(|| self.gone(number))
    }

    /// A letter that was replayed failed too often again: gives what to append, if it is still there.
    pub fn renew(&mut self, renewed: LetterRenewed) -> Option<Vec<u8>> {
        self.give_up_replay(renewed.number);
        self.held.get(&renewed.number)?;
        let record = LetterRecord { kind: Some(Kind::Renewed(renewed)) };
        let bytes = framed(&record);
        self.take(record, bytes.len());
        Some(bytes)
    }

    /// The letters behind a number, in order: without rows, and with the beginnings of their texts.
    pub fn behind(&self, number: u64) -> impl Iterator<Item = DeadLetter> {
        let held = self.held.range(number.saturating_add(1)..).map(|(_, held)| held);
        held.map(|held| DeadLetter { replaying: held.replaying, ..held.letter.clone() })
    }

    /// The numbers of all letters.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }

    /// Where a letter stands in the file.
    #[must_use]
    pub fn place(&self, number: u64) -> Option<Place> {
        self.held.get(&number).map(|held| held.place)
    }

    /// Makes the whole letter of what stands in its place; none if that is damaged.
    #[must_use]
    pub fn whole(&self, number: u64, record: &[u8]) -> Option<DeadLetter> {
        let held = self.held.get(&number)?;
        let (LetterRecord { kind: Some(Kind::Kept(letter)) }, _) = first_record(record)? else {
            return None;
        };
        let DeadLetter { reason, error, attempts, last_failed_ms, .. } = held.letter.clone();
        let replaying = held.replaying;
        Some(DeadLetter { reason, error, attempts, last_failed_ms, replaying, ..letter })
    }

    /// Tells whether the file is to be written anew: most of it is history.
    #[must_use]
    pub fn is_mostly_history(&self) -> bool {
        self.file > self.live.saturating_mul(2).saturating_add(HISTORY_BYTES_MIN)
    }

    /// What a file begins with that is written anew; the letters follow, each as [`Letters::record`].
    #[must_use]
    pub fn beginning(&self) -> Vec<u8> {
        let heard = self.heard.iter().map(|(worker, heard)| LettersHeard {
            worker: *worker,
            epoch: Some(heard.epoch.into()),
            tickets: heard.tickets.iter().copied().collect(),
        });
        let begun = LettersBegun { next: self.newest + 1, heard: heard.collect() };
        framed(&LetterRecord { kind: Some(Kind::Begun(begun)) })
    }

    /// A letter as it stands in a file that is written anew.
    #[must_use]
    pub fn record(letter: DeadLetter) -> Vec<u8> {
        framed(&LetterRecord { kind: Some(Kind::Kept(DeadLetter { replaying: false, ..letter })) })
    }

    /// Forgets what was heard of workers: the store went back, and epochs of before and after cannot be
    /// compared. Gives what to append.
    pub fn forget_epochs(&mut self) -> Vec<u8> {
        let begun = LettersBegun { next: self.newest + 1, heard: Vec::new() };
        let record = LetterRecord { kind: Some(Kind::Begun(begun)) };
        let bytes = framed(&record);
        self.take(record, bytes.len());
        bytes
    }

    /// Takes over from what was read before what stands in no file.
    pub fn go_on_from(&mut self, before: &Self) {
        self.refused = before.refused;
        for (number, held) in &mut self.held {
            held.replaying = before.held.get(number).is_some_and(|before| before.replaying);
        }
    }

    /// What is told of them.
    #[must_use]
    pub fn report(&self, topology: &str) -> LettersReport {
        let mut by_component = BTreeMap::new();
        for held in self.held.values() {
            *by_component.entry(held.letter.component.clone()).or_default() += 1;
        }
        let replaying = self.held.values().filter(|held| held.replaying).count() as u64;
        let topology = topology.to_owned();
        LettersReport {
            topology,
            by_component,
            bytes: self.weight,
            replaying,
            refused: self.refused,
        }
    }

    fn gone(&mut self, number: u64) -> Vec<u8> {
        let record = LetterRecord { kind: Some(Kind::Gone(number)) };
        let bytes = framed(&record);
        self.take(record, bytes.len());
        bytes
    }

    /// Takes a record that is at the end of the file, or is about to be.
    fn take(&mut self, record: LetterRecord, bytes: usize) {
        let place = Place { offset: self.file, bytes };
        self.file += bytes as u64;
        match record.kind {
            Some(Kind::Kept(letter)) => self.hold(letter, place),
            Some(Kind::Gone(number)) => {
                if let Some(held) = self.held.remove(&number) {
                    self.weight -= held.weight;
                    self.live -= held.place.bytes as u64;
                }
            }
            Some(Kind::Renewed(renewed)) => {
                if let Some(Held { letter, .. }) = self.held.get_mut(&renewed.number) {
                    letter.reason = renewed.reason;
                    letter.error = renewed.error;
                    letter.attempts = letter.attempts.saturating_add(renewed.attempts);
                    letter.last_failed_ms = renewed.last_failed_ms;
                }
            }
            Some(Kind::Begun(LettersBegun { next, heard })) => {
                self.newest = self.newest.max(next.saturating_sub(1));
                self.heard = heard
                    .into_iter()
                    .map(|heard| {
                        let epoch = heard.epoch.map(Epoch::from).unwrap_or_default();
                        (heard.worker, Heard { epoch, tickets: heard.tickets.into() })
                    })
                    .collect();
            }
            None => {}
        }
    }

    fn hold(&mut self, mut letter: DeadLetter, place: Place) {
        let epoch = letter.epoch.map(Epoch::from).unwrap_or_default();
        let heard = self.heard.entry(letter.worker).or_default();
        if heard.epoch < epoch {
            *heard = Heard { epoch, tickets: VecDeque::new() };
        }
        if heard.epoch == epoch && !heard.tickets.contains(&letter.ticket) {
            heard.tickets.push_back(letter.ticket);
            if heard.tickets.len() > TICKETS {
                heard.tickets.pop_front();
            }
        }
        self.newest = self.newest.max(letter.number);
        let weight = weight(&letter);
        self.weight += weight;
        self.live += place.bytes as u64;
        letter.row = Vec::new();
        cut(&mut letter.text);
        self.held.insert(letter.number, Held { place, weight, letter, replaying: false });
    }
}

const NONE: &str = "there is no such letter";

fn weight(letter: &DeadLetter) -> u64 {
    LETTER_BYTES + letter.row.len() as u64 + letter.text.len() as u64
}

fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES {
        let at = (0..=TEXT_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(at.unwrap_or(0));
        text.push('…');
    }
    text.shrink_to_fit();
}

/// The numbers that are asked for: those named, or all.
#[must_use]
pub fn chosen(letters: &Letters, numbers: &[u64]) -> BTreeSet<u64> {
    match numbers {
        [] => letters.numbers().collect(),
        numbers => numbers.iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests;
