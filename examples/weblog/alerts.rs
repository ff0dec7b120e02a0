//! Traffic that is not as usual, found while it happens.
//!
//! For each minute of the log it is counted how often something was seen: requests of a client, missing
//! pages that a client asked for, answers that a server could not give. What is usual is an average that
//! forgets (EWMA; S. Roberts, "Control Chart Tests Based on Geometric Moving Averages", 1959), of the counts
//! and of how far they are from it. A count far above that is told at once, in the minute in which it gets
//! there. The average is robust: what is above the threshold counts as if it were at it (clipping after P.
//! Huber, 1964), so an attack does not become usual.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;
use topology_api::prelude::*;

use crate::hit::Hit;

const MINUTE: u64 = 60;

/// A minute is over when the log is so far beyond its beginning: lines of other servers come late.
const OVER_AFTER: u64 = 3 * MINUTE;

/// How many deviations above the average are not usual any more.
const DEVIATIONS: f64 = 8.0;

/// Something that is not as usual.
#[derive(Clone, Debug, PartialEq, Tuple)]
pub(crate) struct Alert {
    /// When it was noticed, by the log, in seconds since 1970.
    pub(crate) time: u64,
    /// `flood`, `scan` or `errors`.
    pub(crate) what: Text,
    /// The client; for `errors` the page.
    pub(crate) who: Text,
    pub(crate) evidence: Text,
}

impl Alert {
    /// As the page and the topic have it.
    pub(crate) fn to_json(&self) -> String {
        let Self { time, what, who, evidence } = self;
        let [what, who, evidence] = [what, who, evidence].map(Text::as_str);
        json!({"at_ms": time * 1_000, "what": what, "who": who, "evidence": evidence}).to_string()
    }
}

/// What is usual.
#[derive(Clone, Debug, Default)]
struct Usual {
    mean: f64,
    deviation: f64,
    counts: u64,
}

/// Counts one thing by minute and by who it is about.
#[derive(Debug)]
struct Watch {
    what: &'static str,
    unit: &'static str,
    /// How fast the average forgets: the share of a new count.
    forgets: f64,
    /// Before so many counts nothing is known.
    known_after: u64,
    /// Fewer are never told of.
    least: f64,
    usual: Usual,
    /// By the beginning of the minute.
    minutes: BTreeMap<u64, HashMap<Text, u64>>,
    /// Who was told of last in which minute: what goes on is told once.
    told: HashMap<Text, u64>,
}

impl Watch {
    fn new(what: &'static str, unit: &'static str, least: f64) -> Self {
        let (usual, minutes, told) = (Usual::default(), BTreeMap::new(), HashMap::new());
        Self { what, unit, forgets: 0.005, known_after: 200, least, usual, minutes, told }
    }

    fn threshold(&self) -> Option<f64> {
        let Usual { mean, deviation, counts } = self.usual;
        let known = counts >= self.known_after;
        known.then(|| (mean + DEVIATIONS * deviation).max(self.least))
    }

    fn learn(&mut self, count: u64) {
        let count = self.threshold().map_or(count as f64, |most| most.min(count as f64));
        let Usual { mean, deviation, counts } = &mut self.usual;
        *counts += 1;
        // The first ones are averaged evenly.
        let share = self.forgets.max(1.0 / *counts as f64);
        let far = (count - *mean).abs();
        *mean += share * (count - *mean);
        *deviation += share * (far - *deviation);
    }

    /// Counts one more; gives the alert if that is too many.
    fn count(&mut self, time: u64, who: &Text) -> Option<Alert> {
        let minute = time / MINUTE * MINUTE;
        let threshold = self.threshold();
        let count = self.minutes.entry(minute).or_default().entry(who.clone()).or_default();
        *count += 1;
        let count = *count;
        if threshold.is_none_or(|most| count as f64 <= most) {
            return None;
        }
        let before = self.told.insert(who.clone(), minute);
        if before.is_some_and(|before| minute.saturating_sub(before) <= OVER_AFTER) {
            return None;
        }
        let Usual { mean, deviation, .. } = self.usual;
        let evidence = format!(
            "{count} {} within a minute, where {mean:.1} are usual, give or take {deviation:.1}",
            self.unit
        );
        let (what, who) = (self.what.into(), who.clone());
        Some(Alert { time, what, who, evidence: evidence.into() })
    }

