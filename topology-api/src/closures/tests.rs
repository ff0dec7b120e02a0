//! What closures do as bolts, and folds: by hand, through the drivers.

use crate::prelude::*;
use crate::testing::BoltDriver;

#[derive(Clone, Debug, PartialEq, Tuple)]
struct Number {
    n: u64,
}

/// Drives the closure bolt that `declare` makes of a stream of numbers.
fn drive<O: Tuple>(
    declare: impl FnOnce(&mut TopologyBuilder) -> crate::BoltDeclarer<Number, O>,
) -> BoltDriver<Number, O> {
    let mut t = TopologyBuilder::new("closures");
    let lines = t.spout("lines", |cx| LineFiles::open(Vec::new(), cx)).stream();
    let numbers = t.try_map("parse", |line: Line| line.text.parse().map(|n| Number { n }));
    let numbers = numbers.shuffle(&lines).stream();
    declare(&mut t).shuffle(&numbers);
    BoltDriver::of(&t.build().expect("all is connected"), "it").expect("a bolt")
}

fn given<O: Tuple>(mut driver: BoltDriver<Number, O>) -> Vec<O> {
    for n in 0..4 {
        driver.execute(Number { n });
    }
    assert_eq!(driver.acked(), [0, 1, 2, 3], "all are acked");
    driver.emitted()
}

fn numbers<const N: usize>(all: [u64; N]) -> [Number; N] {
    all.map(|n| Number { n })
}

#[test]
fn each_closure_does_what_the_iterator_method_of_its_name_does() {
    let mapped = drive(|t| t.map("it", |number: Number| Number { n: number.n * 10 }));
    assert_eq!(given(mapped), numbers([0, 10, 20, 30]));
    assert_eq!(
        given(drive(|t| t.filter("it", |number: &Number| number.n % 2 == 1))),
        numbers([1, 3])
    );
    let upto = |number: Number| (0..number.n).map(|n| Number { n });
    assert_eq!(given(drive(|t| t.flat_map("it", upto))), numbers([0, 0, 1, 0, 1, 2]));
    assert_eq!(given(drive(|t| t.inspect("it", |_: &Number| {}))), numbers([0, 1, 2, 3]));
    assert!(given(drive(|t| t.for_each("it", |_: Number| {}))).is_empty());
}

#[test]
fn an_error_of_a_closure_fails_its_input() {
    let odd = |number: &Number| if number.n % 2 == 1 { Err("odd") } else { Ok(()) };
    let mut mapped = drive(|t| t.try_map("it", move |n: Number| odd(&n).map(|()| n)));
    let mut flat = drive(|t| t.try_flat_map("it", move |n: Number| odd(&n).map(|()| [n])));
    let mut used = drive(|t| t.try_for_each("it", move |n: Number| odd(&n)));
    for n in [2, 3] {
        mapped.execute(Number { n });
        flat.execute(Number { n });
        used.execute(Number { n });
    }
    let failed = [(1, "odd".to_owned())];
    assert_eq!((mapped.failed(), mapped.emitted()), (failed.to_vec(), numbers([2]).to_vec()));
    assert_eq!((flat.failed(), flat.emitted()), (failed.to_vec(), numbers([2]).to_vec()));
    assert_eq!(used.failed(), failed);
}

#[test]
fn what_a_closure_captures_is_the_tasks_own() {
    let mut seen = 0;
    let mut count = drive(|t| {
        t.map("it", move |_: Number| {
            seen += 1;
            Number { n: seen }
        })
    });
    count.execute(Number { n: 7 });
    count.execute(Number { n: 7 });
    assert_eq!(count.emitted(), numbers([1, 2]));
}

#[test]
fn a_closure_reaches_its_context_through_its_output() {
    let mut bolt = drive(|t| {
        t.bolt_fn("it", |number: Number, out: &mut Output<Number>| {
            out.context().count("seen", number.n);
            Ok(())
        })
    });
    bolt.execute(Number { n: 7 });
    assert_eq!(bolt.counter("seen"), 7);
}

#[derive(Clone, Debug, Tuple)]
struct Blob {
    bytes: Vec<u8>,
}

#[test]
fn a_long_iterator_breaks_no_budget() {
    // 64 MiB in all, four times what one call may emit at once.
    let blobs = |number: Number| (0..number.n).map(|_| Blob { bytes: vec![0; 1 << 20] });
    let mut large = drive(|t| t.flat_map("it", blobs));
    let input = large.execute(Number { n: 64 });
    assert_eq!(large.emissions().iter().filter(|blob| blob.anchors == [input]).count(), 64);
    assert_eq!(large.acked(), [input], "pulled to its end, then acked");

    let mut many = drive(|t| t.flat_map("it", |to: Number| (0..to.n).map(|n| Number { n })));
    many.execute(Number { n: 100_000 });
    assert!(many.emitted().into_iter().map(|number| number.n).eq(0..100_000), "in order");
}

#[test]
fn each_key_has_its_own_state() {
    #[derive(Clone, Debug, PartialEq, Tuple)]
    struct Sum {
        text: Text,
        sum: usize,
    }

    let mut t = TopologyBuilder::new("fold");
    let lines = t.spout("lines", |cx| LineFiles::open(Vec::new(), cx)).stream();
    let step = |sum: &mut usize, line: Line| match line.text.as_str() {
        "bad" => Err("bad"),
        text => {
            *sum += text.len();
            Ok((*sum > 2).then_some(Sum { text: line.text, sum: *sum }))
        }
    };
    t.fold("sum", lines.by(|line| &line.text), || 1, step).parallelism(3);
    let topology = t.build().expect("a fold is connected by itself");
    let input = &topology.describe().components[1].inputs[0];
    assert_eq!((input.component.as_str(), input.grouping.as_str()), ("lines", "fields"));

    let mut sum = BoltDriver::<Line, Sum>::of(&topology, "sum").expect("a bolt");
    for text in ["a", "bb", "bad", "a"] {
        sum.execute(Line { text: text.into() });
    }
    let sums = sum.emitted();
    assert_eq!(sums, [("bb", 3), ("a", 3)].map(|(text, sum)| Sum { text: text.into(), sum }));
    assert_eq!(sum.failed(), [(2, "bad".to_owned())]);
}
