//! Tuple trees on demand: the workers note what becomes of a sample of them for a while, and that is
//! joined. It is asked for as live tuples are, and ends as they do: with who asked, or when its time is
//! over. Who runs what is in the store, so a standby serves this too.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon::{Clock, Shutdown};
use proto::nimbus::{Tapped, TraceRequest};
use proto::store::{TopologyRecord, TopologyStatus};
use proto::supervisor::{Tap, Trace};
use tokio::sync::mpsc;
use tokio::time::sleep;
use topology_api::format_duration;
use topology_api::runtime::did_you_mean;

use super::logs::{Source, Whose, sources};
use super::looks::forward;
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::traces::{Asked, Cast, Gathered, Traces};
use crate::status;

/// For how long is looked, if nobody says so, and at most.
const TIME: Duration = Duration::from_secs(10);
const TIME_MAX: Duration = Duration::from_secs(120);

/// How many trees are shown, if nobody says so, and at most.
const LIMIT: u32 = 10;
const LIMIT_MAX: u32 = 100;

/// How long workers may take at the end to say the last of what they know.
const REST: Duration = Duration::from_secs(1);

/// What each of them says until then: the first may have been under way before.
const LAST_WORDS: u32 = 2;

/// How much longer workers note by themselves, if nobody tells them to end.
const MARGIN: Duration = Duration::from_secs(5);

/// What waits to be joined; then supervisors leave out.
const SHOWN_MAX: usize = 64;

/// Has the workers of a topology note what becomes of its tuple trees, until enough have ended or the
/// time is over.
pub(crate) async fn traces(
    handle: &Handle,
    shutdown: &Shutdown,
    request: TraceRequest,
) -> Result<Traces, Refusal> {
    let (asked, time) = read(&request)?;
    let (name, component) = (request.name.clone(), request.component);
    let look = move |engine: &Engine, _| {
        let record = &engine.topology("trace", &name)?.record;
        check(record, &component)?;
        let whose = Whose { name: &name, component: "", worker: None };
        Ok((sources(engine, &whose, "trace")?, Cast::of(engine, &record.id)))
    };
    let (sources, cast) = handle.look(look).await??;
    let for_ms = u64::try_from((time + MARGIN).as_millis()).unwrap_or(u64::MAX);
    let (sender, shown) = mpsc::channel(SHOWN_MAX);
    let live = sources.iter().map(|source| (source.worker, LAST_WORDS)).collect();
    for source in sources {
        open(source, for_ms, handle, (shutdown, sender.clone()));
    }
    drop(sender);
    let clock = Clock::system();
    let began = clock.now();
    let watch = Watch { gathered: Gathered::default(), live, problems: BTreeMap::new() };
    let watch = watch.gather(shown, time, (&asked, &cast)).await;
    let took = clock.now().saturating_duration_since(began);
    let mut traces = watch.gathered.finish(&asked, &cast);
    traces.topology.clone_from(&request.name);
    traces.looked_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let problems = watch.problems;
    if traces.seen == 0 && problems.len() == cast.workers.len() {
        let why: Vec<String> = problems.into_values().collect();
        let fix =
            format!("`squall describe {}` shows where its workers run; try again", request.name);
        return Err(refusal(&request.name, RefusalKind::NotNow, why.join("; "), &fix));
    }
    traces.remarks.extend(problems.into_values());
    remark(handle, &mut traces).await;
    Ok(traces)
}

fn refusal(name: &str, kind: RefusalKind, why: impl Into<String>, fix: &str) -> Refusal {
    Refusal::new(kind, format!("failed to trace `{name}`"), why, fix)
}

/// Reads what is asked for, and for how long.
fn read(request: &TraceRequest) -> Result<(Asked, Duration), Refusal> {
    let TraceRequest { name, for_ms, limit, slowest, failed, component } = request;
    let invalid = |why: String, fix: &str| Err(refusal(name, RefusalKind::Invalid, why, fix));
    let time = if *for_ms == 0 { TIME } else { Duration::from_millis(*for_ms) };
    if time > TIME_MAX {
        let why = format!("{} is longer than 2m", format_duration(time));
        return invalid(why, "look for a shorter time, and again if need be");
    }
    if *limit > LIMIT_MAX {
        let why = format!("{limit} trees are more than {LIMIT_MAX}");
        return invalid(why, "ask for fewer: the slowest, or those that failed");
    }
    let limit = if *limit == 0 { LIMIT } else { *limit };
    let component = component.clone();
    let asked = Asked { limit: limit as usize, slowest: *slowest, failed: *failed, component };
    Ok((asked, time))
}

