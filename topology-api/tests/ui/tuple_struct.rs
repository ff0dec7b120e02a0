//! A tuple struct has no field names.
use topology_api::Tuple;

#[derive(Clone, Tuple)]
struct Word(String);

fn main() {}
