//! An attribute that does not exist.
use topology_api::Tuple;

#[derive(Clone, Tuple)]
struct Reading {
    #[tuple(bincode)]
    value: u64,
}

fn main() {}
