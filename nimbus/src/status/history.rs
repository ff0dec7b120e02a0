//! What a topology did over time: columns of numbers, `null` where nothing is known.

use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::event::Now;
use crate::engine::history::ring::Packed;

/// Most points of one answer.
const POINTS_MAX: u64 = 3_600;

/// Points of an answer when nobody says from when: ten minutes by the second.
const POINTS: u64 = 600;

/// What a topology or a component did over time: one number a step in each column, `null` in gaps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// The topology's name.
    pub topology: String,
    /// The component; `null` for the whole topology.
    pub component: Option<String>,
    /// When the first step began.
    pub from_ms: u64,
    /// How long one step is: a second or a minute.
    pub step_ms: u64,
    /// When the nimbus that answers began to keep histories: there is nothing before.
    pub since_ms: u64,
    /// Tuples emitted a second.
    pub emitted: Vec<Option<f64>>,
    /// Tuples executed a second.
    pub executed: Vec<Option<f64>>,
    /// Tuples acked a second; of a spout or a topology, tuple trees.
    pub acked: Vec<Option<f64>>,
    /// The same that failed.
    pub failed: Vec<Option<f64>>,
    /// Latency in µs that half of the calls (of a spout or a topology, trees) did not pass.
    pub latency_p50_us: Vec<Option<f64>>,
    /// The same for 95 of 100.
    pub latency_p95_us: Vec<Option<f64>>,
    /// The same for 99 of 100.
    pub latency_p99_us: Vec<Option<f64>>,
    /// How full the fullest mailbox was, from 0 to 1.
    pub queue_fill: Vec<Option<f64>>,
    /// Of 1000 ms, how many its executors were busy, in the mean.
    pub busy: Vec<Option<f64>>,
    /// Of 1000 ms, how many they had no room ahead.
    pub back_pressured: Vec<Option<f64>>,
    /// Of 1000 ms, how many a spout waited for acks.
    pub throttled: Vec<Option<f64>>,
}

/// Describes what a topology did over time: `component`, `from` (milliseconds since 1970) and `step`
/// (seconds: 1 or 60) of the query say what of it.
///
/// # Errors
///
/// That there is no such topology or component, or that a part of the query cannot be read.
pub fn history(
    engine: &Engine,
    name: &str,
    query: &Query<'_>,
    now: Now,
) -> Result<History, Refusal> {
    let record = &engine.topology("show the history of", name)?.record;
    let component = query.text("component");
    if let Some(component) = component {
        known_component(record, component)?;
    }
    let step = if query.number("step")?.unwrap_or(1) >= 60 { 60 } else { 1 };
    let (second, origin_ms) = engine.history_clock(now);
    let newest = second / step;
    let from = match query.number("from")? {
        Some(from) => from.saturating_sub(origin_ms) / 1_000 / step,
        None => newest.saturating_sub(if step == 1 { POINTS } else { POINTS_MAX }),
    };
    let from = from.max(newest.saturating_sub(POINTS_MAX));
    let mut shown = History {
        topology: record.name.clone(),
        component: component.map(str::to_owned),
        from_ms: origin_ms + from * step * 1_000,
        step_ms: step * 1_000,
        since_ms: origin_ms,
        ..History::default()
    };
    let series = engine.history(&record.id).and_then(|history| history.series(component));
    let mut points: Box<dyn Iterator<Item = (u64, Packed)>> = match series {
        None => Box::new(std::iter::empty()),
        Some(series) if step == 1 => Box::new(series.seconds(from)),
        Some(series) => Box::new(series.minutes(from)),
    };
    let mut next = points.next();
    for slot in from..newest {
        let point = next.filter(|(at, _)| *at == slot).map(|(_, packed)| packed);
        shown.push(point.as_ref());
        if point.is_some() {
            next = points.next();
        }
    }
    Ok(shown)
}

/// Finds out whether a topology has a component.
///
/// # Errors
///
/// That it has none of this name, and which it has.
pub(super) fn known_component(
    record: &proto::store::TopologyRecord,
    component: &str,
) -> Result<(), Refusal> {
    let all = record.spec.iter().flat_map(|spec| &spec.components);
    let mut names = all.map(|component| component.name.as_str());
    if names.clone().any(|name| name == component) {
        return Ok(());
    }
    let shown: String = component.chars().take(128).collect();
    let what = format!("failed to show component `{shown}` of `{}`", record.name);
    let known = names.by_ref().collect::<Vec<_>>().join(", ");
    let fix = format!("it has {known}");
    Err(Refusal::new(RefusalKind::NotFound, what, "there is no such component", fix))
}

impl History {
    fn push(&mut self, packed: Option<&Packed>) {
        let rates = packed.and_then(Packed::rates);
        let known = packed.filter(|_| rates.is_some());
        let latencies = known.map_or([None; 3], Packed::latencies_us);
        let shares = known.map(|it| it.shares().map(|share| short(share * 1_000.0)));
        let counts = [&mut self.emitted, &mut self.executed, &mut self.acked, &mut self.failed];
        for (at, column) in counts.into_iter().enumerate() {
            column.push(rates.map(|rates| short(rates[at])));
        }
        let columns =
            [&mut self.latency_p50_us, &mut self.latency_p95_us, &mut self.latency_p99_us];
        for (column, latency) in columns.into_iter().zip(latencies) {
            column.push(latency.map(short));
        }
        self.queue_fill.push(known.map(|it| short(it.fill())));
        let columns = [&mut self.busy, &mut self.back_pressured, &mut self.throttled];
        for (at, column) in columns.into_iter().enumerate() {
            column.push(shares.map(|shares| shares[at]));
        }
    }
}

/// A number with the four digits that are known of it.
pub(super) fn short(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let digits = 3.0 - number.abs().log10().floor();
    let factor = 10_f64.powf(digits.clamp(-15.0, 15.0));
    (number * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_four_digits() {
        let shown = [0.0, 0.123_456, 12.345_6, 123_456.0, 999.96, f64::NAN].map(short);
        assert_eq!(shown, [0.0, 0.123_5, 12.35, 123_500.0, 1_000.0, 0.0]);
    }
}
