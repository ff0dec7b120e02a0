//! What strangers may do to any port, and what names they may give: little, and nothing to others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use proto::nimbus::nimbus_client::NimbusClient;
use proto::nimbus::{
    KillRequest, LogsRequest, RebalanceRequest, StatusRequest, SubmitBegin, SubmitPart,
    TopologyRequest, submit_part,
};
use proto::store::TopologySpec;
use serde_json::Value;
use tests::{Audit, Cluster, get, rss_bytes, until};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::{submit_audit, until_flowing};

/// How long a connection may stay open after nonsense.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much a process may grow under all of it, for buffers that are used again.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

/// How the other side of an HTTP/2 connection is greeted.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The beginning of a gRPC message of 4 GiB.
const FOUR_GIB: &[u8] = &[0, 0xff, 0xff, 0xff, 0xff];

/// Somewhere to connect to.
#[derive(Clone, Debug)]
enum Port {
    Tcp(String),
    Unix(PathBuf),
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A gRPC call of this method with this beginning of a message.
fn call(method: &str, message: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "squall"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal header without indexing, both strings plain.
        for (lead, text) in [(&[0][..], name), (&[], value)] {
            headers.extend(lead);
            headers.push(u8::try_from(text.len()).expect("a short header"));
            headers.extend(text.as_bytes());
        }
    }
    [PREFACE, &frame(4, 0, 0, &[]), &frame(1, 4, 1, &headers), &frame(0, 0, 1, message)].concat()
}

/// Bytes that nobody expects, the same in each run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}

