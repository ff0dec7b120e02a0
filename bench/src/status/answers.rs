//! How long a nimbus of a large cluster takes to answer, and how large its answers are.
//!
//! It is the nimbus that is shipped, in a process of its own ([`super::served`]), with its listeners on
//! loopback and its histories full ([`super::fill`]). Supervisors report over gRPC, four times a second and in
//! the portions that shipped ones send. One reader after the other asks
//! over HTTP, each on a connection of its own. What memory that process takes is read meanwhile.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use daemon::Clock;
use nimbus::Running;
use proto::nimbus::nimbus_client::NimbusClient;
use proto::nimbus::reports_client::ReportsClient;
use proto::nimbus::{SubmitBegin, SubmitPart, submit_part};
use proto::supervisor::SupervisorReport;
use serde::Serialize;
use sha2::{Digest, Sha256};
use supervisor::Portions;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::fill::{self, Fill};
use super::reports::{
    COMPONENTS, EACH_SECOND, Place, Shape, VALUES, component_name, count_on, report, topology_name,
};
use super::served::Served;
use crate::figures::{as_f64, rounded};
use crate::meter::now_ns;
use crate::note;
use crate::problem::{EX_OSERR, Problem};

/// How long the nimbus may take to lead, and to place everything.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// How often supervisors report.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(250);

/// Threads of a nimbus, as the shipped program has where cores are few.
pub(super) const THREADS: usize = 4;

/// Reports before anything is asked: what tasks did over ten seconds is known then.
const WARM_UP: Duration = Duration::from_secs(12);

/// Enough of a program to be taken for one.
const PROGRAM_BYTES: u64 = 4_096;

/// What one page came to.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Answer {
    pub(super) bytes: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// The pages that are asked for; `{}` is a topology.
fn pages() -> Vec<String> {
    let component = component_name(3);
    let pages = [
        "/api/v1/cluster",
        "/api/v1/nimbuses",
        "/api/v1/supervisors",
        "/api/v1/supervisors/machine-0",
        "/api/v1/topologies",
        "/api/v1/topologies/{}",
        "/api/v1/topologies/{}/workers",
        "/api/v1/topologies/{}/components/COMPONENT?limit=1000&sort=busy",
        "/api/v1/topologies/{}/history?from=0",
        "/api/v1/topologies/{}/history?component=COMPONENT&step=60",
        "/api/v1/topologies/{}/errors",
        "/api/v1/topologies/{}/findings",
        "/api/v1/topologies/{}/results",
        "/api/v1/topologies/{}/events",
        "/api/v1/topologies/{}/config",
        "/api/v1/events",
        "/api/v1/prometheus/targets",
        "/api/v1/openapi.json",
        "/metrics",
        "/metrics?histograms=none",
        "/metrics?histograms=all",
        "/metrics?topology={}",
    ];
    pages.iter().map(|page| page.replace("COMPONENT", &component)).collect()
}

/// What the nimbus answered, and the memory of its process.
pub(super) type Measured = (BTreeMap<String, Answer>, Resident);

/// The memory of the process of a nimbus, in MiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Resident {
    /// When it leads, and there is nothing yet.
    started_mib: f64,
    /// When everything is placed, and nothing was reported: what it knows of a cluster of this size, and
    /// its store, which is in its memory here.
    placed_mib: f64,
    /// When its histories are full, and ten tasks of each worker of one supervisor have reported.
    histories_mib: f64,
    /// When all tasks have reported for some seconds too.
    pub(super) full_mib: f64,
    /// When it was asked for every page too.
    pub(super) asked_mib: f64,
    /// The most it ever was.
    pub(super) most_mib: f64,
}

/// Starts a nimbus, fills its histories, feeds it with the reports of all tasks, asks it `rounds` times for every page, and
/// ends it.
pub(super) fn measure(shape: Shape, rounds: u32) -> Result<Measured, Problem> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| refused(&error))?;
    let measured = runtime.block_on(run(shape, rounds, runtime.handle()));
    runtime.shutdown_background();
    measured
}

