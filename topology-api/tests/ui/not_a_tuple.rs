//! A bolt whose input is no tuple.
use topology_api::prelude::*;

struct Word;

struct Shout;

impl Bolt for Shout {
    type Input = Word;
    type Output = Line;

    fn execute(&mut self, _: Word, _: &mut Output<Line>) -> BoltResult {
        Ok(())
    }
}

fn main() {}
