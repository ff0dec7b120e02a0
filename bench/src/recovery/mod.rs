//! How long a cluster of real processes takes to get over the loss of one.
//!
//! A topology runs at a fixed rate, with acks; its spouts and sinks write down what they do, and
//! when. A fault is injected, again and again, each time after tuples flow as before. Every figure
//! is taken from what they wrote, and none from what a daemon says of itself: see
//! `tests/src/ledger/`.

mod faults;
mod figures;
mod rig;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use clap::{Args, ValueEnum};

use self::figures::Figures;
use self::rig::Rig;
use crate::note;
use crate::problem::{EX_SOFTWARE, Problem};
use crate::run::{print, tell_machine};

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// A worker is killed with SIGKILL
    WorkerKill,
    /// A worker is stopped with SIGSTOP, and hangs
    WorkerStop,
    /// A supervisor and all its workers are killed at once
    SupervisorHost,
    /// The leading one of two nimbuses is killed
    NimbusLeader,
    /// The leading one of three members of etcd is killed
    EtcdLeader,
    /// All connections to a worker are cut, and come back 200 ms later
    LinkCut,
}

/// The flags of `recovery`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Recovery {
    /// What is done
    #[arg(long, value_enum)]
    pub(crate) fault: Fault,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) count: u32,
    /// Tuples of the spouts a second
    #[arg(long, value_name = "N", default_value_t = 20_000,
        value_parser = clap::value_parser!(u32).range(100..=200_000))]
    pub(crate) rate: u32,
    /// Show failures as JSON too, and nothing for people
    #[arg(long)]
    pub(crate) json: bool,
}

/// What happened to the cluster, as it was done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Injected {
    /// When.
    pub(crate) at_ns: u64,
    /// When it was undone, if it was.
    pub(crate) healed_ns: Option<u64>,
    /// Processes that were hit; tuples flow through others afterwards, unless it was undone.
    pub(crate) hit: Vec<u32>,
    /// When a change that a client asked for was made again.
    pub(crate) served_ns: Option<u64>,
    /// When everything was as before.
    pub(crate) over_ns: u64,
}

impl Fault {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WorkerKill => "worker-kill",
            Self::WorkerStop => "worker-stop",
            Self::SupervisorHost => "supervisor-host",
            Self::NimbusLeader => "nimbus-leader",
            Self::EtcdLeader => "etcd-leader",
            Self::LinkCut => "link-cut",
        }
    }
}

/// Measures, and prints a line.
pub(crate) fn measure(recovery: &Recovery) -> Result<(), Problem> {
    build()?;
    let before = tell_machine("before");
    // The harness of the tests panics where a process does not do what it must.
    let figures = catch_unwind(AssertUnwindSafe(|| run(recovery)));
    let figures = figures.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let why = text.unwrap_or_else(|| "a part of it panicked".to_owned());
        Problem::failed("the cluster did not do what it must", why)
    })??;
    let after = tell_machine("after");
    if !recovery.json {
        note(&figures.told());
    }
    print(&figures, [before, after])?;
    figures.promises()
}

/// Builds the programs that are started, as this one was built. Without cargo they must be there.
fn build() -> Result<(), Problem> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "cli", "--package", "tests"]);
    command.args(["--bin", "squall", "--bin", "audit"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command.status().map_err(|error| cannot_build(&error))?;
    if built.success() { Ok(()) } else { Err(cannot_build(&built)) }
}

fn cannot_build(why: &dyn std::fmt::Display) -> Problem {
    let fix = "run `cargo build --release -p cli -p tests` by hand";
    Problem::new(EX_SOFTWARE, "cannot build `squall` and `audit`", why, fix)
}

fn run(recovery: &Recovery) -> Result<Figures, Problem> {
    let mut rig = Rig::start(recovery)?;
    let flowing_ns = rig.until_steady()?;
    let fault_free = rig.fault_free()?;
    let mut faults: Vec<Injected> = Vec::new();
    for number in 0..recovery.count {
        let mut injected = rig.inject(number)?;
        rig.until_over(&injected)?;
        injected.over_ns = tests::ledger::now_ns();
        if !recovery.json {
            note(&format!("{} of {}: over", number + 1, recovery.count));
        }
        faults.push(injected);
    }
    rig.end()?;
    Ok(Figures::of(recovery, &rig.history, &faults, [flowing_ns, fault_free]))
}
