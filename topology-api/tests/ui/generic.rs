//! A tuple has one schema.
use topology_api::Tuple;

#[derive(Clone, Tuple)]
struct Pair<T> {
    left: T,
    right: T,
}

fn main() {}
