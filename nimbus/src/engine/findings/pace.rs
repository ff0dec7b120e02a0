//! What limits the pace: a component that is slower than what comes to it, or one task of it.
//!
//! A component is a bottleneck if it is busy nearly all of the time while what leads to it is held up
//! or waits in its mailboxes. How much it could take with more executors follows from its time a
//! tuple (utilization law: Denning and Buzen, 1978): `n` executors that are busy a share `u` of the
//! time at `x` tuples a second take `x / u` at most, and `m` of them `m / n` times as much.
//!
//! Who is busy may still compute little: calls that sleep or wait for a disk or a service. More cores
//! do not help them; more calls side by side do.

use super::{Finding, Severity, percent, rate, tuples};
use crate::engine::figures::{Component, Executor, Figures, Shares, Task};

/// From this share of its time on an executor is as good as always busy.
const BUSY: f64 = 0.8;

/// What leads to a bottleneck is held up for at least this share of the time.
const HELD_UP: f64 = 0.2;

/// Or its mailboxes are at least this full.
const FULL: f64 = 0.5;

/// Such a share of the input is more than a task should get: so many times its even part.
const HOT: f64 = 2.0;

/// From this part of its busy time on a component is slow because it waits.
const WAITS: f64 = 0.5;

/// How busy executors should be with room to spare.
const AIM: f64 = 0.7;

/// No more is promised than this factor.
const LIFT_MAX: f64 = 8.0;

/// One task of a component gets far more than the others, and cannot keep up.
pub(super) fn hot_task(figures: &Figures) -> Vec<Finding> {
    figures.components.iter().filter_map(|component| hot_task_of(figures, component)).collect()
}

fn hot_task_of(figures: &Figures, component: &Component) -> Option<Finding> {
    let keyed = component.inputs.iter().find(|input| is_keyed(&input.grouping))?;
    let skew = |task: &&Task| component.skew(task).unwrap_or(0.0);
    let task = component.tasks.iter().max_by(|one, other| skew(one).total_cmp(&skew(other)))?;
    let shares = component.executor(task).and_then(|it| it.shares)?;
    let skew = component.skew(task).filter(|skew| *skew >= HOT)?;
    let is_slow = shares.busy() >= BUSY || task.fill() >= FULL;
    if component.tasks.len() < 2 || !is_slow {
        return None;
    }
    let executed = task.minute.as_ref().map_or(0.0, |rates| rates.executed);
    let text = format!(
        "task {} of `{}` gets {skew:.1} times its even part ({}, of {}): it is busy {} of the \
         time while the {} tasks are busy {} in the mean. A few keys of `{}` have most tuples",
        task.task,
        component.name,
        tuples(executed),
        rate(component.minute.executed),
        percent(shares.busy()),
        component.tasks.len(),
        percent(component.shares().unwrap_or_default().busy()),
        keyed.component,
    );
    let next = "split hot keys: `spread_hot_keys` or `partial_key` instead of `fields`, with a \
                bolt that merges (docs/groupings.md); more executors do not help";
    let finding = Finding::new("hot-task", Severity::Warning, text)
        .of(&component.name)
        .at_task(task.task)
        .at_worker(task.worker)
        .next(next)
        .shown_by("skew", skew)
        .shown_by("busy", shares.busy());
    Some(finding).filter(|_| figures.active)
}

fn is_keyed(grouping: &str) -> bool {
    matches!(grouping, "fields" | "partial-key" | "custom" | "direct")
}

/// A component is slower than what comes to it.
pub(super) fn bottleneck(figures: &Figures) -> Vec<Finding> {
    let slow = |component: &&Component| {
        hot_task_of(figures, component).is_none() && is_bottleneck(figures, component)
    };
    figures.components.iter().filter(slow).map(|it| describe(figures, it)).collect()
}

fn is_bottleneck(figures: &Figures, component: &Component) -> bool {
    let Some(shares) = component.shares() else { return false };
    if component.spout || saturation(figures, component) < BUSY || shares.blocked >= HELD_UP {
        return false;
    }
    component.fill() >= FULL || held_up(figures, component).is_some_and(|(_, held)| held >= HELD_UP)
}

/// The share of the time in which its executors could not have done more: they were busy, or their
/// loops were, at others.
fn saturation(figures: &Figures, component: &Component) -> f64 {
    let of = |executor: &Executor| {
        let shares = executor.shares.unwrap_or_default();
        let spare = 1.0 - figures.load(executor.worker, executor.at_loop);
        1.0 - shares.blocked - shares.throttled - shares.idle().min(spare)
    };
    let all: Vec<f64> = component.executors.iter().map(of).collect();
    #[expect(clippy::cast_precision_loss, reason = "there are at most 2^14 executors")]
    let count = all.len().max(1) as f64;
    all.iter().sum::<f64>() / count
}

/// Who of those that send to it is held up most, and for which share of the time.
fn held_up<'a>(figures: &'a Figures, component: &Component) -> Option<(&'a Component, f64)> {
    let inputs = component.inputs.iter().filter_map(|input| figures.component(&input.component));
    let held = |from: &'a Component| {
        let shares = from.shares().unwrap_or_default();
        (from, shares.blocked + shares.throttled)
    };
    inputs.map(held).max_by(|one, other| one.1.total_cmp(&other.1))
}

