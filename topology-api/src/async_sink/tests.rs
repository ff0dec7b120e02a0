//! Async sinks by hand, without a runtime.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::prelude::*;
use crate::testing::{BoltDriver, Setup};

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

type Held = Rc<RefCell<Vec<Vec<Input<Number>>>>>;

/// Keeps its inputs for the test to decide on.
struct Keep(Held);

impl AsyncSink for Keep {
    type Input = Number;

    async fn run(self, mut inputs: Inputs<Number>) -> BoltResult {
        while let Some(batch) = inputs.next().await {
            if batch.iter().any(|number| number.n == 13) {
                return Err("thirteen".into());
            }
            self.0.borrow_mut().push(batch);
        }
        Err("the end is shown, too".into())
    }
}

thread_local! {
    static HELD: Held = Held::default();
}

fn keep(setup: Setup) -> (BoltDriver<Number, NoOutput>, Held) {
    let held = HELD.with(Rc::clone);
    held.borrow_mut().clear();
    (BoltDriver::sink(setup, |_| Keep(HELD.with(Rc::clone))).unwrap(), held)
}

#[test]
fn each_input_has_the_verdict_that_it_was_given_whenever_that_was() {
    let (mut sink, held) = keep(Setup::new());
    let [one, two, three] = [1, 2, 3].map(|n| sink.execute(Number { n }));
    sink.advance(Duration::ZERO);
    assert_eq!(sink.held(), [one, two, three]);
    let mut inputs: Vec<_> = held.borrow_mut().drain(..).flatten().collect();
    assert_eq!(inputs.iter().map(|input| input.n).collect::<Vec<_>>(), [1, 2, 3], "in order");
    inputs.pop().unwrap().unavailable("away");
    inputs.remove(0).ack();
    assert_eq!(sink.acked(), [one]);
    assert_eq!(sink.failed(), [(three, "away".to_owned())]);
    drop(inputs);
    assert_eq!(sink.failed(), [(two, "dropped without a verdict".to_owned())]);
}

#[test]
fn a_tick_gives_what_is_there_even_if_that_is_nothing() {
    let (mut sink, held) = keep(Setup::new().tick_every(Duration::from_secs(1)));
    sink.advance(Duration::from_secs(2));
    assert!(!held.borrow().is_empty() && held.borrow().iter().all(Vec::is_empty));
}

#[test]
fn it_ends_when_its_inputs_do_and_an_error_then_is_shown() {
    let (mut sink, held) = keep(Setup::new());
    let one = sink.execute(Number { n: 1 });
    sink.advance(Duration::ZERO);
    held.borrow_mut().drain(..).flatten().for_each(Input::ack);
    sink.finish();
    assert_eq!(sink.acked(), [one]);
    assert_eq!(sink.errors(), ["the end is shown, too"]);
}

#[test]
#[should_panic(expected = "thirteen")]
fn an_error_before_the_end_is_that_of_the_task() {
    let (mut sink, _) = keep(Setup::new());
    sink.execute(Number { n: 13 });
    sink.advance(Duration::ZERO);
}
