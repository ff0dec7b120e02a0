//! The loop: an event comes in, the engine decides, what it decides goes out.
//!
//! Only this loop touches the engine. It never waits for the store: plans go to a writer, whose
//! word comes back as an event, so reports and questions are served whatever the store does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coordination::{Keys, Leadership, Mirror, Store, WatermarkFile};
use daemon::listen::Security;
use daemon::{Clock, Shutdown};
use proto::nimbus::{Retired, WorkerNews};
use proto::received::Received;
use proto::store::LeaderRecord;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use crate::apply::{Told, Writer};
use crate::binaries::{Binaries, keep_surveying};
use crate::engine::Engine;
use crate::engine::command::{Command, Plan, Refusal, RefusalKind, Reply};
use crate::engine::event::{Event, Now, Request, WriteFailure};
use crate::engine::liveness::Patience;
use crate::engine::reports::incoming::Incoming;
use crate::health;
use crate::observe::observe;
use crate::replicate::Copier;

/// Inputs that wait for the loop.
const INPUTS_MAX: usize = 1_024;

/// Plans that wait for the writer: the engine has one on its way, and a new term may add another.
const PLANS_MAX: usize = 4;

/// How often the engine is told that time has passed.
const TICK: Duration = Duration::from_millis(100);

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What the loop works with.
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) cluster: String,
    pub(crate) keys: Keys,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) binaries: Binaries,
    pub(crate) patience: Patience,
    /// Where it is written down how far the store was seen.
    pub(crate) memory: Option<WatermarkFile>,
    pub(crate) replication: usize,
    pub(crate) security: Security,
}

/// Whether this nimbus leads, and who does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) leading: bool,
    /// Revision of its election while it leads, else of the newest one it knows of.
    pub(crate) term: u64,
    pub(crate) leader: Option<(String, String)>,
    pub(crate) store_problem: Option<String>,
}

/// A cheap way to the loop.
#[derive(Clone)]
pub(crate) struct Handle {
    inputs: mpsc::Sender<Input>,
    role: watch::Receiver<Role>,
    id: Arc<str>,
    cluster: Arc<str>,
    security: Security,
}

type Look = Box<dyn FnOnce(&Engine, Now) + Send>;
type Answer = Result<Reply, Refusal>;

enum Input {
    Event(Event),
    /// What a worker says by itself, and where to say that it is retired.
    News(Box<WorkerNews>, oneshot::Sender<Option<Retired>>),
    Ask(Request, oneshot::Sender<Answer>),
    Look(Look),
    Leads(Leadership),
    Follows,
    Wrote {
        term: u64,
        written: Result<u64, WriteFailure>,
    },
}

/// Starts the loop, its writer, and what watches the store's health and the binaries.
pub(crate) fn start(context: Context, shutdown: &Shutdown) -> (Handle, Copier) {
    let (sender, inputs) = mpsc::channel(INPUTS_MAX);
    let (plans, to_write) = mpsc::channel(PLANS_MAX);
    let (role, seen) = watch::channel(Role::default());
    let now = now(&context.clock);
    let Context { id, cluster, keys, store, clock, binaries, patience, memory, .. } = context;
    let (replication, security) = (context.replication, context.security);
    let handle = Handle {
        inputs: sender.clone(),
        role: seen,
        id: id.as_str().into(),
        cluster: cluster.into(),
        security,
    };
    let copier = Copier {
        handle: handle.clone(),
        binaries: binaries.clone(),
        clock: clock.clone(),
        shutdown: shutdown.clone(),
        replication,
    };
    let writer = Writer { store: store.clone(), keys: keys.clone(), told: Told::default() };
    shutdown.spawn_until_asked(write(writer, to_write, sender));
    shutdown.spawn_until_asked(health::watch(store.clone(), clock.clone(), handle.clone()));
    shutdown.spawn_until_asked(tell_held(binaries.clone(), handle.clone()));
    keep_surveying(binaries, clock.clone(), shutdown);
    let mirror = Mirror::follow_cluster(store, &keys, memory, shutdown);
    let daemon = Daemon {
        engine: Engine::new(patience, now).named(id),
        keys,
        clock,
        copier: copier.clone(),
        mirror,
        inputs,
        plans,
        role,
        leadership: None,
        tickets: HashMap::new(),
        next_ticket: 0,
    };
    shutdown.spawn_until_asked(daemon.run());
    (handle, copier)
}

