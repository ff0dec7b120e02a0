//! The work of a case in a bare loop: what a topology of it can reach at best.
//!
//! The same tuples are made, the same text is split and counted in the same kind of map, and the
//! sums are checked; but there is no topology, no queue and no ack, and no tuple leaves its thread.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use topology_api::Text;

use crate::bolts::{Counts, Numbered, tally_of};
use crate::cases::{Constants, Payloads, Sentences, words_of};
use crate::figures::as_f64;
use crate::meter::now_ns;
use crate::problem::Problem;
use crate::run::{print, tell_machine};
use crate::source::Feed;
use crate::tally::Tally;

/// Tuples or sentences between two looks at the clock.
const ROUND: u64 = 1_024;

/// What is done in a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Make constants and drop them
    ConstNull,
    /// The same, moved once between
    ConstIdNull,
    /// Split sentences and count their words
    WordCount,
    /// Make tuples with many bytes and drop them
    Payload,
}

/// The flags of `plain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plain {
    /// The case whose work is done
    #[arg(value_enum)]
    work: Work,
    /// Threads that do it, each by itself
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    threads: u32,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Text to count [default: the one that the peers count]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Bytes of a payload
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    bytes: u32,
    /// Show failures as JSON too
    #[arg(long)]
    json: bool,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
struct Figures {
    case: String,
    mode: &'static str,
    threads: u32,
    seconds: u32,
    tuples_per_s: f64,
}

/// What one thread did.
struct Done {
    tuples: u64,
    seconds: f64,
}

/// Does the work and prints its line.
pub(crate) fn measure(plain: &Plain) -> Result<(), Problem> {
    let before = tell_machine("before");
    let done: Result<Vec<Done>, Problem> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plain.threads).map(|_| scope.spawn(|| work(plain))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Done, Problem>>| {
            let panicked = |_| Err(Problem::failed("a loop failed", "its thread panicked"));
            thread.join().unwrap_or_else(panicked)
        };
        threads.into_iter().map(join).collect()
    });
    let after = tell_machine("after");
    let rate = |done: &Done| as_f64(done.tuples) / done.seconds;
    let figures = Figures {
        case: plain.work.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned()),
        mode: "plain",
        threads: plain.threads,
        seconds: plain.seconds,
        tuples_per_s: done?.iter().map(rate).sum::<f64>().round(),
    };
    print(&figures, [before, after])
}

fn work(plain: &Plain) -> Result<Done, Problem> {
    let for_ns = u64::from(plain.seconds) * 1_000_000_000;
    match plain.work {
        Work::ConstNull => null(Constants::new(), for_ns, black_box),
        Work::ConstIdNull => null(Constants::new(), for_ns, |tuple| black_box(black_box(tuple))),
        Work::Payload => null(Payloads::new(plain.bytes), for_ns, black_box),
        Work::WordCount => words(plain.text.as_deref(), for_ns),
    }
}

/// Runs rounds until the time is over.
fn rounds(for_ns: u64, mut round: impl FnMut()) -> f64 {
    let begun = now_ns();
    loop {
        round();
        let passed = now_ns() - begun;
        if passed >= for_ns {
            return as_f64(passed) / 1e9;
        }
    }
}

fn check(seen: Tally, expected: Tally) -> Result<(), Problem> {
    let why = format!("{expected:?} was made and {seen:?} was seen");
    if seen == expected { Ok(()) } else { Err(Problem::failed("the sums do not add up", why)) }
}

fn null<F: Feed>(
    mut feed: F,
    for_ns: u64,
    pass: impl Fn(F::Tuple) -> F::Tuple,
) -> Result<Done, Problem>
where
    F::Tuple: Numbered,
{
    let (mut tally, mut number) = (Tally::default(), 0);
    let seconds = rounds(for_ns, || {
        for _ in 0..ROUND {
            tally.add(pass(feed.make(number, 0)).number());
            number += 1;
        }
    });
    let mut expected = Tally::default();
    expected.add_every(0, 1, number);
    check(tally, expected)?;
    Ok(Done { tuples: tally.count, seconds })
}

fn words(text: Option<&Path>, for_ns: u64) -> Result<Done, Problem> {
    let mut sentences = Sentences::open(text)?;
    let mut counts: Counts<Text> = Counts::default();
    let mut emitted = 0;
    let seconds = rounds(for_ns, || {
        for _ in 0..ROUND {
            for word in words_of(sentences.advance()) {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(word.into(), 1)),
                }
            }
        }
        emitted += ROUND;
    });
    let seen = tally_of(&counts);
    check(seen, crate::cases::expected_words(text, &[emitted])?)?;
    Ok(Done { tuples: seen.count, seconds })
}
