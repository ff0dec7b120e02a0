//! The hottest reading of each sensor: a spout, a bolt and a test of each. `squall new` makes projects
//! from this file.

use std::{collections::BTreeMap, process::ExitCode};
use topology_api::prelude::*;

/// What flows: a tuple, with named fields.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Reading {
    sensor: Text,
    celsius: f64,
}

/// Where it comes from: a spout, here with made-up readings of one day.
#[derive(Default)]
struct Readings {
    next: u32,
    again: Vec<u32>,
}
impl Spout for Readings {
    type Output = Reading;
    type Id = u32; // what a reading is called when it is acked or failed
    fn next(&mut self, out: &mut SpoutOutput<Reading, u32>) -> SpoutResult {
        let n = match self.again.pop() {
            Some(n) => n,
            None if self.next == 1_440 => return Ok(Next::Finished),
            None => {
                self.next += 1;
                self.next - 1
            }
        };
        let sensor = if n % 2 == 0 { "roof" } else { "hall" };
        out.emit(n, Reading { sensor: sensor.into(), celsius: f64::from(n % 40) });
        Ok(Next::Emitted)
    }
    fn fail(&mut self, n: u32, _: FailReason) {
        self.again.push(n);
    }
}

/// What happens to it: a bolt. Each of its tasks sees all readings of its sensors.
struct Hottest {
    by_sensor: BTreeMap<Text, f64>,
    cx: Context,
}
impl Bolt for Hottest {
    type Input = Reading;
    type Output = NoOutput;
    fn execute(&mut self, reading: Reading, _: &mut Output<NoOutput>) -> BoltResult {
        if !reading.celsius.is_finite() {
            return Err(format!("{} measured no number", reading.sensor).into());
        }
        let hottest = self.by_sensor.entry(reading.sensor).or_insert(f64::MIN);
        *hottest = hottest.max(reading.celsius);
        Ok(())
    }
    fn finish(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.by_sensor);
    }
}

fn hottest(cx: &Context) -> Hottest {
    Hottest { by_sensor: BTreeMap::new(), cx: cx.clone() }
}

/// How they are connected: a topology.
fn heat(_: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("heat");
    let readings = t.spout("readings", |_| Readings::default()).stream();
    t.bolt("hottest", hottest).parallelism(2).fields(&readings, |reading| &reading.sensor);
    t.build()
}

fn main() -> ExitCode {
    worker::main(heat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::{BoltDriver, SpoutDriver};

    #[test]
    fn a_reading_that_fails_is_given_again() {
        let mut readings = SpoutDriver::new(|_| Readings::default()).unwrap();
        let day = readings.run().unwrap();
        assert_eq!(day.len(), 1_440);
        readings.fail(3, FailReason::new("timeout", true));
        readings.ack_all();
        assert_eq!(readings.run().unwrap(), [day[3].clone()]);
    }

    #[test]
    fn the_hottest_reading_of_each_sensor_is_kept() {
        let mut bolt = BoltDriver::new(hottest).unwrap();
        for celsius in [3.5, 21.0, -7.0] {
            bolt.execute(Reading { sensor: "roof".into(), celsius });
        }
        let broken = bolt.execute(Reading { sensor: "roof".into(), celsius: f64::NAN });
        assert_eq!(bolt.failed(), [(broken, "roof measured no number".to_owned())]);
        bolt.finish();
        assert_eq!(bolt.result().unwrap()["roof"], 21.0);
    }

    #[test]
    fn the_whole_topology_runs_to_its_end() {
        let topology = heat(&Args::default()).unwrap();
        let finished = worker::run_here(topology, Args::default()).unwrap();
        assert!(finished.complete);
        let results: Vec<&String> = finished.snapshot.results.values().collect();
        assert!(results.iter().any(|json| json.contains(r#""roof":38.0"#)), "{results:?}");
    }
}
