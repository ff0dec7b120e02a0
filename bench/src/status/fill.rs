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

/// Points of a history that is full, by the minute and by the second.
const MINUTES: usize = 1_440;
const SECONDS: usize = 3_600;

/// Points by the second that may be missing: the nimbus was late.
const GAPS: usize = SECONDS / 10;

/// How long the nimbus has for what it does once a second.
const PAUSE: Duration = Duration::from_millis(5);

/// What the supervisor tells.
pub(super) struct Fill(SupervisorReport);

impl Fill {
    /// Begins with a task of each component in each worker of the first supervisor.
    pub(super) fn new(shape: Shape, places: &[Place]) -> Result<Self, Problem> {
        let shape = Shape { tasks: COMPONENTS * shape.workers, ..shape };
        let first = supervisor_name(0);
        let here: Vec<&Place> = places.iter().filter(|it| it.supervisor == first).collect();
        Ok(Self(report(shape, &here)?))
    }

    /// Lets the day pass.
    pub(super) async fn run(mut self, served: &mut Served, nimbus: Channel) -> Result<(), Problem> {
        let cannot = |error: &dyn std::fmt::Display| {
            Problem::failed("the histories cannot be filled", error.to_string())
        };
        let (sender, reports) = mpsc::channel(1);
        let mut client = ReportsClient::new(nimbus);
        let replies = client.report(ReceiverStream::new(reports)).await;
        let mut replies = replies.map_err(|status| cannot(&status.message()))?.into_inner();
        let minutes = std::iter::repeat_n(60, MINUTES);
        for seconds in minutes.chain(std::iter::repeat_n(1, SECONDS)) {
            self.count_on(seconds);
            sender.send(self.0.clone()).await.map_err(|error| cannot(&error))?;
            replies.message().await.map_err(|status| cannot(&status.message()))?;
            served.leap(Duration::from_secs(seconds))?;
            tokio::time::sleep(PAUSE).await;
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

/// Finds out whether the histories are full.
pub(super) fn check(address: &str) -> Result<(), Problem> {
    let page = format!("/api/v1/topologies/{}/history?from=0", topology_name(0));
    let known = || -> Option<usize> {
        let (_, text) = tests::get(address, &page).ok()?;
        let shown: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(shown.get("emitted")?.as_array()?.iter().filter(|it| !it.is_null()).count())
    };
    match known().unwrap_or_default() {
        known if known >= SECONDS - GAPS => Ok(()),
        known => Err(Problem::failed("the histories are not full", format!("{known} points"))),
    }
}
