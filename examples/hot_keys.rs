//! Hot keys: views of pages, of which few have most, counted by page with and without a grouping
//! that spreads the work on what is hot.
//!
//! `cargo run --release -p examples --bin hot_keys -- fields 300000`, and the same with `spread`,
//! `scatter` or `partial`. The shares of pages follow a Zipf distribution with exponent 1.5: the
//! first page has 38 % of all views, so by a fields grouping one task of eight has more than that.

#![expect(clippy::print_stdout, reason = "who runs it watches its output")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use topology_api::prelude::*;

/// How many pages there are.
const PAGES: u32 = 10_000;

/// How uneven they are.
const EXPONENT: f64 = 1.5;

/// How many views there are when nobody says.
const VIEWS: u64 = 300_000;

/// How many tasks share the counting.
const TASKS: u32 = 8;

/// Rounds of arithmetic that stand for what a bolt does with a view beside counting it.
const WORK: u64 = 1_000;

/// Somebody looked at a page.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct View {
    page: u64,
}

/// How often pages of at most this rank are viewed, in parts of all.
static SHARES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut sum = 0.0;
    let mut sums: Vec<f64> = Vec::new();
    for rank in 1..=PAGES {
        sum += f64::from(rank).powf(-EXPONENT);
        sums.push(sum);
    }
    sums.iter().map(|part| part / sum).collect()
});

/// The page of a view: any process finds the same one, so totals can be checked.
fn page_of(view: u64) -> u64 {
    let mixed = (view + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let chance = ((mixed ^ (mixed >> 32)) >> 11) as f64 / (1_u64 << 53) as f64;
    SHARES.partition_point(|share| *share < chance) as u64
}

/// Emits views; what fails, again.
struct Views {
    next: u64,
    count: u64,
    again: Vec<u64>,
}

impl Spout for Views {
    type Output = View;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<View, u64>) -> SpoutResult {
        let view = match self.again.pop() {
            Some(view) => view,
            None if self.next == self.count => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        out.emit(view, View { page: page_of(view) });
        Ok(Next::Emitted)
    }

    fn fail(&mut self, view: u64, _: FailReason) {
        self.again.push(view);
    }
}

/// What one task counted of a page since it last said.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Part {
    page: u64,
    task: u32,
    views: u64,
}

/// Counts the views that come to it: all of a page, or a part of them.
struct Count {
    parts: BTreeMap<u64, u64>,
    worked: u64,
    task: u32,
}

impl Count {
    fn new(cx: &Context) -> Self {
        Self { parts: BTreeMap::new(), worked: 0, task: cx.task_index() }
    }
}

impl Bolt for Count {
    type Input = View;
    type Output = Part;

    fn execute(&mut self, view: View, _: &mut Output<Part>) -> BoltResult {
        let mix = |sum: u64, n: u64| std::hint::black_box(sum.wrapping_mul(31) ^ n);
        self.worked ^= (0..WORK).fold(view.page, mix);
        *self.parts.entry(view.page).or_default() += 1;
        Ok(())
    }

    /// A part that was said is begun anew: however hot a page is, it costs the merge a tuple a
    /// task and second.
    fn tick(&mut self, out: &mut Output<Part>) {
        let task = self.task;
        for (page, views) in std::mem::take(&mut self.parts) {
            out.emit(Part { page, task, views });
        }
    }

    fn finish(&mut self, out: &mut Output<Part>) {
        self.tick(out);
    }
}

/// Adds up the parts of each page, and says how even the tasks were.
struct Merge {
    totals: BTreeMap<u64, u64>,
    by_task: BTreeMap<u32, u64>,
    grouping: String,
    count: u64,
    since: Instant,
    cx: Context,
}

impl Merge {
    #[expect(clippy::disallowed_methods, reason = "how long it takes is told, and decides nothing")]
    fn new(grouping: &str, count: u64, cx: &Context) -> Self {
        Self {
            totals: BTreeMap::new(),
            by_task: BTreeMap::new(),
            grouping: grouping.to_owned(),
            count,
            since: Instant::now(),
            cx: cx.clone(),
        }
    }
}

impl Bolt for Merge {
    type Input = Part;
    type Output = NoOutput;