async fn run(shape: Shape, rounds: u32, here: &Handle) -> Result<Measured, Problem> {
    let mut served = Served::start(shape)?;
    let running = served.running;
    let address = running.http_address.to_string();
    until_it_leads(&address).await?;
    let (started_mib, _) = served.resident_mib()?;
    let (telling, told) = watch::channel(AllTold::default());
    let (pausing, paused) = watch::channel(false);
    for supervisor in shape.supervisors() {
        here.spawn(feed(supervisor, running, told.clone(), paused.clone()));
    }
    submit(shape, running).await?;
    let places = served.places()?;
    let (placed_mib, _) = served.resident_mib()?;
    pausing.send_replace(true);
    // First, for each second of many tasks costs nimbus more.
    let fill = Fill::new(shape, &places)?;
    fill.run(&mut served, (dial(running).await?, &address)).await?;
    fill::check(&address)?;
    let (histories_mib, _) = served.resident_mib()?;
    let made = tokio::task::spawn_blocking(move || tell(shape, &places)).await;
    telling.send_replace(made.map_err(|error| Problem::failed("the reports panicked", error))??);
    pausing.send_replace(false);
    tokio::time::sleep(WARM_UP).await;
    until_heard(&address, shape).await?;
    let (full_mib, _) = served.resident_mib()?;
    let asked = tokio::task::spawn_blocking(move || ask(&address, shape, rounds));
    let answers = asked.await.map_err(|error| Problem::failed("the reader panicked", error))??;
    let (asked_mib, most_mib) = served.resident_mib()?;
    let resident =
        Resident { started_mib, placed_mib, histories_mib, full_mib, asked_mib, most_mib };
    Ok((answers, resident))
}

pub(super) fn refused(error: &dyn std::fmt::Display) -> Problem {
    Problem::new(EX_OSERR, "cannot start a nimbus", error, "see what the machine is short of")
}

async fn dial(running: Running) -> Result<Channel, Problem> {
    let endpoint = daemon::grpc::endpoint(&running.address.to_string());
    let endpoint = endpoint.map_err(|error| refused(&error))?;
    endpoint.connect().await.map_err(|error| refused(&error))
}

