//! What this test does when a supervisor starts it as a worker: dials the socket, says hello,
//! reports, does as it is told.

use std::time::Duration;

use proto::store::Epoch;
use proto::supervisor::worker_control_client::WorkerControlClient;
use proto::supervisor::{
    DeadLetter, DesiredState, FromWorker, KeepLetter, LetterSettled, WorkerHello, WorkerReport,
    desired_state, from_worker, letter_settled, to_worker,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Arguments with which this test's binary is a worker.
pub(crate) const ARGUMENTS: [&str; 3] = ["--exact", "child::runs_as_a_worker", "--nocapture"];

/// So often it dials.
const DIALS_MAX: u32 = 2_000;

/// Does nothing in a run of the tests; with `SQUALL_MODE=worker` it never returns.
#[test]
#[expect(clippy::exit, reason = "the process is a worker and not a test")]
fn runs_as_a_worker() {
    if std::env::var("SQUALL_MODE").as_deref() != Ok("worker") {
        return;
    }
    if variable("SQUALL_CONFIG").contains("crash") {
        say("cannot find the file");
        std::process::exit(65);
    }
    if variable("SQUALL_CONFIG").contains("panic") {
        panic!("on purpose\nand more");
    }
    if variable("SQUALL_CONFIG").contains("eat") {
        eat();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::process::exit(runtime.block_on(work()));
}

/// Takes memory without end; the machine of a test that failed has other uses for it.
fn eat() {
    let blocks: Vec<Vec<u8>> = (0..4_000).map(|_| vec![1; 1 << 20]).collect();
    say(&format!("took {} MiB and lives", blocks.len()));
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is set"))
}

#[expect(clippy::print_stdout, reason = "a worker's output is its log")]
fn say(line: &str) {
    println!("{line}");
}

async fn work() -> i32 {
    let transport = TcpListener::bind(variable("SQUALL_LISTEN")).await.unwrap();
    let address = transport.local_addr().unwrap().to_string();
    let deaf = variable("SQUALL_CONFIG").contains("deaf");
    if deaf {
        let ignore = nix::sys::signal::SigSet::from(nix::sys::signal::Signal::SIGTERM);
        ignore.thread_block().unwrap();
    }
    // A test that failed leaves nobody to dial: not for ever.
    for _ in 0..DIALS_MAX {
        if let Some(reason) = converse(&address).await
            && !deaf
        {
            say(&format!("told to stop: {reason}"));
            return 0;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    1
}

/// Speaks with the supervisor until the stream breaks, or until it says stop and why.
async fn converse(address: &str) -> Option<String> {
    let epoch = variable("SQUALL_EPOCH");
    let (revision, restarts) = epoch.split_once('.').unwrap();
    let hello = WorkerHello {
        topology: variable("SQUALL_TOPOLOGY"),
        worker: variable("SQUALL_WORKER").parse().unwrap(),
        token: variable("SQUALL_TOKEN"),
        epoch: Some(Epoch {
            revision: revision.parse().unwrap(),
            restarts: restarts.parse().unwrap(),
        }),
        pid: std::process::id(),
        address: address.to_owned(),
        released: None,
    };
    let (sender, mut told) = dial(&variable("SQUALL_SOCKET"), hello).await?;
    if variable("SQUALL_CONFIG").contains("letters") {
        let kind = Some(from_worker::Kind::Letter(letter()));
        sender.send(FromWorker { kind }).await.ok()?;
    }
    let mut report = WorkerReport::default();
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            message = told.message() => match message.ok()??.kind? {
                to_worker::Kind::Assignment(record) => {
                    say(&format!("told assignment {}", record.generation));
                }
                to_worker::Kind::Table(table) => say(&format!("told table {}", table.version)),
                to_worker::Kind::State(DesiredState { state }) => {
                    say(&format!("told state {state}"));
                    report.drained = state == i32::from(desired_state::State::Draining);
                }
                to_worker::Kind::Stop(stop) => return Some(stop.reason),
                to_worker::Kind::Nimbuses(_)
                | to_worker::Kind::Beat(_)
                | to_worker::Kind::Tap(_)
                | to_worker::Kind::Untap(_)
                | to_worker::Kind::LogLevel(_) => {}
                to_worker::Kind::Kept(kept) => {
                    say(&format!("told letter {} kept: {:?}", kept.ticket, kept.refused));
                }
                to_worker::Kind::Replay(replay) => {
                    say(&format!("told replay {} of {:?}", replay.letter, replay.row));
                    if variable("SQUALL_CONFIG").contains("holds") {
                        continue;
                    }
                    let outcome = Some(letter_settled::Outcome::Acked(true));
                    let settled = LetterSettled { letter: replay.letter, outcome };
                    let kind = Some(from_worker::Kind::Settled(settled));
                    sender.send(FromWorker { kind }).await.ok()?;
                }
            },
            _ = beat.tick() => {
                report.sequence += 1;
                let kind = Some(from_worker::Kind::Report(report.clone()));
                sender.send(FromWorker { kind }).await.ok()?;
            }
        }
    }
}

/// The letter that it hands over, each time it dials.
fn letter() -> KeepLetter {
    let letter = DeadLetter {
        component: "orders".to_owned(),
        reason: "error".to_owned(),
        row: vec![7],
        ticket: 1,
        ..DeadLetter::default()
    };
    KeepLetter { letter: Some(letter), bytes_max: 1 << 20 }
}

type Told = Streaming<proto::supervisor::ToWorker>;

async fn dial(socket: &str, hello: WorkerHello) -> Option<(mpsc::Sender<FromWorker>, Told)> {
    let mut client = WorkerControlClient::connect(format!("unix://{socket}")).await.ok()?;
    let (sender, stream) = mpsc::channel(4);
    let kind = Some(from_worker::Kind::Hello(hello));
    sender.send(FromWorker { kind }).await.ok()?;
    let told = client.attach(ReceiverStream::new(stream)).await.ok()?.into_inner();
    Some((sender, told))
}

/// Says hello with a token that is not the worker's; returns the reason for the stop it is told.
pub(crate) async fn knock(socket: &str, token: &str, epoch: Option<Epoch>) -> Option<String> {
    let hello = WorkerHello {
        topology: super::TOPOLOGY.to_owned(),
        token: token.to_owned(),
        epoch,
        ..WorkerHello::default()
    };
    let (_sender, mut told) = dial(socket, hello).await?;
    match told.message().await.ok()??.kind? {
        to_worker::Kind::Stop(stop) => Some(stop.reason),
        other => panic!("told {other:?}"),
    }
}
