//! How fast components and tasks are, and what they do with their time.

use serde::Serialize;
use utoipa::ToSchema;

use super::history::short;
use crate::engine::figures::{Component, Figures, Rates, Shares};

/// Tuples a second; acked and failed of a spout are tuple trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct PerSecond {
    /// Emitted.
    pub emitted: f64,
    /// Executed.
    pub executed: f64,
    /// Acked.
    pub acked: f64,
    /// Failed.
    pub failed: f64,
}

impl From<Rates> for PerSecond {
    fn from(rates: Rates) -> Self {
        Self {
            emitted: short(rates.emitted),
            executed: short(rates.executed),
            acked: short(rates.acked),
            failed: short(rates.failed),
        }
    }
}

/// Where the time of executors went over the last ten seconds, in ms of each second: the four add up
/// to 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Time {
    /// They were busy: in a call, or with something to do while their loop was at others.
    pub busy: f64,
    /// What they emitted had no room ahead.
    pub back_pressured: f64,
    /// A spout waited for acks: `max_pending`.
    pub throttled: f64,
    /// They had nothing to do.
    pub idle: f64,
}

impl From<Shares> for Time {
    fn from(shares: Shares) -> Self {
        let ms = |share: f64| (share * 1_000.0).round();
        let (back_pressured, throttled, idle) =
            (ms(shares.blocked), ms(shares.throttled), ms(shares.idle()));
        Self { busy: 1_000.0 - back_pressured - throttled - idle, back_pressured, throttled, idle }
    }
}

/// How fast a component is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Pace {
    /// Over the last ten seconds.
    pub rates_10s: PerSecond,
    /// Over the last minute.
    pub rates_1m: PerSecond,
    /// Where the time of its executors went, in the mean; `null` in the first seconds.
    pub time: Option<Time>,
    /// The same of its busiest executor.
    pub busiest: Option<Time>,
    /// Storm's capacity: the share of the last ten seconds that its busiest executor was executing,
    /// 1 is all of it.
    pub capacity: Option<f64>,
}

impl Pace {
    /// How fast this component is.
    #[must_use]
    pub fn of(component: &Component) -> Self {
        let busiest = component.busiest().and_then(|executor| executor.shares);
        let executing = component.executors.iter().filter_map(|it| it.shares);
        let capacity = executing.map(|shares| shares.executing).reduce(f64::max);
        Self {
            rates_10s: component.ten_seconds.into(),
            rates_1m: component.minute.into(),
            time: component.shares().map(Time::from),
            busiest: busiest.map(Time::from),
            capacity: capacity.map(short),
        }
    }
}

/// A way from a stream to a component that reads it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Edge {
    /// Who emits.
    pub from: String,
    /// The stream.
    pub stream: String,
    /// Who reads.
    pub to: String,
    /// How the stream is split among the tasks.
    pub grouping: String,
    /// Tuples a second over the last ten, each copy counted; `null` if that is not known.
    pub rate: Option<f64>,
}

/// Lists the ways of a topology.
#[must_use]
pub fn edges(figures: &Figures) -> Vec<Edge> {
    let of = |reader: &Component| {
        let to = reader.name.clone();
        let edge = move |input: &crate::engine::figures::Input| Edge {
            from: input.component.clone(),
            stream: input.stream.clone(),
            to: to.clone(),
            grouping: input.grouping.clone(),
            rate: input.rate.map(short),
        };
        reader.inputs.iter().map(edge).collect::<Vec<_>>()
    };
    figures.components.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_second_add_up_to_it() {
        let (blocked, throttled) = (0.222_5, 0.111_5);
        let shares =
            Shares { executing: 0.333_4, ready: 0.1, blocked, throttled, ..Shares::default() };
        let time = Time::from(shares);
        assert_eq!(time.busy + time.back_pressured + time.throttled + time.idle, 1_000.0);
        assert_eq!((time.back_pressured, time.throttled), (223.0, 112.0));
    }
}
