//! `squall submit`: gives a topology to the cluster to run.
//!
//! The binary is asked what it is, then sent to the leading nimbus in pieces. Everything is one
//! mutation with one request id, so that a broken connection is simply tried again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use daemon::Clock;
use futures::{Stream, stream};
use proto::nimbus::{SubmitBegin, SubmitPart, SubmitReply, submit_part};
use serde_json::json;
use topology_api::{Description, TopologyConfig};

use crate::args::{duration, pair};
use crate::binary::Binary;
use crate::client::{Client, request_id};
use crate::codes::Code;
use crate::commands::{Globals, LOOK_EVERY, topology_name, topology_path};
use crate::description::describe;
use crate::error::Failure;
use crate::output;
use crate::progress::Line;
use crate::status::TopologyDetail;

/// How much of the binary travels in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// How long sending the binary may take.
const SUBMIT_TIMEOUT: Duration = Duration::from_mins(10);

/// Flags of `squall submit`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall submit target/release/word_count\n  \
    squall submit ./word_count --workers 4 --wait -- /data/in.txt\n  \
    squall submit ./word_count --name nightly -c message_timeout=10s\n\n\
    Paths after `--` are given to the topology as they are: they are paths on the machines \
    that run it.")]
pub(crate) struct Submit {
    /// The topology's program
    #[arg(value_name = "BINARY")]
    pub(crate) binary: PathBuf,
    /// Name of the topology [default: the one its program gives it]
    #[arg(long, value_name = "N", value_parser = topology_name)]
    pub(crate) name: Option<String>,
    /// How many worker processes it gets
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) workers: u32,
    /// Sets a key of its configuration; may be repeated
    #[arg(short = 'c', long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) settings: Vec<(String, String)>,
    /// Place it, but do not let its spouts emit: `squall activate` does
    #[arg(long)]
    pub(crate) inactive: bool,
    /// Come back when all its workers run
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long --wait waits
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    pub(crate) timeout: Duration,
    /// Arguments for the topology
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<String>,
}

/// Submits, and waits until it runs if asked to.
pub(crate) async fn run(submit: Submit, globals: &Globals) -> Result<(), Failure> {
    let mut client = globals.client();
    let defaults = globals.file.topology_pairs()?;
    let line = Line::new(!globals.format.is_for_programs());
    let reply = send(&mut client, &submit, defaults, &Arc::new(line)).await?;
    if submit.wait {
        let line = Line::new(!globals.format.is_for_programs());
        until_running(&mut client, &reply, submit.timeout, &line).await?;
    }
    let running = if submit.wait { "runs" } else { "is submitted" };
    let text = format!("{} {running} (id {})", reply.name, reply.topology_id);
    let document = json!({ "name": reply.name, "id": reply.topology_id });
    globals.show(&output::escape(&text), &document)
}

/// Asks the binary what it is and gives it to nimbus.
pub(crate) async fn send(
    client: &mut Client,
    submit: &Submit,
    defaults: Vec<(String, String)>,
    line: &Arc<Line>,
) -> Result<SubmitReply, Failure> {
    let what = format!("cannot submit {}", submit.binary.display());
    let prepared = prepare(&what, submit, defaults).await?;
    let begin = prepared.begin(submit);
    let binary = Arc::new(prepared.binary);
    client
        .call(&what, async |mut nimbus| {
            let mut request =
                tonic::Request::new(parts(begin.clone(), Arc::clone(&binary), Arc::clone(line)));
            request.set_timeout(SUBMIT_TIMEOUT);
            nimbus.submit(request).await
        })
        .await
}

/// A program that was asked what it is.
#[derive(Debug)]
pub(crate) struct Prepared {
    binary: Binary,
    /// Its SHA-256.
    pub(crate) digest: String,
    /// What it is, with what the user chose.
    pub(crate) description: Description,
}

impl Prepared {
    /// What a submission begins with.
    pub(crate) fn begin(&self, submit: &Submit) -> SubmitBegin {
        SubmitBegin {
            request_id: request_id(),
            spec: Some((&self.description).into()),
            digest: self.digest.clone(),
            binary_bytes: self.binary.bytes,
            arguments: submit.arguments.clone(),
            workers: submit.workers,
            inactive: submit.inactive,
        }
    }
}

/// Asks the program what it is and checks that, with what the user chose laid over it.
pub(crate) async fn prepare(
    what: &str,
    submit: &Submit,
    defaults: Vec<(String, String)>,
) -> Result<Prepared, Failure> {
    let mut settings: BTreeMap<String, String> = defaults.into_iter().collect();
    settings.extend(submit.settings.iter().cloned());
    check_settings(what, &settings)?;
    let (binary, digest) = open(&submit.binary).await?;
    let mut description = describe(&binary.path, &submit.arguments, &settings).await?;
    apply(what, &mut description, submit.name.as_deref(), &settings)?;
    Ok(Prepared { binary, digest, description })
}

