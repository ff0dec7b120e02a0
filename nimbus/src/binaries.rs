//! Topology binaries, by the SHA-256 of what they hold.
//!
//! A binary comes in as chunks into a file of its own, is checked (size, digest, made for this
//! platform) and only then gets its name. Nothing a client says becomes a path: names are digests,
//! and what is no digest is refused. What lies there is looked at again and again (`survey`): a file
//! that was damaged or lost since is not held any more, and others are told so.

mod survey;
mod upload;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use daemon::Stamp;
use tokio::fs::{self, File};
use tokio::sync::watch;
use tracing::{info, warn};

use survey::Looked;
pub(crate) use survey::start as keep_surveying;
pub(crate) use upload::Upload;

/// Why a binary cannot be taken or given.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It is larger than allowed.
    #[error("the binary has {bytes} bytes and {max} are allowed; strip it, or raise the limit")]
    TooLarge {
        /// What it has, or is said to have.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// What was sent is not what was announced.
    #[error("the binary did not arrive whole: {0}; submit it again")]
    Damaged(String),
    /// It cannot run here.
    #[error("the binary cannot run on this cluster: {0}")]
    Foreign(String),
    /// The name is not a digest.
    #[error("{0:?} is not a SHA-256 in lower-case hexadecimal")]
    NotADigest(String),
    /// There is no such binary.
    #[error("there is no binary {0}")]
    Missing(String),
    /// Another nimbus keeps its binaries there, and would remove ours.
    #[error("another nimbus uses {0}")]
    InUse(PathBuf),
    /// The disk says no.
    #[error("cannot keep binaries in {folder}: {source}")]
    Disk {
        /// The folder.
        folder: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// The binaries that this nimbus holds. A cheap handle.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: Arc<Path>,
    bytes_max: u64,
    /// How many submissions are using a binary that no topology may name yet.
    pins: Arc<Mutex<HashMap<String, usize>>>,
    /// What was found of each file when it was looked at.
    whole: Arc<Mutex<HashMap<String, Looked>>>,
    /// Tells which are held; `None` before the first survey.
    held: watch::Sender<Option<BTreeSet<String>>>,
    /// One copy from another nimbus at a time.
    fetching: Arc<tokio::sync::Mutex<()>>,
    /// Held as long as anybody can reach the binaries.
    _lock: Arc<std::fs::File>,
}

impl Binaries {
    /// Opens the folder of binaries below `data_dir`, for this user alone, and clears what an
    /// upload left behind that was cut off.
    pub(crate) async fn open(data_dir: &Path, bytes_max: u64) -> Result<Self, BinaryError> {
        let folder = data_dir.join("binaries");
        let disk = |source| BinaryError::Disk { folder: folder.clone(), source };
        fs::create_dir_all(&folder).await.map_err(disk)?;
        let Some(lock) = daemon::lock::take(data_dir).map_err(disk)? else {
            return Err(BinaryError::InUse(data_dir.to_owned()));
        };
        let private = std::fs::Permissions::from_mode(0o700);
        fs::set_permissions(&folder, private).await.map_err(disk)?;
        let mut entries = fs::read_dir(&folder).await.map_err(disk)?;
        while let Some(entry) = entries.next_entry().await.map_err(disk)? {
            if entry.file_name().to_string_lossy().ends_with(".part") {
                fs::remove_file(entry.path()).await.map_err(disk)?;
            }
        }
        Ok(Self {
            folder: folder.into(),
            bytes_max,
            pins: Arc::default(),
            whole: Arc::default(),
            held: watch::Sender::default(),
            fetching: Arc::default(),
            _lock: Arc::new(lock),
        })
    }

    /// The largest binary that may come, in bytes.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Tells which binaries are held, now and whenever that changes.
    pub(crate) fn held(&self) -> watch::Receiver<Option<BTreeSet<String>>> {
        self.held.subscribe()
    }

    /// Tells whether a binary is held, by what was found last.
    pub(crate) fn holds(&self, digest: &str) -> bool {
        self.held.borrow().as_ref().is_some_and(|held| held.contains(digest))
    }

    /// Starts to take a binary that is said to have this digest and size (`None`: any that is
    /// allowed). The pin keeps it until the topology that uses it is in the store.
    pub(crate) async fn upload(
        &self,
        digest: &str,
        bytes: impl Into<Option<u64>>,
    ) -> Result<Upload, BinaryError> {
        check_digest(digest)?;
        let bytes = bytes.into();
        if let Some(bytes) = bytes.filter(|bytes| *bytes > self.bytes_max) {
            return Err(BinaryError::TooLarge { bytes, max: self.bytes_max });
        }
        let pin = self.pin(digest);
        Upload::begin(self.clone(), bytes, pin).await
    }

    /// Waits until nobody else fetches a binary, and keeps others from it.
    pub(crate) async fn fetching(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.fetching.lock().await
    }

    /// Tells whether a binary is being fetched.
    pub(crate) fn is_fetching(&self) -> bool {
        self.fetching.try_lock().is_err()
    }

    /// Opens a binary for reading.
    pub(crate) async fn read(&self, digest: &str) -> Result<File, BinaryError> {
        check_digest(digest)?;
        match File::open(self.folder.join(digest)).await {
            Ok(file) if self.is_whole(digest, &file).await => Ok(file),
            Ok(_) => Err(BinaryError::Missing(digest.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(BinaryError::Missing(digest.to_owned()))
            }
            Err(source) => Err(self.disk(source)),
        }
    }

    /// Removes a binary, unless a submission is using it.
    pub(crate) fn remove_unused(&self, digest: &str) {
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if check_digest(digest).is_err() || pins.contains_key(digest) {
            return;
        }
        // One system call, under the lock, so that no submission can begin to use it meanwhile.
        match std::fs::remove_file(self.folder.join(digest)) {
            Ok(()) => {
                info!(digest, "binary removed");
                self.note(digest, None);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(digest, %error, "cannot remove a binary that is not used"),
        }
    }

    /// Tells whether an open file is what was found whole; if it was changed since, reads it.
    async fn is_whole(&self, digest: &str, file: &File) -> bool {
        let Ok(metadata) = file.metadata().await else { return false };
        let known = self.whole.lock().unwrap_or_else(PoisonError::into_inner).get(digest).copied();
        known == Some(Looked { stamp: Stamp::of(&metadata), whole: true }) || {
            self.survey().await;
            self.holds(digest)
        }
    }

    /// Notes that a binary is whole, or that it is not here any more.
    fn note(&self, digest: &str, whole: Option<Stamp>) {
        let mut known = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        match whole {
            Some(stamp) => known.insert(digest.to_owned(), Looked { stamp, whole: true }),
            None => known.remove(digest),
        };
        self.held.send_if_modified(|held| {
            let Some(held) = held else { return false };
            match whole {
                Some(_) => held.insert(digest.to_owned()),
                None => held.remove(digest),
            }
        });
    }

    fn pin(&self, digest: &str) -> Pin {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        *pins.entry(digest.to_owned()).or_default() += 1;
        Pin { pins: self.pins.clone(), digest: digest.to_owned() }
    }

    fn disk(&self, source: io::Error) -> BinaryError {
        BinaryError::Disk { folder: self.folder.to_path_buf(), source }
    }
}

/// Keeps a binary from being removed.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Mutex<HashMap<String, usize>>>,
    digest: String,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pins.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
}

fn check_digest(text: &str) -> Result<(), BinaryError> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() == 64 && text.bytes().all(is_hex) {
        Ok(())
    } else {
        Err(BinaryError::NotADigest(text.chars().take(80).collect()))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn program() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn digest_of(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    async fn send(
        binaries: &Binaries,
        digest: &str,
        bytes: u64,
        content: &[u8],
    ) -> Result<Pin, BinaryError> {
        let mut upload = binaries.upload(digest, bytes).await?;
        for chunk in content.chunks(1 << 20) {
            upload.write(chunk).await?;
        }
        upload.finish().await
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder.join("binaries")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_binary_is_kept_under_its_digest_and_removed_when_nobody_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path(), 1 << 30).await.unwrap();
        let (program, digest) = (program(), digest_of(&program()));
        let pin = send(&binaries, &digest, program.len() as u64, &program).await.unwrap();
        assert_eq!(files(folder.path()), [digest.as_str()], "and nothing else");
        let mode = std::fs::metadata(folder.path().join("binaries")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "for this user alone");
        binaries.remove_unused(&digest);
        assert!(binaries.read(&digest).await.is_ok(), "a submission is using it");
        drop(pin);
        binaries.remove_unused(&digest);
        let gone = binaries.read(&digest).await;
        assert!(matches!(gone, Err(BinaryError::Missing(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn what_is_not_what_was_announced_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path(), 1_000).await.unwrap();
        let (content, digest) = (b"not a program".as_slice(), digest_of(b"not a program"));
        let table = [
            (digest.as_str(), 13, "no ELF header"),
            (digest.as_str(), 14, "13 bytes of 14"),
            (digest.as_str(), 12, "more than the 12 bytes"),
            (digest.as_str(), 1_001, "1000 are allowed"),
            (&"0".repeat(64), 13, "was announced"),
            ("../../etc/passwd", 13, "not a SHA-256"),
        ];
        for (digest, bytes, expected) in table {
            let error = send(&binaries, digest, bytes, content).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(files(folder.path()).is_empty(), "after {error}");
        }
    }

    #[tokio::test]
    async fn two_nimbuses_do_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Binaries::open(folder.path(), 1_000).await.unwrap();
        let second = Binaries::open(folder.path(), 1_000).await;
        assert!(matches!(second, Err(BinaryError::InUse(_))), "{second:?}");
        drop(first);
        assert!(Binaries::open(folder.path(), 1_000).await.is_ok(), "it is free again");
    }

    #[tokio::test]
    async fn an_upload_that_was_cut_off_is_cleared_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        Binaries::open(folder.path(), 1_000).await.unwrap();
        std::fs::write(folder.path().join("binaries/00.part"), "half").unwrap();
        Binaries::open(folder.path(), 1_000).await.unwrap();
        assert!(files(folder.path()).is_empty());
    }
}
