//! `squall dev --watch`: builds, submits, and does so again when a source changes.
//!
//! Sources are looked at a few times a second: that needs nothing of the system, and finds changes on
//! every file system. What does not compile, or is no topology, leaves what runs alone.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proto::nimbus::{KillRequest, SubmitReply};
use serde_json::Value;
use tokio::process::Command;

use super::{Dev, submission};
use crate::client::{Client, request_id, unary};
use crate::codes::Code;
use crate::commands::submit::{self, Submit};
use crate::commands::{Globals, kill, topology_path};
use crate::error::{Exit, Failure};
use crate::output::{escape, note};
use crate::progress::Line;
use crate::status::TopologyDetail;

/// How often sources are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long what is under way may take when the topology is replaced.
const DRAIN: Duration = Duration::from_secs(1);

/// How long it may take until nothing of the old one is left.
const GONE_MAX: Duration = Duration::from_secs(30);

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// A folder with a `Cargo.toml`, to be built.
    Project(PathBuf),
    /// A program that somebody else builds.
    Program(PathBuf),
}

/// The newest change, and how many files there are: one that is removed changes that.
type Stamp = (Option<SystemTime>, usize);

/// Builds and submits for as long as the cluster lives.
pub(super) async fn run(dev: &Dev, globals: &Globals, mut client: Client) -> Result<(), Failure> {
    let target = Target::of(dev.command.first().map(String::as_str))?;
    let mut running: Option<SubmitReply> = None;
    loop {
        let stamp = target.stamp();
        if let Err(failure) = replace(&target, dev, globals, (&mut client, &mut running)).await {
            failure.report(crate::output::Format::Table);
            note("  waiting for a change");
        }
        target.changed(stamp).await;
        note("  changed: building again");
    }
}

/// Builds, and puts what was built in the place of what runs.
async fn replace(
    target: &Target,
    dev: &Dev,
    globals: &Globals,
    (client, running): (&mut Client, &mut Option<SubmitReply>),
) -> Result<(), Failure> {
    let binary = target.build().await?;
    let submit = Submit { binary, ..submission(dev).unwrap_or_else(|| of_project(dev)) };
    let defaults = || globals.file.topology_pairs();
    // What is no topology is found before the old one goes.
    submit::prepare("cannot run it", &submit, defaults()?).await?;
    if let Some(old) = running.take() {
        end(client, &old).await?;
    }
    let reply = submit::send(client, &submit, defaults()?, &Arc::default()).await?;
    note(&format!("  running  {0} (squall top {0}; squall logs {0} -f)", escape(&reply.name)));
    *running = Some(reply);
    Ok(())
}

/// A submission of a project without arguments.
fn of_project(dev: &Dev) -> Submit {
    Submit {
        binary: PathBuf::new(),
        name: dev.name.clone(),
        workers: dev.workers,
        settings: dev.settings.clone(),
        inactive: false,
        wait: false,
        timeout: Duration::ZERO,
        arguments: Vec::new(),
    }
}