/// Tells the loop which binaries are held, whenever that changes.
async fn tell_held(binaries: Binaries, handle: Handle) {
    let mut held = binaries.held();
    loop {
        let now = held.borrow_and_update().clone();
        if let Some(digests) = now {
            handle.tell(Event::Holds(digests)).await;
        }
        if held.changed().await.is_err() {
            return;
        }
    }
}

async fn write(
    writer: Writer,
    mut plans: mpsc::Receiver<(Box<Plan>, Leadership)>,
    inputs: mpsc::Sender<Input>,
) {
    while let Some((plan, leadership)) = plans.recv().await {
        let written = writer.write(&plan, &leadership).await;
        let wrote = Input::Wrote { term: leadership.created, written };
        if inputs.send(wrote).await.is_err() {
            return;
        }
    }
}

struct Daemon {
    engine: Engine,
    keys: Keys,
    clock: Clock,
    copier: Copier,
    mirror: Mirror,
    inputs: mpsc::Receiver<Input>,
    plans: mpsc::Sender<(Box<Plan>, Leadership)>,
    role: watch::Sender<Role>,
    leadership: Option<Leadership>,
    /// Who waits for an answer.
    tickets: HashMap<u64, oneshot::Sender<Answer>>,
    next_ticket: u64,
}

impl Daemon {
    async fn run(mut self) {
        let mut tick = Box::pin(self.clock.sleep(TICK));
        loop {
            let event = tokio::select! {
                event = self.mirror.changed() => Some(observe(event, &self.keys)),
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                () = &mut tick => {
                    tick = Box::pin(self.clock.sleep(TICK));
                    Some(Event::Tick)
                }
            };
            if let Some(event) = event {
                self.handle(event);
            }
        }
    }

    /// Turns an input into an event, or serves it at once.
    fn take(&mut self, input: Input) -> Option<Event> {
        match input {
            Input::Event(event) => Some(event),
            Input::News(news, retired) => {
                // Who hung up in the meantime asks again.
                drop(retired.send(self.engine.retired(&news)));
                Some(Event::News(news))
            }
            Input::Ask(request, answer) => {
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, answer);
                Some(Event::Asked { ticket: self.next_ticket, request })
            }
            Input::Look(look) => {
                look(&self.engine, now(&self.clock));
                None
            }
            Input::Leads(leadership) => {
                let elected = leadership.created;
                self.leadership = Some(leadership);
                Some(Event::Leads { elected })
            }
            Input::Follows => {
                self.leadership = None;
                Some(Event::Follows)
            }
            Input::Wrote { term, written } => {
                let current = self.leadership.as_ref().is_some_and(|now| now.created == term);
                let event = match written {
                    Ok(revision) => Event::Written { revision },
                    Err(failure) => Event::NotWritten(failure),
                };
                current.then_some(event)
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = now(&self.clock);
        for command in self.engine.handle(event, now) {
            match command {
                Command::Write(plan) => self.send(plan),
                Command::Answer { ticket, answer } => {
                    let waiting = self.tickets.remove(&ticket);
                    if waiting.is_some_and(|waiting| waiting.send(answer).is_err()) {
                        debug!(ticket, "nobody waits for the answer any more");
                    }
                }
                Command::FetchBinary { digest, from } => self.copier.fetch(digest, from),
                Command::RemoveBinary { digest } => self.copier.binaries.remove_unused(&digest),
            }
        }
        let role = Role {
            leading: self.engine.is_leading(),
            term: self.engine.term(),
            leader: self.engine.view().leader.as_ref().map(addresses),
            store_problem: self.engine.store_problem(),
        };
        self.role.send_if_modified(|before| {
            let changed = *before != role;
            *before = role;
            changed
        });
    }

    fn send(&mut self, plan: Box<Plan>) {
        let Some(leadership) = self.leadership.clone() else { return };
        if let Err(error) = self.plans.try_send((plan, leadership)) {
            warn!(%error, "the writer is behind");
            let reason = "writes of an earlier term are still on their way".to_owned();
            self.handle(Event::NotWritten(WriteFailure::Unavailable(reason)));
        }
    }
}

impl Handle {
    /// Returns the cluster's name.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns which nimbus this is.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Returns how this nimbus listens and dials.
    pub(crate) fn security(&self) -> &Security {
        &self.security
    }

