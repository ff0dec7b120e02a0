//! Faults of every kind, at random, one every few seconds, and what must hold whatever they were.
//!
//! Which faults come, and in which order, hangs on a seed that is printed. `./test --chaos` runs this
//! for ten minutes; what runs with all other tests is the beginning of it.

use std::time::Duration;

use daemon::Clock;
use tests::ledger::Task;
use tests::{Cluster, Etcd, Proxy, Signal, Way, Weather, rss_bytes, signal, until};

use crate::kills::Chance;
use crate::{end_ledger, submit_ledger, until_executed};

/// How long it lasts unless the environment says something else.
const SECONDS: u64 = 12;

const SUPERVISORS: u8 = 2;
const SLOTS: u16 = 3;

/// Numbers a second: little enough for a debug build on a busy machine.
const RATE: u64 = 600;

/// What a worker may take here, in bytes: its own code in a debug build, and far less than a queue
/// without a limit would hold by the end.
const RESIDENT_MAX: u64 = 300 << 20;

/// File descriptors of a daemon: far more than any of them needs at a time.
const FILES_MAX: usize = 256;

/// The cluster, and what may happen to it.
struct Chaos {
    cluster: Cluster,
    proxies: Vec<Vec<Proxy>>,
    chance: Chance,
    clock: Clock,
}

impl Chaos {
    /// Lets something last for up to so many milliseconds. No condition says when a hand is taken
    /// off again, so the time does.
    fn last_up_to(&mut self, milliseconds: u64) {
        let lasts = Duration::from_millis(50 + self.chance.below(milliseconds));
        let over = self.clock.now() + lasts;
        until("time passes", || self.clock.now() >= over);
    }

    fn supervisor(&mut self) -> usize {
        usize::try_from(self.chance.below(SUPERVISORS.into())).unwrap_or(0)
    }

    /// Stops a process for a while; it may be gone already, and so may it be afterwards.
    fn freeze(&mut self, pid: u32, milliseconds: u64) {
        signal(pid, Signal::SIGSTOP);
        self.last_up_to(milliseconds);
        signal(pid, Signal::SIGCONT);
    }

    /// The process of some worker.
    fn worker(&mut self) -> Option<u32> {
        let mut workers = self.cluster.worker_processes();
        workers.sort_unstable();
        let at = self.chance.below(workers.len().max(1) as u64);
        workers.get(usize::try_from(at).unwrap_or(0)).copied()
    }

    fn weather(&mut self, which: usize, way: Way, weather: Weather, milliseconds: u64) {
        self.proxies[which].iter().for_each(|proxy| proxy.set(way, weather));
        self.last_up_to(milliseconds);
        self.proxies[which].iter().for_each(Proxy::heal);
    }

    /// Does one fault, undoes what can be undone, and says what it was.
    fn fault(&mut self) -> String {
        let kind = self.chance.below(12);
        let which = self.supervisor();
        match kind {
            0 | 1 => {
                self.worker().map(|pid| signal(pid, Signal::SIGKILL));
                "a worker is killed".into()
            }
            2 => {
                let Some(pid) = self.worker() else { return "no worker is there".into() };
                self.freeze(pid, 2_000);
                "a worker stands still".into()
            }
            3 => {
                self.cluster.kill_supervisor(which);
                self.cluster.restart_supervisor(which);
                format!("supervisor {which} is killed")
            }
            4 => {
                let pid = self.cluster.supervisor_process(which);
                self.freeze(pid, 2_000);
                format!("supervisor {which} stands still")
            }
            5 => {
                self.cluster.kill_host(which);
                self.last_up_to(2_000);
                self.cluster.restart_supervisor(which);
                format!("machine {which} is gone for a while")
            }
            6 => {
                self.cluster.kill_nimbus();
                self.cluster.restart_nimbus();
                "the nimbus is killed".into()
            }
            7 => {
                let pid = self.cluster.nimbus().id();
                self.freeze(pid, 2_000);
                "the nimbus stands still".into()
            }
            8 => {
                self.cluster.kill_etcd();
                self.last_up_to(1_500);
                self.cluster.restart_etcd();
                "etcd is killed".into()
            }
            9 => {
                self.proxies[which].iter().for_each(Proxy::cut);
                format!("links to machine {which} are cut")
            }
            10 => {
                let way = if self.chance.below(2) == 0 { Way::There } else { Way::Back };
                let silent = Weather { silent: true, ..Weather::default() };
                self.weather(which, way, silent, 2_000);
                format!("links to machine {which} are silent one way")
            }
            _ => {
                let bad = Weather {
                    delay: Duration::from_millis(20),
                    jitter: Duration::from_millis(30),
                    stalls_percent: 5,
                    silent: false,
                };
                self.weather(which, Way::There, bad, 2_000);
                format!("links to machine {which} stall")
            }
        }
    }

