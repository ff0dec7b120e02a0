//! `squall demo`: shows a word count run on a cluster inside this process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use daemon::Clock;
use proto::nimbus::SubmitReply;

use daemon::listen::Security;

use crate::client::Client;
use crate::commands::dev::{remove, temporary_folder};
use crate::commands::submit::{self, Submit, standing};
use crate::commands::{Globals, LOOK_EVERY, topology_path, written};
use crate::config::loopback;
use crate::demo::{NAME, Outcome, Progress, View, default_files, readable};
use crate::embedded::{Embedded, Settings};
use crate::error::{Exit, Failure};
use crate::output;
use crate::status::TopologyDetail;

/// Worker processes of the demo: two, so that tuples cross between processes.
const WORKERS: u32 = 2;

/// How long the first line may take to be acked before something must be wrong.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Flags of `squall demo`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall demo                        counts the words of this repository's Markdown\n  \
    squall demo book.txt more/*.txt    counts the words of these files\n  \
    squall demo --json book.txt | jq .top")]
pub(crate) struct Demo {
    /// Write one JSON object to standard output, and progress to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Files to count the words of [default: the Markdown files of the repository around]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Starts the cluster, counts, shows the result, and leaves nothing behind.
pub(crate) async fn run(demo: Demo, globals: &Globals) -> Result<(), Failure> {
    let json = globals.format.is_for_programs();
    let given = readable(&demo.files)?;
    if std::env::var_os("RUST_LOG").is_some() {
        crate::daemons::log(None, globals.format)?;
    }
    let signal = crate::daemons::signal();
    let folder = temporary_folder("squall-demo-")?;
    let files = if given.is_empty() {
        let here = std::env::current_dir().unwrap_or_default();
        default_files(&here, folder.path())?
    } else {
        given
    };
    let settings = Settings {
        cluster: "demo".into(),
        data_dir: folder.path().to_owned(),
        listen: loopback(0),
        http: loopback(0),
        advertise: None,
        security: Security::Loopback,
        slots: WORKERS,
        cores_per_worker: None,
        json_logs: false,
    };
    let cluster = Embedded::start(&settings).await?;
    let counted = tokio::select! {
        counted = count(&cluster, files, json) => counted,
        signal = signal => Err(Failure::early_end(signal)),
    };
    let stopped = cluster.stop().await;
    let removed = remove(folder);
    let outcome = counted?;
    stopped.and(removed)?;
    if json {
        let document = serde_json::to_value(&outcome);
        return globals.show_value(
            document.map_err(|error| Failure::internal("cannot show what was counted", error))?,
        );
    }
    written(output::print(&format!("\n{}", outcome.text())))
}

/// Submits this very program as the topology and watches it to its end.
async fn count(cluster: &Embedded, files: Vec<PathBuf>, json: bool) -> Result<Outcome, Failure> {
    announce(cluster, files.len(), json)?;
    let mut client = Client::new(vec![cluster.address.to_string()], Security::Loopback);
    let binary = std::env::current_exe()
        .map_err(|error| Failure::internal("cannot find this very program", error))?;
    let submit = Submit {
        binary,
        name: None,
        workers: WORKERS,
        settings: Vec::new(),
        inactive: false,
        wait: false,
        timeout: Duration::ZERO,
        arguments: files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
    };
    let clock = Clock::system();
    let started = clock.now();
    let reply = submit::send(&mut client, &submit, Vec::new(), &Arc::default()).await?;
    let mut view = View::new(json);
    loop {
        let topology = look(&mut client, &reply).await?;
        let elapsed = clock.now().saturating_duration_since(started);
        let progress = Progress::of(&topology, elapsed);
        view.show(&progress);
        if progress.is_finished() {
            for remark in progress.remarks() {
                output::note(&output::escape(&remark));
            }
            return Ok(Outcome::of(&progress));
        }
        if progress.acked == 0 && elapsed > START_PATIENCE {
            return Err(stalled(&topology));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(client: &mut Client, reply: &SubmitReply) -> Result<TopologyDetail, Failure> {
    client.status("cannot follow the word count", &topology_path(&reply.name)).await
}

fn announce(cluster: &Embedded, files: usize, json: bool) -> Result<(), Failure> {
    let files = if files == 1 { "1 file".into() } else { format!("{files} files") };
    let text = format!(
        "counting the words of {files} with {WORKERS} worker processes\nstatus: \
         {}/api/v1/topologies/{NAME}",
        cluster.status_url()
    );
    if json {
        output::note(&text);
        return Ok(());
    }
    written(output::print(&text))
}

fn stalled(topology: &TopologyDetail) -> Failure {
    let remarks = Progress::of(topology, START_PATIENCE).remarks().join("\n");
    let why = format!("{}\n{remarks}", standing(topology));
    let what = "the word count does not get going";
    Failure::new(Exit::Internal, what, why, "look at RUST_LOG=debug squall dev, and report it")
}
