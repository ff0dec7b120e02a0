//! `squall kill`: ends a topology; what is under way finishes first.

use std::time::Duration;

use clap::Args;
use daemon::Clock;
use proto::nimbus::KillRequest;
use topology_api::TopologyConfig;

use crate::args::duration;
use crate::client::{Client, request_id, unary};
use crate::codes::Code;
use crate::commands::{Globals, LOOK_EVERY, topology_name, topology_path};
use crate::confirm::Yes;
use crate::error::{Exit, Failure};
use crate::output::grouped;
use crate::progress::Line;
use crate::status::TopologyDetail;

/// Flags of `squall kill`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall kill word-count                drain it, then remove it\n  \
    squall kill word-count --wait         come back when nothing of it is left\n  \
    squall kill word-count --drain 0s     do not wait for what is under way\n  \
    squall kill word-count --yes          do not ask, as in a script\n\n\
    On a terminal it shows what dies and asks. Without one nothing is done unless --yes is given, or\n\
    SQUALL_YES=true is set.")]
pub(crate) struct Kill {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// How long tuples under way may take to finish [default: the topology's message timeout]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    drain: Option<Duration>,
    #[command(flatten)]
    yes: Yes,
    /// Come back when the topology is gone: no process, no key, no folder
    #[arg(long)]
    wait: bool,
    /// How long --wait waits, beyond the time to drain
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1m")]
    timeout: Duration,
}

/// Asks nimbus for it, and waits for the end if asked to.
pub(crate) async fn run(kill: Kill, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot kill `{}`", kill.name);
    let mut client = globals.client();
    let topology: TopologyDetail = client.status(&what, &topology_path(&kill.name)).await?;
    kill.yes.or_ask(&what, &format!("kills {}", what_dies(&topology)), &kill.name)?;
    let drain = match kill.drain {
        Some(drain) => drain,
        None => message_timeout(&topology),
    };
    let request = KillRequest {
        request_id: request_id(),
        name: kill.name,
        wait_ms: u64::try_from(drain.as_millis()).unwrap_or(u64::MAX),
    };
    let done =
        client.call(&what, async |mut nimbus| nimbus.kill(unary(request.clone())).await).await?;
    if kill.wait {
        let line = Line::new(!globals.format.is_for_programs());
        until_gone(&mut client, &topology, drain + kill.timeout, &line).await?;
    }
    globals.show_done(&done)
}

/// What is gone when this topology is killed.
fn what_dies(topology: &TopologyDetail) -> String {
    let counted = |count: u64, what: &str| {
        format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
    };
    let tasks: u64 = topology.components.iter().map(|it| u64::from(it.tasks)).sum();
    let mut text = format!(
        "`{}`: {} with {}, {} under way",
        topology.name,
        counted(topology.workers.len() as u64, "worker"),
        counted(tasks, "task"),
        counted(topology.totals.pending, "tuple tree")
    );
    if topology.dead_letters.kept > 0 {
        text += &format!(", {}", counted(topology.dead_letters.kept, "dead letter"));
    }
    if !topology.results.is_empty() {
        text += &format!(", {}", counted(topology.results.len() as u64, "result"));
    }
    text
}

/// How long the topology lets its tuples take.
fn message_timeout(topology: &TopologyDetail) -> Duration {
    let config = TopologyConfig::from_pairs(topology.config.clone());
    config.unwrap_or_default().message_timeout()
}

/// Waits until there is no topology of that name, or another one.
pub(crate) async fn until_gone(
    client: &mut Client,
    topology: &TopologyDetail,
    patience: Duration,
    line: &Line,
) -> Result<(), Failure> {
    let what = format!("cannot see the end of `{}`", topology.name);
    let clock = Clock::system();
    let deadline = clock.now() + patience;
    loop {
        match client.status::<TopologyDetail>(&what, &topology_path(&topology.name)).await {
            Err(failure) if failure.exit == Exit::NoInput => return Ok(()),
            Err(failure) => return Err(failure),
            Ok(now) if now.id != topology.id => return Ok(()),
            Ok(now) if clock.now() >= deadline => {
                let why = format!("it is still {} ({})", now.status, now.reason);
                let fix = format!("`squall describe {}` shows what is left", topology.name);
                return Err(Failure::new(Code::NotYetGone, what, why, fix));
            }
            Ok(now) => {
                let pending = grouped(now.totals.pending);
                line.say(&format!("{}: {pending} tuple trees under way", now.status));
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}
