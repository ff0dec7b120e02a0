//! Top users: from lines `user visits`, the three users with most visits, kept up to date.
//!
//! `cargo run --release -p examples --bin top_users -- examples/data/visits.txt`; with `--follow`
//! it waits for more lines at the end of the file.

#![expect(clippy::print_stdout, reason = "who runs it watches its output")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use topology_api::prelude::*;

/// How many users are ranked.
const RANKS: usize = 3;

/// How often a user visited: in one line, or in all lines so far.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Visits {
    user: Text,
    visits: u64,
}

/// Reads lines; a bad one is counted and not an error, which would bring it again for ever.
struct Parse {
    cx: Context,
}

fn parse(line: &str) -> Option<Visits> {
    let mut words = line.split_whitespace();
    let (user, visits) = (words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then(|| Visits { user: user.into(), visits })
}

impl Bolt for Parse {
    type Input = Line;
    type Output = Visits;

    fn execute(&mut self, line: Line, out: &mut Output<Visits>) -> BoltResult {
        match parse(&line.text) {
            Some(visits) => out.emit(visits),
            None => {
                self.cx.count("bad-lines", 1);
                self.cx.report_error(&format!("not `user visits`: {:?}", line.text));
            }
        }
        Ok(())
    }
}

/// Adds up the visits of its users, and passes on each new total.
#[derive(Default)]
struct Sum {
    totals: HashMap<Text, u64>,
}

impl Bolt for Sum {
    type Input = Visits;
    type Output = Visits;

    fn execute(&mut self, input: Visits, out: &mut Output<Visits>) -> BoltResult {
        let total = self.totals.entry(input.user.clone()).or_default();
        *total = total.saturating_add(input.visits);
        out.emit(Visits { user: input.user, visits: *total });
        Ok(())
    }
}

/// Ranks users. Totals only grow, so whoever drops out of the ranks comes back by a later total of
/// his own: nothing but the ranks has to be kept.
struct Rank {
    top: Vec<Visits>,
    changed: bool,
    cx: Context,
}

impl Rank {
    fn show(&mut self) {
        if std::mem::take(&mut self.changed) {
            let top: Vec<(&str, u64)> = self.top.iter().map(|it| (&*it.user, it.visits)).collect();
            println!("top users: {top:?}");
            self.cx.result(&top);
        }
    }
}

impl Bolt for Rank {
    type Input = Visits;
    type Output = NoOutput;

    fn execute(&mut self, input: Visits, _: &mut Output<NoOutput>) -> BoltResult {
        // A replay may bring an older total after a newer one.
        match self.top.iter_mut().find(|it| it.user == input.user) {
            Some(it) => it.visits = it.visits.max(input.visits),
            None => self.top.push(input),
        }
        self.top.sort_by(|a, b| b.visits.cmp(&a.visits).then(a.user.cmp(&b.user)));
        self.top.truncate(RANKS);
        self.changed = true;
        Ok(())
    }

    /// Once a second, not for each tuple: who watches cannot read faster.
    fn tick(&mut self, _: &mut Output<NoOutput>) {
        self.show();
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.show();
    }
}

fn top_users(args: &Args) -> Result<Topology, BuildError> {
    if args.files().is_empty() {
        let hint = "no input: name files of lines `user visits`, as examples/data/visits.txt";
        return Err(BuildError::new("top-users", hint));
    }
    let follow = args.flag("follow");
    let mut t = TopologyBuilder::new("top-users");
    let read = move |cx: &Context| LineFiles::of_arguments(cx).map(|lines| lines.follow(follow));
    let lines = t.spout("lines", read).stream();
    let visits = t.bolt("parse", |cx| Parse { cx: cx.clone() }).local_or_shuffle(&lines).stream();
    // Equal users meet in one task: without the fields grouping each task had a part of the sum.
    let totals = t.bolt("sum", |_| Sum::default()).parallelism(2).fields(&visits, |v| &v.user);
    let rank = |cx: &Context| Rank { top: Vec::new(), changed: false, cx: cx.clone() };
    t.bolt("rank", rank).tick_every(Duration::from_secs(1)).global(&totals.stream());
    t.build()
}

fn main() -> ExitCode {
    worker::main(top_users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use topology_api::testing::{BoltDriver, Setup};

    #[test]
    fn the_ranks_are_those_of_all_lines_and_kept_up_to_date() {
        let mut parse = BoltDriver::new(|cx| Parse { cx: cx.clone() }).expect("it opens nothing");
        let mut sum = BoltDriver::new(|_| Sum::default()).expect("it opens nothing");
        let setup = Setup::new().tick_every(Duration::from_secs(1));
        let rank = |cx: &Context| Rank { top: Vec::new(), changed: false, cx: cx.clone() };
        let mut rank = BoltDriver::with(setup, rank).expect("it opens nothing");
        let mut give = |lines: &[&str]| {
            for line in lines {
                parse.execute(Line { text: (*line).into() });
            }
            for visits in parse.emitted() {
                sum.execute(visits);
            }
            for total in sum.emitted() {
                rank.execute(total);
            }
            rank.advance(Duration::from_secs(1));
            rank.result()
        };
        let first = give(&["ann 5", "bob 3", "eve 4", "dan 3"]);
        assert_eq!(first, Some(json!([["ann", 5], ["eve", 4], ["bob", 3]])));
        let second = give(&["dan 2", "bob 1"]);
        assert_eq!(second, Some(json!([["ann", 5], ["dan", 5], ["bob", 4]])), "dan came back");
    }

    #[test]
    fn bad_lines_are_counted_and_shown_and_acked() {
        let mut parse = BoltDriver::new(|cx| Parse { cx: cx.clone() }).expect("it opens nothing");
        let bad =
            ["", "ann", "ann many", "ann -1", "ann 1 2", "ann 1.5", "ann 99999999999999999999"];
        for line in bad {
            parse.execute(Line { text: line.into() });
        }
        assert!(parse.emitted().is_empty());
        assert_eq!(parse.counter("bad-lines"), bad.len() as u64);
        assert_eq!(parse.errors().len(), bad.len());
        assert_eq!(parse.acked().len(), bad.len(), "a replay would not make them better");
    }

    #[test]
    fn without_a_file_the_message_names_one() {
        let error = top_users(&Args::default()).expect_err("nothing to read").to_string();
        assert!(error.contains("examples/data/visits.txt"), "{error}");
        assert!(top_users(&Args::new(["--follow", "a.txt"])).is_ok(), "the topology is sound");
    }
}
