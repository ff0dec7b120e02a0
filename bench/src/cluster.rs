//! A run on a cluster: nimbus and supervisor in this process, two workers, tuples over gRPC.
//!
//! This very program is the topology that is submitted. What its tasks measured comes back as their
//! results, in the status.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use coordination::{MemoryStore, Store};
use daemon::{Clock, Shutdown};
use proto::nimbus::nimbus_client::NimbusClient;
use proto::nimbus::{StatusRequest, SubmitBegin, SubmitPart, submit_part};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tonic::Code;
use tonic::transport::Channel;

use crate::cases;
use crate::figures::{as_f64, rounded};
use crate::left::Left;
use crate::meter::cpu_us;
use crate::options::{Case, Run};
use crate::problem::{EX_OSERR, INTERRUPTED, Problem};

/// Two, so that tuples cross between processes.
const WORKERS: u32 = 2;

/// Name of the cluster.
const CLUSTER: &str = "bench";

/// How much of the binary travels in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// How long the nimbus may take to lead, and the workers to start and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the status is looked at: seldom, for it takes time from the workers.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The daemons.
struct Cluster {
    address: SocketAddr,
    nimbus: Shutdown,
    supervisor: Shutdown,
    folder: tempfile::TempDir,
}

/// Processor time of the daemons, read from look to look while the tasks measure.
#[derive(Default)]
struct Spent {
    begun: Option<Instant>,
    first: Option<(Instant, i64)>,
    last: Option<(Instant, i64)>,
}

impl Spent {
    /// Takes a reading of a moment in which tuples flow, if that is after the warm-up and before the end.
    fn read(&mut self, (now, cpu_us): (Instant, i64), run: &Run) {
        let opens = *self.begun.get_or_insert(now) + Duration::from_secs(u64::from(run.warm_up));
        if (opens..=opens + Duration::from_secs(u64::from(run.seconds))).contains(&now) {
            self.first.get_or_insert((now, cpu_us));
            self.last = Some((now, cpu_us));
        }
    }

    /// As cores; nothing if there was no second look.
    fn cores(&self) -> Option<f64> {
        let ((first, before), (last, after)) = self.first.zip(self.last)?;
        let seconds = last.saturating_duration_since(first).as_secs_f64();
        let spent = u64::try_from(after - before).unwrap_or(0);
        // They are so few that they are told in hundredths of a percent.
        (seconds > 0.0).then(|| rounded(as_f64(spent) / 1e4 / seconds) / 100.0)
    }
}

/// Starts a cluster, runs the topology on it, stops it; returns what the tasks left, and how many cores
/// the daemons took meanwhile, with whoever looks at their status.
pub(crate) fn run(case: &Case) -> Result<(Vec<Left>, Option<f64>), Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(refused)?;
    runtime.block_on(async {
        let signal = daemon::signals::terminate();
        let cluster = Cluster::start().await?;
        let left = tokio::select! {
            left = cluster.measure(case) => left,
            _ = signal => Err(Problem::new(INTERRUPTED, "ended early", "asked to", "")),
        };
        cluster.stop().await?;
        left
    })
}

fn refused(error: impl std::fmt::Display) -> Problem {
    Problem::new(EX_OSERR, "cannot start a cluster", error, "see what the machine is short of")
}

impl Cluster {
    async fn start() -> Result<Self, Problem> {
        let clock = Clock::system();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        let folder = tempfile::Builder::new().prefix("squall-bench-").tempdir().map_err(refused)?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (nimbus, supervisor) = (Shutdown::new(), Shutdown::new());
        let config = nimbus::Config {
            listen: any_port,
            http: any_port,
            cluster: CLUSTER.to_owned(),
            ..nimbus::Config::new(CLUSTER, folder.path().join("nimbus"))
        };
        let leader = nimbus::start(config, Arc::clone(&store), clock.clone(), nimbus.clone())
            .await
            .map_err(refused)?;
        let cluster = Self { address: leader.address, nimbus, supervisor, folder };
        let config = supervisor::Config {
            slots: WORKERS,
            ..supervisor::Config::new(CLUSTER, cluster.folder.path().join("supervisor"))
        };
        match supervisor::start(config, store, clock, cluster.supervisor.clone()).await {
            Ok(_) => Ok(cluster),
            Err(error) => {
                cluster.stop().await?;
                Err(refused(error))
            }
        }
    }

