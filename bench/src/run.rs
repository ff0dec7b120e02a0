//! Runs one case: what cannot be run is said first, then the machine is looked at before and after.

use serde::Serialize;
use serde_json::{Value, json};

use crate::figures::rounded;
use crate::options::{Case, Mode};
use crate::problem::{EX_NOINPUT, EX_USAGE, Problem};
use crate::{cases, cluster, local, note, outcome, ping_pong, say, text};

/// Measures a case and prints its line.
pub(crate) fn measure(mut case: Case) -> Result<(), Problem> {
    if let Case::WordCount { text, .. } = &mut case {
        if let Some(text) = text {
            // Workers have another working folder.
            *text = text.canonicalize().map_err(|error| {
                let what = format!("cannot read {}", text.display());
                Problem::new(EX_NOINPUT, what, error, "name a text file with --text")
            })?;
        }
        drop(text::lines(text.as_deref())?);
    }
    cases::build(&case).map_err(|error| {
        Problem::new(EX_USAGE, "cannot run this", error, "docs/configuration.md has the settings")
    })?;
    let before = tell_machine("before");
    let (left, daemon_cores) = match case.run().mode {
        Mode::Local => (local::run(&case)?, None),
        Mode::Cluster => cluster::run(&case)?,
    };
    let after = tell_machine("after");
    let mut figures = outcome::of(&case, &left)?;
    figures.daemon_cores = daemon_cores;
    if !case.run().json {
        note(&outcome::told(&left));
    }
    print(&figures, [before, after])
}

/// Prints figures as one line of JSON, with the round trips between cores and our version.
pub(crate) fn print(figures: &impl Serialize, round_trips_ns: [f64; 2]) -> Result<(), Problem> {
    let mut line = serde_json::to_value(figures)
        .map_err(|error| Problem::failed("the figures cannot be printed", error))?;
    if let Value::Object(line) = &mut line {
        line.insert("round_trip_ns".to_owned(), json!(round_trips_ns.map(rounded)));
        line.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    }
    say(&line.to_string());
    Ok(())
}

/// Says how fast the machine is at the moment, and how busy; returns the round trip between cores.
pub(crate) fn tell_machine(when: &str) -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let round_trip = ping_pong::round_trip_ns();
    note(&format!("{when}: core to core and back {round_trip:.0} ns, load average {load}"));
    round_trip
}
