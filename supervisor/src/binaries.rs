//! The cache of topology binaries, by digest.
//!
//! A binary is fetched from the leading nimbus, hashed while it is written, and gets its name only
//! if the hash is right. Before every start it is made sure that the file is still what was hashed:
//! its content is hashed again unless the kernel says that nothing touched it since this
//! supervisor last did so (inode, size, modification and change time; the latter cannot be set by
//! hand). What does not fit is thrown away and fetched again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon::listen::Security;
use daemon::{Stamp, TurnedAway};
use proto::nimbus::FetchRequest;
use proto::nimbus::binaries_client::BinariesClient;
use sha2::{Digest, Sha256};
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::workdir;

/// Ends the name of a file that is being written.
const PARTIAL: &str = ".partial";

/// How the problem begins with a binary that is not what was asked for.
const WRONG: &str = "its SHA-256 is";

/// No chunk of a binary comes for so long: the nimbus is gone.
const CHUNK_MAX: Duration = Duration::from_secs(10);

/// Larger than any chunk a nimbus sends.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// What is known of one binary in the cache.
#[derive(Debug, Default)]
struct Known {
    /// Of the file when it was last hashed and found right.
    verified: Option<Stamp>,
    /// Rises with every use of the cache.
    used: u64,
}

/// The cache; a cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    bytes_max: u64,
    /// How nimbus is dialled.
    security: Security,
    known: Arc<Mutex<(BTreeMap<String, Known>, u64)>>,
    /// One download at a time for all slots: those that wait find it done.
    fetching: Arc<tokio::sync::Mutex<()>>,
    /// Binaries that were not what their digest says.
    turned_away: Arc<Mutex<TurnedAway>>,
}

impl Binaries {
    /// Opens the cache and removes what an earlier life did not finish.
    pub(crate) fn open(folder: PathBuf, bytes_max: u64, security: Security) -> Self {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
                drop(fs::remove_file(entry.path()));
            }
        }
        let (known, fetching, turned_away) = Default::default();
        Self { folder, bytes_max, security, known, fetching, turned_away }
    }

    /// Returns the binaries that were not what their digest says.
    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn turn_away(&self, digest: &str) {
        let who = format!("binary {}", digest.get(..12).unwrap_or(digest));
        let mut turned = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        turned.note(&who, "", "digest");
    }

    /// Returns where a binary is, if the digest is one.
    pub(crate) fn path(&self, digest: &str) -> Option<PathBuf> {
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let well_formed = digest.len() == 64 && digest.chars().all(hexadecimal);
        well_formed.then(|| self.folder.join(digest))
    }

    /// Has the verified binary in the cache, fetching it from one of the nimbuses at `from` if need
    /// be.
    pub(crate) async fn ensure(
        &self,
        digest: &str,
        from: &[String],
        in_use: BTreeSet<String>,
    ) -> Result<(), String> {
        let path = self.path(digest).ok_or_else(|| format!("{digest:?} is no digest"))?;
        // A restart must not wait for the download of another topology.
        if self.verify(digest).await {
            return Ok(());
        }
        let _one_at_a_time = self.fetching.lock().await;
        if self.verify(digest).await {
            return Ok(());
        }
        let partial = self.folder.join(format!("{digest}{PARTIAL}"));
        self.fetch_from_any(digest, from, &partial).await?;
        let kept = fs::rename(&partial, &path).and_then(|()| fs::symlink_metadata(&path));
        let metadata = kept.map_err(|error| format!("cannot keep it: {error}"))?;
        self.touch(digest);
        self.note(digest, Some(Stamp::of(&metadata)));
        self.make_room(digest, in_use);
        Ok(())
    }

    /// Fetches a binary from the first of these nimbuses that gives it.
    async fn fetch_from_any(
        &self,
        digest: &str,
        from: &[String],
        partial: &Path,
    ) -> Result<(), String> {
        let mut problems = Vec::new();
        for address in from {
            let fetched = async {
                let channel = crate::channel::dial(address, &self.security).await?;
                fetch(channel, digest, partial).await
            };
            match fetched.await {
                Ok(()) => return Ok(()),
                Err(problem) => {
                    if problem.starts_with(WRONG) {
                        self.turn_away(digest);
                    }
                    problems.push(format!("{problem} (from nimbus {address})"));
                }
            }
            drop(fs::remove_file(partial));
        }
        Err(if problems.is_empty() { "no nimbus is known".to_owned() } else { problems.join("; ") })
    }

    /// Tells whether the binary is in the cache and has the content its name says.
    pub(crate) async fn verify(&self, digest: &str) -> bool {
        let (this, digest) = (self.clone(), digest.to_owned());
        let verified = tokio::task::spawn_blocking(move || this.verify_now(&digest)).await;
        verified.unwrap_or(false)
    }

    fn verify_now(&self, digest: &str) -> bool {
        let Some(path) = self.path(digest) else { return false };
        let Ok(metadata) = fs::symlink_metadata(&path) else { return false };
        let stamp = Stamp::of(&metadata);
        if self.touch(digest) == Some(stamp) {
            return true;
        }
        let right = metadata.is_file()
            && metadata.mode() & 0o777 == 0o500
            && hash(&path).is_ok_and(|found| found == digest);
        if !right {
            tracing::warn!(digest, "binary in the cache is damaged, throwing it away");
            self.turn_away(digest);
            drop(fs::remove_file(&path));
        }
        self.note(digest, right.then_some(stamp));
        right
    }

    /// Notes what a file was like when it was found right.
    fn note(&self, digest: &str, verified: Option<Stamp>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.0.entry(digest.to_owned()).or_default().verified = verified;
    }

    /// Notes that a binary is used, and returns its stamp of the last time it was hashed.
    fn touch(&self, digest: &str) -> Option<Stamp> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.1 += 1;
        let used = known.1;
        let binary = known.0.entry(digest.to_owned()).or_default();
        binary.used = used;
        binary.verified
    }

    /// Removes what was not used for longest until the rest fits; never what is in use.
    fn make_room(&self, fresh: &str, in_use: BTreeSet<String>) {
        let mut files: Vec<(u64, String, u64)> = Vec::new();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            files.push((known.0.get(&name).map_or(0, |known| known.used), name, bytes));
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, name, its) in files {
            if bytes <= self.bytes_max {
                return;
            }
            if name != fresh && !in_use.contains(&name) {
                tracing::debug!(digest = %name, "removing a binary that was not used for long");
                drop(fs::remove_file(self.folder.join(&name)));
                known.0.remove(&name);
                bytes = bytes.saturating_sub(its);
            }
        }
    }
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(workdir::hexadecimal(&hasher.finalize())),
            bytes => hasher.update(&buffer[..bytes]),
        }
    }
}

