//! Whole topologies: servers and workers that are killed during load.

use std::collections::BTreeSet;
use std::process::Command;

use tests::servers::RedisServer;
use tests::{Cluster, Process, Signal, program, signal, until};

use super::commands::assert_in_order;

const COUNT: u64 = 100_000;
const KEYS: u64 = 7;

fn piped(folder: &tempfile::TempDir, arguments: &[&str]) -> Process {
    let mut command = Command::new(program("piped"));
    command.args(arguments);
    Process::start(command, &folder.path().join("piped.log"))
}

fn done(server: &RedisServer) -> u64 {
    let lengths = (0..KEYS).map(|key| server.cli(&["llen", &format!("key-{key}")]));
    lengths.map(|it| it.parse::<u64>().unwrap_or(0)).sum()
}

#[test]
fn a_server_killed_during_load_loses_nothing_and_a_slow_one_stalls_only_its_own_branch() {
    let (mut killed, slow) = (RedisServer::start(), RedisServer::start());
    let folder = tempfile::tempdir().unwrap();
    slow.signal(Signal::SIGSTOP);
    let (count, keys) = (COUNT.to_string(), KEYS.to_string());
    let arguments = ["redis-out", &count, &keys, &killed.address(), &slow.address()];
    let mut topology = piped(&folder, &arguments);
    let (mut seen, mut amid) = (0, 0);
    for _ in 0..3 {
        // A machine that is slow to look may find that it is over.
        until("there is a load, or was", || done(&killed) > seen.min(COUNT - 1));
        killed.kill();
        killed.restart();
        seen = done(&killed);
        amid += u32::from(seen < COUNT);
    }
    assert!(amid > 0, "it was killed during load");
    until("all is there although the other server hangs", || done(&killed) >= COUNT);
    slow.signal(Signal::SIGCONT);
    assert_eq!(topology.wait(), Some(0), "{}", topology.log());
    for server in [&killed, &slow] {
        for key in 0..KEYS {
            let there = server.list(&["lrange", &format!("key-{key}"), "0", "-1"]);
            assert_in_order(&there, (0..COUNT).filter(|it| it % KEYS == key));
        }
    }
    assert_eq!(done(&slow), COUNT, "nothing was done twice where nothing broke");
}

#[test]
fn a_worker_and_a_server_killed_during_load_lose_no_entry_of_a_stream() {
    let mut server = RedisServer::start();
    let cluster = Cluster::start(1, 2);
    let add = |numbers: std::ops::Range<u64>| {
        let script = "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do \
                      redis.call('XADD', 'in', '*', 'number', i % 1000 == 7 and 'x' .. i or i) end return 'OK'";
        let (first, last) = (numbers.start.to_string(), (numbers.end - 1).to_string());
        assert_eq!(server.cli(&["eval", script, "0", &first, &last]), "OK");
    };
    add(0..20_000);
    let binary = program("piped");
    let submit = ["submit", binary.to_str().unwrap(), "--workers", "2", "--"];
    cluster.does(&[&submit[..], &["redis-through", &server.address()]].concat());
    let out = |server: &RedisServer| server.cli(&["scard", "out"]).parse::<u64>().unwrap_or(0);
    until("there is a load", || out(&server) > 0);
    add(20_000..40_000);
    let before = cluster.workers("redis-through");
    assert!(signal(before[0].0, Signal::SIGKILL), "the worker was there");
    let seen = out(&server);
    until("it goes on", || out(&server) > seen);
    server.kill();
    server.restart();
    let dead = |server: &RedisServer| server.cli(&["scard", "dead"]).parse::<u64>().unwrap_or(0);
    until("everything is there", || out(&server) == 40_000 - 40 && dead(&server) == 40);
    let expected: BTreeSet<String> =
        (0..40_000).filter(|it| it % 1_000 != 7).map(|it: u64| it.to_string()).collect();
    let there: BTreeSet<String> = server.list(&["smembers", "out"]).into_iter().collect();
    assert_eq!(there, expected, "each number, and nothing else");
    until("the server knows that all was processed", || {
        server.list(&["xpending", "in", "squall"]).first().is_some_and(|it| it == "0")
    });
}
