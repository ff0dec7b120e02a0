//! A field type without a row codec.
use topology_api::Tuple;

#[derive(Clone)]
struct Place;

#[derive(Clone, Tuple)]
struct Reading {
    place: Place,
}

fn main() {}
