//! Each rule on plain figures, what is found first, and that a healthy topology has nothing.

use super::machines::{Machine, Machines, of_cluster};
use super::*;
use crate::engine::figures::{
    Component, Error, Executor, Figures, Input, Rates, Shares, Task, Worker,
};

/// A task and an executor of its own for each share; each on a loop of its own.
fn component(name: &str, reads: Option<&str>, shares: &[Shares]) -> Component {
    let inputs = reads.map(|component| Input {
        component: component.to_owned(),
        stream: "default".to_owned(),
        grouping: "shuffle".to_owned(),
        rate: None,
    });
    let rates = Rates { emitted: 1_000.0, executed: 1_000.0, acked: 1_000.0, failed: 0.0 };
    let mut made = Component {
        name: name.to_owned(),
        spout: reads.is_none(),
        declared: 8,
        inputs: inputs.into_iter().collect(),
        ..Component::default()
    };
    for (shares, number) in shares.iter().zip(0..) {
        // Numbers unlike those of other components.
        let number = number + name.bytes().map(u32::from).sum::<u32>() * 100;
        made.tasks.push(Task {
            task: number,
            executor: number,
            ten_seconds: Some(rates),
            minute: Some(rates),
            queue: (100, 1_024),
            ..Task::default()
        });
        let shares = Some(*shares);
        made.executors.push(Executor { index: number, at_loop: number, shares, worker: 0 });
        made.ten_seconds.executed += 1_000.0;
        made.ten_seconds.emitted += 1_000.0;
        made.minute.executed += 1_000.0;
        made.minute.emitted += 1_000.0;
        made.minute.acked += 1_000.0;
    }
    made
}

fn busy(executing: f64) -> Shares {
    Shares { executing, ..Shares::default() }
}

fn blocked(blocked: f64) -> Shares {
    Shares { executing: 0.2, blocked, ..Shares::default() }
}

fn worker(number: u32) -> Worker {
    Worker {
        worker: number,
        supervisor: format!("machine-{number}"),
        host: format!("host-{number}"),
        state: "running".to_owned(),
        held: (10 << 20, 512 << 20),
        heard: true,
        ..Worker::default()
    }
}

/// lines -> split -> count, two executors each, nothing wrong.
fn healthy() -> Figures {
    Figures {
        name: "words".to_owned(),
        active: true,
        age_ms: 3_600_000,
        max_pending: 10_000,
        timeout_ms: 30_000,
        workers_wanted: 2,
        components: vec![
            component("lines", None, &[busy(0.3); 2]),
            component("split", Some("lines"), &[busy(0.4); 2]),
            component("count", Some("split"), &[busy(0.5); 2]),
        ],
        workers: vec![worker(0), worker(1)],
        ..Figures::default()
    }
}

/// `count` cannot keep up.
fn slow_count() -> Figures {
    let mut figures = healthy();
    figures.components = vec![
        component("lines", None, &[Shares { throttled: 0.7, ..busy(0.1) }; 2]),
        component("split", Some("lines"), &[blocked(0.6); 2]),
        component("count", Some("split"), &[busy(0.98); 2]),
    ];
    figures
}

fn error(text: &str) -> Error {
    Error { ago_ms: 1_000, task: 7, worker: 1, reason: "error".to_owned(), text: text.to_owned() }
}

fn codes(figures: &Figures) -> Vec<&'static str> {
    of_topology(figures).iter().map(|finding| finding.code).collect()
}

#[test]
fn a_healthy_topology_has_no_findings() {
    assert_eq!(of_topology(&healthy()), []);
    let mut busy_but_keeping_up = healthy();
    busy_but_keeping_up.components[2] = component("count", Some("split"), &[busy(0.95); 2]);
    assert_eq!(of_topology(&busy_but_keeping_up), [], "nobody waits for it");
    let unknown = Figures { components: vec![Component::default()], ..Figures::default() };
    assert_eq!(of_topology(&unknown), [], "nothing is known yet");
}