async fn until_it_leads(address: &str) -> Result<(), Problem> {
    let deadline = Clock::system().now() + PATIENCE;
    while !tests::get(address, "/readyz").is_ok_and(|(status, _)| status == 200) {
        if Clock::system().now() >= deadline {
            return Err(Problem::failed("the nimbus does not lead in time", ""));
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
    Ok(())
}

/// Waits until the tasks of every topology are known: else nothing was measured.
async fn until_heard(address: &str, shape: Shape) -> Result<(), Problem> {
    let deadline = Clock::system().now() + PATIENCE;
    let each = shape.tasks / COMPONENTS;
    let is_heard = |number: u32| {
        let (name, component) = (topology_name(number), component_name(3));
        let page = format!("/api/v1/topologies/{name}/components/{component}?limit=1");
        let wanted = format!("\"tasks_total\":{each},");
        tests::get(address, &page).is_ok_and(|(_, text)| text.contains(&wanted))
    };
    while !(0..shape.topologies).all(is_heard) {
        if Clock::system().now() >= deadline {
            return Err(Problem::failed("nimbus did not hear of every task in time", ""));
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
    Ok(())
}

/// Submits every topology.
async fn submit(shape: Shape, running: Running) -> Result<(), Problem> {
    let mut program = Vec::new();
    let own = std::env::current_exe().and_then(std::fs::File::open);
    let read = own.and_then(|own| own.take(PROGRAM_BYTES).read_to_end(&mut program));
    read.map_err(|error| refused(&error))?;
    let digest: String =
        Sha256::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut client = NimbusClient::new(dial(running).await?);
    for number in 0..shape.topologies {
        let begin = SubmitBegin {
            request_id: format!("{:032x}", rand::random::<u128>()),
            spec: Some(shape.spec(number)),
            digest: digest.clone(),
            binary_bytes: program.len() as u64,
            workers: shape.workers,
            ..SubmitBegin::default()
        };
        let kinds = [submit_part::Kind::Begin(begin), submit_part::Kind::Chunk(program.clone())];
        let parts = kinds.map(|kind| SubmitPart { kind: Some(kind) });
        let submitted = client.submit(tokio_stream::iter(parts)).await;
        submitted.map_err(|error| Problem::failed("cannot submit", error.message()))?;
    }
    Ok(())
}

/// What each supervisor tells; empty until everything is placed.
type AllTold = BTreeMap<String, SupervisorReport>;

/// Makes what all supervisors tell.
fn tell(shape: Shape, places: &[Place]) -> Result<AllTold, Problem> {
    let told = shape.supervisors().into_iter().map(|supervisor| {
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == supervisor).collect();
        Ok((supervisor, report(shape, &here, VALUES)?))
    });
    told.collect()
}

/// Reports as one supervisor does: on a new stream whenever one breaks.
async fn feed(
    supervisor: String,
    nimbus: Running,
    told: watch::Receiver<AllTold>,
    paused: watch::Receiver<bool>,
) {
    let mut feed = Feed { supervisor, told, paused, sequence: 0 };
    loop {
        if let Err(problem) = feed.report(nimbus).await {
            note(&format!("{} reports anew: {problem}", feed.supervisor));
        }
        tokio::time::sleep(REPORT_EVERY).await;
    }
}

struct Feed {
    supervisor: String,
    told: watch::Receiver<AllTold>,
    paused: watch::Receiver<bool>,
    sequence: u64,
}

impl Feed {
    /// Reports until the stream breaks.
    async fn report(&mut self, nimbus: Running) -> Result<(), String> {
        let channel = dial(nimbus).await.map_err(|it| format!("{}: {}", it.what, it.why))?;
        let (sender, reports) = mpsc::channel(4);
        let mut client = ReportsClient::new(channel);
        let replies = client.report(ReceiverStream::new(reports)).await;
        let mut replies = replies.map_err(|status| status.message().to_owned())?.into_inner();
        let mut portions = Portions::default();
        loop {
            let goes_on = self.paused.wait_for(|paused| !paused).await;
            goes_on.map(drop).map_err(|_| "the measurement has ended")?;
            for portion in portions.of(self.next(), Clock::system().now()) {
                sender.send(portion).await.map_err(|_| "the stream is closed")?;
                match replies.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Err("nimbus ended the stream".to_owned()),
                    Err(status) => return Err(status.message().to_owned()),
                }
            }
            tokio::time::sleep(REPORT_EVERY).await;
        }
    }

    fn next(&mut self) -> SupervisorReport {
        self.sequence += 1;
        let told = self.told.borrow().get(&self.supervisor).cloned();
        let supervisor = self.supervisor.clone();
        let nothing = || SupervisorReport { supervisor, ..SupervisorReport::default() };
        let mut next = told.unwrap_or_else(nothing);
        next.sequence = self.sequence;
        count_on(&mut next, self.sequence / EACH_SECOND);
        next
    }
}

/// The answer as it comes over the network, head and body; as Prometheus and browsers do, it may be
/// packed.
fn get(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    let head = "accept-encoding: gzip\r\nconnection: close\r\n\r\n";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n{head}")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Asks for every page, each time of another topology; the answer that is largest counts.
fn ask(address: &str, shape: Shape, rounds: u32) -> Result<BTreeMap<String, Answer>, Problem> {
    let mut answers = BTreeMap::new();
    for page in pages() {
        let (mut bytes, mut took) = (0, Vec::new());
        for round in 0..rounds {
            let path = page.replace("{}", &topology_name(round % shape.topologies));
            let begun = now_ns();
            let answer = get(address, &path)
                .map_err(|error| Problem::failed(format!("cannot get {path}"), error))?;
            took.push(as_f64(now_ns() - begun) / 1e6);
            if !answer.starts_with(b"HTTP/1.1 200") {
                let head = String::from_utf8_lossy(&answer);
                let head = head.lines().next().unwrap_or_default();
                return Err(Problem::failed(format!("{path} was not answered"), head));
            }
            bytes = bytes.max(answer.len());
        }
        took.sort_by(f64::total_cmp);
        let at = |percent: usize| took.get((took.len() * percent).div_ceil(100).max(1) - 1);
        let ms = |percent: usize| rounded(at(percent).copied().unwrap_or_default());
        let answer = Answer { bytes, p50_ms: ms(50), p99_ms: ms(99), max_ms: ms(100) };
        answers.insert(page, answer);
    }
    Ok(answers)
}
