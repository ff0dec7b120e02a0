//! A client: asks for one thing after another, and repeats what it got no answer to.

use std::time::Duration;

use nimbus::engine::command::RefusalKind;
use nimbus::engine::event::{Request, Submission, Verb};
use proto::store::{ComponentSpec, InputSpec, StreamSpec, TopologySpec};

use super::env::{Env, Node};
use super::events::{Event, Heard, What};
use super::plan::SECOND;
use super::sabotage::Sabotage;

/// Names of topologies: few, so that clients get into each other's way.
const NAMES: [&str; 3] = ["clicks", "views", "words"];

/// Tries before a client gives up, while not all is well.
const TRIES: u32 = 12;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The verb; `None` asks for a list.
    pub(super) verb: Option<Verb>,
    /// The name of the topology.
    pub(super) name: &'static str,
    pub(super) since: u64,
}

/// A client.
pub(super) struct Client {
    at: usize,
    left: u32,
    /// The number of the request, and of the try.
    number: (u32, u32),
    pub(super) asked: Option<Asked>,
    /// Whom it asks next.
    nimbus: usize,
}

impl Client {
    pub(super) fn new(at: usize, env: &mut Env) -> Self {
        env.soon(3 * SECOND, Event::Act { client: at });
        Self { at, left: env.plan.requests, number: (0, 0), asked: None, nimbus: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.asked.is_none()
    }

    /// Asks for the next thing, if there is one.
    pub(super) fn act(&mut self, env: &mut Env) {
        if self.left == 0 || self.asked.is_some() {
            return;
        }
        self.left -= 1;
        self.number = (self.number.0 + 1, 0);
        let (verb, name) = verb(env);
        self.asked = Some(Asked { verb, name, since: env.now });
        self.again(self.number, env);
    }

    /// Tries (again), if this is still what it waits for.
    pub(super) fn again(&mut self, number: (u32, u32), env: &mut Env) {
        let Some(asked) = &self.asked else { return };
        if number != self.number {
            return;
        }
        if number.1 >= TRIES && !env.healed {
            env.count("given up");
            return self.finish(env);
        }
        self.number.1 += 1;
        let tried = if number.1 > 0 { "repeated" } else { "asked" };
        env.count(tried);
        let id = if env.does_wrong(Sabotage::ForgetRepetition) {
            format!("c{}-{}-again-{}", self.at, self.number.0, self.number.1)
        } else {
            format!("c{}-{}", self.at, self.number.0)
        };
        let request = asked.verb.clone().map(|verb| Request { id, verb });
        let (from, to) = (Node::Client(self.at), Node::Nimbus(self.nimbus));
        let copies = if env.chance(0.05) { 2 } else { 1 };
        for _ in 0..copies {
            if let Some(at) = env.travel(from, to) {
                let (client, number, to) = (self.at, self.number, self.nimbus);
                let request = request.clone();
                env.schedule(at, Event::Request { to, client, number, request });
            }
        }
        let patience = env.below(SECOND..16 * SECOND);
        let late = env.now + patience;
        env.schedule(late, Event::Again { client: self.at, number: self.number });
        self.nimbus = (self.nimbus + 1) % env.plan.nimbuses;
    }

    /// Takes an answer.
    pub(super) fn heard(&mut self, number: (u32, u32), from: usize, heard: Heard, env: &mut Env) {
        if number.0 != self.number.0 {
            return;
        }
        let Some(asked) = self.asked.clone() else { return };
        let refusal = match &heard.what {
            What::Answer(Err(refusal)) => Some(&refusal.kind),
            _ => None,
        };
        if let Some(RefusalKind::NotLeader(leader)) = refusal {
            let known = leader.as_deref().and_then(|leader| {
                (0..env.plan.nimbuses).find(|at| leader == format!("{:?}", Node::Nimbus(*at)))
            });
            self.nimbus = known.unwrap_or((from + 1) % env.plan.nimbuses);
        }
        let again = matches!(
            refusal,
            Some(
                RefusalKind::NotLeader(_)
                    | RefusalKind::Unavailable
                    | RefusalKind::StoreSilent
                    | RefusalKind::Exhausted
            )
        );
        if again {
            if number == self.number {
                let wait = env.below(SECOND / 10..2 * SECOND);
                let at = env.now + wait;
                env.schedule(at, Event::Again { client: self.at, number });
            }
            return;
        }
        let id = format!("c{}-{}", self.at, self.number.0);
        env.note(|| {
            format!("{id} {} {:?}: {heard:?}", asked.name, asked.verb.as_ref().map(Verb::word))
        });
        let now = env.now;
        env.witness.history.answered(&id, &asked, &heard, now);
        env.count("answered");
        self.finish(env);
    }

    fn finish(&mut self, env: &mut Env) {
        self.asked = None;
        self.number.1 = 0;
        let within = if env.healed { SECOND } else { 6 * SECOND };
        env.soon(within, Event::Act { client: self.at });
    }
}

fn verb(env: &mut Env) -> (Option<Verb>, &'static str) {
    let name = NAMES[env.below(0..NAMES.len() as u64) as usize];
    let named = name.to_owned();
    // Where clients are restless, most of them want what there is to move.
    let most = if env.plan.restless { 40 } else { 20 };
    let verb = match env.below(0..most) {
        0..8 => submission(name, env),
        8..11 => {
            let wait = [0, 1_000, 5_000][env.below(0..3) as usize];
            Verb::Kill { name: named, wait: Duration::from_millis(wait) }
        }
        11 => Verb::Activate(named),
        12..14 => Verb::Deactivate(named),
        14..17 | 20.. => {
            let workers = env.below(0..4) as u32;
            let count = env.below(1..4) as u32;
            let executors =
                if env.chance(0.5) { [("count".to_owned(), count)].into() } else { [].into() };
            Verb::Rebalance { name: named, workers, executors }
        }
        _ => return (None, name),
    };
    (Some(verb), name)
}

/// A spout and a bolt with up to two executors each.
fn submission(name: &str, env: &mut Env) -> Verb {
    let stream =
        StreamSpec { name: "default".to_owned(), tuple: "Line".to_owned(), fields: Vec::new() };
    let component = |name: &str, spout, executors| ComponentSpec {
        name: name.to_owned(),
        spout,
        executors,
        tasks: 4,
        ..ComponentSpec::default()
    };
    let input = InputSpec {
        component: "lines".to_owned(),
        stream: "default".to_owned(),
        grouping: "shuffle".to_owned(),
        fields: Vec::new(),
    };
    let executors = env.below(1..3) as u32;
    let lines = ComponentSpec { outputs: vec![stream], ..component("lines", true, executors) };
    let count = ComponentSpec { inputs: vec![input], ..component("count", false, 2) };
    let spec = TopologySpec {
        name: name.to_owned(),
        components: vec![lines, count],
        key_groups: 720,
        config: [("message_timeout".to_owned(), "2s".to_owned())].into(),
    };
    let workers = env.below(1..4) as u32;
    let random = env.below(0..1 << 20) as u32;
    let inactive = env.chance(0.2);
    let digest = "d".repeat(64);
    Verb::Submit(Box::new(Submission {
        spec,
        digest,
        workers,
        random,
        inactive,
        ..Submission::default()
    }))
}