/// What is wrong, and what is said of it: code, component, what the text and the next step tell.
type Row = (&'static str, fn(&mut Figures), Option<&'static str>, &'static str, &'static str);

const TABLE: [Row; 13] = [
    (
        "quarantined",
        |it| it.quarantined = Some("quarantined: its binary is lost".to_owned()),
        None,
        "its binary is lost",
        "submit `words` again",
    ),
    (
        "not-scheduled",
        |it| (it.unplaced, it.workers) = (Some("waiting: no slot is free".to_owned()), Vec::new()),
        None,
        "0 of the 2 workers that were asked for: waiting: no slot is free",
        "--slots",
    ),
    (
        "crash-loop",
        |it| {
            it.workers[1] = Worker {
                state: "backing-off".to_owned(),
                restarts: 5,
                last_exit: "exit code 1".to_owned(),
                last_words: "starting\ncannot open /data: denied\n".to_owned(),
                ..worker(1)
            };
        },
        None,
        "worker 1 on machine-1 keeps ending (5 restarts), last with exit code 1; its last words: cannot \
         open /data: denied",
        "squall logs words",
    ),
    (
        "hung",
        |it| {
            it.components[1].errors = vec![Error {
                reason: "stuck".to_owned(),
                ..error("one call has not returned for 31s")
            }];
        },
        Some("split"),
        "`split` hangs: task 7: one call has not returned for 31s",
        "squall logs words --component split",
    ),
    (
        "link-down",
        |it| it.workers[0].links_down = vec![1],
        None,
        "worker 0 on machine-0 cannot reach worker 1 on machine-1",
        "host-0 can dial the `--worker-ports` of host-1",
    ),
    (
        "hot-task",
        |it| {
            let mut count = component("count", Some("split"), &[busy(0.98), busy(0.1), busy(0.1)]);
            count.inputs[0].grouping = "fields".to_owned();
            for (task, executed) in count.tasks.iter_mut().zip([2_400.0, 300.0, 300.0]) {
                task.minute = Some(Rates { executed, ..Rates::default() });
            }
            it.components[2] = count;
            it.components[1] = component("split", Some("lines"), &[blocked(0.6); 2]);
        },
        Some("count"),
        "gets 2.4 times its even part (2400 tuples a second, of 3000 a second)",
        "spread_hot_keys",
    ),
    (
        "bottleneck",
        |it| *it = slow_count(),
        Some("count"),
        "`count` is the bottleneck: its 2 executors are busy 98 % of the time with 2000 tuples a \
         second, 980.0 µs each; `split` is held up 60 % of the time",
        "submit it again with `.parallelism(",
    ),
    (
        "poison-tuple",
        |it| {
            it.components[2].errors = vec![error("bad line 17"); 4];
            it.components[0].counting.insert("replayed".to_owned(), 2.0);
        },
        Some("count"),
        "4 of its newest errors say (error) bad line 17; 2.0 tuples a second are replayed",
        "`t.replaying`",
    ),
    (
        "errors",
        |it| {
            it.components[1].failing.insert("error".to_owned(), 100.0);
            it.components[1].errors = vec![error("no such user")];
        },
        Some("split"),
        "5 % of the tuples of `split` fail (100 a second), the newest: no such user",
        "squall describe words",
    ),
    (
        "unavailable",
        |it| {
            it.components[1].failing.insert("unavailable".to_owned(), 40.0);
            it.components[1].errors =
                vec![Error { reason: "unavailable".to_owned(), ..error("redis at r:1 is away") }];
        },
        Some("split"),
        "something that `split` needs is away: redis at r:1 is away; 40 tuples a second come again",
        "nothing is lost",
    ),
    (
        "timeouts",
        |it| it.components[0].failing = [("timeout".to_owned(), 3.0)].into(),
        Some("lines"),
        "3.0 tuples a second of `lines` time out: they were not done within 30 s",
        "message_timeout",
    ),
    (
        "memory",
        |it| it.workers[0].held = (480 << 20, 512 << 20),
        None,
        "worker 0 holds 94 % of what it may (480 of 512 MiB)",
        "worker.memory",
    ),
    (
        "max-pending",
        |it| {
            let waits = Shares { throttled: 0.8, ..busy(0.1) };
            let mut lines = component("lines", None, &[waits; 2]);
            lines.tasks[0].complete_us = Some([12_000.0; 3]);
            it.components[0] = lines;
        },
        Some("lines"),
        "waits for acks 80 % of the time: its tasks may have 10000 open trees each, and a tree takes \
         12.0 ms",
        "raise `max_pending`",
    ),
];