    /// I6: no worker holds more than it may; I10: no daemon collects file descriptors.
    fn assert_small(&self, what: &str) {
        for worker in self.cluster.worker_processes() {
            let resident = rss_bytes(worker);
            assert!(resident < RESIDENT_MAX, "{what}: a worker takes {resident} bytes");
        }
        let daemons = (0..usize::from(SUPERVISORS)).map(|it| self.cluster.supervisor_process(it));
        for daemon in daemons.chain([self.cluster.nimbus().id()]) {
            let files = std::fs::read_dir(format!("/proc/{daemon}/fd")).map_or(0, Iterator::count);
            assert!(files < FILES_MAX, "{what}: a daemon has {files} files open");
        }
    }
}

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Says something while it runs; shown with `--nocapture`, and when the test fails.
#[expect(clippy::print_stdout, reason = "only what is printed so is kept back by the test runner")]
fn say(text: &str) {
    println!("{text}");
}

#[test]
fn random_faults_break_no_promise() {
    let seed = asked("SQUALL_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let lasts = Duration::from_secs(asked("SQUALL_CHAOS_SECONDS").unwrap_or(SECONDS));
    let again = format!("SQUALL_CHAOS_SEED={seed} SQUALL_CHAOS_SECONDS={}", lasts.as_secs());
    say(&format!("chaos: again with {again}"));
    let before = (0..SUPERVISORS).map(|number| Proxy::before_workers(number, SLOTS));
    let (proxies, flags) = before.unzip();
    let mut chaos = Chaos {
        cluster: Cluster::start_with(Etcd::start, SLOTS.into(), flags),
        proxies,
        // Seeds are often small; the generator wants them far apart.
        chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        clock: Clock::system(),
    };
    let mut history = submit_ledger(&chaos.cluster, RATE, &["--workers", "4"]);
    let id = chaos.cluster.status("ledger")["id"].as_str().expect("it has an id").to_owned();
    until("half of what is due flows before the first fault", || {
        history.refresh().is_ok() && history.recent(1_000_000_000).0 >= RATE / 2
    });

    let over = chaos.clock.now() + lasts;
    let mut faults = 0;
    while chaos.clock.now() < over {
        let fault = chaos.fault();
        faults += 1;
        let what = format!("tuples flow after fault {faults}, {fault} ({again})");
        say(&what);
        let more = 200 + chaos.chance.below(1_000);
        until_executed(&mut history, usize::try_from(more).unwrap_or(0), &what);
        chaos.assert_small(&what);
    }
    until("every task works again", || {
        let tasks = history.refresh().map(|()| history.recent(1_000_000_000).1);
        tasks.is_ok_and(|tasks| (0..3).all(|it| tasks.contains(&Task::Sink(it))))
    });

    end_ledger(&chaos.cluster, &mut history, &again);
    chaos.cluster.does(&["kill", "ledger", "--wait"]);
    assert_eq!(chaos.cluster.worker_processes(), [0; 0], "{again}: a worker still runs");
    let folders = chaos.cluster.worker_folders(&id);
    assert!(folders.is_empty(), "{again}: {folders:?} are left");
    let keys = chaos.cluster.keys();
    let left: Vec<&String> = keys.iter().filter(|key| key.contains(&id)).collect();
    assert!(left.is_empty(), "{again}: etcd still holds {left:?}");
    say(&format!("chaos: {faults} faults, {} tuples", history.executed().len()));
}
