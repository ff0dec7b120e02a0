//! A whole nimbus on the in-memory store, spoken to as the CLI, a supervisor and a browser do.

use std::sync::Arc;
use std::time::Duration;

use coordination::{Keys, MemoryStore, Store, Transaction, decode, put};
use daemon::{Clock, Shutdown};
use nimbus::{Config, Running};
use proto::nimbus::binaries_client::BinariesClient;
use proto::nimbus::nimbus_client::NimbusClient;
use proto::nimbus::reports_client::ReportsClient;
use proto::nimbus::{
    FetchRequest, KillRequest, LogsRequest, StatusRequest, SubmitBegin, SubmitPart, SubmitReply,
    TopologyRequest, submit_part,
};
use proto::store::{
    AssignmentRecord, ComponentSpec, Epoch, SupervisorRecord, TaskResult, TopologySpec,
};
use proto::supervisor::{SlotReport, SupervisorReport, TaskReport, WorkerReport};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A nimbus that stops when this is dropped.
struct Nimbus {
    running: Running,
    store: Arc<dyn Store>,
    keys: Keys,
    shutdown: Shutdown,
    _folder: tempfile::TempDir,
}

impl Drop for Nimbus {
    fn drop(&mut self) {
        self.shutdown.ask();
    }
}

impl Nimbus {
    /// Starts one and waits until it leads.
    async fn start() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Clock::system()));
        let nimbus = Self::start_on(store).await;
        until("it leads", || async { nimbus.get("/readyz").await.0 == 200 }).await;
        until("it knows so", || async { nimbus.get("/api/v1/cluster").await.0 == 200 }).await;
        nimbus
    }

    async fn start_on(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let any_port = "127.0.0.1:0".parse().expect("that is an address");
        let config = Config {
            listen: any_port,
            http: any_port,
            cluster: "test".to_owned(),
            ..Config::new(folder.path().display().to_string(), folder.path())
        };
        let shutdown = Shutdown::new();
        let running = nimbus::start(config, store.clone(), Clock::system(), shutdown.clone());
        let running = running.await.expect("it starts");
        let keys = Keys::new("test").expect("that is a name");
        Self { running, store, keys, shutdown, _folder: folder }
    }

    async fn channel(&self) -> Channel {
        let endpoint = daemon::grpc::endpoint(&self.running.address.to_string());
        endpoint.expect("that is an address").connect().await.expect("it listens")
    }

    async fn client(&self) -> NimbusClient<Channel> {
        NimbusClient::new(self.channel().await)
    }

    async fn submit(&self, id: &str, name: &str, program: &[u8]) -> Result<SubmitReply, Status> {
        let begin = SubmitBegin {
            request_id: id.to_owned(),
            spec: Some(spec(name)),
            digest: digest_of(program),
            binary_bytes: program.len() as u64,
            workers: 1,
            ..SubmitBegin::default()
        };
        let part = |kind| SubmitPart { kind: Some(kind) };
        let chunks: Vec<SubmitPart> = program
            .chunks(1 << 20)
            .map(|chunk| part(submit_part::Kind::Chunk(chunk.to_vec())))
            .collect();
        let parts = [part(submit_part::Kind::Begin(begin))].into_iter().chain(chunks);
        let reply = self.client().await.submit(tokio_stream::iter(parts)).await;
        reply.map(tonic::Response::into_inner)
    }

    /// Asks the status endpoint.
    async fn get(&self, path: &str) -> (u16, String) {
        self.http("GET", path).await
    }

    async fn http(&self, method: &str, path: &str) -> (u16, String) {
        let address = self.running.http_address;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
                 Content-Type: application/json\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.expect("a status line"), body.expect("a body"))
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("that is JSON")
    }

    async fn kill(&self, name: &str) {
        let request = KillRequest { name: name.to_owned(), wait_ms: 60_000, ..Default::default() };
        self.client().await.kill(request).await.expect("the kill is taken");
    }
}

/// Waits until a condition holds.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

fn program() -> Vec<u8> {
    let path = std::env::current_exe().expect("this program has a path");
    std::fs::read(path).expect("this program can be read")
}

fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spec(name: &str) -> TopologySpec {
    let lines = ComponentSpec {
        name: "lines".to_owned(),
        spout: true,
        executors: 1,
        tasks: 1,
        ..ComponentSpec::default()
    };
    let components = vec![lines];
    TopologySpec { name: name.to_owned(), components, key_groups: 720, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topology_is_submitted_once_shown_fetched_and_killed_without_a_supervisor() {
    let (nimbus, program) = (Nimbus::start().await, program());
    let reply = nimbus.submit("r-1", "clicks", &program).await.expect("it is taken");
    assert_eq!(reply.name, "clicks");
    let again = nimbus.submit("r-1", "clicks", &program).await.expect("the same request");
    assert_eq!(again, reply, "a repetition gets the first answer");
    let twice = nimbus.submit("r-2", "clicks", &program).await.expect_err("the name is taken");
    assert_eq!(twice.code(), Code::AlreadyExists);
    let details: Value = serde_json::from_slice(twice.details()).expect("details are JSON");
    assert_eq!(details["what"], "failed to submit `clicks`");

    let shown = nimbus.json("/api/v1/topologies/clicks").await;
    assert_eq!(shown["id"], reply.topology_id.as_str());
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["reason"], "waiting: no supervisor is up");
    assert_eq!(shown["components"][0]["execute_p50_us"], Value::Null);
    let request = StatusRequest { path: "topologies".to_owned() };
    let list = nimbus.client().await.status(request).await.expect("the CLI may ask too");
    let list: Value = serde_json::from_str(&list.into_inner().json).expect("that is JSON");
    assert_eq!(list[0]["name"], "clicks");

    let mut binaries = BinariesClient::new(nimbus.channel().await);
    let fetch = || FetchRequest { digest: digest_of(&program) };
    let mut chunks = binaries.fetch(fetch()).await.expect("it is here").into_inner();
    let mut fetched = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("it comes whole") {
        fetched.extend(chunk.data);
    }
    assert!(fetched == program, "what was submitted is what is fetched");

    nimbus.kill("clicks").await;
    until("it is gone", || async { nimbus.json("/api/v1/topologies").await == json!([]) }).await;
    let (status, body) = nimbus.get("/api/v1/topologies/clicks").await;
    assert_eq!(status, 404, "{body}");
    let error = binaries.fetch(fetch()).await.expect_err("its binary is gone too");
    assert_eq!(error.code(), Code::NotFound);
    let left = nimbus.store.list(&nimbus.keys.root()).await.expect("the store answers").entries;
    let left: Vec<&str> = left.iter().map(|entry| entry.key.as_str()).collect();
    let kept = |key: &&str| key.ends_with("/leader") || key.contains("/nimbuses/");
    assert!(left.iter().all(|key| kept(key) || key.contains("/requests/")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_supervisors_report_is_shown_and_a_finished_topology_keeps_its_results() {
    let nimbus = Nimbus::start().await;
    let reply = nimbus.submit("r-1", "clicks", &program()).await.expect("it is taken");
    // Only now: a busy machine takes its time for the binary, and the supervisor would fall silent.
    let record = SupervisorRecord { id: "s".into(), slots: 2, ..SupervisorRecord::default() };
    let operations = vec![put(nimbus.keys.supervisor("s"), &record, None)];
    let registered = nimbus.store.commit(Transaction { guards: vec![], operations }).await;
    registered.expect("the supervisor registers");

    let prefix = nimbus.keys.assignments_of(&reply.topology_id);
    let assigned = || async { !nimbus.store.list(&prefix).await.unwrap().entries.is_empty() };
    until("it is assigned", assigned).await;
    let entry = nimbus.store.list(&prefix).await.unwrap().entries.remove(0);
    let assignment: AssignmentRecord = decode(&entry).expect("it can be read");
    assert_eq!((assignment.supervisor.as_str(), assignment.slot), ("s", 0));

    let (sender, reports) = mpsc::channel(4);
    let mut client = ReportsClient::new(nimbus.channel().await);
    let answers = client.report(ReceiverStream::new(reports)).await.expect("it listens");
    let mut answers = answers.into_inner();
    let task = TaskReport { component: "lines".into(), acked: 7, ..TaskReport::default() };
    let result = TaskResult { task: 0, component: "lines".into(), json: r#"{"n":7}"#.into() };
    let mut worker = WorkerReport { tasks: vec![task], ..WorkerReport::default() };
    for (sequence, finished) in [(1, false), (2, true)] {
        worker.finished = finished;
        worker.results = if finished { vec![result.clone()] } else { Vec::new() };
        let slot = SlotReport {
            topology: reply.topology_id.clone(),
            state: "running".into(),
            epoch: Some(Epoch { revision: entry.modified, restarts: 0 }),
            pid: 77,
            report: Some(worker.clone()),
            ..SlotReport::default()
        };
        let slots = vec![slot];
        let report =
            SupervisorReport { supervisor: "s".into(), slots, sequence, ..Default::default() };
        sender.send(report).await.expect("the stream is open");
        let answer = answers.message().await.expect("it answers").expect("the stream is open");
        assert_eq!(answer.sequence, sequence);
        if !finished {
            let shown = nimbus.json("/api/v1/topologies/clicks").await;
            assert_eq!(shown["workers"][0]["pid"], 77);
            assert_eq!(shown["totals"]["acked"], 7);
            let supervisors = nimbus.json("/api/v1/supervisors").await;
            assert_eq!(supervisors[0]["workers"][0]["topology"], "clicks");
        }
    }
    let finished =
        || async { nimbus.json("/api/v1/topologies/clicks").await["status"] == "finished" };
    until("it is finished", finished).await;
    let shown = nimbus.json("/api/v1/topologies/clicks").await;
    assert_eq!(shown["results"], json!([{"task": 0, "component": "lines", "value": {"n": 7}}]));
    assert_eq!(shown["totals"]["acked"], 7, "what it counted stays");
    assert_eq!(shown["workers"], json!([]));
    let (_, metrics) = nimbus.get("/metrics").await;
    let expected = "squall_acked_total{topology=\"clicks\",component=\"lines\"} 7\n";
    assert!(metrics.contains(expected), "{metrics}");
    let logs = LogsRequest { name: "clicks".into(), ..LogsRequest::default() };
    let error = nimbus.client().await.logs(logs).await.expect_err("nothing runs");
    assert!(error.message().contains("no worker runs it now"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_refused_with_a_way_out_and_leave_nothing() {
    let nimbus = Nimbus::start().await;
    let script = nimbus.submit("", "clicks", b"#!/bin/sh\nexit 0\n").await;
    let script = script.expect_err("it is no program");
    assert_eq!(script.code(), Code::InvalidArgument);
    assert!(script.message().contains("cannot run on this cluster"), "{script}");
    let name = nimbus.submit("", "../clicks", &program()).await.expect_err("no name");
    assert_eq!(name.code(), Code::InvalidArgument);
    let request = TopologyRequest { name: "clicks".into(), ..TopologyRequest::default() };
    let unknown = nimbus.client().await.activate(request).await.expect_err("nothing is there");
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(nimbus.json("/api/v1/topologies").await, json!([]));

    let table = [
        ("GET", "/nonsense", 404),
        ("GET", "/api/v1/topologies/..%2f..%2fetc%2fpasswd", 404),
        ("POST", "/api/v1/topologies", 405),
        ("DELETE", "/healthz", 405),
    ];
    for (method, path, expected) in table {
        let (status, body) = nimbus.http(method, path).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        let error: Value = serde_json::from_str(&body).expect("errors are JSON");
        assert!(error["error"]["fix"].is_string(), "{body}");
    }
    assert_eq!(nimbus.get("/healthz").await, (200, "ok\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_leads_the_other_answers_sends_writers_there_and_takes_over() {
    let first = Nimbus::start().await;
    let second = Nimbus::start_on(first.store.clone()).await;
    until("it knows the leader", || async { second.get("/readyz").await.0 == 200 }).await;
    let leader = first.running.address.to_string();
    let cluster = second.json("/api/v1/cluster").await;
    assert_eq!(cluster["standby"]["leader"], leader.as_str(), "it answers and says so");
    let (status, body) = second.http("POST", "/api/v1/topologies/clicks/activate").await;
    let refused: Value = serde_json::from_str(&body).expect("errors are JSON");
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("not-leader")), "{body}");
    assert_eq!(refused["error"]["leader"], format!("http://{}", first.running.http_address));
    let refused = second.submit("", "clicks", &program()).await.expect_err("it does not lead");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let leader = refused.metadata().get("squall-leader").expect("it says who leads");
    assert_eq!(leader.to_str().unwrap(), first.running.address.to_string());

    let reply = first.submit("r-1", "clicks", &program()).await.expect("the leader takes it");
    drop(first);
    let leads = || async { second.json("/api/v1/cluster").await["standby"].is_null() };
    until("it leads", leads).await;
    assert_eq!(second.json("/api/v1/topologies").await[0]["id"], reply.topology_id.as_str());
    let again = second.submit("r-1", "clicks", &program()).await.expect("the same request");
    assert_eq!(again, reply, "the new leader knows what the old one answered");
}
