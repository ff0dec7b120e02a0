//! What a supervisor keeps on disk, and where.
//!
//! ```text
//! data_dir/lock                                held while a supervisor uses the folder
//! data_dir/id                                  its id, for ever
//! data_dir/incarnation                         raised at each start
//! data_dir/retired                             last epochs of workers that ended here
//! data_dir/s/control.sock                      where workers dial; the same after a restart
//! data_dir/binaries/<sha-256>                  the cache
//! data_dir/letters/<topology>                  its dead letters
//! data_dir/workers/<topology>/<worker>/        a worker's own folder: where it runs, its log
//! data_dir/workers/<topology>/<worker>/.facts  what the supervisor must know to adopt it
//! ```
//!
//! Everything is for its owner alone (0700). What must survive a power cut is written to a new
//! file, synced, and renamed. A path is only ever made from a checked topology id and a number.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::retired::Retired;

/// Longest path of a Unix socket that every system takes (macOS: 104 with its end).
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// The supervisor's folder, locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    socket: PathBuf,
    /// Its id, made at the first start.
    pub(crate) id: String,
    /// Raised at each start.
    pub(crate) incarnation: u64,
    /// Last epochs of workers that ended here.
    pub(crate) retired: Retired,
    /// Released when it is closed, also by the death of the process.
    _lock: File,
}