    fn execute(&mut self, part: Part, _: &mut Output<NoOutput>) -> BoltResult {
        *self.totals.entry(part.page).or_default() += part.views;
        *self.by_task.entry(part.task).or_default() += part.views;
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        let rate = self.count as f64 / self.since.elapsed().as_secs_f64();
        let all: u64 = self.by_task.values().sum();
        let most = self.by_task.values().max().copied().unwrap_or(0);
        let balance = most as f64 * f64::from(TASKS) / all.max(1) as f64;
        let mut exact: BTreeMap<u64, u64> = BTreeMap::new();
        (0..self.count).for_each(|view| *exact.entry(page_of(view)).or_default() += 1);
        let is_exact = exact == self.totals;
        for (task, views) in &self.by_task {
            let percent = 100.0 * *views as f64 / all.max(1) as f64;
            println!("task {task}: {percent:4.1} % of the views");
        }
        let busy = 100.0 / balance.max(1.0);
        println!(
            "the largest share is {balance:.2} times the mean: the tasks can be busy for {busy:.0} % \
             of the time; {rate:.0} views/s"
        );
        let told = if is_exact { "as a plain count has them" } else { "NOT as they should be" };
        println!("the totals of {} pages are {told}", self.totals.len());
        let balance = (balance * 100.0).round() / 100.0;
        self.cx.result(&(&self.grouping, balance, rate.round(), is_exact));
    }
}

fn hot_keys(args: &Args) -> Result<Topology, BuildError> {
    let wrong = |text: String| BuildError::new("hot-keys", text);
    let mut words = args.iter();
    let grouping = words.next().unwrap_or("spread").to_owned();
    let count = match words.next() {
        None => VIEWS,
        Some(word) => word
            .parse()
            .map_err(|_| wrong(format!("{word:?} is not how many views to count: say {VIEWS}")))?,
    };
    let mut t = TopologyBuilder::new("hot-keys");
    let spout = move |_: &Context| Views { next: 0, count, again: Vec::new() };
    let views = t.spout("views", spout).stream();
    let bolt = t.bolt("count", Count::new).parallelism(TASKS).tick_every(Duration::from_secs(1));
    let bolt = match grouping.as_str() {
        // Each page has one task, and the task of the hottest is the speed of all.
        "fields" => bolt.fields(&views, |view| &view.page),
        // Each page has two: enough for keys that are a little uneven.
        "partial" => bolt.partial_key(&views, |view| &view.page),
        // A page that is too hot for two tasks has more.
        "spread" => bolt.spread_hot_keys(&views, |view| &view.page),
        // A page that is too hot for two tasks has all.
        "scatter" => bolt.scatter_hot_keys(&views, |view| &view.page),
        other => {
            let known = "say fields, partial, spread or scatter";
            return Err(wrong(format!("there is no grouping {other:?} here: {known}")));
        }
    };
    // Parts of one page are in several tasks, so they have to be added up.
    let merge = move |cx: &Context| Merge::new(&grouping, count, cx);
    t.bolt("merge", merge).global(&bolt.stream());
    t.build()
}

fn main() -> ExitCode {
    worker::main(hot_keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::{BoltDriver, Setup};

    #[test]
    fn the_first_page_has_three_eighths_of_all_views() {
        let first = (0..100_000).filter(|view| page_of(*view) == 0).count();
        assert!((37_000..40_000).contains(&first), "{first}");
        assert!((0..100_000).all(|view| page_of(view) < u64::from(PAGES)), "there are no more");
    }

    #[test]
    fn parts_add_up_whatever_was_said_before() {
        let setup = Setup::new().tick_every(Duration::from_secs(1)).task(1, 2);
        let mut count = BoltDriver::with(setup, Count::new).expect("it opens nothing");
        for _ in 0..3 {
            count.execute(View { page: 7 });
        }
        count.advance(Duration::from_secs(1));
        count.execute(View { page: 7 });
        count.finish();
        let parts = [Part { page: 7, task: 1, views: 3 }, Part { page: 7, task: 1, views: 1 }];
        assert_eq!(count.emitted(), parts);
    }

    #[test]
    fn each_grouping_counts_exactly_and_only_some_are_even() {
        let balance = |grouping: &str| {
            let args = Args::new([grouping, "20000"]);
            let topology = hot_keys(&args).expect("the topology is sound");
            let finished = worker::run_here(topology, args).expect("threads can be started");
            let json = finished.snapshot.results.values().next().expect("a result");
            let (told, balance, _, is_exact): (String, f64, f64, bool) =
                serde_json::from_str(json).expect("results are JSON");
            assert_eq!(told, grouping);
            assert!(is_exact, "{grouping}: the totals are wrong");
            balance
        };
        assert!(balance("fields") > 2.5, "one task has the hottest page");
        assert!(balance("partial") > 1.4, "two tasks have it");
        assert!(balance("spread") < 1.1, "as many as it needs have it");
        assert!(balance("scatter") < 1.1, "all have it");
    }

    #[test]
    fn wrong_arguments_are_told() {
        for (words, told) in [(["fairly", "10"], "\"fairly\""), (["spread", "many"], "\"many\"")] {
            let error = hot_keys(&Args::new(words)).expect_err("a mistake").to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(hot_keys(&Args::default()).is_ok(), "the topology is sound");
    }
}