/// Sends nonsense and waits until the other side has closed the connection.
fn assert_closed(port: &Port, what: &str, nonsense: &[u8]) {
    fn closed(stream: &mut (impl Read + Write), nonsense: &[u8]) -> bool {
        // It may be closed before all of it is sent; that is what is wanted.
        drop(stream.write_all(nonsense));
        let mut answer = [0; 4096];
        loop {
            match stream.read(&mut answer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
    let closed = match port {
        Port::Tcp(address) => {
            let mut stream = TcpStream::connect(address).expect("the port is open");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
            closed(&mut stream, nonsense)
        }
        Port::Unix(path) => {
            let mut stream = UnixStream::connect(path).expect("the socket is open");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
            // Only this user can be here, so nobody looks at the clock: say that this is all.
            drop(stream.write_all(nonsense));
            drop(stream.shutdown(std::net::Shutdown::Write));
            closed(&mut stream, &[])
        }
    };
    assert!(closed, "{port:?} stays open after {what}");
}

/// Does everything to one port.
fn torment(port: &Port, methods: &[&str]) {
    let long = |start: &[u8], part: &[u8], times: usize| [start, &part.repeat(times)].concat();
    for round in 0..8 {
        for (what, nonsense) in [
            ("a few random bytes", noise(64, round)),
            ("many random bytes", noise(1 << 20, round)),
            ("a length of 4 GiB", [&[0xff; 4][..], &noise(1_000, round)].concat()),
            ("a message of 4 GiB", [FOUR_GIB, &noise(1_000, round)].concat()),
            ("noise after the preface", [PREFACE, &noise(4_096, round)].concat()),
            ("a frame of 16 MiB", [PREFACE, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat()),
            ("an address without an end", long(b"GET /", b"a", 1 << 20)),
            ("headers without an end", long(b"GET / HTTP/1.1\r\n", b"a: b\r\n", 100_000)),
            (
                "a body of 4 GiB",
                long(b"POST / HTTP/1.1\r\ncontent-length: 4294967296\r\n\r\n", b"x", 100_000),
            ),
        ] {
            assert_closed(port, what, &nonsense);
        }
    }
    let noise = [&[0, 0, 0, 16, 0][..], &noise(4_096, 7)].concat();
    let mut patient = vec![
        ("silence", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface alone", PREFACE.to_vec()),
        ("half a request", b"GET / HTTP/1.1\r\nhost: x\r\n".to_vec()),
        ("a request to go on", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
    ];
    for method in methods {
        patient.push(("a call of 4 GiB", call(method, FOUR_GIB)));
        patient.push(("a call of noise", call(method, &noise)));
    }
    // These are waited for, a second or two.
    std::thread::scope(|scope| {
        for (what, nonsense) in &patient {
            scope.spawn(|| assert_closed(port, what, nonsense));
        }
    });
}

/// Every port of a cluster, with the methods it has.
fn ports(cluster: &Cluster) -> Vec<(Port, Vec<&'static str>)> {
    let [nimbus, http] = cluster.addresses().map(str::to_owned);
    let text = |value: &Value| Port::Tcp(value.as_str().expect("an address").to_owned());
    let supervisor = text(&cluster.document("/api/v1/supervisors")[0]["address"]);
    let status = cluster.status("audit");
    let workers = status["workers"].as_array().cloned().unwrap_or_default();
    let socket = cluster.supervisor_folder(0).join("s").join("control.sock");
    let mut ports = vec![
        (Port::Tcp(nimbus), vec!["/squall.nimbus.Nimbus/Submit", "/squall.nimbus.Reports/Report"]),
        (Port::Tcp(http), vec![]),
        (supervisor, vec!["/squall.supervisor.Supervisor/Logs"]),
        (Port::Unix(socket), vec![]),
    ];
    for worker in &workers {
        let methods = vec!["/squall.transport.Transport/Exchange", "/no.such.Service/Method"];
        ports.push((text(&worker["address"]), methods));
    }
    ports
}

/// Submits a topology of two workers that runs until it is told to end.
fn load(cluster: &Cluster) -> Audit {
    let flags = ["--workers", "2", "-c", "max_pending=50"];
    let audit = submit_audit(cluster, "audit", &flags, &["--count=1000", "--until-end"]);
    until_flowing(&audit, "there is a load");
    audit
}

#[test]
fn nonsense_on_any_port_is_hung_up_on_and_costs_nobody_else_anything() {
    let cluster = Cluster::start(1, 2);
    let audit = load(&cluster);
    let before = cluster.workers("audit");
    let mut processes = vec![cluster.nimbus().id(), cluster.supervisor(0).id()];
    processes.extend(before.iter().map(|(pid, _)| *pid));
    let memory = || processes.iter().map(|pid| rss_bytes(*pid)).collect::<Vec<_>>();
    let used = memory();
    let ports = ports(&cluster);
    assert_eq!(ports.len(), 6, "{ports:?}");

    std::thread::scope(|scope| {
        for (port, methods) in &ports {
            scope.spawn(|| torment(port, methods));
        }
        until_flowing(&audit, "tuples flow meanwhile");
        cluster.does(&["list"]);
        cluster.does(&["logs", "audit"]);
    });

    for (before, now) in used.iter().zip(memory()) {
        assert!(now < before + GROWTH_BYTES_MAX, "a process grew from {before} to {now}");
    }
    assert_eq!(cluster.workers("audit"), before, "a worker was restarted");
    until_flowing(&audit, "tuples still flow");
    audit.let_end();
    let status = cluster.until_finished("audit");
    assert_eq!(status["totals"]["failed"], 0, "{}", status["totals"]);
    audit.assert_nothing_lost(2);
}

/// Names that would be a path, a command, a key of something else, or nothing at all.
fn names() -> Vec<String> {
    let mut names: Vec<String> =
        ["../x", "..", "/", "a/b", ";", "$(reboot)", "a\0b", "\u{1b}[2J", "a b", "é", "-x", "."]
            .map(str::to_owned)
            .into();
    names.push("x".repeat(300));
    names
}

/// Asserts that a nimbus said no, in its three parts, and not because of a failure of its own.
#[track_caller]
fn assert_no<T: std::fmt::Debug>(what: &str, name: &str, answer: Result<T, Status>) {
    let status = answer.expect_err("nobody has such a name");
    let code = status.code();
    assert!(matches!(code, Code::NotFound | Code::InvalidArgument), "{what} {name:?}: {status:?}");
    let details: Value = serde_json::from_slice(status.details()).unwrap_or_default();
    for part in ["what", "why", "fix"] {
        assert!(details[part].is_string(), "{what} {name:?} lacks {part}: {status:?}");
    }
    assert!(status.message().len() < 2_000, "{what} {name:?}: the answer is long");
}

/// Gives a name to every method.
async fn call_it(nimbus: &mut NimbusClient<Channel>, name: &str) {
    let (name, request_id) = (name.to_owned(), String::new());
    let topology = TopologyRequest { request_id: request_id.clone(), name: name.clone() };
    let path = format!("topologies/{name}");
    if path.trim_matches('/') != "topologies" {
        assert_no("status", &name, nimbus.status(StatusRequest { path }).await);
    }
    assert_no("activate", &name, nimbus.activate(topology.clone()).await);
    assert_no("deactivate", &name, nimbus.deactivate(topology.clone()).await);
    let kill = KillRequest { request_id: request_id.clone(), name: name.clone(), wait_ms: 0 };
    assert_no("kill", &name, nimbus.kill(kill).await);
    let rebalance = RebalanceRequest { request_id, name: name.clone(), ..Default::default() };
    assert_no("rebalance", &name, nimbus.rebalance(rebalance).await);
    let logs = LogsRequest { name: name.clone(), ..Default::default() };
    assert_no("logs", &name, nimbus.logs(logs).await);
    let asked = TopologyRequest { request_id: name.clone(), name: "audit".to_owned() };
    assert_no("a request id", &name, nimbus.activate(asked).await);
    for (spec, digest) in [(name.as_str(), "0".repeat(64)), ("sound", name.clone())] {
        let begin = SubmitBegin {
            spec: Some(TopologySpec { name: spec.to_owned(), ..Default::default() }),
            digest,
            binary_bytes: 100,
            workers: 1,
            ..Default::default()
        };
        let part = SubmitPart { kind: Some(submit_part::Kind::Begin(begin)) };
        assert_no("submit", &name, nimbus.submit(tokio_stream::iter([part])).await);
    }
}

#[test]
fn a_hostile_name_is_refused_by_every_verb_method_and_page() {
    let cluster = Cluster::start(1, 2);
    let audit = load(&cluster);
    let keys = cluster.keys();
    let [address, http] = cluster.addresses();
    for name in names() {
        let percent: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        if name != "/" {
            let (code, page) = get(http, &format!("/api/v1/topologies/{percent}")).unwrap();
            let page: Value = serde_json::from_str(&page).expect("JSON");
            assert_eq!(code, 404, "{name:?}: {page}");
            assert!(page["error"]["fix"].is_string(), "{name:?}: {page}");
        }
        // An argument of a program cannot hold a NUL, and a flag starts with a dash.
        if name.contains('\0') || name.starts_with('-') {
            continue;
        }
        for verb in ["describe", "activate", "deactivate", "kill", "rebalance", "logs"] {
            let outcome = cluster.squall(&[verb, &name]);
            assert_eq!(outcome.code, 64, "{verb} {name:?}: {outcome:?}");
            assert!(!outcome.stderr.contains('\u{1b}'), "{verb}: it acts on the terminal");
        }
    }
    let not_text = get(http, "/api/v1/topologies/%ff").unwrap();
    assert_eq!(not_text.0, 400, "{not_text:?}");
    assert!(serde_json::from_str::<Value>(&not_text.1).is_ok(), "{not_text:?}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut nimbus = NimbusClient::new(channel.connect().await.expect("nimbus listens"));
        for name in names() {
            call_it(&mut nimbus, &name).await;
        }
    });
    assert_eq!(cluster.keys(), keys, "somebody's name became a key");
    until("the topology that runs is not touched", || {
        cluster.status("audit")["status"] == "active"
    });
    until_flowing(&audit, "tuples flow");
}
