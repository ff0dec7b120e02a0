//! Passes on what people ask of running workers: to see live tuples.
//!
//! A worker is asked on the conversation that it holds with its supervisor. What it shows is passed
//! on without waiting: who reads slowly misses some, and is told how many. Who is gone is noticed at
//! the next thing to show, of which there is one several times a second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::supervisor::{Looked, Tap, TapRequest, Tapped};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::daemon::Message;

/// What is shown and waits for who looks.
const SHOWN_MAX: usize = 64;

/// A tap that a worker is asked for.
#[derive(Debug)]
pub(crate) struct Look {
    /// Id of the topology.
    pub(crate) topology: String,
    /// The worker.
    pub(crate) worker: u32,
    tap: Tap,
    /// Ends when the worker is gone.
    shown: mpsc::Sender<Result<Tapped, Status>>,
}

/// What it takes to ask workers.
pub(crate) struct Looks {
    /// The loop, which knows the workers of this machine.
    pub(crate) messages: mpsc::Sender<Message>,
    newest: AtomicU64,
}

impl Looks {
    pub(crate) fn new(messages: mpsc::Sender<Message>) -> Self {
        Self { messages, newest: AtomicU64::new(0) }
    }

    /// Opens a tap at a worker.
    pub(crate) async fn tap(
        &self,
        request: TapRequest,
    ) -> Result<ReceiverStream<Result<Tapped, Status>>, Status> {
        let TapRequest { topology, worker, tap } = request;
        let id = 1 + self.newest.fetch_add(1, Ordering::Relaxed);
        let tap = Tap { id, ..tap.unwrap_or_default() };
        let (shown, shows) = mpsc::channel(SHOWN_MAX);
        let look = Look { topology, worker, tap, shown };
        let stops = |_| Status::unavailable("the supervisor stops");
        self.messages.send(Message::Look(look)).await.map_err(stops)?;
        Ok(ReceiverStream::new(shows))
    }
}

/// Who looks at the worker of one conversation: until it ends.
#[derive(Debug, Default)]
pub(crate) struct Lookers {
    shown: HashMap<u64, mpsc::Sender<Result<Tapped, Status>>>,
    /// Not shown, because the one who looks reads slowly.
    left_out: HashMap<u64, u64>,
}

impl Lookers {
    /// Notes who looks, and returns the tap that the worker is to open.
    pub(crate) fn begin(&mut self, look: Look) -> Tap {
        let Look { tap, shown, .. } = look;
        self.shown.insert(tap.id, shown);
        tap
    }

    /// Passes on what the worker shows; returns the taps at which nobody looks any more.
    pub(crate) fn show(&mut self, looked: Looked) -> Vec<u64> {
        let mut gone = Vec::new();
        for mut tapped in looked.taps {
            let (id, ended) = (tapped.id, tapped.ended);
            tapped.left_out += self.left_out.remove(&id).unwrap_or(0);
            let unread = tapped.left_out + (tapped.lines.len() + tapped.spans.len()) as u64;
            let Some(shown) = self.shown.get(&id) else {
                gone.extend((!ended).then_some(id));
                continue;
            };
            match shown.try_send(Ok(tapped)) {
                Ok(()) if !ended => {}
                Err(mpsc::error::TrySendError::Full(_)) if !ended => {
                    self.left_out.insert(id, unread);
                }
                _ => {
                    self.shown.remove(&id);
                    gone.extend((!ended).then_some(id));
                }
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(lines: usize) -> Looked {
        let lines = vec!["{}".to_owned(); lines];
        Looked { taps: vec![Tapped { id: 1, lines, ..Tapped::default() }] }
    }

    #[test]
    fn who_reads_slowly_is_told_what_was_missed_and_who_is_gone_is_noticed() {
        let (shown, mut shows) = mpsc::channel(2);
        let mut lookers = Lookers::default();
        let tap = Tap { id: 1, ..Tap::default() };
        assert_eq!(lookers.begin(Look { topology: "t".into(), worker: 0, tap, shown }).id, 1);
        for _ in 0..4 {
            assert!(lookers.show(looked(3)).is_empty(), "it is there");
        }
        for _ in 0..2 {
            assert_eq!(shows.try_recv().unwrap().unwrap().left_out, 0);
        }
        assert!(lookers.show(looked(1)).is_empty());
        assert_eq!(shows.try_recv().unwrap().unwrap().left_out, 6, "two times three");
        drop(shows);
        assert_eq!(lookers.show(looked(1)), [1], "it is gone: the worker is told");
        assert_eq!(lookers.show(looked(1)), [1], "as often as it shows something");
    }
}
