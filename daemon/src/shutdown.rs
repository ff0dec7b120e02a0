//! Spawning tokio tasks so that each is asked to stop and waited for.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Spawns tokio tasks, asks them to stop, and waits until they have.
///
/// A cheap handle: clones belong to the same group. A [`Shutdown::child`] can be asked alone and
/// is asked with its parent.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use daemon::Shutdown;
/// use std::time::Duration;
///
/// let shutdown = Shutdown::new();
/// let asked = shutdown.clone();
/// shutdown.spawn(async move { asked.asked().await });
/// shutdown.ask();
/// shutdown.wait(Duration::from_secs(1)).await.unwrap();
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

/// Some tokio tasks had not ended when the grace was over.
#[derive(Debug, thiserror::Error)]
#[error("{tasks} tasks had not ended after {grace:?}")]
pub struct Stuck {
    /// How many.
    pub tasks: usize,
    /// How long they were waited for.
    pub grace: Duration,
}

impl Shutdown {
    /// Makes an empty group.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a group that is asked to stop with this one but can also be asked, and waited for, alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), tasks: TaskTracker::new() }
    }

    /// Spawns a tokio task that [`Shutdown::wait`] waits for.
    ///
    /// It runs until it ends by itself: a task that loops watches [`Shutdown::asked`].
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.tasks.spawn(task));
    }

    /// Spawns a tokio task that is dropped at its next await when the group is asked to stop.
    pub fn spawn_until_asked<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Asks every tokio task of the group to stop.
    pub fn ask(&self) {
        self.token.cancel();
    }

    /// Tells whether the group was asked to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the group is asked to stop.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// Waits until all tokio tasks have ended, for at most `grace`.
    ///
    /// # Errors
    ///
    /// [`Stuck`] if some are still running.
    pub async fn wait(&self, grace: Duration) -> Result<(), Stuck> {
        self.tasks.close();
        let ended = tokio::time::timeout(grace, self.tasks.wait()).await;
        ended.map_err(|_| Stuck { tasks: self.tasks.len(), grace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_child_is_asked_with_its_parent_but_not_the_other_way_round() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.ask();
        assert!(first.is_asked() && !parent.is_asked() && !second.is_asked());
        parent.ask();
        second.asked().await;
    }

    #[tokio::test]
    async fn who_does_not_end_in_time_is_counted() {
        let shutdown = Shutdown::new();
        for _ in 0..2 {
            shutdown.spawn(std::future::pending());
        }
        shutdown.ask();
        let stuck = shutdown.wait(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(stuck.tasks, 2);
        assert!(stuck.to_string().starts_with("2 tasks had not ended"), "{stuck}");
    }

    #[tokio::test]
    async fn what_runs_until_asked_is_dropped_then() {
        let shutdown = Shutdown::new();
        shutdown.spawn_until_asked(std::future::pending());
        shutdown.ask();
        shutdown.wait(SOON).await.expect("it was dropped");
    }

    #[tokio::test]
    async fn a_task_that_panics_counts_as_ended() {
        let shutdown = Shutdown::new();
        shutdown.spawn(async { panic!("on purpose, to see that nobody waits for ever") });
        shutdown.wait(SOON).await.expect("it has ended");
    }
}
