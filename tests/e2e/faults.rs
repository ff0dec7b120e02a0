//! Faults of the catalogue that nothing else does: `tests/faults.md` says which.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use daemon::Clock;
use tests::ledger::Task;
use tests::{
    Cluster, DEADLINE, Etcd, Process, Proxy, Signal, Way, Weather, get, program, signal, until,
};

use crate::{end_ledger, path, submit_ledger, until_executed};

/// How many tuples make a good second of load.
const LOAD: usize = 400;

#[test]
fn links_that_stall_go_silent_or_break_lose_nothing_and_restart_nobody() {
    let before = (0..2).map(|number| Proxy::before_workers(number, 2));
    let (proxies, flags): (Vec<Vec<Proxy>>, Vec<Vec<String>>) = before.unzip();
    let proxies: Vec<&Proxy> = proxies.iter().flatten().collect();
    let cluster = Cluster::start_with(Etcd::start, 2, flags);
    let mut history = submit_ledger(&cluster, 600, &["--workers", "2"]);
    until_executed(&mut history, LOAD, "there is a load");
    assert!(proxies.iter().any(|proxy| proxy.connections() > 0), "links go through proxies");
    let workers = cluster.workers("ledger");
    let connections = || proxies.iter().map(|proxy| proxy.connections()).sum::<usize>();

    let bad = Weather {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(50),
        stalls_percent: 10,
        silent: false,
    };
    proxies.iter().for_each(|proxy| proxy.set_both(bad));
    until_executed(&mut history, 2 * LOAD, "tuples flow through links that stall");
    let silent = Weather { silent: true, ..Weather::default() };
    for (ways, what) in [
        (&[Way::There][..], "links that were silent one way"),
        (&[Way::Back], "links that were silent the other way"),
        (&[Way::There, Way::Back], "links that seemed half open"),
    ] {
        let before = connections();
        for proxy in &proxies {
            ways.iter().for_each(|way| proxy.set(*way, silent));
        }
        // Those that are given up stay open in a silent proxy, and new ones come.
        until("the silence is found out, and somebody connects anew", || connections() > before);
        proxies.iter().for_each(|proxy| proxy.heal());
        until_executed(&mut history, 2 * LOAD, &format!("tuples flow after {what}"));
    }
    proxies.iter().for_each(|proxy| proxy.cut());
    until_executed(&mut history, 2 * LOAD, "tuples flow after all links were cut");

    assert_eq!(cluster.workers("ledger"), workers, "a worker was restarted");
    end_ledger(&cluster, &mut history, "bad links");
}

#[test]
fn a_worker_that_is_asked_to_end_drains_and_nothing_is_replayed() {
    let cluster = Cluster::start(1, 1);
    let mut history = submit_ledger(&cluster, 600, &[]);
    until_executed(&mut history, LOAD, "there is a load");
    let (worker, _) = cluster.workers("ledger")[0];
    assert!(signal(worker, Signal::SIGTERM), "the worker was there");
    until("another process does its work", || {
        history.refresh().is_ok() && history.current().get(&Task::Sink(0)) != Some(&worker)
    });
    let status = cluster.status("ledger");
    assert_eq!(status["workers"][0]["last_exit"], "exit code 0", "{status}");
    until_executed(&mut history, LOAD, "tuples flow again");
    let replayed = history.told().iter().filter(|told| told.attempt.attempt > 0).count();
    assert_eq!(replayed, 0, "what was under way had settled before the worker ended");
    end_ledger(&cluster, &mut history, "a worker that was asked to end");
}

#[test]
fn a_cluster_that_lost_power_flows_again_without_a_hand() {
    let mut cluster = Cluster::start(2, 2);
    let mut history = submit_ledger(&cluster, 600, &["--workers", "3"]);
    until_executed(&mut history, LOAD, "there is a load");
    cluster.kill_nimbus();
    let mut killed = Vec::new();
    for machine in 0..2 {
        killed.extend(cluster.kill_host(machine));
    }
    cluster.kill_etcd();
    assert_eq!(killed.len(), 3, "three workers ran");
    history.refresh().expect("ledgers can be read");

    cluster.restart_etcd();
    cluster.restart_nimbus();
    cluster.restart_supervisor(0);
    cluster.restart_supervisor(1);
    until_executed(&mut history, LOAD, "tuples flow again");
    until("every task is another process", || {
        history.refresh().is_ok()
            && history.current().values().all(|process| !killed.contains(process))
    });
    assert_eq!(cluster.worker_processes().len(), 3, "each worker runs once");
    end_ledger(&cluster, &mut history, "a power cut");
}

#[test]
fn a_worker_whose_ports_are_taken_says_so_and_runs_when_one_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port();
    let flags = vec![vec![format!("--worker-ports={port}")]];
    let cluster = Cluster::start_with(Etcd::start, 1, flags);
    let submit = ["submit", &path("misbehave"), "--name", "it"];
    cluster.does(&submit);
    until("the status says what is wrong with the port", || {
        let status = cluster.status("it").to_string();
        status.contains(&format!("cannot listen on 127.0.0.1:{port}: "))
    });
    drop(taken);
    until("it runs once the port is free", || {
        cluster.status("it")["workers"][0]["state"] == "running"
    });
}

/// A nimbus that may have only so many files open.
fn short_of_files(cluster: &Cluster, files: u32) -> Process {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    command.arg("-c").arg(limit).arg(program("squall"));
    command.args(["nimbus", "--etcd", &cluster.etcd_url(), "--cluster", "short-of-files"]);
    command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir"]);
    command.arg(cluster.scratch("nimbus"));
    Process::start(command, &cluster.scratch("log").join("nimbus.log"))
}

#[test]
fn a_nimbus_out_of_file_descriptors_answers_again_when_some_are_free() {
    const FILES: u32 = 64;
    let cluster = Cluster::start(1, 1);
    let mut nimbus = short_of_files(&cluster, FILES);
    let line = nimbus.line("nimbus listens on ");
    let (address, http) = line.split_once(", its status is at http://").expect("the ready line");
    until("it answers", || get(http, "/healthz").is_ok_and(|(code, _)| code == 200));
    let held: Vec<_> = (0..2 * FILES).filter_map(|_| TcpStream::connect(address).ok()).collect();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", nimbus.id())).map_or(0, Iterator::count);
    let clock = Clock::system();
    let begun = clock.now();
    until("it has no more descriptors, or has hung up on the silent", || {
        open() >= FILES as usize - 1 || clock.now() > begun + DEADLINE / 12
    });
    drop(held);
    until("it answers again", || get(http, "/healthz").is_ok_and(|(code, _)| code == 200));
    assert_eq!(nimbus.terminate(), Some(0), "it lived all the while: {}", nimbus.log());
}