    /// Returns who leads now.
    pub(crate) fn role(&self) -> Role {
        self.role.borrow().clone()
    }

    /// Waits until this nimbus does not lead.
    pub(crate) async fn not_leading(&self) {
        let mut role = self.role.clone();
        // Without a loop nobody leads.
        drop(role.wait_for(|role| !role.leading).await);
    }

    /// Hands a report over; fails when it cannot be read, or the loop has ended.
    pub(crate) async fn report(&self, report: Received) -> Result<(), Refusal> {
        let mut incoming = Incoming::from(report);
        while incoming.pack_next().map_err(unreadable)? {
            // Others have their turn on this thread.
            tokio::task::yield_now().await;
        }
        let event = Event::Report(Box::new(incoming));
        self.inputs.send(Input::Event(event)).await.map_err(|_| stopping())
    }

    /// Tells the engine what happened; whoever ends with the loop need not care.
    pub(crate) async fn tell(&self, event: Event) {
        drop(self.inputs.send(Input::Event(event)).await);
    }

    /// Tells the engine what it can do without: nothing waits, and while it has much to do it is not
    /// told.
    pub(crate) fn mention(&self, event: Event) {
        drop(self.inputs.try_send(Input::Event(event)));
    }

    /// Hands over what a worker says by itself, and tells whether it is retired.
    pub(crate) async fn news(&self, news: WorkerNews) -> Result<Option<Retired>, Refusal> {
        let (sender, retired) = oneshot::channel();
        let news = Input::News(Box::new(news), sender);
        self.inputs.send(news).await.map_err(|_| stopping())?;
        retired.await.map_err(|_| stopping())
    }

    /// Asks for a change and waits until it is done.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let (sender, answer) = oneshot::channel();
        self.inputs.send(Input::Ask(request, sender)).await.map_err(|_| stopping())?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer.map_err(|_| stopping())?,
            Err(_) => Err(Refusal::new(
                RefusalKind::Unavailable,
                "it is not known whether it was done",
                format!("there was no answer within {ANSWER_TIMEOUT:?}"),
                "repeat the request under the same id",
            )),
        }
    }

    /// Looks at the engine's state.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, seen) = oneshot::channel();
        let look: Look = Box::new(move |engine, now| drop(sender.send(look(engine, now))));
        self.inputs.send(Input::Look(look)).await.map_err(|_| stopping())?;
        seen.await.map_err(|_| stopping())
    }

    /// Tells the loop that this nimbus was elected.
    pub(crate) async fn leads(&self, leadership: Leadership) {
        drop(self.inputs.send(Input::Leads(leadership)).await);
    }

    /// Tells the loop that another nimbus may lead.
    pub(crate) async fn follows(&self) {
        drop(self.inputs.send(Input::Follows).await);
    }
}

fn now(clock: &Clock) -> Now {
    Now { at: clock.now(), wall_ms: clock.wall_ms() }
}

fn addresses(record: &LeaderRecord) -> (String, String) {
    (record.address.clone(), record.http_address.clone())
}

fn stopping() -> Refusal {
    let fix = "ask another nimbus, or try again in a moment";
    Refusal::new(RefusalKind::Unavailable, "nothing was done", "this nimbus is stopping", fix)
}

fn unreadable(error: prost::DecodeError) -> Refusal {
    let (what, fix) = ("the report was not taken", "see that both are of versions that fit");
    Refusal::new(RefusalKind::Invalid, what, error.to_string(), fix)
}
