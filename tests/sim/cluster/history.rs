//! What clients asked and were told, held against what the store did (I9).
//!
//! The revisions of the store are the order in which mutations take effect, so a history is
//! linearizable if each mutation takes effect once, between its request and its answer, if each step
//! is a legal one, if each refusal fits some moment between its request and its answer, and if each
//! list fits some moment that is not before what anybody was told before it was asked for. A refusal or
//! a list by a nimbus that was replaced and has not heard of it may be of an earlier moment.

use std::collections::BTreeMap;

use nimbus::engine::command::{RefusalKind, Reply};
use nimbus::engine::event::Verb;
use proto::store::TopologyStatus;

use super::client::Asked;
use super::events::{Heard, What};

/// The topology of a name: its id and its status.
pub(super) type State = Option<(String, TopologyStatus)>;

/// What became of each name and each request, and when.
#[derive(Default)]
pub(super) struct History {
    /// By name: each state, and since when.
    states: BTreeMap<String, Vec<(u64, State)>>,
    /// By request: when it took effect, and the topology.
    applied: BTreeMap<String, (u64, String)>,
    /// When a client was told something, and the moment that this showed.
    told: Vec<(u64, u64)>,
}

/// The request that an id is of: repetitions of it may have ids of their own.
fn request_of(id: &str) -> &str {
    id.split("-again").next().unwrap_or(id)
}

impl History {
    /// A name has this state from now on.
    pub(super) fn set(&mut self, name: &str, state: State, now: u64) {
        let states = self.states.entry(name.to_owned()).or_default();
        if states.last().is_none_or(|(_, last)| *last != state) {
            states.push((now, state));
        }
    }

    /// A request took effect.
    pub(super) fn apply(&mut self, id: &str, topology: &str, now: u64) {
        let before = self.applied.insert(request_of(id).to_owned(), (now, topology.to_owned()));
        assert!(before.is_none(), "I9: request {id} was carried out twice");
    }

    /// The states that a name had at some time since then.
    fn since(&self, name: &str, since: u64) -> Vec<State> {
        let states = self.states.get(name).map(Vec::as_slice).unwrap_or_default();
        let first = states.partition_point(|(at, _)| *at <= since);
        let before = first.checked_sub(1).and_then(|at| states[at].1.clone());
        std::iter::once(before).chain(states[first..].iter().map(|(_, it)| it.clone())).collect()
    }

    /// A client was answered.
    pub(super) fn answered(&mut self, id: &str, asked: &Asked, heard: &Heard, now: u64) {
        let applied = self.applied.get(id).cloned();
        let verb = asked.verb.as_ref().map_or("list", Verb::word);
        let what = format!("I9: {verb} {} ({id})", asked.name);
        // Who was replaced and does not know says what was so before.
        let leads = heard.leads;
        match &heard.what {
            What::Answer(Ok(reply)) => {
                let Some((at, topology)) = applied else {
                    panic!("{what} was acknowledged and is not in force");
                };
                assert!(at >= asked.since && at <= now, "{what} took effect at another time");
                self.told.push((now, at));
                if let Reply::Submitted(reply) = reply {
                    assert_eq!(reply.topology_id, topology, "{what} made another topology");
                }
            }
            What::Answer(Err(refusal)) => {
                assert!(
                    !leads || applied.is_none(),
                    "{what} was refused though it was done: {refusal:?}"
                );
                let states = self.since(asked.name, if leads { asked.since } else { 0 });
                let fits = |state: &State| match refusal.kind {
                    RefusalKind::AlreadyExists => state.is_some(),
                    RefusalKind::NotFound => state.is_none(),
                    RefusalKind::NotNow => state.as_ref().is_some_and(|(_, status)| {
                        !matches!(status, TopologyStatus::Active | TopologyStatus::Inactive)
                    }),
                    _ => false,
                };
                assert!(states.iter().any(fits), "{what}: {refusal:?} fits none of {states:?}");
            }
            What::Listed(listed) => {
                let listed: BTreeMap<&str, i32> =
                    listed.iter().map(|(name, status)| (name.as_str(), *status)).collect();
                let known = self.told.iter().filter(|(at, _)| leads && *at <= asked.since);
                let since = known.map(|(_, moment)| *moment).max().unwrap_or(0);
                let all = self.states.values().flatten().map(|(at, _)| *at);
                let moments = all.filter(|at| *at > since).chain([since]);
                let shown = moments.filter(|at| self.at(*at) == listed).min();
                let ms = since / 1_000_000;
                let shown =
                    shown.unwrap_or_else(|| panic!("{what}: {listed:?}, not since {ms} ms"));
                if leads {
                    self.told.push((now, shown));
                }
            }
        }
    }

    fn at(&self, moment: u64) -> BTreeMap<&str, i32> {
        let state = |states: &Vec<(u64, State)>| {
            let after = states.partition_point(|(at, _)| *at <= moment);
            let (_, status) = states[..after].last()?.1.as_ref()?;
            Some(i32::from(*status))
        };
        let names = self.states.iter();
        names.filter_map(|(name, states)| Some((name.as_str(), state(states)?))).collect()
    }
}

/// Tells whether a plan of this purpose may lead from one status to another.
pub(super) fn is_legal(
    (purpose, asked): (&str, bool),
    before: Option<TopologyStatus>,
    after: Option<TopologyStatus>,
) -> bool {
    use TopologyStatus::{Active, Inactive, Killed, Rebalancing};
    let Some(before) = before else {
        return purpose == "submit" && matches!(after, Some(Active | Inactive));
    };
    let runs = matches!(before, Active | Inactive);
    match (purpose, after) {
        ("activate", Some(Active)) | ("deactivate", Some(Inactive)) => runs && asked,
        ("kill", Some(Killed)) => asked,
        ("rebalance", Some(Rebalancing)) => (runs && asked) || before == Rebalancing,
        ("rebalance", Some(Active | Inactive)) => before == Rebalancing && !asked,
        ("forget", None) => before == Killed,
        ("place", Some(after)) => (runs || before == Rebalancing) && after == before,
        ("settle" | "stop" | "tidy up" | "release", Some(after)) => after == before,
        _ => false,
    }
}
