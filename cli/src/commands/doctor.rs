//! `squall doctor`: looks for what usually is wrong, on this machine and in the cluster.
//!
//! Each check says what it saw, and what to do if that is not well. Nothing is changed.

mod cluster;
mod machine;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::commands::{Globals, written};
use crate::daemons::StoreFlags;
use crate::error::Failure;
use crate::output;
use crate::table::{Align, table};

/// Flags of `squall doctor`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall doctor\n  \
    squall doctor --etcd http://127.0.0.1:2379 --data-dir /var/lib/squall\n  \
    squall doctor --local                    this machine only: no cluster is asked")]
pub(crate) struct Doctor {
    #[command(flatten)]
    store: StoreFlags,
    /// The folder whose disk is looked at [default: the one for temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Look at this machine only
    #[arg(long)]
    local: bool,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ok,
    Warning,
    Fails,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fails => "fails",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    check: &'static str,
    health: Health,
    /// What was seen.
    saw: String,
    /// What to do; empty if all is well.
    fix: String,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(check: &'static str, saw: impl Into<String>) -> Self {
        Self { check, health: Health::Ok, saw: saw.into(), fix: String::new() }
    }

    /// It works, but not for long or not well.
    pub(crate) fn warning(
        check: &'static str,
        saw: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, health: Health::Warning, saw: saw.into(), fix: fix.into() }
    }

    /// It does not work.
    pub(crate) fn fails(
        check: &'static str,
        saw: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, health: Health::Fails, saw: saw.into(), fix: fix.into() }
    }
}

/// Looks at everything; fails if anything does.
pub(crate) async fn run(doctor: Doctor, globals: &Globals) -> Result<(), Failure> {
    let folder = doctor.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut found = machine::checks(&folder);
    if !doctor.local {
        found.push(cluster::etcd(&doctor.store, globals).await);
        found.extend(cluster::checks(globals).await);
    }
    show(&found, globals)?;
    let failing: Vec<_> = found.iter().filter(|it| it.health == Health::Fails).collect();
    if failing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = failing.iter().map(|it| it.check).collect();
    let fixes: Vec<&str> = failing.iter().map(|it| it.fix.as_str()).collect();
    let what = format!("{} of {} checks fail", failing.len(), found.len());
    let failure = Failure::new(Code::Unhealthy, what, names.join(", "), fixes.join("\n"));
    // Programs have the document already, and one is enough.
    Err(if globals.format.is_for_programs() { failure.told() } else { failure })
}

fn show(found: &[Finding], globals: &Globals) -> Result<(), Failure> {
    if globals.format.is_for_programs() {
        let checks: Vec<Value> = found
            .iter()
            .map(|it| json!({ "check": it.check, "health": it.health.word(), "saw": it.saw, "fix": it.fix }))
            .collect();
        let well = found.iter().all(|it| it.health != Health::Fails);
        return globals.show_value(json!({ "well": well, "checks": checks }));
    }
    let headings = [
        ("CHECK", Align::Left),
        ("HEALTH", Align::Left),
        ("SAW", Align::Left),
        ("WHAT TO DO", Align::Left),
    ];
    let row = |it: &Finding| {
        vec![it.check.to_owned(), it.health.word().to_owned(), it.saw.clone(), it.fix.clone()]
    };
    written(output::print(&table(&headings, found.iter().map(row).collect())))
}