    /// Learns from minutes that are over.
    fn close(&mut self, now: u64) {
        while let Some(minute) = self.minutes.first_entry()
            && *minute.key() + OVER_AFTER < now
        {
            let counts = minute.remove();
            counts.values().for_each(|count| self.learn(*count));
        }
        self.told.retain(|_, minute| *minute + 2 * OVER_AFTER > now);
    }
}

/// The bolt: all hits of a client come to one task.
#[derive(Debug)]
pub(crate) struct Alerts {
    requests: Watch,
    missing: Watch,
    /// The latest minute of the log.
    now: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            requests: Watch::new("flood", "requests", 60.0),
            missing: Watch::new("scan", "missing pages", 20.0),
            now: 0,
        }
    }
}

impl Bolt for Alerts {
    type Input = Hit;
    type Output = Alert;

    fn execute(&mut self, hit: Hit, out: &mut Output<Alert>) -> BoltResult {
        if hit.minute() > self.now {
            self.now = hit.minute();
            self.requests.close(self.now);
            self.missing.close(self.now);
        }
        // What is older was learned from already.
        if hit.minute() + OVER_AFTER < self.now {
            return Ok(());
        }
        if let Some(alert) = self.requests.count(hit.time, &hit.client) {
            out.emit(alert);
        }
        if hit.status == 404
            && let Some(alert) = self.missing.count(hit.time, &hit.client)
        {
            out.emit(alert);
        }
        Ok(())
    }
}

/// The bolt for errors: all hits of a page come to one task.
#[derive(Debug)]
pub(crate) struct Errors {
    errors: Watch,
    now: u64,
}

impl Default for Errors {
    fn default() -> Self {
        // Few pages fail within a minute.
        let errors = Watch::new("errors", "failed requests", 10.0);
        Self { errors: Watch { known_after: 50, ..errors }, now: 0 }
    }
}

impl Bolt for Errors {
    type Input = Hit;
    type Output = Alert;

    fn execute(&mut self, hit: Hit, out: &mut Output<Alert>) -> BoltResult {
        if hit.minute() > self.now {
            self.now = hit.minute();
            self.errors.close(self.now);
        }
        if hit.is_error()
            && hit.minute() + OVER_AFTER >= self.now
            && let Some(alert) = self.errors.count(hit.time, &hit.page)
        {
            out.emit(alert);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use topology_api::testing::BoltDriver;
    use weblog::traffic::{Options, Traffic};

    use super::*;

    fn found<B, F>(make: F) -> Vec<Alert>
    where
        B: Bolt<Input = Hit, Output = Alert>,
        F: Fn(&Context) -> B + Send + Sync + 'static,
    {
        let mut driver = BoltDriver::new(make).unwrap();
        let lines = Traffic::new(Options { rate: 500.0, ..Options::default() });
        for hit in lines.filter_map(|made| Hit::parse(&made.line).ok()) {
            driver.execute(hit);
        }
        driver.emitted()
    }

    #[test]
    fn what_is_planted_is_found_and_little_else() {
        let alerts = found(|_| Alerts::default());
        let whos = |what: &str| -> Vec<&str> {
            alerts.iter().filter(|it| it.what == *what).map(|it| it.who.as_str()).collect()
        };
        assert!(whos("flood").contains(&"203.0.113.66"), "{alerts:?}");
        assert!(whos("scan").contains(&"203.0.113.99"), "{alerts:?}");
        let planted = ["203.0.113.66", "203.0.113.99"];
        let others = alerts.iter().filter(|it| !planted.contains(&it.who.as_str())).count();
        assert!(others <= 3, "{others} of {alerts:?}");
    }

    #[test]
    fn a_burst_of_errors_is_found_at_the_pages_it_hits_most() {
        let alerts = found(|_| Errors::default());
        assert!(!alerts.is_empty() && alerts.iter().all(|it| it.what == "errors"), "{alerts:?}");
        // The burst begins when three quarters of the hour from 9:00 have passed.
        let begun = Options::default().start + 45 * MINUTE;
        let before = alerts.iter().filter(|it| it.time < begun).count();
        assert!(before <= 3, "{before} of {alerts:?}");
    }

    #[test]
    fn what_is_unusual_does_not_become_usual() {
        let mut watch = Watch::new("flood", "requests", 10.0);
        (0..1_000).for_each(|at| watch.learn(4 + at % 3));
        let before = watch.threshold().unwrap();
        (0..20).for_each(|_| watch.learn(1_000_000));
        assert!(watch.threshold().unwrap() < 3.0 * before, "{before} {watch:?}");
    }
}
