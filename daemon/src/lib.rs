//! What long-running processes of Squall share: shutting down, time, backing off, logs, signals,
//! the rules for listening and accepting, TLS, the count of who was turned away, the lock of a data
//! folder, the stamp of a file, and the settings of gRPC.

pub mod accept;
mod backoff;
mod clock;
pub mod exposition;
pub mod grpc;
pub mod listen;
pub mod lock;
pub mod logging;
mod memory;
mod shutdown;
pub mod signals;
mod stamp;
pub mod tls;
mod turned_away;

pub use backoff::Backoff;
pub use clock::{Clock, sharpen_sleep};
pub use memory::take_small_pages;
pub use shutdown::{Shutdown, Stuck};
pub use stamp::Stamp;
pub use turned_away::TurnedAway;
