//! A topology with trouble planted in it, as `--plant` says, for who is to find it: `bottleneck` (a slow
//! bolt), `crash-loop` (its process ends again and again), `poison` (one tuple in a thousand always fails),
//! `hot-key` (nine of ten tuples have the same key), `hostile` (what it says looks like markup). Without
//! it all is well. `--tasks` says how many tasks its bolt `count` has, `--pace` how many ms a burst of
//! 20 tuples waits for the next.

#![expect(clippy::disallowed_methods, reason = "it runs at the pace of the clock on the wall")]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use topology_api::prelude::{
    Args, Bolt, BoltResult, BuildError, Context, Next, Output, Spout, SpoutOutput, SpoutResult,
    Text, Topology, TopologyBuilder, Tuple,
};
use topology_api::{NoOutput, Replays};

/// Tuples that are emitted at once.
const BURST: u64 = 20;

/// What a page must show and not carry out.
const HOSTILE: &str =
    "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>";

/// What is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plant {
    Nothing,
    Bottleneck,
    CrashLoop,
    Poison,
    HotKey,
    Hostile,
}

impl Plant {
    fn of(args: &Args) -> Self {
        match args.value("plant") {
            Some("bottleneck") => Self::Bottleneck,
            Some("crash-loop") => Self::CrashLoop,
            Some("poison") => Self::Poison,
            Some("hot-key") => Self::HotKey,
            Some("hostile") => Self::Hostile,
            _ => Self::Nothing,
        }
    }

    /// The key of a tuple.
    fn key(self, number: u64) -> Text {
        match self {
            Self::HotKey if !number.is_multiple_of(10) => "hot".into(),
            Self::Hostile => format!("{HOSTILE}{number}").into(),
            _ => format!("key-{}", number % 997).into(),
        }
    }

    /// How long `count` takes for a tuple.
    fn work(self) -> Duration {
        match self {
            Self::Bottleneck => Duration::from_millis(2),
            Self::HotKey => Duration::from_micros(600),
            _ => Duration::ZERO,
        }
    }
}

#[derive(Clone, Debug, Tuple)]
struct Order {
    number: u64,
    key: Text,
}

/// Emits orders, a burst each few milliseconds.
struct Orders {
    plant: Plant,
    next: u64,
    pace: Duration,
    due: Instant,
}

impl Spout for Orders {
    type Output = Order;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Order, u64>) -> SpoutResult {
        if Instant::now() < self.due {
            return Ok(Next::Idle);
        }
        self.due = Instant::now() + self.pace;
        for number in self.next..self.next + BURST {
            out.emit(number, Order { number, key: self.plant.key(number) });
        }
        self.next += BURST;
        Ok(Next::Emitted)
    }
}

/// Passes orders on, except those it cannot read.
struct Check(Plant);

impl Bolt for Check {
    type Input = Order;
    type Output = Order;

    fn execute(&mut self, order: Order, out: &mut Output<Order>) -> BoltResult {
        let poison = matches!(self.0, Plant::Poison | Plant::Hostile);
        if poison && order.number.is_multiple_of(1_000) {
            return Err(match self.0 {
                Plant::Hostile => format!("no amount in {HOSTILE}"),
                _ => "no amount in order `customer=17;amount=twelve`".to_owned(),
            }
            .into());
        }
        out.emit(order);
        Ok(())
    }
}

/// Counts orders by key.
struct Count {
    plant: Plant,
    cx: Context,
    seen: u64,
}

impl Bolt for Count {
    type Input = Order;
    type Output = Order;

    fn execute(&mut self, order: Order, out: &mut Output<Order>) -> BoltResult {
        std::thread::sleep(self.plant.work());
        self.seen += 1;
        if self.plant == Plant::Hostile && self.seen.is_multiple_of(100) {
            writeln!(io::stdout(), "task {} got {}", self.cx.task_index(), order.key.as_str())?;
        }
        if self.plant == Plant::CrashLoop && self.seen > 200 {
            end();
        }
        out.emit(order);
        Ok(())
    }
}

/// Takes what comes.
struct Store;

impl Bolt for Store {
    type Input = Order;
    type Output = NoOutput;

    fn execute(&mut self, _: Order, _: &mut Output<NoOutput>) -> BoltResult {
        Ok(())
    }
}

#[expect(clippy::exit, reason = "to end without a word to anybody is what it is for")]
fn end() {
    drop(writeln!(io::stderr(), "planted: the licence file /etc/orders.lic is missing"));
    std::process::exit(3);
}

fn planted(args: &Args) -> Result<Topology, BuildError> {
    let plant = Plant::of(args);
    let number = |name: &str, usual: u64| -> u64 {
        args.value(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let (tasks, pace) = (number("tasks", 4), Duration::from_millis(number("pace", 5)));
    let tasks = u32::try_from(tasks).unwrap_or(1);
    let mut t = TopologyBuilder::new("planted");
    let (orders, _) = t.replaying("orders", Replays::default().attempts(3), move |_| {
        let due = Instant::now();
        Orders { plant, next: 1, pace, due }
    });
    let orders = orders.stream();
    let good = t.bolt("check", move |_| Check(plant)).parallelism(2).shuffle(&orders).stream();
    let counts = t
        .bolt("count", move |cx| Count { plant, cx: cx.clone(), seen: 0 })
        .parallelism(tasks)
        .fields(&good, |order| &order.key)
        .stream();
    t.bolt("store", |_| Store).shuffle(&counts);
    t.bolt("audit", |_| Store).shuffle(&good);
    t.build()
}

fn main() -> ExitCode {
    worker::main(planted)
}
