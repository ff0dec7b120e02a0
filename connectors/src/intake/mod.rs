//! What all sources that listen share: the port and who may reach it, the queue or the buffer behind it,
//! and the spout that emits what is there.

pub(crate) mod listen;
pub(crate) mod queue;
mod spout;
#[cfg(test)]
#[cfg(feature = "push")]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use topology_api::Context;

pub use self::spout::{PushSpout, Pushed};

/// Shows where a task listens, as its result.
pub(crate) fn tell_address(cx: &Context, address: SocketAddr) {
    cx.result(&BTreeMap::from([("listens", address.to_string())]));
}