/// How many times as much the component would have to take so that it is no longer what limits: up to
/// what the next one can take, and to what its spouts would give.
fn lift<'a>(figures: &'a Figures, component: &Component) -> (f64, Option<&'a Component>) {
    let others = figures.components.iter().filter(|other| other.name != component.name);
    let busy = |other: &Component| {
        let Shares { executing, ready, .. } = other.shares().unwrap_or_default();
        (executing + ready / 2.0).max(0.01)
    };
    let next = others.max_by(|one, other| busy(one).total_cmp(&busy(other)));
    let lift = next.map_or(LIFT_MAX, |next| 1.0 / busy(next)).min(LIFT_MAX);
    (lift.max(1.0), next.filter(|_| lift < LIFT_MAX))
}

fn describe(figures: &Figures, component: &Component) -> Finding {
    let shares = component.shares().unwrap_or_default();
    let executed = component.ten_seconds.executed;
    #[expect(clippy::cast_precision_loss, reason = "there are at most 2^14 executors")]
    let executors = component.executors.len().max(1) as f64;
    let service = if shares.waits_aside() { shares.busy() } else { shares.executing };
    let micros = service * executors / executed.max(0.001) * 1e6;
    let of_it = match component.executors.len() {
        1 => "its executor is".to_owned(),
        count => format!("its {count} executors are"),
    };
    let each = match micros {
        it if it < 1_000.0 => format!("{it:.1} µs"),
        it => format!("{:.1} ms", it / 1_000.0),
    };
    let mut text = format!(
        "`{}` is the bottleneck: {of_it} busy {} of the time with {}, {each} each",
        component.name,
        percent(shares.busy()),
        tuples(executed),
    );
    if let Some((from, held)) = held_up(figures, component).filter(|(_, held)| *held >= HELD_UP) {
        text += &format!("; `{}` is held up {} of the time", from.name, percent(held));
    }
    let (lift, then) = lift(figures, component);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    let wanted = (executors * lift * shares.busy().max(BUSY) / AIM - 1e-6).ceil() as u32;
    let way = Way { figures, component, wanted, lift, then };
    let (why, next) = if shares.waits() >= WAITS {
        way.waits(&shares)
    } else if shares.ready > shares.executing {
        let why = ". Its executors wait for their turn: the cores of its workers are all busy";
        let workers = figures.workers.len() + 1;
        let next =
            format!("give it more cores: squall rebalance {} --workers {workers}", figures.name);
        (why.to_owned(), next)
    } else {
        way.computes()
    };
    Finding::new("bottleneck", Severity::Warning, text + &why)
        .of(&component.name)
        .next(next)
        .shown_by("busy", shares.busy())
        .shown_by("waiting", shares.waiting)
        .shown_by("executors", executors)
        .shown_by("executors_wanted", wanted.into())
        .shown_by("lift", lift)
        .shown_by("us_per_tuple", micros)
}

/// What would lift a bottleneck: so many executors, by so much, until another one is the limit.
struct Way<'a> {
    figures: &'a Figures,
    component: &'a Component,
    wanted: u32,
    lift: f64,
    then: Option<&'a Component>,
}

impl Way<'_> {
    fn rebalance(&self) -> String {
        let (topology, component) = (&self.figures.name, &self.component.name);
        format!("squall rebalance {topology} --executors {component}={}", self.wanted)
    }

    /// Why more executors help, as far as it has tasks for them.
    fn lifted(&self) -> String {
        let Self { wanted, lift, .. } = self;
        let mut why =
            format!(". With {wanted} executors it would take about {lift:.1} times as much");
        if let Some(then) = self.then {
            why += &format!("; then `{}` is the limit", then.name);
        }
        why
    }

    /// Why it is slow and what to do, if it computes.
    fn computes(&self) -> (String, String) {
        if self.wanted <= self.component.declared {
            return (self.lifted(), self.rebalance());
        }
        let Self { wanted, lift, component, .. } = self;
        let next = format!(
            "it has only {} tasks, and {wanted} executors are needed for {lift:.1} times as much: \
             submit it again with `.parallelism({wanted})`, or make its `execute` cheaper",
            component.declared
        );
        (String::new(), next)
    }

    /// Why it is slow and what to do, if it waits: in its turn, where its whole loop waits with it, or
    /// aside, in async calls or on threads of its own.
    fn waits(&self, shares: &Shares) -> (String, String) {
        let mut why = format!(
            ". In {} of that time it only waits (for input or output, in a sleep or for a lock): the \
             cores are not the limit",
            percent(shares.waits())
        );
        if !shares.waits_aside() {
            let next = "let its calls wait side by side: make it an `async_bolt`, or add `.blocking()` \
                        and more `.parallelism(..)`; while it waits in `execute`, its loop can do \
                        nothing else (docs/writing-a-topology.md, \"When a call must wait\")";
            return (why, next.to_owned());
        }
        let more = "or have more calls at once: `.concurrency(..)` of an async bolt";
        let next = if self.wanted <= self.component.declared {
            why += &self.lifted();
            format!("{}, {more}", self.rebalance())
        } else {
            format!("submit it again with `.parallelism({})`, {more}", self.wanted)
        };
        (why, next)
    }
}
