//! Compares what the pipeline found with a batch count over the files that it read.
//!
//! `weblog_check --logs=DIR --out=DIR --redis=HOST:PORT [--exactly]`
//!
//! Waits until everything has arrived, then holds each number against `weblog::tally`. None may be too
//! small: nothing is lost. Sums may be too large by what was replayed after a death, which at least once
//! allows; how much that was is said, and `--exactly` allows none. Different visitors are estimates of
//! Redis (`HyperLogLog`, standard error 0.81 %). What was planted in the traffic must have been found.

#![expect(clippy::print_stdout, reason = "who runs it wants to know")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use redis::{Commands, Connection};
use serde_json::Value;
use topology_api::Args;
use weblog::entry::Entry;
use weblog::tally::Tally;
use weblog::time;

type Error = Box<dyn std::error::Error>;

/// How often it is looked whether everything has arrived, and how long that may take without progress.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 240;

/// What was compared, and with which result.
#[derive(Default)]
struct Comparison {
    wrong: Vec<String>,
    compared: u64,
    /// Of requests: what came more than once.
    twice: u64,
}

impl Comparison {
    /// A sum that may be too large, but not too small.
    fn sum(&mut self, what: &str, stream: u64, batch: u64) -> u64 {
        self.compared += 1;
        if stream < batch {
            self.wrong.push(format!("{what}: {stream} of {batch}: something is lost"));
        }
        stream.saturating_sub(batch)
    }

    /// A number that is what it is, whatever comes twice.
    fn same(&mut self, what: &str, stream: u64, batch: u64) {
        self.compared += 1;
        if stream != batch {
            self.wrong.push(format!("{what}: {stream} instead of {batch}"));
        }
    }

    /// An estimate of how many different ones there are.
    fn near(&mut self, what: &str, stream: u64, batch: u64) {
        self.compared += 1;
        // Five standard errors, and a collision or two among few.
        let allowed = batch as f64 * 0.0405 + 2.0;
        if (stream as f64 - batch as f64).abs() > allowed {
            self.wrong.push(format!("{what}: about {stream} instead of {batch}"));
        }
    }
}

/// All files of a folder and of those in it, but for hidden ones.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|it| format!("{}: {it}", folder.display()))? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match path.is_dir() {
            _ if hidden => {}
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

fn lines(folder: &Path, ending: &str) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for path in files(folder)?.iter().filter(|path| path.to_string_lossy().contains(ending)) {
        let bytes = fs::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        lines.extend(text.lines().map(str::to_owned));
    }
    Ok(lines)
}

