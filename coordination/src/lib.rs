//! The store that remembers: its contract, its two implementations (in memory and on etcd), and
//! what every daemon builds on it: keys, records, mirrors, sessions and the election.

mod election;
mod etcd;
mod failover;
mod keys;
mod memory;
mod mirror;
mod records;
mod session;
mod store;
mod transaction;
mod watermark;

pub use election::{Leadership, campaign};
pub use etcd::{EtcdStore, EtcdTls};
pub use keys::{InvalidName, Key, Keys};
pub use memory::MemoryStore;
pub use mirror::{Mirror, MirrorEvent};
pub use records::{decode, put};
pub use session::Session;
pub use store::{
    Change, Entry, Error, Guard, LeaseId, Listing, OPERATIONS_MAX, Operation, Revision, Store,
    TRANSACTION_BYTES_MAX, Transaction, Watch,
};
pub use watermark::{Watermark, WatermarkFile};
