//! A variant of an enum holds one tuple.
use topology_api::Tuple;

#[derive(Clone, Tuple)]
enum Either {
    Nothing,
}

fn main() {}
