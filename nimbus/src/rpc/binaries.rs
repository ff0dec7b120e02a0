//! Where supervisors fetch binaries, by digest.

use futures::stream;
use proto::nimbus::binaries_server::Binaries as Api;
use proto::nimbus::{BinaryChunk, FetchRequest};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status};

use super::{BoxStream, refused};
use crate::binaries::{Binaries, BinaryError};
use crate::engine::command::{Refusal, RefusalKind};

/// How much of a binary goes into one message.
const CHUNK_BYTES: usize = 256 << 10;

/// Gives binaries to whoever knows their digest.
pub(super) struct Service {
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
