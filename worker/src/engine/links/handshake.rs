//! Who may open a link to whom: the receiver fences.
//!
//! A hello names both ends and their incarnations. The receiver refuses an older incarnation than
//! it knows of, and takes a newer one for the truth at once: its table may be late. It refuses a
//! sender that looks for another incarnation than it is, because what is numbered for one
//! incarnation means nothing to another.
//!
//! Pure: no clock, no socket.

use super::sequence::ReceiveLink;
use crate::engine::routing::Epoch;

/// Version of what is said on a link.
pub const PROTOCOL: u32 = 1;

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the topology.
    pub topology: String,
    /// Number of the worker in it.
    pub worker: u32,
    /// Its incarnation.
    pub epoch: Epoch,
}

/// What the sender says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the sender speaks: [`PROTOCOL`].
    pub protocol: u32,
    /// Who dials.
    pub sender: Identity,
    /// Whom it looks for.
    pub receiver: u32,
    /// And which incarnation.
    pub receiver_epoch: Epoch,
    /// Number of the oldest frame it holds, or [`ANY`](super::sequence::ANY).
    pub oldest: u64,
    /// How often it gave up the frames and credits it had.
    pub starts_over: u64,
}

/// Why a sender is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer incarnation of the sender is known.
    #[error("a newer incarnation of this worker is known")]
    Retired,
    /// The receiver is another worker or another incarnation.
    #[error("this is another worker or another incarnation of it")]
    NotMe,
    /// The sender belongs to another cluster or topology, or speaks another protocol.
    #[error("this is another cluster, topology or protocol")]
    Foreign,
    /// The receiver lacks frames that the sender no longer holds, or could not read one.
    #[error("frames are missing or cannot be read")]
    CannotResume,
}

impl Refusal {
    /// What it is called in the status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::NotMe => "not-me",
            Self::Foreign => "foreign",
            Self::CannotResume => "cannot-resume",
        }
    }
}

/// What the receiver remembers of a sender.
#[derive(Debug)]
pub struct Known {
    /// Newest incarnation heard of.
    pub epoch: Epoch,
    /// What it has received from that one.
    pub link: ReceiveLink,
    /// How often that one gave up its frames and credits, as far as we heard.
    starts_over: u64,
}

impl Known {
    /// What is known of an incarnation that has sent nothing yet.
    #[must_use]
    pub fn new(epoch: Epoch) -> Self {
        Self { epoch, link: ReceiveLink::new(), starts_over: 0 }
    }

    /// Takes note of an incarnation, and tells whether that retired the one before.
    pub fn learn(&mut self, epoch: Epoch) -> bool {
        let newer = epoch > self.epoch;
        if newer {
            *self = Self::new(epoch);
        }
        newer
    }

    /// Judges a hello of this sender by its incarnation and its frames; the rest is [`admit`].
    ///
    /// Returns whether its credits start over. They do so once each time that it gave up its frames:
    /// when a receiver stood still, it may find several hellos, on several connections and in any
    /// order, and credits may be in use again when it reads the last.
    ///
    /// # Errors
    ///
    /// The sender is to be turned away.
    pub fn meet(&mut self, hello: &Hello) -> Result<bool, Refusal> {
        self.learn(hello.sender.epoch);
        if hello.sender.epoch < self.epoch {
            return Err(Refusal::Retired);
        }
        if !self.link.can_resume(hello.oldest) {
            return Err(Refusal::CannotResume);
        }
        let starts_over = hello.starts_over > self.starts_over;
        self.starts_over = self.starts_over.max(hello.starts_over);
        Ok(starts_over)
    }
}

