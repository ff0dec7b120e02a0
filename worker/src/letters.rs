//! Dead letters between the spouts of this worker and its supervisor, which keeps them.
//!
//! A letter waits here until the supervisor says that it is on disk. Should the conversation break
//! before, it is handed over again under the same number, and kept once. A task that is gone takes
//! with it what waits for it: its source offers again what was not acked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use proto::supervisor::from_worker::Kind as Said;
use proto::supervisor::letter_settled::Outcome;
use proto::supervisor::{
    DeadLetter, KeepLetter, LetterKept, LetterRenewed, LetterSettled, ReplayLetter,
};
use tokio::sync::Notify;
use topology_api::runtime::{Desk, Keeper, KeeperNews, Letter, Replayed};

/// Letters that are handed over and not answered, at most: the supervisor remembers more of them.
const UNDER_WAY: usize = 32;

/// The largest tuple that is handed over: larger messages are not taken.
const ROW_BYTES_MAX: usize = 60 << 20;

/// A task that may hand over and replay letters.
#[derive(Debug)]
struct Seat {
    component: String,
    desk: Weak<Desk>,
}

/// A letter that is not known to be on disk.
#[derive(Debug)]
struct Waiting {
    letter: DeadLetter,
    desk: Weak<Desk>,
    /// It was handed over on the conversation there is.
    sent: bool,
}

#[derive(Debug, Default)]
struct State {
    /// By task.
    seats: BTreeMap<u32, Seat>,
    /// By number.
    waiting: BTreeMap<u64, Waiting>,
    newest: u64,
    /// Who replays a letter, by its id.
    replays: BTreeMap<String, Weak<Desk>>,
    settled: VecDeque<LetterSettled>,
    /// Letters go round among the tasks of a component.
    turn: usize,
}

/// The dead letters of this worker.
#[derive(Debug)]
pub(crate) struct Letters {
    bytes_max: u64,
    state: Mutex<State>,
    /// There is something to say.
    pub(crate) changed: Notify,
}

impl Letters {
    /// Starts without any; the supervisor may keep so many bytes of them.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, state: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A conversation begins: what is not answered is to be said again.
    pub(crate) fn begin(&self) {
        self.lock().waiting.values_mut().for_each(|waiting| waiting.sent = false);
        self.changed.notify_one();
    }

    /// The next thing to say, if there is one.
    pub(crate) fn next(&self) -> Option<Said> {
        let mut state = self.lock();
        if let Some(settled) = state.settled.pop_front() {
            return Some(Said::Settled(settled));
        }
        let mut first = state.waiting.values_mut().take(UNDER_WAY);
        let waiting = first.find(|waiting| !waiting.sent)?;
        waiting.sent = true;
        let letter = Some(waiting.letter.clone());
        Some(Said::Letter(KeepLetter { letter, bytes_max: self.bytes_max }))
    }

    /// Takes the answer of the supervisor to a letter.
    pub(crate) fn answered(&self, kept: &LetterKept) {
        let waiting = self.lock().waiting.remove(&kept.ticket);
        let Some(desk) = waiting.and_then(|waiting| waiting.desk.upgrade()) else { return };
        desk.put(match kept.refused.as_str() {
            "" => KeeperNews::Kept(kept.ticket),
            why => {
                tracing::debug!(why, "a dead letter is not kept");
                KeeperNews::Refused(kept.ticket)
            }
        });
        self.changed.notify_one();
    }

    /// Has a task replay a letter, unless one does already.
    pub(crate) fn replay(&self, replay: ReplayLetter) {
        let ReplayLetter { letter, component, row } = replay;
        let mut state = self.lock();
        if state.replays.get(&letter).is_some_and(|desk| desk.strong_count() > 0) {
            return;
        }
        let of_component =
            |seat: &Seat| seat.desk.upgrade().filter(|_| seat.component == component);
        let desks: Vec<Arc<Desk>> = state.seats.values().filter_map(of_component).collect();
        state.turn = state.turn.wrapping_add(1);
        match desks.get(state.turn % desks.len().max(1)) {
            Some(desk) => {
                state.replays.insert(letter.clone(), Arc::downgrade(desk));
                drop(state);
                desk.put(KeeperNews::Replay { letter, row });
            }
            None => {
                let why = format!("no task of `{component}` runs in this worker now");
                state.give_up(letter, why);
                drop(state);
                self.changed.notify_one();
            }
        }
    }

    /// Lets go of what belongs to tasks that are gone.
    pub(crate) fn sweep(&self) {
        let mut state = self.lock();
        state.seats.retain(|_, seat| seat.desk.strong_count() > 0);
        state.waiting.retain(|_, waiting| waiting.desk.strong_count() > 0);
        let gone = state.replays.extract_if(.., |_, desk| desk.strong_count() == 0);
        let gone: Vec<String> = gone.map(|(letter, _)| letter).collect();
        if !gone.is_empty() {
            for letter in gone {
                state.give_up(letter, "its task has ended".to_owned());
            }
            drop(state);
            self.changed.notify_one();
        }
    }
}

impl State {
    fn give_up(&mut self, letter: String, why: String) {
        self.settled.push_back(LetterSettled { letter, outcome: Some(Outcome::GivenUp(why)) });
    }
}

