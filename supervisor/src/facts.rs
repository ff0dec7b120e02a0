//! What must be known of a worker to restart or adopt it without the store, kept in its folder.
//!
//! Written before a process starts (so a restart is counted even if nobody lives to see it) and
//! again when its pid is known. The first line is the SHA-256 of the rest: what does not match it
//! was not written by us or not written whole, and is treated as absent. Nothing here is needed for
//! correctness: without it a worker is stopped and started anew.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use proto::store::AssignmentRecord;
use serde::{Deserialize, Serialize};

use crate::engine::{Epoch, Placement};
use crate::workdir;

/// The file's name within the worker's folder.
pub(crate) const FILE: &str = ".facts";

/// What must be known of a worker to restart or adopt it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Where it was started.
    pub(crate) slot: u32,
    topology: String,
    name: String,
    worker: u32,
    revision: u64,
    restarts: u64,
    digest: String,
    arguments: Vec<String>,
    config: BTreeMap<String, String>,
    /// The assignment record, as the store has it.
    assignment: Vec<u8>,
    /// What the worker proves its identity with.
    pub(crate) token: String,
    /// Where it dials.
    pub(crate) socket: String,
    /// 0 before the process exists.
    pub(crate) pid: u32,
    /// When the process started, in the kernel's units: with the pid it names one process.
    pub(crate) start_time: u64,
    /// Wall clock.
    pub(crate) started_ms: u64,
    /// Which limits nobody holds it to, and why.
    #[serde(default)]
    pub(crate) unheld: String,
}

impl Facts {
    /// Gathers what is known before the process exists.
    pub(crate) fn new(placement: &Placement, epoch: Epoch, token: &str, socket: &Path) -> Self {
        Self {
            slot: placement.slot,
            topology: placement.topology.clone(),
            name: placement.name.clone(),
            worker: placement.worker,
            revision: epoch.revision,
            restarts: epoch.restarts,
            digest: placement.digest.clone(),
            arguments: placement.arguments.clone(),
            config: placement.config.clone(),
            assignment: placement.assignment.encode_to_vec(),
            token: token.to_owned(),
            socket: socket.to_string_lossy().into_owned(),
            pid: 0,
            start_time: 0,
            started_ms: 0,
            unheld: String::new(),
        }
    }

    /// Returns the epoch of the incarnation that was started last.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch { revision: self.revision, restarts: self.restarts }
    }

    /// Returns what the worker runs; `None` if the record in it makes no sense.
    pub(crate) fn placement(&self) -> Option<Placement> {
        let assignment = AssignmentRecord::decode(self.assignment.as_slice()).ok()?;
        Some(Placement {
            slot: self.slot,
            topology: self.topology.clone(),
            name: self.name.clone(),
            worker: self.worker,
            revision: self.revision,
            restarts_min: self.restarts,
            digest: self.digest.clone(),
            arguments: self.arguments.clone(),
            config: self.config.clone(),
            assignment: Arc::new(assignment),
        })
    }

    /// Writes them into the worker's folder, so that they survive a power cut.
    pub(crate) fn save(&self, folder: &Path) -> io::Result<()> {
        workdir::save(&folder.join(FILE), self)
    }

    /// Reads them from a worker's folder; `None` if they are not there or not whole.
    pub(crate) fn load(folder: &Path) -> Option<Self> {
        workdir::load(&folder.join(FILE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let assignment = AssignmentRecord { worker: 3, slot: 1, ..Default::default() };
        let placement = Placement {
            slot: 1,
            topology: "t".into(),
            name: "name".into(),
            worker: 3,
            revision: 12,
            restarts_min: 0,
            digest: "ab".into(),
            arguments: vec!["a b".into()],
            config: BTreeMap::from([("k".into(), "v".into())]),
            assignment: Arc::new(assignment),
        };
        let epoch = Epoch { revision: 12, restarts: 4 };
        Facts::new(&placement, epoch, "secret", Path::new("/s/control.sock"))
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        facts().save(folder.path()).unwrap();
        let loaded = Facts::load(folder.path()).unwrap();
        assert_eq!(loaded, facts());
        assert_eq!(loaded.epoch().to_string(), "12.4");
        assert_eq!(loaded.placement().unwrap().assignment.worker, 3);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Facts::load(folder.path()), None, "there is no file yet");
        facts().save(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 10, 64, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Facts::load(folder.path()), None, "cut at {length}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(Facts::load(folder.path()), None, "bit flipped at {at}");
        }
    }
}
