//! A tuple without fields carries nothing.
use topology_api::Tuple;

#[derive(Clone, Tuple)]
struct Tick;

fn main() {}
