//! Orders: amounts summed per user and day; when event time passes midnight, the day's totals are
//! given out.
//!
//! `cargo run --release -p examples --bin orders -- examples/data/orders.csv`

#![expect(clippy::print_stdout, reason = "who runs it watches its output")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use topology_api::prelude::*;

/// The first line of a file.
const HEADER: &str = "time,user,amount";

/// One order, in cents: sums of fractions would drift.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Order {
    day: Text,
    user: Text,
    cents: i64,
}

/// What a user ordered on a day; if it is `late`, to be added to what was said of that day before.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Total {
    day: Text,
    user: Text,
    orders: u64,
    cents: i64,
    late: bool,
}

fn parse(line: &str) -> Option<Order> {
    let mut columns = line.split(',').map(str::trim);
    let (time, user, amount) = (columns.next()?, columns.next()?, columns.next()?);
    let (day, _) = time.split_once('T')?;
    let good = columns.next().is_none() && is_day(day) && !user.is_empty();
    Some(Order { day: day.into(), user: user.into(), cents: cents(amount)? }).filter(|_| good)
}

/// Days are compared as text, so they must all be written as `2026-03-01`.
fn is_day(day: &str) -> bool {
    let digits = |from, to| -> Option<u32> {
        let part: &str = day.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let dashes = day.len() == 10 && day.get(4..5) == Some("-") && day.get(7..8) == Some("-");
    let (month, date) = (digits(5, 7).unwrap_or(0), digits(8, 10).unwrap_or(0));
    dashes && digits(0, 4).is_some() && (1..=12).contains(&month) && (1..=31).contains(&date)
}

/// Reads `12`, `12.50` or `-12.50`.
fn cents(amount: &str) -> Option<i64> {
    let digits = amount.strip_prefix('-').unwrap_or(amount);
    let (units, cents) = digits.split_once('.').unwrap_or((digits, "00"));
    let plain = format!("{units}{cents}");
    let good = !units.is_empty() && cents.len() == 2 && plain.bytes().all(|b| b.is_ascii_digit());
    let cents: i64 = plain.parse().ok().filter(|_| good)?;
    Some(if digits == amount { cents } else { -cents })
}

/// Reads orders out of lines; a bad line is counted, shown, and left out.
struct Parse {
    cx: Context,
}

impl Bolt for Parse {
    type Input = Line;
    type Output = Order;

    fn execute(&mut self, line: Line, out: &mut Output<Order>) -> BoltResult {
        match parse(&line.text) {
            Some(order) => out.emit(order),
            None if line.text == HEADER || line.text.is_empty() => {}
            None => {
                self.cx.count("bad-lines", 1);
                self.cx.report_error(&format!("not `{HEADER}`: {:?}", line.text));
            }
        }
        Ok(())
    }
}

/// Sums the orders of its users for the day it is.
///
/// What day it is the orders say: the latest day seen by this task. So a day ends when the task
/// gets an order of a later one, however long that takes; and an order of an earlier day is late.
/// Its day was given out and forgotten, but a sum can be corrected: a late order goes out at once,
/// to be added. All totals of a user and day together are right, whatever the order.
struct Days {
    today: Text,
    users: BTreeMap<Text, (u64, i64)>,
    cx: Context,
}

impl Days {
    fn new(cx: &Context) -> Self {
        Self { today: Text::new(), users: BTreeMap::new(), cx: cx.clone() }
    }

    /// Gives out the totals of the day and forgets it.
    fn close(&mut self, out: &mut Output<Total>) {
        let (day, users) = (self.today.clone(), std::mem::take(&mut self.users));
        // There may be many users, and what one call may `emit` is limited: an iterator is not.
        out.emit_from(users.into_iter().map(move |(user, (orders, cents))| Total {
            day: day.clone(),
            user,
            orders,
            cents,
            late: false,
        }));
    }
}

impl Bolt for Days {
    type Input = Order;
    type Output = Total;

    fn execute(&mut self, order: Order, out: &mut Output<Total>) -> BoltResult {
        let Order { day, user, cents } = order;
        if day < self.today {
            self.cx.count("late-orders", 1);
            out.emit(Total { day, user, orders: 1, cents, late: true });
            return Ok(());
        }
        if day > self.today {
            self.close(out);
            self.today = day;
        }
        let (orders, sum) = self.users.entry(user).or_default();
        *orders += 1;
        *sum = sum.saturating_add(cents);
        Ok(())
    }

    fn finish(&mut self, out: &mut Output<Total>) {
        self.close(out);
    }
}

/// Prints totals, and sums them by day.
struct Report {
    days: BTreeMap<Text, i64>,
    cx: Context,
}

impl Bolt for Report {
    type Input = Total;
    type Output = NoOutput;

    fn execute(&mut self, total: Total, _: &mut Output<NoOutput>) -> BoltResult {
        let Total { day, user, orders, cents, late } = total;
        let late = if late { " (late: add it)" } else { "" };
        println!("{day} {user} orders={orders} cents={cents}{late}");
        let sum = self.days.entry(day).or_default();
        *sum = sum.saturating_add(cents);
        Ok(())
    }

    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.days);
    }
}

