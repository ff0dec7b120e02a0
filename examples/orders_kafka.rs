//! Orders out of Kafka: amounts summed per user and day, and the totals of the day to another topic.
//!
//! `cargo run --release -p examples --features kafka --bin orders_kafka -- --brokers=127.0.0.1:9092`
//!
//! A record of the topic `orders` is a line like `2026-03-01T09:30,ann,12.50`. Each order gives the
//! newest total of its user and day to the topic `totals`, with both as the key: the last record of a
//! key is the total, and a compacted topic keeps just that. What is no order goes to `orders-dead`.
//! Sums are kept in memory: after the death of a worker they begin again, and what is replayed counts
//! twice. With `--to-the-end` it ends when it has read what there is.

use std::process::ExitCode;

use connectors::kafka::{Brokers, KafkaIn, KafkaOut, KafkaRecord};
use topology_api::prelude::*;
use topology_api::{DeadLetter, Error, Replays};

/// One order, in cents: sums of fractions would drift.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Order {
    /// Day and user: what is summed by.
    key: Text,
    cents: u64,
}

/// What a user has ordered on a day so far.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Total {
    key: Text,
    orders: u64,
    cents: u64,
}

/// Reads an order; an error fails its record, which becomes a dead letter when it has failed three
/// times.
fn parse(record: &KafkaRecord) -> Result<Order, Error> {
    let text = record.text()?;
    let wrong = || -> Error { format!("`{text}` is not `time,user,amount`").into() };
    let (time, rest) = text.split_once(',').ok_or_else(wrong)?;
    let (user, amount) = rest.split_once(',').ok_or_else(wrong)?;
    let (day, _) = time.split_once('T').ok_or_else(wrong)?;
    let (units, cents) = amount.split_once('.').unwrap_or((amount, "00"));
    if cents.len() != 2 || user.is_empty() || day.len() != 10 {
        return Err(wrong());
    }
    let cents = format!("{units}{cents}").parse().map_err(|_| wrong())?;
    Ok(Order { key: format!("{day} {user}").into(), cents })
}

fn orders(args: &Args) -> Result<Topology, BuildError> {
    let brokers = Brokers::new(args.value("brokers").unwrap_or("127.0.0.1:9092"));
    let mut t = TopologyBuilder::new("orders-kafka");

    let mut input = KafkaIn::new(brokers.clone(), "order-totals").topics(["orders"]);
    if args.flag("to-the-end") {
        input = input.to_the_end();
    }
    let (records, dead) = input.declare(&mut t, "orders", Replays::default().attempts(3))?;
    let records = records.parallelism(2).stream();

    let parsed = t.try_map("parse", |record: KafkaRecord| parse(&record)).parallelism(2);
    let parsed = parsed.local_or_shuffle(&records).stream();

    let add = |(orders, cents): &mut (u64, u64), order: Order| {
        *orders += 1;
        *cents += order.cents;
        Total { key: order.key, orders: *orders, cents: *cents }
    };
    let by_user = parsed.by(|order| &order.key);
    let totals = t.fold("sum", by_user, || (0, 0), add).parallelism(2).stream();

    let value = |it: &Total| format!(r#"{{"orders":{},"cents":{}}}"#, it.orders, it.cents);
    KafkaOut::new(brokers.clone(), "totals", value)
        .key(|it: &Total| it.key.to_string())
        .declare(&mut t, "totals")?
        .shuffle(&totals);

    let bytes = |it: &DeadLetter<KafkaRecord>| it.tuple.value.clone().unwrap_or_default();
    KafkaOut::new(brokers, "orders-dead", bytes).declare(&mut t, "bury")?.shuffle(&dead);
    t.build()
}

fn main() -> ExitCode {
    worker::main(orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::BoltDriver;

    #[test]
    fn each_order_gives_the_newest_total_of_its_user_and_day() {
        let topology = orders(&Args::default()).unwrap();
        let mut sum = BoltDriver::<Order, Total>::of(&topology, "sum").unwrap();
        let lines =
            ["2026-03-01T09:30,ann,12.50", "2026-03-01T10:00,bob,3", "2026-03-01T11:15,ann,4.25"];
        for line in lines {
            sum.execute(parse(&KafkaRecord::new("orders", line)).unwrap());
        }
        let totals = sum.emitted();
        let last = Total { key: "2026-03-01 ann".into(), orders: 2, cents: 1_675 };
        assert_eq!(totals[2], last);
    }

    #[test]
    fn what_is_no_order_says_why() {
        for line in [
            "",
            "2026-03-01T09:30,ann",
            "today,ann,3",
            "2026-03-01T09:30,ann,x",
            "2026-03-01T09:30,,3",
        ] {
            let told = parse(&KafkaRecord::new("orders", line)).unwrap_err().to_string();
            assert!(told.contains("`time,user,amount`"), "{line:?}: {told}");
        }
    }
}
