//! Which member of a cluster to ask: the one that answered last, until it does not.
//!
//! A random choice would keep sending calls to members that are down or stopped. Here one bad
//! answer moves all later calls to the next member.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon::Backoff;

use crate::store::Error;

/// How often a call is tried, in rounds over all members.
const ROUNDS_MAX: usize = 8;

/// The members of a cluster, any of which can answer.
#[derive(Debug)]
pub(crate) struct Members<M> {
    /// Invariant: not empty.
    members: Vec<M>,
    /// The index of the member to ask.
    preferred: AtomicUsize,
    /// What the cluster is called in errors.
    name: String,
}

/// Why a member did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// The request may have reached it.
    pub(crate) reached: bool,
}

/// What a call may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long it may take in all.
    pub(crate) limit: Duration,
    /// Doing it twice is as good as doing it once.
    pub(crate) repeatable: bool,
}

impl<M> Members<M> {
    /// Makes a cluster of `members`, of which there is at least one; starts with any.
    pub(crate) fn new(members: Vec<M>, name: String) -> Self {
        assert!(!members.is_empty(), "a cluster has members");
        let preferred = AtomicUsize::new(rand::random_range(0..members.len()));
        Self { members, preferred, name }
    }

    /// Asks one member after the other until one answers.
    ///
    /// A call that is not repeatable goes on to the next member only if it cannot have reached the
    /// last.
    pub(crate) async fn ask<R, F>(
        &self,
        rules: Rules,
        call: impl Fn(&M) -> F + Send,
    ) -> Result<R, Error>
    where
        F: Future<Output = Result<R, Failed>> + Send,
    {
        let answer = tokio::time::timeout(rules.limit, self.ask_in_rounds(rules, call)).await;
        answer.unwrap_or_else(|_| Err(self.silent(rules.limit)))
    }

    /// Says that nobody answers.
    pub(crate) fn unavailable(&self, reason: impl std::fmt::Display) -> Error {
        Error::Unavailable(format!("{}: {reason}", self.name))
    }

    /// Moves on from a member; of many calls that fail on the same one, one does.
    fn avoid(&self, index: usize) {
        let next = (index + 1) % self.members.len();
        self.preferred.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed).ok();
    }

    fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    async fn ask_in_rounds<R, F>(&self, rules: Rules, call: impl Fn(&M) -> F) -> Result<R, Error>
    where
        F: Future<Output = Result<R, Failed>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
        let patience = if rules.repeatable { rules.limit / 2 } else { rules.limit };
        let mut tries = ROUNDS_MAX * self.members.len();
        loop {
            let index = self.preferred();
            let member = call(&self.members[index]);
            let failed = match tokio::time::timeout(patience, member).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => failed,
                Err(_) => Failed { error: self.silent(patience), reached: true },
            };
            if !matches!(failed.error, Error::Unavailable(_)) {
                return Err(failed.error);
            }
            self.avoid(index);
            tries -= 1;
            if tries == 0 || (failed.reached && !rules.repeatable) {
                return Err(failed.error);
            }
            if tries.is_multiple_of(self.members.len()) {
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        }
    }

    fn silent(&self, limit: Duration) -> Error {
        self.unavailable(format!("no answer within {limit:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const TWICE: Rules = Rules { limit: Duration::from_millis(100), repeatable: true };
    const ONCE: Rules = Rules { limit: Duration::from_secs(5), repeatable: false };

    fn down(reached: bool) -> Failed {
        Failed { error: Error::Unavailable("down".to_owned()), reached }
    }

    fn cluster() -> Members<&'static str> {
        Members::new(vec!["a", "b", "c"], "cluster".to_owned())
    }

    #[tokio::test]
    async fn the_member_that_answered_is_asked_again() {
        let (cluster, asked) = (cluster(), Mutex::new(Vec::new()));
        for _ in 0..5 {
            let answer = cluster.ask(ONCE, |member| {
                asked.lock().unwrap().push(*member);
                let answer = if *member == "b" { Ok(*member) } else { Err(down(false)) };
                std::future::ready(answer)
            });
            assert_eq!(answer.await.unwrap(), "b");
        }
        let asked = asked.into_inner().unwrap();
        assert!(asked.len() <= 7, "those that are down are asked once at most: {asked:?}");
    }

    #[tokio::test]
    async fn what_may_have_arrived_is_not_said_twice() {
        let (cluster, asked) = (cluster(), Mutex::new(0));
        let answer = cluster.ask::<(), _>(ONCE, |_| {
            *asked.lock().unwrap() += 1;
            std::future::ready(Err(down(true)))
        });
        assert!(matches!(answer.await, Err(Error::Unavailable(_))));
        assert_eq!(*asked.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_member_that_hangs_is_left_for_the_next() {
        let cluster = cluster();
        let hangs = cluster.members[cluster.preferred()];
        let answer = cluster.ask(TWICE, |member| {
            let member = *member;
            async move {
                if member == hangs {
                    std::future::pending::<()>().await;
                }
                Ok(member)
            }
        });
        assert_ne!(answer.await.unwrap(), hangs);
    }

    #[tokio::test]
    async fn a_cluster_that_hangs_is_unavailable_and_named() {
        let cluster = cluster();
        let answer = cluster.ask::<(), _>(TWICE, |_| std::future::pending()).await;
        let text = answer.expect_err("nobody answers").to_string();
        assert!(text.contains("cluster: no answer within"), "{text}");
    }

    #[tokio::test]
    async fn an_answer_that_nobody_would_change_is_final() {
        let (cluster, asked) = (cluster(), Mutex::new(0));
        let answer = cluster.ask::<(), _>(TWICE, |_| {
            *asked.lock().unwrap() += 1;
            std::future::ready(Err(Failed { error: Error::Conflict, reached: true }))
        });
        assert!(matches!(answer.await, Err(Error::Conflict)));
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}