/// Judges a hello by what it says of both ends, before anything is remembered of it.
///
/// # Errors
///
/// The sender is to be turned away.
pub fn admit(me: &Identity, hello: &Hello) -> Result<(), Refusal> {
    let sender = &hello.sender;
    if hello.protocol != PROTOCOL
        || sender.cluster != me.cluster
        || sender.topology != me.topology
        || sender.worker == me.worker
    {
        return Err(Refusal::Foreign);
    }
    if (hello.receiver, hello.receiver_epoch) != (me.worker, me.epoch) {
        return Err(Refusal::NotMe);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Hello, Identity, Known, PROTOCOL, Refusal, admit};
    use crate::engine::links::sequence::ANY;
    use crate::engine::routing::Epoch;

    const fn epoch(revision: u64, restarts: u64) -> Epoch {
        Epoch { revision, restarts }
    }

    fn worker(worker: u32, epoch: Epoch) -> Identity {
        Identity { cluster: "test".into(), topology: "words-1".into(), worker, epoch }
    }

    fn me() -> Identity {
        worker(2, epoch(5, 1))
    }

    /// What worker 1 says to us.
    fn hello() -> Hello {
        Hello {
            protocol: PROTOCOL,
            sender: worker(1, epoch(5, 0)),
            receiver: 2,
            receiver_epoch: epoch(5, 1),
            oldest: 1,
            starts_over: 0,
        }
    }

    #[test]
    fn a_worker_of_this_topology_that_looks_for_us_is_let_in() {
        assert_eq!(admit(&me(), &hello()), Ok(()), "nothing speaks against it");
    }

    #[test]
    fn strangers_are_foreign() {
        let turned_away = |change: fn(&mut Hello)| {
            let mut hello = hello();
            change(&mut hello);
            admit(&me(), &hello) == Err(Refusal::Foreign)
        };
        assert!(turned_away(|it| it.protocol += 1), "another protocol");
        assert!(turned_away(|it| it.sender.cluster.push('2')), "another cluster");
        assert!(turned_away(|it| it.sender.topology.push('2')), "another topology");
        assert!(turned_away(|it| it.sender.worker = 2), "one that claims to be us");
    }

    #[test]
    fn who_looks_for_another_is_told() {
        let turned_away = |receiver, receiver_epoch| {
            let hello = Hello { receiver, receiver_epoch, ..hello() };
            admit(&me(), &hello) == Err(Refusal::NotMe)
        };
        assert!(turned_away(3, epoch(5, 1)), "another worker");
        assert!(turned_away(2, epoch(5, 0)), "an incarnation before");
        assert!(turned_away(2, epoch(6, 0)), "an incarnation to come");
    }

    #[test]
    fn an_older_incarnation_is_retired_and_a_newer_one_starts_from_frame_one() {
        let mut known = Known::new(epoch(5, 0));
        known.link.accept(1);
        assert_eq!(known.meet(&hello()), Ok(false), "the one we know");
        assert_eq!(known.link.next(), 2, "goes on where it was");

        let newer = Hello { sender: worker(1, epoch(5, 1)), ..hello() };
        assert_eq!(known.meet(&newer), Ok(false), "the next one");
        assert_eq!((known.epoch, known.link.next()), (epoch(5, 1), 1), "starts from frame 1");
        assert_eq!(known.meet(&hello()), Err(Refusal::Retired), "the one before");
        assert!(!known.learn(epoch(4, 9)), "a table that is behind changes nothing");
    }

    #[test]
    fn a_sender_without_the_frames_that_are_due_cannot_resume() {
        let mut known = Known::new(epoch(5, 0));
        let gap = Hello { oldest: 2, ..hello() };
        assert_eq!(known.meet(&gap), Err(Refusal::CannotResume), "frame 1 is missing");
        let anew = Hello { oldest: ANY, starts_over: 1, ..hello() };
        assert_eq!(known.meet(&anew), Ok(true), "it asks where to go on, and starts over");
    }

    #[test]
    fn a_sender_starts_over_once_however_often_it_says_so() {
        let mut known = Known::new(epoch(5, 0));
        let anew = |starts_over| Hello { oldest: ANY, starts_over, ..hello() };
        assert_eq!(known.meet(&anew(1)), Ok(true), "for the first time");
        assert_eq!(known.meet(&anew(1)), Ok(false), "an earlier connection is read later");
        assert_eq!(known.meet(&anew(2)), Ok(true), "for the second time");
        assert_eq!(known.meet(&anew(1)), Ok(false), "one from before that");
        assert_eq!(known.meet(&hello()), Ok(false), "and from before all");
    }
}