#[test]
fn each_rule_finds_its_trouble_and_nothing_else_and_says_what_to_do() {
    for (code, trouble, of, text, next) in TABLE {
        let mut figures = healthy();
        trouble(&mut figures);
        let findings = of_topology(&figures);
        let found: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(found, [code], "{findings:#?}");
        let finding = &findings[0];
        assert_eq!(finding.component.as_deref(), of, "{finding:?}");
        assert!(finding.text.contains(text), "`{}` does not say `{text}`", finding.text);
        assert!(finding.next.contains(next), "`{}` does not say `{next}`", finding.next);
        assert_eq!(finding.topology.as_deref(), Some("words"));
    }
}

#[test]
fn a_source_without_data_is_told_from_one_that_starts_or_is_held_up() {
    let silent = |shares: Shares| {
        let mut lines = component("lines", None, &[shares; 2]);
        lines.minute = Rates::default();
        Figures { components: vec![lines], ..healthy() }
    };
    assert_eq!(codes(&silent(busy(0.01))), ["no-data"]);
    assert_eq!(codes(&silent(Shares { blocked: 0.95, ..busy(0.01) })), [""; 0], "it has some");
    assert_eq!(codes(&Figures { age_ms: 5_000, ..silent(busy(0.01)) }), [""; 0], "it starts");
    assert_eq!(codes(&Figures { active: false, ..silent(busy(0.01)) }), [""; 0], "it may not");
}

#[test]
fn the_bottleneck_is_named_and_not_what_it_holds_up() {
    let findings = of_topology(&slow_count());
    assert_eq!(findings.len(), 1, "`lines` waits for acks because of `count`: {findings:?}");
    assert_eq!(findings[0].component.as_deref(), Some("count"));
    // Two executors at 98 %, the next busiest component at 20 % when it is not held up.
    assert_eq!(findings[0].evidence["lift"], 5.0);
    assert_eq!(findings[0].evidence["executors_wanted"], 14.0);
    let mut roomy = slow_count();
    roomy.components[2].declared = 20;
    let next = of_topology(&roomy)[0].next.clone();
    assert_eq!(next, "squall rebalance words --executors count=14");
}

#[test]
fn a_component_whose_loop_is_always_at_others_needs_cores_and_not_executors() {
    let mut figures = slow_count();
    let waits = Shares { executing: 0.3, ready: 0.68, ..Shares::default() };
    figures.components[2] = component("count", Some("split"), &[waits; 2]);
    let finding = of_topology(&figures).swap_remove(0);
    assert_eq!((finding.code, finding.component.as_deref()), ("bottleneck", Some("count")));
    assert!(finding.next.contains("squall rebalance words --workers 3"), "{finding:?}");
}