/// Streams a binary into a file and checks its hash.
async fn fetch(channel: Channel, digest: &str, path: &Path) -> Result<(), String> {
    let mut client = BinariesClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let request = FetchRequest { digest: digest.to_owned() };
    let answer = tokio::time::timeout(CHUNK_MAX, client.fetch(request)).await;
    let answer = answer.map_err(|_| "no answer")?;
    let mut chunks = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let failed = |error: io::Error| format!("cannot write it: {error}");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.map_err(failed)?;
    let mut hasher = Sha256::new();
    loop {
        let next = tokio::time::timeout(CHUNK_MAX, chunks.next()).await;
        let Some(chunk) = next.map_err(|_| "the nimbus fell silent")? else { break };
        let chunk = chunk.map_err(|status| status.message().to_owned())?.data;
        let wrote = tokio::task::spawn_blocking(move || {
            hasher.update(&chunk);
            file.write_all(&chunk).map(|()| (file, hasher))
        });
        (file, hasher) = wrote.await.map_err(|error| error.to_string())?.map_err(failed)?;
    }
    let found = workdir::hexadecimal(&hasher.finalize());
    if found != digest {
        return Err(format!("{WRONG} {found} and not {digest}"));
    }
    file.set_permissions(Permissions::from_mode(0o500)).map_err(failed)?;
    file.sync_all().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, content: &[u8]) -> String {
        let digest = workdir::digest(content);
        let path = folder.join(&digest);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
        digest
    }

    #[tokio::test]
    async fn a_binary_that_was_changed_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path().to_owned(), 1 << 20, Security::Loopback);
        let digest = put(folder.path(), b"program");
        assert!(binaries.verify(&digest).await, "as it was put");
        assert!(binaries.verify(&digest).await, "untouched");
        let path = binaries.path(&digest).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        fs::write(&path, b"PROGRAM").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o500)).unwrap();
        assert!(!binaries.verify(&digest).await, "same size, another content");
        assert!(!path.exists(), "it would be fetched again");
    }

    #[tokio::test]
    async fn only_digests_name_binaries() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path().to_owned(), 1 << 20, Security::Loopback);
        for name in ["", "../../etc/passwd", &"A".repeat(64), &"0".repeat(63)] {
            let refused = binaries.ensure(name, &[], BTreeSet::new()).await.unwrap_err();
            assert!(refused.contains("no digest"), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_was_not_used_for_longest_goes_first_and_what_is_in_use_never() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path().to_owned(), 10, Security::Loopback);
        let digests: Vec<_> =
            [b"aaaa", b"bbbb", b"cccc"].map(|content| put(folder.path(), content)).into();
        for digest in &digests {
            assert!(binaries.verify(digest).await);
        }
        binaries.make_room(&digests[2], BTreeSet::from([digests[0].clone()]));
        let left: Vec<bool> = digests.iter().map(|d| binaries.path(d).unwrap().exists()).collect();
        assert_eq!(left, [true, false, true], "the first is in use, the last is fresh");
    }
}
