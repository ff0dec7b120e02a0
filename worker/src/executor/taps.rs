//! Live tuples for who asks to see some: what a task emits is looked at on its way out.
//!
//! Nobody who looks may hold up who works. While nobody does, it costs one read of a flag a batch.
//! While somebody does, a loop that finds the taps in use goes on without; how many tuples it turns
//! into JSON in a second is limited, and so is what waits to be fetched. What was left out is counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use daemon::Clock;
use proto::supervisor::{Tap, Tapped};
use serde_json::{Value as Json, json};
use topology_api::Topology;
use topology_api::runtime::{Condition, Rows};

use crate::executor::allowance::Allowance;
use crate::executor::traces::Traces;

/// Taps open at a time.
const TAPS_MAX: usize = 16;

/// Tuples a second that one tap shows, at most.
const RATE_MAX: u32 = 1_000;

/// Tuples a second that are held against the condition of one tap.
const LOOKS: u32 = 10_000;

/// What waits to be fetched by one tap.
const LINES_MAX: usize = 256;
const BYTES_MAX: usize = 1 << 20;

/// Of a tuple, what is shown of one text, and of all of it.
const TEXT_BYTES_MAX: usize = 1024;
const LINE_BYTES_MAX: usize = 16 * 1024;

/// The taps of a worker.
#[derive(Debug)]
pub struct Taps {
    /// Who looks at tuple trees: opened, fetched and closed as taps are.
    pub traces: Arc<Traces>,
    /// Somebody looks.
    any: AtomicBool,
    state: Mutex<BTreeMap<u64, Open>>,
    /// Tuples that passed while the taps were in use.
    missed: AtomicU64,
    /// By component: its name and those of its streams.
    names: Vec<(String, Vec<String>)>,
    worker: u32,
    clock: Clock,
}

/// One tap.
#[derive(Debug)]
struct Open {
    component: usize,
    /// None: all of its streams.
    stream: Option<usize>,
    condition: Option<Condition>,
    shows: Allowance,
    looks: Allowance,
    /// How many it may still show; none: as many as come.
    left: Option<u64>,
    /// Not fetched yet.
    waiting: Tapped,
    bytes: usize,
}

impl Taps {
    /// Makes the taps of a worker, none of them open.
    #[must_use]
    pub fn new(topology: &Topology, worker: u32, clock: Clock) -> Self {
        let component = |it: &topology_api::runtime::Component| {
            (it.name.clone(), it.outputs.iter().map(|output| output.name.clone()).collect())
        };
        Self {
            traces: Traces::new(clock.clone()),
            any: AtomicBool::new(false),
            state: Mutex::default(),
            missed: AtomicU64::new(0),
            names: topology.components().iter().map(component).collect(),
            worker,
            clock,
        }
    }