/// Opens the binary and computes its digest, where a large file holds nobody up.
async fn open(path: &Path) -> Result<(Binary, String), Failure> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let mut binary = Binary::open(&path)?;
        let digest = binary.digest().map_err(|error| {
            let what = format!("cannot read {}", path.display());
            Failure::new(Code::FileUnreadable, what, error, "check the file and its disk")
        })?;
        Ok((binary, digest))
    });
    opened.await.map_err(|error| Failure::internal("cannot read the binary", error))?
}

/// Refuses keys and values that no topology could have, before its binary is run.
fn check_settings(what: &str, settings: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut config = TopologyConfig::default();
    for (key, value) in settings {
        config.set(key, value).map_err(|error| bad_setting(what, key, value, &error))?;
    }
    Ok(())
}

fn bad_setting(what: &str, key: &str, value: &str, error: &dyn std::error::Error) -> Failure {
    let fix = format!("correct `-c {key}={value}` (or [topology] in the configuration file)");
    Failure::new(Code::UnknownSetting, what, error, fix)
}

/// Puts the user's choices over what the binary said of itself.
fn apply(
    what: &str,
    description: &mut Description,
    name: Option<&str>,
    settings: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    if let Some(name) = name {
        name.clone_into(&mut description.name);
    }
    for (key, value) in settings {
        let set = description.config.set(key, value);
        set.map_err(|error| bad_setting(what, key, value, &error))?;
    }
    let problems = description.problems();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::BadTopology,
        what,
        problems.join("\n"),
        "correct the topology and rebuild it",
    ))
}

/// The messages of one submission: what it is, then the binary in pieces.
fn parts(
    begin: SubmitBegin,
    binary: Arc<Binary>,
    line: Arc<Line>,
) -> impl Stream<Item = SubmitPart> + Send {
    let chunks = stream::unfold((binary, 0_u64, line), async |(binary, offset, line)| {
        let read = Arc::clone(&binary);
        let chunk = tokio::task::spawn_blocking(move || read.chunk(offset, CHUNK_BYTES)).await;
        // A file that shrank ends the stream early; nimbus sees that bytes are missing.
        let chunk = chunk.ok()?.ok().filter(|chunk| !chunk.is_empty())?;
        let next = offset + chunk.len() as u64;
        line.bytes("sending", next, binary.bytes);
        Some((submit_part::Kind::Chunk(chunk), (binary, next, line)))
    });
    let begin = stream::iter([submit_part::Kind::Begin(begin)]);
    let kinds = futures::StreamExt::chain(begin, chunks);
    futures::StreamExt::map(kinds, |kind| SubmitPart { kind: Some(kind) })
}

/// Waits until every worker of the topology runs, or the topology has finished already.
pub(crate) async fn until_running(
    client: &mut Client,
    reply: &SubmitReply,
    patience: Duration,
    line: &Line,
) -> Result<(), Failure> {
    let what = format!("{} is submitted, but does not run yet", reply.name);
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    loop {
        let topology: TopologyDetail = client.status(&what, &topology_path(&reply.name)).await?;
        if topology.id == reply.topology_id && runs(&topology) {
            return Ok(());
        }
        if clock.now() >= deadline {
            let fix = if topology.workers.is_empty() {
                "it stays submitted and starts when there is room: start a supervisor, or `squall \
                 kill` another topology"
                    .to_owned()
            } else {
                format!(
                    "`squall describe {0}` and `squall logs {0}` show more; it stays submitted",
                    reply.name
                )
            };
            return Err(Failure::new(Code::NotYetRunning, what, standing(&topology), fix));
        }
        let running = topology.workers.iter().filter(|it| it.state == "running").count();
        line.say(&format!("{running} of {} workers run", topology.workers.len()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn runs(topology: &TopologyDetail) -> bool {
    let workers = &topology.workers;
    let all = !workers.is_empty() && workers.iter().all(|worker| worker.state == "running");
    topology.status.eq_ignore_ascii_case("finished") || all
}

/// Says how far the topology has come, worker by worker.
pub(crate) fn standing(topology: &TopologyDetail) -> String {
    let said = |lead: &str, text: &str| {
        if text.is_empty() { String::new() } else { format!("{lead}{text}") }
    };
    let mut text = format!("it is {}{}", topology.status, said(", but ", &topology.reason));
    for worker in &topology.workers {
        let (state, exit) = (&worker.state, said(" after ", &worker.last_exit));
        let words = said("; it said:\n", &worker.last_words);
        let who = format!("worker {} on {}", worker.worker, worker.supervisor);
        text.push_str(&format!("\n{who} is {state}{exit}{words}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::WorkerStatus;

    fn worker(state: &str) -> WorkerStatus {
        WorkerStatus { state: state.into(), ..WorkerStatus::default() }
    }

    #[test]
    fn a_topology_runs_when_all_its_workers_do_or_it_has_finished() {
        let mut topology = TopologyDetail { status: "active".into(), ..TopologyDetail::default() };
        assert!(!runs(&topology), "without a worker it waits for a slot");
        topology.workers = vec![worker("running"), worker("starting")];
        assert!(!runs(&topology), "one is still starting");
        topology.workers = vec![worker("running"), worker("running")];
        assert!(runs(&topology));
        topology.workers.clear();
        topology.status = "finished".into();
        assert!(runs(&topology), "it was quicker than we looked");
    }
}
