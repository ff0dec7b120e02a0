//! The last epochs of workers that ended here, kept when their folders are gone.
//!
//! A worker may come back under the same assignment: its supervisor was stopped and started again
//! before anything was moved. Its epoch must not be used a second time, or its peers would take
//! the new process for the old one. Few are needed for long, so only the newest are kept.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::engine::Epoch;
use crate::workdir;

/// So many are kept.
const KEPT: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    topology: String,
    worker: u32,
    revision: u64,
    restarts: u64,
}

/// The last epochs, oldest first.
#[derive(Debug)]
pub(crate) struct Retired {
    path: PathBuf,
    all: Mutex<Vec<Last>>,
}

impl Retired {
    /// Reads what is there; what is unreadable is forgotten.
    pub(crate) fn open(path: PathBuf) -> Self {
        let all = Mutex::new(workdir::load(&path).unwrap_or_default());
        Self { path, all }
    }

    /// Remembers a worker's last epoch, also after a power cut.
    pub(crate) fn add(&self, topology: &str, worker: u32, epoch: Epoch) -> io::Result<()> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|last| (last.topology.as_str(), last.worker) != (topology, worker));
        let surplus = (all.len() + 1).saturating_sub(KEPT);
        all.drain(..surplus);
        let Epoch { revision, restarts } = epoch;
        all.push(Last { topology: topology.to_owned(), worker, revision, restarts });
        workdir::save(&self.path, &*all)
    }

    /// Returns all: topology, worker, epoch.
    pub(crate) fn all(&self) -> Vec<(String, u32, Epoch)> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let each = |last: &Last| {
            let epoch = Epoch { revision: last.revision, restarts: last.restarts };
            (last.topology.clone(), last.worker, epoch)
        };
        all.iter().map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_epochs_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("retired");
        let retired = Retired::open(path.clone());
        for restarts in [1, 2] {
            retired.add("t", 0, Epoch { revision: 5, restarts }).unwrap();
        }
        assert_eq!(Retired::open(path.clone()).all().len(), 1, "one a worker");
        assert_eq!(Retired::open(path.clone()).all()[0].2.to_string(), "5.2");
        retired
            .all
            .lock()
            .unwrap()
            .resize(KEPT, Last { topology: "other".into(), worker: 1, revision: 1, restarts: 0 });
        retired.add("newest", 0, Epoch::default()).unwrap();
        let all = Retired::open(path).all();
        assert_eq!((all.len(), all[KEPT - 1].0.as_str()), (KEPT, "newest"), "the oldest goes");
    }
}