/// Refuses what has no trees.
fn check(record: &TopologyRecord, component: &str) -> Result<(), Refusal> {
    let (name, spec) = (&record.name, record.spec.as_ref());
    if spec.and_then(|spec| spec.config.get("acking")).is_some_and(|acking| acking == "false") {
        let why = "its tuples are not tracked (acking=false), so they make no trees";
        let fix = format!(
            "submit it without that setting, or look at single tuples: squall tap {name} COMPONENT"
        );
        return Err(refusal(name, RefusalKind::NotNow, why, &fix));
    }
    let components = || spec.iter().flat_map(|spec| &spec.components);
    let spouts = || components().filter(|it| it.spout).map(|it| it.name.as_str());
    if component.is_empty() || spouts().any(|spout| spout == component) {
        return Ok(());
    }
    let shown: String = component.chars().take(128).collect();
    let why = match components().any(|it| it.name == component) {
        true => format!("`{shown}` is a bolt, and trees begin at spouts"),
        false => {
            format!("it has no component `{shown}`{}", did_you_mean(&shown, spouts()))
        }
    };
    let known: Vec<&str> = spouts().collect();
    let fix = format!("its spouts: {}", known.join(", "));
    Err(refusal(name, RefusalKind::NotFound, why, &fix))
}

type Sender = mpsc::Sender<Tapped>;

/// Has one worker note.
fn open(source: Source, for_ms: u64, handle: &Handle, (shutdown, sender): (&Shutdown, Sender)) {
    let (security, asked) = (handle.security().clone(), shutdown.clone());
    let tap = Tap { trace: Some(Trace { for_ms }), ..Tap::default() };
    shutdown.spawn(async move {
        tokio::select! {
            () = asked.asked() => {}
            () = sender.closed() => {}
            () = forward(source, tap, &security, &sender) => {}
        }
    });
}

/// What is noted, and who still notes.
struct Watch {
    gathered: Gathered,
    /// By worker: how often it is to be heard once the end has come.
    live: BTreeMap<u32, u32>,
    /// By worker: why nothing more comes of it.
    problems: BTreeMap<u32, String>,
}

impl Watch {
    /// Takes what comes until enough trees have ended or the time is over, and then what the workers
    /// have left to say.
    async fn gather(
        mut self,
        mut shown: mpsc::Receiver<Tapped>,
        time: Duration,
        (asked, cast): (&Asked, &Cast),
    ) -> Self {
        let end = sleep(time);
        tokio::pin!(end);
        let mut ending = false;
        while !self.live.is_empty() {
            let next = tokio::select! {
                next = shown.recv() => next,
                () = &mut end => {
                    if std::mem::replace(&mut ending, true) {
                        break;
                    }
                    end.set(sleep(REST));
                    continue;
                }
            };
            match next {
                Some(tapped) => self.take(tapped, ending),
                None => break,
            }
            if !ending && !asked.slowest && self.gathered.ended(asked, cast) >= asked.limit {
                ending = true;
                end.set(sleep(REST));
            }
        }
        self
    }

    fn take(&mut self, Tapped { worker, supervisor, tapped }: Tapped, ending: bool) {
        let Some(tapped) = tapped else { return };
        if !tapped.problem.is_empty() {
            let problem = format!("nothing of worker {worker} at {supervisor}: {}", tapped.problem);
            self.problems.insert(worker, problem);
        }
        let ended = tapped.ended;
        self.gathered.take(worker, tapped);
        if let Some(words) = self.live.get_mut(&worker) {
            *words -= u32::from(ending);
            if *words == 0 || ended {
                self.live.remove(&worker);
            }
        }
    }
}

/// Says what else is to be known: why there is nothing, and how far clocks differ.
async fn remark(handle: &Handle, traces: &mut Traces) {
    let hops = traces.trees.iter().flat_map(|tree| &tree.hops);
    let apart = hops.filter_map(|hop| hop.clocks_apart_us).fold(0.0, f64::max);
    if apart > 0.0 {
        traces.remarks.push(format!(
            "clocks of its machines differ by {:.1} ms at least: times between them are not exact",
            apart / 1_000.0
        ));
    }
    if traces.seen > 0 {
        return;
    }
    let name = traces.topology.clone();
    let why = status::look(handle, move |engine, now| {
        let status = engine.topology("trace", &name)?.record.status();
        let shown = status::model::topology(engine, &name, now)?;
        Ok(why_none(status, &shown))
    });
    if let Ok((why, _)) = why.await {
        traces.remarks.push(why);
    }
}

/// Why no tree was seen.
fn why_none(status: TopologyStatus, shown: &status::Topology) -> String {
    let name = &shown.name;
    if status == TopologyStatus::Inactive {
        return format!("its spouts are not asked for tuples: squall activate {name}");
    }
    let spouts = || shown.components.iter().filter(|it| it.kind == "spout");
    let ids = |it: &status::model::Component| it.acked + it.failed_total + it.pending > 0;
    if spouts().any(|it| it.emitted > 0) && !spouts().any(ids) {
        return "its spouts emit without message ids, so their tuples make no trees: give each an id \
                (`out.emit(id, tuple)`)"
            .to_owned();
    }
    "no spout emitted anything, and no tree ended: look for longer, or wait for data".to_owned()
}