    /// Stops the workers with their supervisor, then the nimbus.
    async fn stop(self) -> Result<(), Problem> {
        for group in [self.supervisor, self.nimbus] {
            group.ask();
            let stopped = group.wait(supervisor::STOP_MAX + Duration::from_secs(2)).await;
            stopped.map_err(|error| Problem::failed("the cluster did not stop in time", error))?;
        }
        self.folder.close().map_err(refused)
    }

    /// Submits the topology and waits for its results.
    async fn measure(&self, case: &Case) -> Result<(Vec<Left>, Option<f64>), Problem> {
        let failed = |error: tonic::Status| Problem::failed("the nimbus refused", error.message());
        let endpoint = daemon::grpc::endpoint(&self.address.to_string()).map_err(refused)?;
        let mut nimbus = NimbusClient::new(endpoint.connect().await.map_err(refused)?);
        submit(&mut nimbus, case).await?;
        let clock = Clock::system();
        let run = case.run();
        let measured = u64::from(run.warm_up) + u64::from(run.seconds);
        let deadline = clock.now() + Duration::from_secs(measured) + PATIENCE;
        let mut spent = Spent::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let path = format!("topologies/{}", case.name());
            let reply = nimbus.status(StatusRequest { path }).await.map_err(failed)?;
            let json = reply.into_inner().json;
            let status: Value = serde_json::from_str(&json)
                .map_err(|error| Problem::failed("the status cannot be read", error))?;
            if let Some(error) = status["errors"].get(0) {
                return Err(Problem::failed("a component failed", &error["text"]));
            }
            if status["status"] == "finished" {
                return Ok((results(&status)?, spent.cores()));
            }
            if status["totals"]["emitted"].as_u64().is_some_and(|emitted| emitted > 0) {
                spent.read((clock.now(), cpu_us()), run);
            }
            if clock.now() >= deadline {
                return Err(Problem::failed("the topology did not finish in time", json));
            }
        }
    }
}

/// What the tasks left.
fn results(status: &Value) -> Result<Vec<Left>, Problem> {
    let results = status["results"].as_array().into_iter().flatten();
    let left: Result<_, _> =
        results.map(|result| serde_json::from_value(result["value"].clone())).collect();
    left.map_err(|error| Problem::failed("a task left something else than its figures", error))
}

/// Submits this very program, as soon as the nimbus leads.
async fn submit(nimbus: &mut NimbusClient<Channel>, case: &Case) -> Result<(), Problem> {
    let what = "cannot submit the topology";
    let topology = cases::build(case).map_err(|error| Problem::failed(what, error))?;
    let program: Arc<[u8]> =
        std::env::current_exe().and_then(std::fs::read).map_err(refused)?.into();
    let digest = Sha256::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
    let begin = SubmitBegin {
        request_id: format!("{:032x}", rand::random::<u128>()),
        spec: Some((&topology.describe()).into()),
        digest,
        binary_bytes: program.len() as u64,
        arguments: case.words(),
        workers: WORKERS,
        inactive: false,
    };
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    loop {
        let kinds = parts(begin.clone(), &program);
        match nimbus.submit(tokio_stream::iter(kinds)).await {
            Ok(_) => return Ok(()),
            Err(error)
                if matches!(error.code(), Code::Unavailable | Code::FailedPrecondition)
                    && clock.now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(Problem::failed(what, error.message())),
        }
    }
}

/// The messages of a submission: what it is, then the binary in pieces.
fn parts(
    begin: SubmitBegin,
    program: &Arc<[u8]>,
) -> impl Iterator<Item = SubmitPart> + Send + use<> {
    let program = Arc::clone(program);
    let chunks = (0..program.len()).step_by(CHUNK_BYTES).map(move |start| {
        let end = program.len().min(start + CHUNK_BYTES);
        submit_part::Kind::Chunk(program[start..end].to_vec())
    });
    let kinds = std::iter::once(submit_part::Kind::Begin(begin)).chain(chunks);
    kinds.map(|kind| SubmitPart { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::case_of;

    #[test]
    fn what_the_daemons_take_is_that_between_warm_up_and_end() {
        let case = case_of("const-null --mode cluster --warm-up 1 --seconds 2");
        let (mut spent, begun) = (Spent::default(), Clock::system().now());
        assert_eq!(spent.cores(), None);
        for (at_ms, cpu_us) in
            [(0, 0), (900, 800_000), (1_100, 900_000), (2_100, 920_000), (3_100, 990_000)]
        {
            spent.read((begun + Duration::from_millis(at_ms), cpu_us), case.run());
        }
        assert_eq!(spent.cores(), Some(0.02));
    }
}
