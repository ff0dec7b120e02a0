//! One topology feeds another over the network: a bolt there, a spout here.
//!
//! What Flume calls cascading. The bolt keeps each input until the other side says what became of it: it
//! was processed there, or it is safe in a buffer there. A connection that breaks loses nothing: what has
//! no verdict is sent again. The rows are those of `topology_api::codec`; the first frame says what they
//! are, so that two topologies of different types tell each other so.

mod client;
mod outgoing;
mod receive;
mod send;
mod wire;

pub use crate::intake::{PushSpout, Pushed};

pub use self::receive::RelayIn;
pub use self::send::{RelayBolt, RelayOut};
