//! Where supervisors and other nimbuses fetch binaries, by digest, and where the leader asks for a
//! copy before it acknowledges a submission.

use futures::stream;
use proto::nimbus::binaries_server::Binaries as Api;
use proto::nimbus::{BinaryChunk, FetchRequest, KeepReply, KeepRequest};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status};

use super::{BoxStream, refused};
use crate::binaries::{Binaries, BinaryError};
use crate::daemon::Handle;
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::event::{Event, Stale};
use crate::replicate;

/// How much of a binary goes into one message.
const CHUNK_BYTES: usize = 256 << 10;

/// Gives binaries to whoever knows their digest.
pub(super) struct Service {
    pub(super) handle: Handle,
    pub(super) binaries: Binaries,
}

#[tonic::async_trait]
impl Api for Service {
    type FetchStream = BoxStream<BinaryChunk>;

    async fn fetch(
        &self,
        request: Request<FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let digest = request.into_inner().digest;
        let file = self.binaries.read(&digest).await.map_err(not_given)?;
        let chunks = stream::try_unfold(file, |mut file| async move {
            let data =
                next(&mut file).await.map_err(|error| Status::unavailable(error.to_string()))?;
            Ok((!data.is_empty()).then_some((BinaryChunk { data }, file)))
        });
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn keep(&self, request: Request<KeepRequest>) -> Result<Response<KeepReply>, Status> {
        let KeepRequest { digest, nimbus_id, term, bytes } = request.into_inner();
        let too_large = bytes > self.binaries.bytes_max();
        let look = move |engine: &Engine, _| {
            let asks = engine.view().nimbuses.get(&nimbus_id);
            (engine.term(), asks.map(|record| record.address.clone()), nimbus_id)
        };
        let (known, address, asks) = self.handle.look(look).await.map_err(refused)?;
        if known > term {
            self.handle.tell(Event::Refused(Stale::Keep)).await;
            let why = format!("{asks} does not lead any more");
            return Err(not_kept(RefusalKind::NotNow, why));
        }
        if too_large {
            let max = self.binaries.bytes_max();
            return Err(not_given(BinaryError::TooLarge { bytes, max }));
        }
        let Some(address) = address else {
            return Err(not_kept(
                RefusalKind::Unavailable,
                format!("{asks} is not known here yet"),
            ));
        };
        self.handle.tell(Event::Promised(digest.clone())).await;
        let security = self.handle.security();
        let kept = replicate::fetch(&self.binaries, &digest, &[address], security).await;
        kept.map_err(|why| not_kept(RefusalKind::Unavailable, why))?;
        Ok(Response::new(KeepReply {}))
    }
}

fn not_kept(kind: RefusalKind, why: String) -> Status {
    refused(Refusal::new(kind, "failed to copy a binary", why, "try again"))
}

/// Reads the next chunk; an empty one is the end.
async fn next(file: &mut File) -> Result<Vec<u8>, std::io::Error> {
    let mut data = Vec::with_capacity(CHUNK_BYTES);
    let chunk = u64::try_from(CHUNK_BYTES).expect("a chunk is smaller than 2^64");
    file.take(chunk).read_to_end(&mut data).await?;
    Ok(data)
}

fn not_given(error: BinaryError) -> Status {
    let kind = match &error {
        BinaryError::Missing(_) => RefusalKind::NotFound,
        BinaryError::Disk { .. } | BinaryError::InUse(_) => RefusalKind::Unavailable,
        _ => RefusalKind::Invalid,
    };
    let fix = "ask another nimbus, or submit the topology again";
    refused(Refusal::new(kind, "failed to fetch a binary", error.to_string(), fix))
}
