//! Fills the histories of a nimbus with a day that never rests, in minutes.
//!
//! Nimbus packs what does not change into next to nothing, so a day of gaps would tell little of what its
//! histories take. One supervisor tells of a worker of each topology, whose numbers go up and down; the
//! clock of the nimbus is moved on by a minute each time, and for the last hour by a second.

use std::time::Duration;

use proto::nimbus::reports_client::ReportsClient;
use proto::supervisor::SupervisorReport;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::reports::{COMPONENTS, Place, Shape, report, supervisor_name, topology_name};
use super::served::Served;
use crate::problem::Problem;

/// Values of each latency: what nimbus keeps is a few percentiles of them, of however many.
const VALUES: u32 = 50;

/// Points of a history that is full, by the minute and by the second.
const MINUTES: usize = 1_440;
const SECONDS: usize = 3_600;

/// Points by the second that may be missing: the nimbus was late.
const GAPS: usize = SECONDS / 10;

/// How long it waits before it looks again, and how often it does.
const PAUSE: Duration = Duration::from_millis(2);
const LOOKS: usize = 100;

/// What the supervisor tells.
pub(super) struct Fill(SupervisorReport);

impl Fill {
    /// Begins with a task of each component in each worker of the first supervisor.
    pub(super) fn new(shape: Shape, places: &[Place]) -> Result<Self, Problem> {
        let shape = Shape { tasks: COMPONENTS * shape.workers, ..shape };
        let first = supervisor_name(0);
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == first).collect();
        Ok(Self(report(shape, &here, VALUES)?))
    }

    /// Lets the day pass.
    pub(super) async fn run(
        mut self,
        served: &mut Served,
        (nimbus, address): (Channel, &str),
    ) -> Result<(), Problem> {
        let cannot = |error: &dyn std::fmt::Display| {
            Problem::failed("the histories cannot be filled", error.to_string())
        };
        let (sender, reports) = mpsc::channel(1);
        let mut client = ReportsClient::new(nimbus);
        let replies = client.report(ReceiverStream::new(reports)).await;
        let mut replies = replies.map_err(|status| cannot(&status.message()))?.into_inner();
        let minutes = std::iter::repeat_n(60, MINUTES);
        let mut newest = None;
        for seconds in minutes.chain(std::iter::repeat_n(1, SECONDS)) {
            self.count_on(seconds);
            sender.send(self.0.clone()).await.map_err(|error| cannot(&error))?;
            replies.message().await.map_err(|status| cannot(&status.message()))?;
            served.leap(Duration::from_secs(seconds))?;
            newest = until_newer(address, newest).await;
        }
        Ok(())
    }

    fn count_on(&mut self, seconds: u64) {
        let about =
            |number: u64| seconds * (number - number / 10 + rand::random_range(0..number / 5));
        self.0.sequence += 1;
        for worker in self.0.slots.iter_mut().filter_map(|slot| slot.report.as_mut()) {
            for task in &mut worker.tasks {
                let counts = [&mut task.emitted, &mut task.executed, &mut task.acked];
                counts.into_iter().for_each(|count| *count += about(10_000));
                task.queued = rand::random_range(0..300);
            }
            for executor in &mut worker.executors {
                executor.executing_ns += about(500_000_000);
                executor.blocked_ns += about(50_000_000);
                executor.total_ns += seconds * 1_000_000_000;
            }
            for component in &mut worker.components {
                for latency in component.execute.iter_mut().chain(&mut component.complete) {
                    latency.counts.iter_mut().for_each(|count| *count += about(100));
                }
            }
        }
    }
}

/// Waits until the nimbus has a point that is newer; not for ever, for what ended a second may have come
/// between the report and the leap. Returns when the newest is of, in ms since 1970.
async fn until_newer(address: &str, before: Option<u64>) -> Option<u64> {
    for _ in 0..LOOKS {
        let newest = known(address, "").and_then(|known| known.last().copied());
        if newest > before {
            return newest;
        }
        tokio::time::sleep(PAUSE).await;
    }
    before
}

/// Finds out whether the histories are full.
pub(super) fn check(address: &str) -> Result<(), Problem> {
    match known(address, "?from=0").unwrap_or_default().len() {
        known if known >= SECONDS - GAPS => Ok(()),
        known => Err(Problem::failed("the histories are not full", format!("{known} points"))),
    }
}

/// Which seconds of a history are known: when each began.
fn known(address: &str, query: &str) -> Option<Vec<u64>> {
    let page = format!("/api/v1/topologies/{}/history{query}", topology_name(0));
    let (_, text) = tests::get(address, &page).ok()?;
    let shown: serde_json::Value = serde_json::from_str(&text).ok()?;
    let from = shown.get("from_ms")?.as_u64()?;
    let points = (0..).zip(shown.get("emitted")?.as_array()?);
    Some(
        points.filter(|(_, it)| !it.is_null()).map(|(at, _): (u64, _)| from + at * 1_000).collect(),
    )
}
