//! On a cluster: what is killed under load loses nothing.

use std::collections::BTreeMap;

use tests::{Cluster, Kafka, Signal, program, signal, until};

/// How often each number is in a topic.
fn numbers(kafka: &Kafka, topic: &str) -> BTreeMap<u64, u64> {
    let mut numbers = BTreeMap::new();
    for line in kafka.consume(topic) {
        let number = line.trim_start_matches('|').parse().expect("a number");
        *numbers.entry(number).or_default() += 1;
    }
    numbers
}

/// How many records there are.
fn count(kafka: &Kafka, topic: &str) -> usize {
    kafka.consume(topic).len()
}

#[test]
fn nothing_is_lost_when_a_worker_and_then_the_broker_is_killed_under_load() {
    kills_under_load(&[]);
}

#[test]
fn members_of_a_group_lose_nothing_when_a_worker_and_then_the_broker_is_killed_under_load() {
    kills_under_load(&["--member"]);
}

fn kills_under_load(options: &[&str]) {
    // The cluster first: it waits until it has the machine to itself.
    let cluster = Cluster::start(1, 2);
    let mut kafka = Kafka::start();
    kafka.topics(&[("in", 4), ("out", 2), ("dead", 1)]);
    let lines = |from: u64, to: u64| (from..to).map(|it| format!("{it}\n")).collect::<String>();
    kafka.produce("in", &lines(0, 20_000));

    let piped = program("piped").display().to_string();
    let brokers = format!("--brokers={}", kafka.address());
    let submit = ["submit", &piped, "--workers", "2", "-c", "max_pending=500", "--"];
    let topics = ["kafka", &brokers, "--in=in", "--out=out", "--dead=dead", "--group=audit"];
    cluster.does(&[&submit[..], &topics, options].concat());

    until("there is a load", || count(&kafka, "out") > 1_000);
    let workers = cluster.workers("copy");
    assert!(signal(workers[0].0, Signal::SIGKILL), "the worker was there");
    until("the worker runs again", || {
        let now = cluster.workers("copy");
        now.len() == 2 && now[0].0 > 1 && now[0].0 != workers[0].0
    });

    kafka.produce("in", &lines(20_000, 26_000));
    let before = count(&kafka, "out");
    until("the load goes on", || count(&kafka, "out") > before);
    let alive = cluster.workers("copy");
    kafka.kill();
    kafka.restart();
    kafka.produce("in", &lines(26_000, 30_000));
    kafka.produce("in", "no number\n");

    let all = 30_000;
    until("all of it was copied", || {
        count(&kafka, "out") >= all && numbers(&kafka, "out").len() >= all
    });
    until("the dead letter is there", || !kafka.consume("dead").is_empty());
    let numbers = numbers(&kafka, "out");
    assert_eq!(numbers.len(), all, "some were lost");
    assert_eq!(cluster.workers("copy"), alive, "the broker's death ended a worker");
    assert_eq!(kafka.consume("dead"), ["|no number"], "good records became dead letters");
    let twice = numbers.values().filter(|count| **count > 1).count();
    // Open at either kill: two tasks with 500 tuples, and what was acked behind them since a commit.
    assert!(twice < 10_000, "{twice} of {all} were copied twice");
}