/// Waits until as many requests and bad lines are counted as there are, and no more come.
fn until_arrived(redis: &mut Connection, requests: u64, invalid: u64) -> Result<(), Error> {
    let (mut before, mut still) = ((0, 0), 0);
    while still < LOOKS {
        let now = (sum(redis, "weblog:requests")?, sum(redis, "weblog:invalid")?);
        let (arrived, steady) = (now.0 >= requests && now.1 >= invalid, now == before);
        if arrived && steady && still >= 6 {
            return Ok(());
        }
        still = if steady { still + 1 } else { 0 };
        before = now;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn sum(redis: &mut Connection, key: &str) -> Result<u64, Error> {
    Ok(redis.hvals::<_, Vec<u64>>(key)?.iter().sum())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn minutes(it: &mut Comparison, redis: &mut Connection, report: &Value) -> Result<(), Error> {
    let by_minute = |counts: BTreeMap<u64, u64>| -> HashMap<String, u64> {
        counts.into_iter().map(|(start, count)| (time::minute(start), count)).collect()
    };
    let requests = by_minute(redis.hgetall("weblog:requests")?);
    let errors = by_minute(redis.hgetall("weblog:errors")?);
    for minute in array(&report["minutes"]) {
        let name = minute["minute"].as_str().unwrap_or_default();
        let of = |counts: &HashMap<String, u64>| counts.get(name).copied().unwrap_or(0);
        let what = format!("requests at {name}");
        it.twice += it.sum(&what, of(&requests), number(&minute["requests"]));
        it.sum(&format!("errors at {name}"), of(&errors), number(&minute["server_errors"]));
    }
    Ok(())
}

fn pages(it: &mut Comparison, redis: &mut Connection, report: &Value) -> Result<(), Error> {
    let starts: BTreeMap<u64, u64> = redis.hgetall("weblog:requests")?;
    let starts: HashMap<String, u64> =
        starts.into_keys().map(|start| (time::minute(start), start)).collect();
    let mut views: HashMap<u64, HashMap<String, u64>> = HashMap::new();
    for page in array(&report["pages"]) {
        let (minute, name) = (page["minute"].as_str(), page["page"].as_str());
        let (Some(minute), Some(name)) = (minute, name) else { continue };
        let Some(start) = starts.get(minute) else {
            it.wrong.push(format!("nothing was counted at {minute}"));
            continue;
        };
        if !views.contains_key(start) {
            views.insert(*start, redis.hgetall(format!("weblog:views:{start}"))?);
        }
        let counted = views[start].get(name).copied().unwrap_or(0);
        it.sum(&format!("views of {name} at {minute}"), counted, number(&page["views"]));
        let visitors: u64 = redis.pfcount(format!("weblog:visitors:{start}:{name}"))?;
        it.near(&format!("visitors of {name} at {minute}"), visitors, number(&page["visitors"]));
    }
    Ok(())
}

fn totals(it: &mut Comparison, redis: &mut Connection, report: &Value) -> Result<(), Error> {
    for (key, list) in [("weblog:pages", "top_pages"), ("weblog:referrers", "top_referrers")] {
        for row in array(&report[list]) {
            let name = row[0].as_str().unwrap_or_default();
            let counted: Option<f64> = redis.zscore(key, name)?;
            it.sum(&format!("{list} {name}"), counted.unwrap_or(0.0) as u64, number(&row[1]));
        }
    }
    let sessions: Option<u64> = redis.get("weblog:sessions")?;
    it.same("sessions", sessions.unwrap_or(0), number(&report["sessions"]));
    let invalid = sum(redis, "weblog:invalid")?;
    it.twice += it.sum("lines that are none of a log", invalid, number(&report["invalid"]));
    Ok(())
}

/// Every request is in a complete file, and every bad line.
fn written(it: &mut Comparison, out: &Path, lines_in: &[String]) -> Result<(), Error> {
    let mut missing: HashMap<String, i64> = HashMap::new();
    for line in lines_in {
        let expected = match Entry::parse(line) {
            Ok(entry) => {
                format!("{} {} {} {}", entry.time, entry.client, entry.status, entry.page())
            }
            Err(_) => line.clone(),
        };
        *missing.entry(expected).or_default() += 1;
    }
    // The last files are complete when nothing has come for a while.
    let mut lost = 0;
    for _ in 0..LOOKS / 4 {
        let mut missing = missing.clone();
        for line in lines(out, "")? {
            *missing.entry(line).or_default() -= 1;
        }
        lost = missing.values().filter(|count| **count > 0).sum::<i64>().unsigned_abs();
        if lost == 0 {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    it.same("lines that are in no file", lost, 0);
    Ok(())
}

fn planted(it: &mut Comparison, redis: &mut Connection, logs: &Path) -> Result<(), Error> {
    let truth: Value = serde_json::from_str(&fs::read_to_string(logs.join("truth.json"))?)?;
    let alerts: Vec<String> = redis.zrange("weblog:alerts", 0, -1)?;
    let alerts: Vec<Value> =
        alerts.iter().filter_map(|alert| serde_json::from_str(alert).ok()).collect();
    for anomaly in array(&truth["anomalies"]) {
        it.compared += 1;
        let times = number(&anomaly["from_seconds"])..=number(&anomaly["to_seconds"]) + 60;
        let found = alerts.iter().find(|alert| {
            let who = anomaly["client"].is_null() || alert["who"] == anomaly["client"];
            let when = times.contains(&(number(&alert["at_ms"]) / 1_000));
            alert["what"] == anomaly["kind"] && who && when
        });
        match found {
            Some(alert) => println!("found: {}, {}", alert["what"], alert["evidence"]),
            None => it.wrong.push(format!("not found: {anomaly}")),
        }
    }
    Ok(())
}

fn check(args: &Args) -> Result<Comparison, Error> {
    let value = |name| args.value(name).ok_or_else(|| format!("say --{name}=..."));
    let (logs, out) = (Path::new(value("logs")?), Path::new(value("out")?));
    let mut redis =
        redis::Client::open(format!("redis://{}/", value("redis")?))?.get_connection()?;
    let read = lines(logs, ".access.log")?;
    let mut tally = Tally::default();
    read.iter().for_each(|line| tally.add_line(line));
    let report = tally.report();
    until_arrived(&mut redis, number(&report["requests"]), number(&report["invalid"]))?;

    let mut it = Comparison::default();
    minutes(&mut it, &mut redis, &report)?;
    pages(&mut it, &mut redis, &report)?;
    totals(&mut it, &mut redis, &report)?;
    planted(&mut it, &mut redis, logs)?;
    written(&mut it, out, &read)?;
    if args.flag("exactly") {
        let twice = it.twice;
        it.same("requests that were counted twice, where nothing died", twice, 0);
    }
    println!(
        "{} lines, {} of them none of a log; {} numbers compared, {} wrong; {} counted twice",
        read.len(),
        report["invalid"],
        it.compared,
        it.wrong.len(),
        it.twice
    );
    Ok(it)
}

fn main() -> ExitCode {
    match check(&Args::new(std::env::args().skip(1))) {
        Ok(it) if it.wrong.is_empty() => ExitCode::SUCCESS,
        Ok(it) => {
            it.wrong.iter().take(20).for_each(|wrong| println!("wrong: {wrong}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cannot compare: {error}");
            ExitCode::FAILURE
        }
    }
}
