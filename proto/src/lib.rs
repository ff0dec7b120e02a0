//! Every wire and store format of Squall, and their conversions to what the code thinks in.
//!
//! The `.proto` files are the definition; `convert` holds `TryFrom` inwards and `From` outwards.

/// Generated from `store.proto`: records in the coordination store.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
pub mod store {
    tonic::include_proto!("squall.store");
}
/// Generated from `transport.proto`: tuples, credits and acknowledgements.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
pub mod transport {
    tonic::include_proto!("squall.transport");
}
/// Generated from `supervisor.proto`: worker control, reports, logs.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
pub mod supervisor {
    tonic::include_proto!("squall.supervisor");
}
/// Generated from `nimbus.proto`: the control plane.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unused_qualifications,
    unreachable_pub,
    reason = "generated"
)]
pub mod nimbus {
    tonic::include_proto!("squall.nimbus");
}

mod convert;
pub mod received;

pub use convert::SpecError;
