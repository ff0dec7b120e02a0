//! What is pushed in, by clients that nobody here wrote: curl, logger, the sockets of bash.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod hostile;

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tempfile::TempDir;
use tests::{Cluster, Process, Signal, exchange, program, signal, until};

/// A port of loopback that is free now.
pub(crate) fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A topology that is run by hand, with a folder that its sink writes to.
pub(crate) struct Piped {
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
}

impl Piped {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = run(folder.path(), arguments);
        Self { process, folder }
    }

    /// Kills it as a power cut would, and starts it again with other arguments.
    pub(crate) fn kill_and_start(&mut self, arguments: &[&str]) {
        self.process.kill();
        self.process = run(self.folder.path(), arguments);
    }

    pub(crate) fn seen(&self, name: &str) -> Vec<String> {
        seen(&self.folder.path().join(name))
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Process {
    let mut command = Command::new(program("piped"));
    command.arg("push").args(arguments).arg(format!("--out={}", folder.display()));
    command.env("PUSH_TOKEN", "hunter2");
    Process::start(command, &folder.join("log"))
}

pub(crate) fn seen(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until somebody listens there.
pub(crate) fn until_open(address: &str) {
    until("the source listens", || std::net::TcpStream::connect(address).is_ok());
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn output(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = thread::spawn(move || std::io::Write::write_all(&mut stdin, input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    // Who does not read all of it has hung up.
    writer.join().unwrap().ok();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Posts with curl: the status code, and the answer with its head.
pub(crate) fn curl(address: &str, kind: &str, body: &str, more: &[&str]) -> (u16, String) {
    let (url, kind) = (format!("http://{address}/records"), format!("content-type: {kind}"));
    let fixed = ["-s", "-i", "-w", "\n%{http_code}", "-H", &kind, "--data-binary", "@-", &url];
    let (_, text) = output("curl", &[&fixed, more].concat(), body);
    let (answer, code) = text.rsplit_once('\n').unwrap_or(("", "0"));
    (code.parse().unwrap_or(0), answer.to_ascii_lowercase())
}

#[test]
fn posts_are_answered_when_they_were_processed_or_told_what_is_wrong() {
    let address = free();
    let (listen, token) = (format!("--listen={address}"), "--token=env:PUSH_TOKEN");
    let mut piped = Piped::start(&["--source=http", &listen, token]);
    until_open(&address);
    let auth = ["-H", "authorization: Bearer hunter2"];
    let post = |kind: &str, body: &str| curl(&address, kind, body, &auth);
    let (json, lines) = ("application/json", "text/plain");

    assert_eq!(post(json, "{\"a\": 1}").0, 202);
    assert_eq!(piped.seen("seen"), ["{\"a\": 1}"], "it was processed before it was answered");
    assert_eq!(post(json, "[1, {\"b\":2}]").0, 202);
    assert_eq!(post("application/x-ndjson", "3\n4\n").0, 202);
    let (code, answer) = post(lines, "five\nsix\n");
    assert!(code == 202 && answer.contains("\"accepted\":2"), "{answer}");
    let seen: BTreeSet<String> = piped.seen("seen").into_iter().collect();
    let wanted = ["{\"a\": 1}", "1", "{\"b\":2}", "3", "4", "five", "six"];
    assert_eq!(seen, wanted.map(str::to_owned).into());

    let (code, answer) = post(lines, "seven\nfail it\n");
    assert_eq!(code, 503, "{answer}");
    assert!(answer.contains("\"record\":1") && answer.contains("\"accepted\":1"), "{answer}");
    let (code, answer) = post(json, "[1, {]");
    assert!(code == 400 && answer.contains("nothing of the body was taken"), "{answer}");
    assert_eq!(post("application/x-ndjson", "1\n{\n").0, 400);
    let (code, answer) = post("application/x-www-form-urlencoded", "a=b");
    assert!(code == 415 && answer.contains("application/x-ndjson"), "{answer}");
    let large = "x".repeat(70 << 10);
    let (code, answer) = post(lines, &large);
    assert!(code == 413 && answer.contains("65536"), "told before it was read: {answer}");
    let chunked = ["-H", "transfer-encoding: chunked", "-H", "authorization: Bearer hunter2"];
    assert_eq!(curl(&address, lines, &large, &chunked).0, 413, "its length was not told");
    assert_eq!(post(lines, &"x\n".repeat(1_001)).0, 413, "too many records");
    for wrong in [&["-H", "authorization: Bearer hunter3"][..], &[]] {
        let (code, answer) = curl(&address, lines, "eight", wrong);
        assert!(code == 401 && !answer.contains("hunter2"), "{answer}");
    }
    let get = format!("GET /records HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    assert_eq!(exchange(&address, &get).unwrap().0, 405);
    assert_eq!(exchange(&address, &get.replace("/records", "/")).unwrap().0, 404);
    assert!(!piped.seen("seen").contains(&"eight".to_owned()));

    let mut second = Piped::start(&["--source=http", &listen]);
    until("the second one says that the port is taken", || {
        second.process.log().contains("option `listen` is wrong")
    });
    assert!(second.process.log().contains("another process has the port"));
    second.process.kill();
    assert!(!piped.process.log().contains("hunter2"));
    piped.process.terminate();
}

#[test]
fn a_topology_that_is_behind_answers_429_and_stalls_only_its_own_branch() {
    let (address, beside) = (free(), free());
    let (listen, other) = (format!("--listen={address}"), format!("--beside={beside}"));
    let piped = Piped::start(&["--source=http", &listen, &other, "--pending=10", "--hold"]);
    until_open(&address);
    let held: Vec<_> = (0..10)
        .map(|n| {
            let address = address.clone();
            thread::spawn(move || curl(&address, "text/plain", &format!("held {n}"), &[]).0)
        })
        .collect();
    let mut answer = (0, String::new());
    until("there is no room", || {
        // One that found room waits for its verdict as the others do.
        answer = curl(&address, "text/plain", "more", &["--max-time", "2"]);
        answer.0 == 429
    });
    assert!(answer.1.contains("retry-after: 1"), "{}", answer.1);
    let (works, _) = output("bash", &["-c", &to_tcp(&beside)], "free one\nfree two\n");
    assert!(works, "bash sends lines");
    until("the branch beside goes on", || piped.seen("beside") == ["free one", "free two"]);
    assert!(piped.seen("seen").is_empty(), "nothing was processed yet");
    fs::write(piped.folder.path().join("go"), "").unwrap();
    let codes: Vec<u16> = held.into_iter().map(|it| it.join().unwrap()).collect();
    let accepted = codes.iter().filter(|code| **code == 202).count();
    let refused = codes.iter().filter(|code| **code == 429).count();
    assert_eq!(accepted + refused, 10, "each was answered: {codes:?}");
    let seen: BTreeSet<String> = piped.seen("seen").into_iter().collect();
    assert!(seen.len() >= accepted && accepted > 0, "{seen:?}");
}

/// What has bash send its standard input to an address.
fn to_tcp(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    format!("cat > /dev/tcp/{host}/{port}")
}

/// Posts numbered records until told to stop, from some threads; gives those that were answered 202.
pub(crate) fn posted_until(address: &str, stop: &AtomicBool) -> BTreeSet<String> {
    let post = |of: usize| {
        let (mut accepted, mut n) = (BTreeSet::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            let texts: Vec<String> = (n..n + 3).map(|n| format!("{of}-{n}")).collect();
            n += 3;
            let body = texts.join("\n");
            let request = format!(
                "POST /records HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: \
                 text/plain\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            // Who listens there is killed now and then.
            if exchange(address, &request).is_ok_and(|(code, _, _)| code == 202) {
                accepted.extend(texts);
            }
        }
        accepted
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|of| scope.spawn(move || post(of))).collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    })
}

#[test]
fn a_worker_that_is_killed_loses_nothing_that_was_answered_202() {
    let cluster = Cluster::start(1, 1);
    let (address, out) = (free(), cluster.scratch("out"));
    let piped = program("piped");
    let arguments = [&format!("--listen={address}"), &format!("--out={}", out.display())];
    let submit = ["submit", &piped.display().to_string(), "--wait", "--", "push", "--source=http"];
    cluster.does(&[&submit[..], &arguments.map(String::as_str)].concat());
    until_open(&address);
    let stop = AtomicBool::new(false);
    let accepted = thread::scope(|scope| {
        let accepted = scope.spawn(|| posted_until(&address, &stop));
        for round in 1..=2 {
            let before = seen(&out.join("seen")).len();
            until("posts go on", || seen(&out.join("seen")).len() > before + 100);
            let workers = cluster.workers("push");
            assert!(signal(workers[0].0, Signal::SIGKILL), "kill {round}: {workers:?}");
            until("another worker is there", || {
                let now = cluster.workers("push");
                now.first().is_some_and(|(pid, _)| *pid != 0 && *pid != workers[0].0)
            });
            until_open(&address);
        }
        stop.store(true, Ordering::Relaxed);
        accepted.join().unwrap()
    });
    let seen: BTreeSet<String> = seen(&out.join("seen")).into_iter().collect();
    assert!(accepted.len() > 200, "{} were accepted", accepted.len());
    let lost: Vec<_> = accepted.difference(&seen).collect();
    assert!(lost.is_empty(), "answered 202 and lost: {lost:?}");
    cluster.does(&["deactivate", "push"]);
    until("a topology that is not active answers 429", || {
        curl(&address, "text/plain", "late", &["--max-time", "2"]).0 == 429
    });
    cluster.does(&["kill", "push", "--wait"]);
    let stdin = ["submit", &piped.display().to_string(), "--", "push", "--source=stdin"];
    cluster.does(&[&stdin[..], &[arguments[1]]].concat());
    until("a worker says that it has no standard input", || {
        cluster.status("push").to_string().contains("run by hand")
    });
}

#[test]
fn a_buffer_gives_its_answer_before_and_keeps_its_word_over_kills() {
    let (address, buffer) = (free(), tempfile::tempdir().unwrap());
    let listen = format!("--listen={address}");
    let kept = format!("--buffer={}", buffer.path().display());
    let arguments = ["--source=http", &*listen, &*kept, "--hold"];
    let mut piped = Piped::start(&arguments);
    until_open(&address);
    let stop = AtomicBool::new(false);
    let accepted = thread::scope(|scope| {
        let accepted = scope.spawn(|| posted_until(&address, &stop));
        let mut bytes = 0;
        for _ in 0..3 {
            until("the buffer grows", || {
                let now = size(buffer.path());
                now > bytes + 10_000
            });
            bytes = size(buffer.path());
            piped.kill_and_start(&arguments);
            until_open(&address);
        }
        stop.store(true, Ordering::Relaxed);
        accepted.join().unwrap()
    });
    assert!(accepted.len() > 200, "{} were accepted", accepted.len());
    assert!(piped.seen("seen").is_empty(), "nothing was processed yet");
    piped.kill_and_start(&arguments[..3]);
    until("all that was answered 202 is processed", || {
        let seen: BTreeSet<String> = piped.seen("seen").into_iter().collect();
        accepted.is_subset(&seen)
    });
    let second = Piped::start(&["--source=http", &kept]);
    until("a second topology is told whose buffer it is", || {
        second.process.log().contains("another process has it")
    });
    until("what is done with is written down", || {
        let positions = fs::read_to_string(buffer.path().join("task-0/positions"));
        let low = format!("\nlow {}\nsum ", piped.seen("seen").len());
        positions.is_ok_and(|text| text.contains(&low))
    });
    let before = piped.seen("seen").len();
    piped.kill_and_start(&arguments[..3]);
    until_open(&address);
    assert_eq!(curl(&address, "text/plain", "last", &[]).0, 202);
    until("it goes on", || piped.seen("seen").last().is_some_and(|last| last == "last"));
    assert_eq!(piped.seen("seen").len(), before + 1, "what is done with is not given again");
}

/// Bytes of the segments of a task's buffer.
fn size(buffer: &Path) -> u64 {
    let files = fs::read_dir(buffer.join("task-0")).into_iter().flatten().flatten();
    let segments = files.filter(|it| it.path().extension().is_some_and(|it| it == "segment"));
    segments.filter_map(|file| file.metadata().ok()).map(|it| it.len()).sum()
}

#[test]
fn syslog_is_read_from_logger_over_tcp_and_udp_and_what_is_none_is_kept() {
    let address = free();
    let (_, port) = address.rsplit_once(':').unwrap();
    let piped = Piped::start(&["--source=syslog", &format!("--listen={address}")]);
    until_open(&address);
    let to = ["-n", "127.0.0.1", "-P", port, "-T", "-t", "probe", "-p", "local0.warning"];
    for more in [&["--rfc5424", "--octet-count", "new"][..], &["--rfc3164", "old"]] {
        let (works, _) = output("logger", &[&to[..], more].concat(), "");
        assert!(works, "logger sends {more:?}");
    }
    assert!(output("bash", &["-c", &to_tcp(&address)], "no syslog at all\n").0);
    let wanted =
        ["rfc5424 16.4 probe: new", "rfc3164 16.4 probe: old", "raw 1.5 : no syslog at all"];
    until("all three are there", || {
        let seen = piped.seen("seen");
        wanted.iter().all(|wanted| seen.iter().any(|it| it == wanted))
    });

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let port = address.port().to_string();
    let piped = Piped::start(&["--source=syslog-udp", &format!("--listen={address}")]);
    until("a datagram comes through", || {
        let to = ["-n", "127.0.0.1", "-P", &port, "-d", "-t", "probe", "--rfc5424", "datagram"];
        assert!(output("logger", &to, "").0, "logger sends datagrams");
        piped.seen("seen").iter().any(|it| it == "rfc5424 1.5 probe: datagram")
    });
}

#[test]
fn lines_commands_and_standard_input_are_read_a_line_a_record() {
    let address = free();
    let piped = Piped::start(&["--source=lines", &format!("--listen={address}")]);
    until_open(&address);
    let long = format!("{}\nnext\r\nlast", "x".repeat(50_000_000));
    assert!(output("bash", &["-c", &to_tcp(&address)], &long).0);
    until("a long line is cut and the next are whole", || {
        piped.seen("seen") == [&*"x".repeat(1_000), "next", "last"]
    });
    assert!(piped.process.rss_bytes() < 200 << 20, "{}", piped.process.rss_bytes());

    let mut piped = Piped::start(&["--source=command", "--restart=never"]);
    assert_eq!(piped.process.wait(), Some(0), "it is finished with its command");
    assert_eq!(piped.seen("seen"), ["one", "two"]);
    let log = piped.process.log();
    assert!(log.contains("exit status: 3") && log.contains("not started again"), "{log}");
    let piped = Piped::start(&["--source=command"]);
    until("it is started again", || piped.seen("seen").len() >= 4);

    let folder = tempfile::tempdir().unwrap();
    let out = format!("--out={}", folder.path().display());
    let binary = program("piped").display().to_string();
    let (works, _) = output(&binary, &["push", "--source=stdin", &out], "a\nb\nc");
    assert!(works && seen(&folder.path().join("seen")) == ["a", "b", "c"]);
}

#[test]
fn wrong_options_are_told_by_name() {
    let wrong = [
        (vec!["--source=http", "--listen=localhost"], "option `listen` is wrong: `localhost`"),
        (vec!["--source=http", "--listen=0.0.0.0:0"], "other machines"),
        (vec!["--source=http", "--token=hunter2"], "option `secret` is wrong"),
        (vec!["--source=http", "--token=env:NO_SUCH_TOKEN"], "NO_SUCH_TOKEN"),
        (vec!["--source=http", "--pending=0"], "`records_max` is wrong"),
        (vec!["--source=http", "--buffer=relative"], "option `buffer.folder` is wrong"),
        (vec!["--source=syslog-udp", "--listen=127.0.0.1"], "option `listen` is wrong"),
        (vec!["--source=lines", "--relay=nobody"], "option `addresses` is wrong"),
    ];
    for (arguments, told) in wrong {
        let piped = Piped::start(&arguments);
        until(&format!("{arguments:?} is told"), || piped.process.log().contains(told));
        assert!(!piped.process.log().contains("hunter2"), "no secret is shown");
    }
}