impl Keeper for Letters {
    fn open(&self, component: &str, task: u32, desk: &Arc<Desk>) {
        let seat = Seat { component: component.to_owned(), desk: Arc::downgrade(desk) };
        self.lock().seats.insert(task, seat);
    }

    fn keep(&self, task: u32, letter: Letter) -> u64 {
        let Letter { row, text, reason, error, attempts, first_failed_ms, last_failed_ms } = letter;
        let mut state = self.lock();
        state.newest += 1;
        let ticket = state.newest;
        let Some(seat) = state.seats.get(&task) else { return ticket };
        let (component, desk) = (seat.component.clone(), seat.desk.clone());
        if row.len() > ROW_BYTES_MAX {
            drop(state);
            tracing::warn!(task, bytes = row.len(), "a dead letter is too large to be kept");
            if let Some(desk) = desk.upgrade() {
                desk.put(KeeperNews::Refused(ticket));
            }
            return ticket;
        }
        let letter = DeadLetter {
            component,
            task,
            reason: reason.to_owned(),
            error,
            attempts,
            first_failed_ms,
            last_failed_ms,
            text,
            row,
            ticket,
            ..DeadLetter::default()
        };
        state.waiting.insert(ticket, Waiting { letter, desk, sent: false });
        drop(state);
        self.changed.notify_one();
        ticket
    }

    fn settle(&self, letter: &str, replayed: Replayed) {
        let outcome = match replayed {
            Replayed::Acked => Outcome::Acked(true),
            Replayed::Failed { reason, error, attempts, last_failed_ms } => {
                let (number, reason) = (0, reason.to_owned());
                Outcome::Failed(LetterRenewed { number, reason, error, attempts, last_failed_ms })
            }
            Replayed::Unreadable(why) => Outcome::GivenUp(why),
        };
        let mut state = self.lock();
        state.replays.remove(letter);
        let settled = LetterSettled { letter: letter.to_owned(), outcome: Some(outcome) };
        state.settled.push_back(settled);
        drop(state);
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn desk(letters: &Letters, task: u32) -> Arc<Desk> {
        let desk = Desk::new(Waker::noop().clone());
        letters.open("orders", task, &desk);
        desk
    }

    fn handed(letters: &Letters) -> Vec<u64> {
        let said = std::iter::from_fn(|| letters.next());
        let ticket = |said| match said {
            Said::Letter(letter) => letter.letter.map(|letter| letter.ticket),
            other => panic!("{other:?}"),
        };
        said.filter_map(ticket).collect()
    }

    fn settled(letters: &Letters) -> Vec<(String, Option<Outcome>)> {
        let said = std::iter::from_fn(|| letters.next());
        let settled = |said| match said {
            Said::Settled(settled) => (settled.letter, settled.outcome),
            other => panic!("{other:?}"),
        };
        said.map(settled).collect()
    }

    fn replay(letters: &Letters, letter: &str) {
        let (letter, component) = (letter.to_owned(), "orders".to_owned());
        letters.replay(ReplayLetter { letter, component, row: vec![1] });
    }

    #[test]
    fn what_is_not_answered_is_handed_over_again_and_few_are_under_way() {
        let letters = Letters::new(1 << 20);
        let desk = desk(&letters, 3);
        let tickets: Vec<u64> = (0..50).map(|_| letters.keep(3, Letter::default())).collect();
        assert_eq!(handed(&letters), tickets[..UNDER_WAY]);
        letters.answered(&LetterKept { ticket: tickets[0], refused: String::new() });
        letters.answered(&LetterKept { ticket: tickets[1], refused: "full".to_owned() });
        assert_eq!(desk.take(), [KeeperNews::Kept(tickets[0]), KeeperNews::Refused(tickets[1])]);
        assert_eq!(handed(&letters), tickets[UNDER_WAY..UNDER_WAY + 2], "there is room for two");
        letters.begin();
        assert_eq!(handed(&letters), tickets[2..UNDER_WAY + 2], "the same, in order");
        drop(desk);
        letters.begin();
        letters.sweep();
        assert!(handed(&letters).is_empty(), "their task is gone");
    }

    #[test]
    fn a_letter_is_replayed_by_one_task_at_a_time_and_given_up_with_it() {
        let letters = Letters::new(1 << 20);
        let (first, second) = (desk(&letters, 0), desk(&letters, 1));
        replay(&letters, "m.1");
        replay(&letters, "m.1");
        replay(&letters, "m.2");
        let news = [first.take(), second.take()].map(|news| news.len());
        assert_eq!(news, [1, 1], "each letter once, one a task");
        letters.settle("m.1", Replayed::Acked);
        letters.settle("m.2", Replayed::Unreadable("cut off".into()));
        replay(&letters, "m.1");
        drop((first, second));
        replay(&letters, "m.3");
        letters.sweep();
        let given_up = |why: &str| Some(Outcome::GivenUp(why.to_owned()));
        assert_eq!(
            settled(&letters),
            [
                ("m.1".to_owned(), Some(Outcome::Acked(true))),
                ("m.2".to_owned(), given_up("cut off")),
                ("m.3".to_owned(), given_up("no task of `orders` runs in this worker now")),
                ("m.1".to_owned(), given_up("its task has ended")),
            ]
        );
    }
}