#[test]
fn a_component_that_only_waits_needs_calls_side_by_side_and_not_cores() {
    let found = |declared, shares: Shares| {
        let mut figures = slow_count();
        figures.components[2] = component("count", Some("split"), &[shares; 2]);
        figures.components[2].declared = declared;
        of_topology(&figures).swap_remove(0)
    };
    // In `execute`: others of its loops wait for their turn meanwhile, though no core is busy.
    let in_turn = Shares { executing: 0.3, ready: 0.68, waiting: 0.8, ..Shares::default() };
    let in_turn = Shares { executing: 0.85, ready: 0.13, ..in_turn };
    let finding = found(20, in_turn);
    let waits = "In 82 % of that time it only waits (for input or output, in a sleep or for a lock): \
                 the cores are not the limit";
    assert!(finding.text.ends_with(waits), "{finding:?}");
    assert!(finding.next.contains("`async_bolt`, or add `.blocking()`"), "{finding:?}");
    assert!(!finding.next.contains("--workers"), "{finding:?}");
    // Aside: on a thread of its own, or awaited.
    let aside = Shares { executing: 0.01, ready: 0.97, waiting: 0.95, ..Shares::default() };
    let finding = found(20, aside);
    assert!(finding.text.contains("980.0 µs each"), "{finding:?}");
    assert!(
        finding.next.starts_with("squall rebalance words --executors count=14, or have more calls")
    );
    assert!(
        found(2, aside).next.starts_with("submit it again with `.parallelism(14)`, or have more")
    );
    // It waits a little: it computes most of the time.
    let computes = Shares { executing: 0.98, waiting: 0.2, ..Shares::default() };
    assert_eq!(found(20, computes).next, "squall rebalance words --executors count=14");
}

#[test]
fn the_gravest_comes_first_and_then_the_cause() {
    let mut figures = slow_count();
    figures.components[0].failing.insert("timeout".to_owned(), 1.0);
    figures.workers[1].state = "backing-off".to_owned();
    figures.workers[0].held = (500 << 20, 512 << 20);
    let codes = codes(&figures);
    assert_eq!(codes, ["crash-loop", "bottleneck", "timeouts", "memory"]);
}

#[test]
fn the_cluster_says_which_machines_and_whether_the_store_are_in_trouble() {
    let machine = |id: &str, status: &str| Machine {
        id: id.to_owned(),
        status: status.to_owned(),
        silence_ms: 12_000,
        version: "1.0".to_owned(),
        workers: 2,
        ..Machine::default()
    };
    let well = Machines {
        version: "1.0".to_owned(),
        supervisors: vec![machine("a", "alive")],
        nimbuses: vec![("n1".to_owned(), "1.0".to_owned())],
        turned_away: vec![("worker 3".to_owned(), "retired".to_owned(), 0)],
        ..Machines::default()
    };
    assert_eq!(of_cluster(&well), []);
    let mut ill = well;
    ill.store_problem = Some("no answer".to_owned());
    ill.supervisors.push(machine("b", "lost"));
    ill.supervisors.push(machine("c", "away"));
    ill.supervisors.push(machine("d", "silent"));
    ill.supervisors.push(Machine { held_back: true, ..machine("e", "alive") });
    ill.supervisors.push(Machine { version: "0.9".to_owned(), ..machine("f", "alive") });
    ill.turned_away[0].2 = 3;
    let findings = of_cluster(&ill);
    let found: Vec<_> = findings.iter().map(|it| (it.code, it.supervisor.as_deref())).collect();
    let expected = [
        ("store", None),
        ("supervisor-lost", Some("b")),
        ("supervisor-away", Some("c")),
        ("supervisor-silent", Some("d")),
        ("supervisor-flapping", Some("e")),
        ("version-skew", None),
        ("turned-away", None),
    ];
    assert_eq!(found, expected);
    assert!(findings[5].text.contains("f (0.9)"), "{:?}", findings[5]);
}

#[test]
fn rates_are_said_in_the_unit_that_suits_them() {
    assert_eq!(rate(1_234.4), "1234 a second");
    assert_eq!(tuples(1.25), "1.2 tuples a second");
    assert_eq!(rate(0.05), "3 a minute");
}

#[test]
fn words_of_strangers_are_cut_and_stay_on_one_line() {
    assert_eq!(last_line("first\n\x1b[31mlast\t!\n\n"), " [31mlast !");
    assert_eq!(cut(&"é".repeat(500)).chars().count(), 161);
}
