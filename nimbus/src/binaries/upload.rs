//! A binary on its way in: written to a file of its own, which gets its name when all is right.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use daemon::Stamp;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;
use tracing::info;

use super::{Binaries, BinaryError, Pin, hex};
use crate::platform::{HEAD_BYTES, check_platform};

/// A file that vanishes unless it was given its name.
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone already when the upload went well.
        drop(std::fs::remove_file(&self.0));
    }
}

/// A binary on its way in.
#[derive(Debug)]
pub(crate) struct Upload {
    binaries: Binaries,
    part: Part,
    file: File,
    hash: Sha256,
    /// Its first bytes, which say what it is made for.
    head: Vec<u8>,
    /// What was announced.
    expected: Option<u64>,
    received: u64,
    pin: Pin,
}

impl Upload {
    /// Opens a file for what will come.
    pub(super) async fn begin(
        binaries: Binaries,
        expected: Option<u64>,
        pin: Pin,
    ) -> Result<Self, BinaryError> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let part = binaries.folder.join(format!("{:032x}.part", rand::random::<u128>()));
        let file = fs::OpenOptions::from(options).open(&part).await;
        let file = file.map_err(|source| binaries.disk(source))?;
        let (part, hash, head) = (Part(part), Sha256::new(), Vec::new());
        Ok(Self { binaries, part, file, hash, head, expected, received: 0, pin })
    }

    /// Takes the next chunk.
    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), BinaryError> {
        self.received += chunk.len() as u64;
        if let Some(expected) = self.expected.filter(|expected| self.received > *expected) {
            let text = format!("more than the {expected} bytes that were announced");
            return Err(BinaryError::Damaged(text));
        }
        if self.received > self.binaries.bytes_max {
            let (bytes, max) = (self.received, self.binaries.bytes_max);
            return Err(BinaryError::TooLarge { bytes, max });
        }
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(chunk.iter().take(missing));
        self.hash.update(chunk);
        self.file.write_all(chunk).await.map_err(|source| self.binaries.disk(source))
    }

    /// Checks what came and keeps it; the pin guards it from then on.
    pub(crate) async fn finish(self) -> Result<Pin, BinaryError> {
        let Self { binaries, part, mut file, hash, head, expected, received, pin } = self;
        if let Some(expected) = expected.filter(|expected| *expected != received) {
            let text = format!("{received} bytes of {expected}");
            return Err(BinaryError::Damaged(text));
        }
        let digest = hex(&hash.finalize());
        if digest != pin.digest {
            let text = format!("its SHA-256 is {digest}, and {} was announced", pin.digest);
            return Err(BinaryError::Damaged(text));
        }
        check_platform(&head).map_err(BinaryError::Foreign)?;
        let kept = async {
            file.flush().await?;
            file.sync_all().await?;
            fs::rename(&part.0, binaries.folder.join(&digest)).await?;
            File::open(&binaries.folder).await?.sync_all().await?;
            file.metadata().await
        };
        let metadata = kept.await.map_err(|source| binaries.disk(source))?;
        binaries.note(&digest, Some(Stamp::of(&metadata)));
        info!(digest, bytes = received, "binary kept");
        Ok(pin)
    }
}