    /// Tells whether somebody looks at what is emitted.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Tells whether somebody is to be shown something.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.is_any() || self.traces.is_any()
    }

    /// Opens a tap; one that cannot be opened ends with the reason.
    pub fn open(&self, tap: &Tap) {
        if let Some(trace) = &tap.trace {
            return self.traces.open(tap.id, trace);
        }
        let mut open = Open {
            component: usize::MAX,
            stream: None,
            condition: None,
            shows: Allowance::new(tap.rate.clamp(1, RATE_MAX), self.clock.now()),
            looks: Allowance::new(LOOKS, self.clock.now()),
            left: (tap.limit > 0).then_some(tap.limit),
            waiting: Tapped { id: tap.id, ..Tapped::default() },
            bytes: 0,
        };
        let mut state = self.lock();
        let made = if state.len() < TAPS_MAX {
            self.aim(&mut open, tap)
        } else {
            Err(format!("{TAPS_MAX} others look at this worker: try again later"))
        };
        if let Err(problem) = made {
            (open.waiting.problem, open.waiting.ended) = (problem, true);
        }
        state.insert(tap.id, open);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Finds what a tap is to look at.
    fn aim(&self, open: &mut Open, tap: &Tap) -> Result<(), String> {
        let known = self.names.iter().position(|(name, _)| *name == tap.component);
        open.component = known.ok_or_else(|| format!("there is no `{}`", tap.component))?;
        if !tap.stream.is_empty() {
            let streams = &self.names[open.component].1;
            let stream = streams.iter().position(|name| *name == tap.stream);
            let none = || format!("`{}` has no stream `{}`", tap.component, tap.stream);
            open.stream = Some(stream.ok_or_else(none)?);
        }
        if !tap.condition.is_empty() {
            let condition = tap.condition.parse::<Condition>();
            open.condition = Some(condition.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    /// Closes a tap.
    pub fn close(&self, id: u64) {
        self.traces.close(id);
        let mut state = self.lock();
        state.remove(&id);
        self.any.store(!state.is_empty(), Ordering::Relaxed);
    }

    /// Closes all: who asked for them is gone.
    pub fn close_all(&self) {
        self.traces.close_all();
        self.lock().clear();
        self.any.store(false, Ordering::Relaxed);
    }

    /// What each tap has to say since it was asked last; taps that are done are closed.
    pub fn fetch(&self) -> Vec<Tapped> {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        let mut state = self.lock();
        let fetch = |open: &mut Open| {
            let fresh = Tapped { id: open.waiting.id, ..Tapped::default() };
            open.bytes = 0;
            let mut said = std::mem::replace(&mut open.waiting, fresh);
            said.emitted += missed;
            said
        };
        let mut said: Vec<Tapped> = state.values_mut().map(fetch).collect();
        said.iter().filter(|said| said.ended).for_each(|said| drop(state.remove(&said.id)));
        self.any.store(!state.is_empty(), Ordering::Relaxed);
        said.extend(self.traces.fetch());
        said
    }

    /// Shows what a task has emitted to who looks. To be asked only while somebody does.
    #[cold]
    pub fn offer(
        &self,
        (component, stream): (usize, usize),
        task: u32,
        rows: &dyn Rows,
        now: Instant,
    ) {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.missed.fetch_add(rows.len() as u64, Ordering::Relaxed);
                return;
            }
        };
        let (name, streams) = &self.names[component];
        let wants = |open: &&mut Open| {
            open.component == component && open.stream.is_none_or(|wanted| wanted == stream)
        };
        for open in state.values_mut().filter(wants) {
            let place = Place { component: name, stream: &streams[stream], task };
            open.look(&place, rows, (now, self.worker, &self.clock));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where tuples were emitted.
struct Place<'a> {
    component: &'a str,
    stream: &'a str,
    task: u32,
}

impl Open {
    fn look(
        &mut self,
        place: &Place<'_>,
        rows: &dyn Rows,
        (now, worker, clock): (Instant, u32, &Clock),
    ) {
        let seen = usize::try_from(self.waiting.emitted).unwrap_or(0);
        self.waiting.emitted += rows.len() as u64;
        // Not always the first ones of a batch.
        let first = seen % rows.len().max(1);
        for at in 0..rows.len() {
            if self.waiting.ended || !self.shows.has_one(now) || !self.looks.take(now) {
                return;
            }
            let fields = rows.fields((first + at) % rows.len());
            self.waiting.looked_at += 1;
            if self.condition.as_ref().is_some_and(|condition| !condition.holds(&fields)) {
                continue;
            }
            self.shows.take(now);
            self.show(json!({
                "at_ms": clock.wall_ms(),
                "worker": worker,
                "component": place.component,
                "task": place.task,
                "stream": place.stream,
                "tuple": shown(fields),
            }));
        }
    }

    fn show(&mut self, line: Json) {
        let line = line.to_string();
        if self.waiting.lines.len() >= LINES_MAX || self.bytes + line.len() > BYTES_MAX {
            self.waiting.left_out += 1;
            return;
        }
        self.bytes += line.len();
        self.waiting.lines.push(line);
        if let Some(left) = &mut self.left {
            *left -= 1;
            self.waiting.ended = *left == 0;
        }
    }
}

/// The fields of a tuple as one object; what is long is cut off.
fn shown(fields: Vec<(String, Json)>) -> Json {
    let mut bytes = 0;
    let cut = |(name, mut value): (String, Json)| {
        shorten(&mut value);
        bytes += name.len() + value.to_string().len();
        (name, if bytes > LINE_BYTES_MAX { Json::from("…") } else { value })
    };
    Json::Object(fields.into_iter().map(cut).collect())
}

fn shorten(value: &mut Json) {
    match value {
        Json::String(text) if text.len() > TEXT_BYTES_MAX => {
            let cut = (0..=TEXT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(cut.unwrap_or(0));
            text.push('…');
        }
        Json::Array(items) => items.iter_mut().for_each(shorten),
        Json::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use topology_api::runtime::Batch;
    use topology_api::{Line, LineFiles, TopologyBuilder};

    fn taps() -> (Taps, Instant) {
        let mut builder = TopologyBuilder::new("t");
        builder.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx));
        let clock = Clock::system();
        let now = clock.now();
        (Taps::new(&builder.build().unwrap(), 4, clock), now)
    }

    fn lines(texts: &[&str]) -> Batch<Line> {
        Batch { rows: texts.iter().map(|text| Line { text: (*text).into() }).collect() }
    }

    fn tap(condition: &str, rate: u32, limit: u64) -> Tap {
        let (component, condition) = ("lines".to_owned(), condition.to_owned());
        Tap { id: 9, component, condition, rate, limit, ..Tap::default() }
    }

    #[test]
    fn who_looks_sees_what_the_condition_wants_and_no_more_than_the_limit() {
        let (taps, now) = taps();
        assert!(!taps.is_any());
        taps.open(&tap("text contains b", 100, 2));
        assert!(taps.is_any());
        taps.offer((0, 0), 7, &lines(&["a", "ab", "b", "bb"]), now);
        let said = taps.fetch();
        assert_eq!((said.len(), said[0].lines.len(), said[0].ended), (1, 2, true), "{said:?}");
        let line: Json = serde_json::from_str(&said[0].lines[0]).unwrap();
        assert_eq!((&line["worker"], &line["task"]), (&json!(4), &json!(7)), "{line}");
        assert_eq!(line["tuple"], json!({ "text": "ab" }));
        assert!(!taps.is_any(), "it is closed");
    }

    #[test]
    fn what_is_shown_has_a_rate_and_what_waits_has_an_end() {
        let (taps, now) = taps();
        taps.open(&tap("", 10, 0));
        let many = lines(&["x"; 100]);
        taps.offer((0, 0), 0, &many, now);
        let shown = taps.fetch().remove(0);
        assert!((1..10).contains(&shown.lines.len()), "{}", shown.lines.len());
        assert_eq!(shown.emitted, 100);
        for second in 1..60 {
            taps.offer((0, 0), 0, &many, now + Duration::from_secs(second));
        }
        let shown = taps.fetch().remove(0).lines.len();
        assert!((50..=600).contains(&shown), "{shown} in a minute");
        taps.close(9);
        assert!(!taps.is_any());
        taps.open(&tap("", RATE_MAX, 0));
        for second in 1..60 {
            taps.offer((0, 0), 0, &many, now + Duration::from_secs(second));
        }
        let said = taps.fetch().remove(0);
        assert_eq!(said.lines.len(), LINES_MAX);
        assert!(said.left_out > 0);
    }

    #[test]
    fn what_cannot_be_looked_at_ends_with_the_reason_and_long_texts_are_cut() {
        let (taps, now) = taps();
        taps.open(&Tap { component: "linse".to_owned(), ..tap("", 1, 1) });
        assert!(taps.fetch()[0].problem.contains("linse"));
        taps.open(&Tap { stream: "other".to_owned(), ..tap("", 1, 1) });
        assert!(taps.fetch()[0].problem.contains("no stream `other`"));
        taps.open(&tap("text =", 1, 1));
        assert!(taps.fetch()[0].problem.contains("no condition"));
        taps.open(&tap("", 1, 1));
        taps.offer((0, 0), 0, &lines(&["é".repeat(100_000).as_str()]), now);
        let said = taps.fetch().remove(0);
        assert!(said.lines[0].len() < 2 * TEXT_BYTES_MAX && said.lines[0].contains('…'));
    }
}
