//! The timers and sockets of futures that components make: a tokio runtime on a thread of its own.
//!
//! Calls of async components are polled by the loops, which sleep as they like. What they wait for
//! is watched here, and wakes them through their wakers. So a busy loop delays no socket, and an
//! author's client that spawns its connections as tokio tasks keeps no loop busy with them. Workers
//! without async components have no such thread.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// A tokio runtime that does nothing but watch and run what futures spawn.
#[derive(Debug)]
pub(crate) struct AsyncIo {
    handle: Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl AsyncIo {
    /// Starts it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("async-io".to_owned()).spawn(move || {
            runtime.block_on(stopped.notified());
            // What authors left on blocking threads may never end.
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop, thread: Some(thread) })
    }

    /// For the threads that poll futures: to be entered there.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for AsyncIo {
    fn drop(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