/// Ends what runs, unless somebody else did.
async fn end(client: &mut Client, old: &SubmitReply) -> Result<(), Failure> {
    let what = format!("cannot replace `{}`", old.name);
    let path = topology_path(&old.name);
    let topology = match client.status::<TopologyDetail>(&what, &path).await {
        Ok(topology) if topology.id == old.topology_id => topology,
        Ok(_) => return Ok(()),
        Err(failure) if failure.exit == Exit::NoInput => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let wait_ms = u64::try_from(DRAIN.as_millis()).unwrap_or(0);
    let request = KillRequest { request_id: request_id(), name: old.name.clone(), wait_ms };
    client.call(&what, async |mut nimbus| nimbus.kill(unary(request.clone())).await).await?;
    kill::until_gone(client, &topology, GONE_MAX, &Line::default()).await
}

impl Target {
    /// What the first word names: a folder with a project (without a word, this one) or a program.
    fn of(word: Option<&str>) -> Result<Self, Failure> {
        let path = Path::new(word.unwrap_or("."));
        if path.join("Cargo.toml").is_file() {
            return Ok(Self::Project(path.to_owned()));
        }
        if path.is_dir() {
            let why = format!("there is no Cargo.toml in {}", path.display());
            let fix = "go into a project, or name its folder or a program: `squall new` makes one";
            return Err(Failure::new(Code::FileUnreadable, "cannot watch it", why, fix));
        }
        Ok(Self::Program(path.to_owned()))
    }

    /// How new what is watched is.
    fn stamp(&self) -> Stamp {
        let mut stamp = (None, 0);
        match self {
            Self::Program(path) => look(path, &mut stamp),
            Self::Project(folder) => {
                ["src", "Cargo.toml", "build.rs"]
                    .iter()
                    .for_each(|it| look(&folder.join(it), &mut stamp));
            }
        }
        stamp
    }

    /// Waits until something is newer than at `stamp`, and nothing changes any more.
    async fn changed(&self, stamp: Stamp) {
        let mut before = stamp;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamp();
            if now != stamp && now == before && now.1 > 0 {
                return;
            }
            before = now;
        }
    }

    /// Builds it and says where the program is.
    async fn build(&self) -> Result<PathBuf, Failure> {
        const WHAT: &str = "cannot build the topology";
        let folder = match self {
            Self::Program(path) => return Ok(path.clone()),
            Self::Project(folder) => folder,
        };
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--bins", "--message-format=json-render-diagnostics"]);
        cargo.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let failed = |error| {
            Failure::new(Code::FileUnreadable, WHAT, format!("cargo: {error}"), "install Rust")
        };
        // Not `output()`, which would keep what cargo says to people.
        let cargo = cargo.spawn().map_err(failed)?;
        let output = cargo.wait_with_output().await.map_err(failed)?;
        if !output.status.success() {
            let fix = "correct what cargo says above: it is built again when you save";
            return Err(Failure::new(Exit::Data, WHAT, "cargo build failed", fix));
        }
        let programs = programs(&String::from_utf8_lossy(&output.stdout));
        match programs.as_slice() {
            [program] => Ok(program.clone()),
            [] => {
                let fix = "a topology is a program: give it a src/main.rs";
                Err(Failure::new(Code::NotAProgram, WHAT, "the project has no program", fix))
            }
            several => {
                let names: Vec<_> = several.iter().map(|it| it.display().to_string()).collect();
                let why = format!("the project has several programs: {}", names.join(", "));
                let fix = "build it yourself and watch one: squall dev --watch target/debug/NAME";
                Err(Failure::new(Code::NotAProgram, WHAT, why, fix))
            }
        }
    }
}

/// The programs that cargo says it built.
fn programs(messages: &str) -> Vec<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages.filter_map(|it| it["executable"].as_str().map(PathBuf::from)).collect()
}

/// Adds a file, or all files of a folder, to a stamp.
fn look(path: &Path, stamp: &mut Stamp) {
    let Ok(known) = std::fs::metadata(path) else { return };
    if known.is_file() {
        *stamp = (stamp.0.max(known.modified().ok()), stamp.1 + 1);
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        // A link may lead back up.
        if entry.file_type().is_ok_and(|it| !it.is_symlink()) {
            look(&entry.path(), stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_source_is_seen_and_one_beside_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), name).unwrap();
        std::fs::create_dir_all(folder.path().join("src/inner")).unwrap();
        write("Cargo.toml");
        write("src/main.rs");
        let target = Target::of(folder.path().to_str()).expect("it is a project");
        let before = target.stamp();
        write("notes.txt");
        assert_eq!(target.stamp(), before, "no source");
        write("src/inner/more.rs");
        assert_ne!(target.stamp(), before, "a new source");
    }

    #[test]
    fn programs_are_found_among_what_cargo_says() {
        let said = "{\"reason\":\"compiler-artifact\",\"executable\":null}\nnot json\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/wc\"}\n";
        assert_eq!(programs(said), [PathBuf::from("/t/debug/wc")]);
    }

    #[test]
    fn a_folder_without_a_project_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let failure = Target::of(folder.path().to_str()).expect_err("it holds none");
        assert_eq!(failure.exit, Exit::NoInput);
    }
}