impl DataDir {
    /// Makes the folder if need be, and takes it for this supervisor alone.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let failed = |source| Error::DataDir { path: root.to_owned(), source };
        make_private(root).map_err(failed)?;
        // A worker runs elsewhere and is told paths: they must mean the same there.
        let root = root.canonicalize().map_err(failed)?;
        let lock = lock(&root)?;
        make_private(&root.join("workers")).map_err(failed)?;
        make_private(&root.join("binaries")).map_err(failed)?;
        let id = match read_line(&root.join("id")) {
            Some(id) if is_safe(&id) => id,
            _ => {
                let id = format!("{}-{:08x}", hostname(), rand::random::<u32>());
                write_atomically(&root.join("id"), id.as_bytes()).map_err(failed)?;
                id
            }
        };
        let before = read_line(&root.join("incarnation")).and_then(|line| line.parse().ok());
        let incarnation: u64 = before.unwrap_or(0) + 1;
        let path = root.join("incarnation");
        write_atomically(&path, incarnation.to_string().as_bytes()).map_err(failed)?;
        let socket = socket_path(&root).map_err(failed)?;
        let retired = Retired::open(root.join("retired"));
        Ok(Self { root, socket, id, incarnation, retired, _lock: lock })
    }

    /// Returns where workers dial.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Returns where binaries are kept.
    pub(crate) fn binaries(&self) -> PathBuf {
        self.root.join("binaries")
    }

    /// Returns where dead letters are kept.
    pub(crate) fn letters(&self) -> PathBuf {
        self.root.join("letters")
    }

    /// Returns where the folders of workers are.
    pub(crate) fn workers(&self) -> PathBuf {
        self.root.join("workers")
    }

    /// Returns a worker's folder, if the topology's id is one that can name a folder.
    pub(crate) fn worker(&self, topology: &str, worker: u32) -> Option<PathBuf> {
        if !is_safe(topology) {
            return None;
        }
        Some(self.workers().join(topology).join(worker.to_string()))
    }

    /// Removes a worker's folder, and its topology's if that was the last.
    pub(crate) fn remove_worker(&self, topology: &str, worker: u32) -> io::Result<()> {
        let Some(folder) = self.worker(topology, worker) else { return Ok(()) };
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match folder.parent().map(fs::remove_dir) {
            Some(Err(error)) if !is_gone_or_in_use(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the socket: nobody is to dial it before the next start.
    pub(crate) fn remove_socket(&self) {
        drop(fs::remove_file(&self.socket));
        if let Some(folder) = self.socket.parent() {
            drop(fs::remove_dir(folder));
        }
    }
}

/// Tells whether an id can name a folder: it leads nowhere else and fits.
pub(crate) fn is_safe(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !id.is_empty() && id.len() <= 200 && !id.starts_with(['.', '-']) && id.chars().all(plain)
}

fn is_gone_or_in_use(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

/// Makes a folder, and those above it, for its owner alone.
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Replaces a file as a whole: after a power cut there is the old one or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Replaces a file by a record with its checksum in the first line.
pub(crate) fn save<R: Serialize>(path: &Path, record: &R) -> io::Result<()> {
    let json = serde_json::to_string(record).map_err(io::Error::other)?;
    write_atomically(path, format!("{}\n{json}", digest(json.as_bytes())).as_bytes())
}

/// Reads what [`save`] wrote; `None` if it is not there, not whole, or not ours.
pub(crate) fn load<R: DeserializeOwned>(path: &Path) -> Option<R> {
    let text = fs::read_to_string(path).ok()?;
    let (checksum, json) = text.split_once('\n')?;
    if checksum != digest(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// Returns the SHA-256 of some bytes, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// Returns the name of this machine, in letters that an id may have.
pub(crate) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_default();
    let name: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    match name.trim_start_matches('-') {
        "" => "supervisor".to_owned(),
        name => name.to_owned(),
    }
}

fn lock(root: &Path) -> Result<File, Error> {
    let failed = |source| Error::DataDir { path: root.to_owned(), source };
    let lock = daemon::lock::take(root).map_err(failed)?;
    lock.ok_or_else(|| Error::InUse { path: root.to_owned() })
}

fn read_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Returns a path for the socket that is short enough and always the same for this folder.
fn socket_path(root: &Path) -> io::Result<PathBuf> {
    let near = root.join("s");
    if near.join("control.sock").as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        make_private(&near)?;
        return Ok(near.join("control.sock"));
    }
    let name = &digest(root.as_os_str().as_encoded_bytes())[..16];
    let far = std::env::temp_dir().join(format!("squall-{name}"));
    make_private(&far)?;
    // Others can write to the folder above: what is there must be ours and closed to them.
    let (found, ours) = (fs::symlink_metadata(&far)?, fs::metadata(root)?);
    if !found.is_dir() || found.uid() != ours.uid() || found.mode() & 0o077 != 0 {
        let text = format!("{} belongs to somebody else: remove it", far.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(far.join("control.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_supervisors_cannot_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::open(folder.path()).unwrap();
        let second = DataDir::open(folder.path()).unwrap_err();
        assert!(matches!(second, Error::InUse { .. }), "{second}");
        let (id, incarnation) = (first.id.clone(), first.incarnation);
        drop(first);
        let third = DataDir::open(folder.path()).unwrap();
        assert_eq!((third.id.clone(), third.incarnation), (id, incarnation + 1));
    }

    #[test]
    fn a_topology_id_cannot_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        for id in ["..", "../x", "/etc", "a/b", "", ".hidden", "a\0b"] {
            assert_eq!(data.worker(id, 0), None, "{id:?}");
        }
        assert!(data.worker("word-count-1-ab2c", 7).unwrap().ends_with("word-count-1-ab2c/7"));
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(120));
        let data = DataDir::open(&long).unwrap();
        let (socket, length) = (data.socket().to_owned(), data.socket().as_os_str().len());
        assert!(length <= SOCKET_PATH_BYTES_MAX, "{}", socket.display());
        drop(data);
        let again = DataDir::open(&long).unwrap();
        assert_eq!(again.socket(), socket, "workers dial the old path");
        again.remove_socket();
        assert!(!socket.parent().unwrap().exists(), "nothing is left behind");
    }

    #[test]
    fn a_worker_takes_its_topologys_folder_with_it_if_it_was_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        for worker in [0, 1] {
            make_private(&data.worker("t", worker).unwrap()).unwrap();
        }
        data.remove_worker("t", 0).unwrap();
        assert!(data.worker("t", 1).unwrap().exists(), "another worker's folder stays");
        data.remove_worker("t", 1).unwrap();
        data.remove_worker("t", 1).unwrap();
        assert!(!data.workers().join("t").exists(), "the topology's folder is left");
    }
}
