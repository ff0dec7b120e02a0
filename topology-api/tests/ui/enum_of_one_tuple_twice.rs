//! Two variants of an enum hold the same tuple.
use topology_api::{Text, Tuple};

#[derive(Clone, Tuple)]
struct Word {
    word: Text,
}

#[derive(Clone, Tuple)]
enum Either {
    Left(Word),
    Right(Word),
}

fn main() {}