fn orders(args: &Args) -> Result<Topology, BuildError> {
    if args.files().is_empty() {
        let hint = "no input: name CSV files of orders, as examples/data/orders.csv";
        return Err(BuildError::new("orders", hint));
    }
    let mut t = TopologyBuilder::new("orders");
    let lines = t.spout("lines", LineFiles::of_arguments).stream();
    // One task: several would mix up the days around midnight, and make many orders late.
    let orders = t.bolt("parse", |cx| Parse { cx: cx.clone() }).shuffle(&lines).stream();
    let totals = t.bolt("days", Days::new).parallelism(2).fields(&orders, |it| &it.user).stream();
    t.bolt("report", |cx| Report { days: BTreeMap::new(), cx: cx.clone() }).global(&totals);
    t.build()
}

fn main() -> ExitCode {
    worker::main(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::BoltDriver;

    fn order(day: &str, user: &str, cents: i64) -> Order {
        Order { day: day.into(), user: user.into(), cents }
    }

    fn total(day: &str, user: &str, (orders, cents): (u64, i64)) -> Total {
        Total { day: day.into(), user: user.into(), orders, cents, late: false }
    }

    #[test]
    fn a_day_is_given_out_when_event_time_passes_midnight() {
        let mut days = BoltDriver::new(Days::new).expect("it opens nothing");
        days.execute(order("2026-03-01", "ann", 1_250));
        days.execute(order("2026-03-01", "bob", 300));
        days.execute(order("2026-03-01", "ann", -250));
        assert!(days.emitted().is_empty(), "the day is not over");
        days.execute(order("2026-03-02", "eve", 100));
        let first = [total("2026-03-01", "ann", (2, 1_000)), total("2026-03-01", "bob", (1, 300))];
        assert_eq!(days.emitted(), first);
        days.finish();
        assert_eq!(days.emitted(), [total("2026-03-02", "eve", (1, 100))], "the day it is");
    }

    #[test]
    fn a_late_order_is_counted_and_given_out_to_be_added() {
        let mut days = BoltDriver::new(Days::new).expect("it opens nothing");
        for (day, cents) in [("2026-03-01", 10), ("2026-03-02", 20), ("2026-03-01", 5)] {
            days.execute(order(day, "ann", cents));
        }
        days.finish();
        let late = Total { late: true, ..total("2026-03-01", "ann", (1, 5)) };
        let all = [total("2026-03-01", "ann", (1, 10)), late, total("2026-03-02", "ann", (1, 20))];
        assert_eq!(days.emitted(), all);
        assert_eq!(days.counter("late-orders"), 1);

        let report = |cx: &Context| Report { days: BTreeMap::new(), cx: cx.clone() };
        let mut report = BoltDriver::new(report).expect("it opens nothing");
        for total in all {
            report.execute(total);
        }
        report.finish();
        let sums = serde_json::json!({ "2026-03-01": 15, "2026-03-02": 20 });
        assert_eq!(report.result(), Some(sums), "no cent is missing");
    }

    #[test]
    fn bad_lines_are_counted_and_shown_and_nothing_else_happens() {
        let mut parse = BoltDriver::new(|cx| Parse { cx: cx.clone() }).expect("it opens nothing");
        let bad = [
            "2026-03-01,ann,1.00",
            "2026-13-01T10:00,ann,1.00",
            "2026-3-1T10:00,ann,1.00",
            "2026-03-0éT10:00,ann,1.00",
            "2026-03-01T10:00,ann",
            "2026-03-01T10:00,ann,1.00,",
            "2026-03-01T10:00,,1.00",
            "2026-03-01T10:00,ann,1.5",
            "2026-03-01T10:00,ann,+1",
            "2026-03-01T10:00,ann,--1",
            "2026-03-01T10:00,ann,1.-1",
            "2026-03-01T10:00,ann,.50",
            "2026-03-01T10:00,ann,99999999999999999999",
        ];
        for line in bad.into_iter().chain([HEADER, ""]) {
            parse.execute(Line { text: line.into() });
        }
        assert_eq!(parse.emitted(), []);
        assert_eq!((parse.counter("bad-lines"), parse.errors().len()), (13, 13));
        for line in ["2026-03-01T10:00:00Z, ann ,-1.50", "2026-03-01T10:00,ann,-1.50"] {
            parse.execute(Line { text: line.into() });
            assert_eq!(parse.emitted(), [order("2026-03-01", "ann", -150)]);
        }
    }

    #[test]
    fn without_a_file_the_message_names_one() {
        let error = orders(&Args::default()).expect_err("nothing to read").to_string();
        assert!(error.contains("examples/data/orders.csv"), "{error}");
        assert!(orders(&Args::new(["a.csv"])).is_ok(), "the topology is sound");
    }
}
