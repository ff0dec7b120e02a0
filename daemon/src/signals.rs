//! Being asked to end by the operating system.

use std::fmt;

use tokio::signal::unix::{SignalKind, signal};
use tracing::error;

/// A signal that asks a process to end in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: from an operator or a service manager.
    Terminate,
    /// `SIGINT`: ctrl-c on a terminal.
    Interrupt,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
        })
    }
}

/// Waits for the next signal that asks this process to end.
///
/// Signals are caught from the call on, before the future is first polled; from then on they no
/// longer end the process by themselves. Call it again to hear of the next one: whoever asks twice
/// does not want to wait.
///
/// ```no_run
/// use daemon::{Shutdown, signals};
///
/// # async fn serve() {
/// let shutdown = Shutdown::new();
/// let signal = signals::terminate().await;
/// tracing::info!(%signal, "asked to end");
/// shutdown.ask();
/// # }
/// ```
///
/// # Panics
///
/// Outside of a tokio runtime with IO.
pub fn terminate() -> impl Future<Output = Signal> + Send + use<> {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async move {
        match (terminate, interrupt) {
            (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
                _ = terminate.recv() => Signal::Terminate,
                _ = interrupt.recv() => Signal::Interrupt,
            },
            (Err(error), _) | (_, Err(error)) => {
                // Signals then do what they do by default: end the process, only less gently.
                error!(%error, "cannot catch signals");
                std::future::pending().await
            }
        }
    }
}
