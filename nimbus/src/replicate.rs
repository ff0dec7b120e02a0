//! Copies of binaries: fetched from other nimbuses, and asked of them before a submission is
//! acknowledged.
//!
//! Whoever takes a copy computes its SHA-256 itself, so a copy is as good as the original whoever
//! gave it. Who asks for one is looked up in the store, and so is whether it still leads.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon::listen::Security;
use daemon::{Clock, Shutdown, grpc};
use proto::nimbus::binaries_client::BinariesClient;
use proto::nimbus::{FetchRequest, KeepRequest};
use tonic::transport::Channel;
use tracing::{debug, info, warn};

use crate::binaries::Binaries;
use crate::daemon::Handle;
use crate::engine::command::{Refusal, RefusalKind};

/// No chunk of a binary comes for so long: the other nimbus is gone.
const CHUNK_MAX: Duration = Duration::from_secs(10);

/// How long a standby may take to copy a binary.
const COPY_MAX: Duration = Duration::from_mins(5);

/// How long to wait for nimbuses that are not up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often standbys are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Larger than any chunk that a nimbus sends.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Copies binaries between nimbuses; a cheap handle.
#[derive(Clone)]
pub(crate) struct Copier {
    pub(crate) handle: Handle,
    pub(crate) binaries: Binaries,
    pub(crate) clock: Clock,
    pub(crate) shutdown: Shutdown,
    /// How many nimbuses have to hold a binary before its submission is acknowledged.
    pub(crate) replication: usize,
}

/// Fetches a binary from the first of these nimbuses that gives it, one binary at a time.
pub(crate) async fn fetch(
    binaries: &Binaries,
    digest: &str,
    from: &[String],
    security: &Security,
) -> Result<(), String> {
    let _one_at_a_time = binaries.fetching().await;
    if binaries.holds(digest) {
        return Ok(());
    }
    let mut problems = Vec::new();
    for address in from {
        match fetch_from(binaries, digest, (address, security)).await {
            Ok(()) => {
                info!(digest, from = address, "binary copied");
                return Ok(());
            }
            Err(problem) => problems.push(format!("{problem} (from nimbus {address})")),
        }
    }
    Err(problems.join("; "))
}

async fn fetch_from(
    binaries: &Binaries,
    digest: &str,
    (address, security): (&str, &Security),
) -> Result<(), String> {
    let mut client = client(address, security).await?;
    let request = FetchRequest { digest: digest.to_owned() };
    let answer = tokio::time::timeout(CHUNK_MAX, client.fetch(request)).await;
    let answer = answer.map_err(|_| "no answer")?;
    let mut chunks = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let upload = binaries.upload(digest, None).await;
    let mut upload = upload.map_err(|error| error.to_string())?;
    loop {
        let next = tokio::time::timeout(CHUNK_MAX, chunks.message()).await;
        let next = next.map_err(|_| "it fell silent")?;
        let Some(chunk) = next.map_err(|status| status.message().to_owned())? else { break };
        upload.write(&chunk.data).await.map_err(|error| error.to_string())?;
    }
    upload.finish().await.map(drop).map_err(|error| error.to_string())
}

async fn client(address: &str, security: &Security) -> Result<BinariesClient<Channel>, String> {
    let endpoint = grpc::endpoint(address).map_err(|error| error.to_string())?;
    let channel = grpc::connect(endpoint, security).await;
    let channel = channel.map_err(|error| format!("{address} cannot be reached: {error}"))?;
    Ok(BinariesClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// A standby that may be asked for a copy.
struct Standby {
    id: String,
    address: String,
    has_it: bool,
}

impl Copier {
    /// Fetches a binary in the background; what is under way already is not begun again.
    pub(crate) fn fetch(&self, digest: String, from: Vec<String>) {
        if self.binaries.is_fetching() {
            return;
        }
        let (binaries, security) = (self.binaries.clone(), self.handle.security().clone());
        self.shutdown.spawn_until_asked(async move {
            if let Err(problem) = fetch(&binaries, &digest, &from, &security).await {
                warn!(digest, problem, "cannot copy a binary, trying again");
            }
        });
    }

    /// Waits until as many nimbuses as wanted hold a binary that this one has.
    ///
    /// # Errors
    ///
    /// That too few are up, or can take it.
    pub(crate) async fn replicate(&self, digest: &str, bytes: u64) -> Result<(), Refusal> {
        let wanted = self.replication.saturating_sub(1);
        let deadline = self.clock.now() + PATIENCE;
        let mut have: BTreeSet<String> = BTreeSet::new();
        let mut problem = String::new();
        if wanted == 0 {
            return Ok(());
        }
        loop {
            let (standbys, term) = self.standbys(digest).await?;
            have.extend(standbys.iter().filter(|it| it.has_it).map(|it| it.id.clone()));
            let asked: Vec<_> = standbys.iter().filter(|it| !have.contains(&it.id)).collect();
            // All are to have it in the end: how many answer decides when it is acknowledged.
            let asks = asked.iter().map(|it| self.ask(it, digest, bytes, term));
            for (standby, answer) in asked.iter().zip(futures::future::join_all(asks).await) {
                match answer {
                    Ok(()) => drop(have.insert(standby.id.clone())),
                    Err(why) => {
                        debug!(digest, standby = standby.id, why, "no copy there yet");
                        problem = format!("; {} says: {why}", standby.id);
                    }
                }
            }
            if have.len() >= wanted {
                return Ok(());
            }
            if self.clock.now() >= deadline {
                return Err(self.too_few(have.len() + 1, &problem));
            }
            self.clock.sleep(ASK_AGAIN).await;
        }
    }

    async fn ask(
        &self,
        standby: &Standby,
        digest: &str,
        bytes: u64,
        term: u64,
    ) -> Result<(), String> {
        let nimbus_id = self.handle.id().to_owned();
        let request = KeepRequest { digest: digest.to_owned(), bytes, nimbus_id, term };
        let mut client = client(&standby.address, self.handle.security()).await?;
        let answer = tokio::time::timeout(COPY_MAX, client.keep(request)).await;
        let answer = answer.map_err(|_| format!("no answer within {COPY_MAX:?}"))?;
        answer.map(drop).map_err(|status| status.message().to_owned())
    }

    async fn standbys(&self, digest: &str) -> Result<(Vec<Standby>, u64), Refusal> {
        let digest = digest.to_owned();
        let look = move |engine: &crate::engine::Engine, _| {
            let others = engine.view().nimbuses.iter().filter(|(id, _)| *id != engine.id());
            let standbys = others.map(|(id, record)| Standby {
                id: id.clone(),
                address: record.address.clone(),
                has_it: record.digests.contains(&digest),
            });
            (standbys.collect(), engine.term())
        };
        self.handle.look(look).await
    }

    fn too_few(&self, have: usize, problem: &str) -> Refusal {
        let wanted = self.replication;
        let why = format!(
            "{have} of {wanted} nimbuses hold its binary after {} s{problem}",
            PATIENCE.as_secs()
        );
        let fix = "start another nimbus, or start the nimbuses with a lower --replication; then \
                   submit again";
        Refusal::new(RefusalKind::NotNow, "nothing was done", why, fix)
    }
}
