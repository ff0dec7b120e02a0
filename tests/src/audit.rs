//! What the `audit` topology wrote: which numbers were emitted, executed and acked, and where.
//!
//! Its files only ever grow, and each line is written before the tuple is acked, so whatever is
//! missing here was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A number on its way: the task of the spout that emitted it, and which one it is.
pub type Number = (u32, u64);

/// One tuple, as a sink task executed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Passage {
    /// The sink's task, by its number within the component.
    pub sink: u32,
    /// The key that led to it.
    pub key: u64,
    /// The number itself.
    pub number: Number,
    /// The relay's task that passed it on.
    pub relay: u32,
    /// How many tuples that relay had passed on before.
    pub place: u64,
}

/// A folder that an `audit` topology writes to.
#[derive(Clone, Debug)]
pub struct Audit {
    folder: PathBuf,
}

impl Audit {
    /// Reads the audit in a folder.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The argument that makes an `audit` topology write here.
    #[must_use]
    pub fn argument(&self) -> String {
        format!("--folder={}", self.folder.display())
    }

    /// Lets the spouts end, once they have emitted as many numbers as they were told.
    ///
    /// # Panics
    ///
    /// If the folder cannot be written to.
    pub fn let_end(&self) {
        fs::write(self.folder.join("end"), "").expect("the folder of the test can be written to");
    }

    /// Every tuple that a sink executed, in the order of each sink.
    #[must_use]
    pub fn passages(&self) -> Vec<Passage> {
        let mut passages = Vec::new();
        for (sink, path) in self.files("sink-") {
            for fields in lines(&path) {
                let [key, source, number, relay, place] = fields[..] else { continue };
                let (source, relay) = (small(source), small(relay));
                passages.push(Passage { sink, key, number: (source, number), relay, place });
            }
        }
        passages
    }

    /// How many bytes sinks have written: it grows while there is progress, by some 20 a tuple.
    #[must_use]
    pub fn written(&self) -> u64 {
        let length = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
        self.files("sink-").iter().map(|(_, path)| length(path)).sum()
    }

    /// The numbers whose trees a spout was told to be complete.
    #[must_use]
    pub fn acked(&self) -> BTreeSet<Number> {
        let mut acked = BTreeSet::new();
        for (source, path) in self.files("acked-") {
            acked.extend(lines(&path).iter().filter_map(|fields| Some((source, *fields.first()?))));
        }
        acked
    }

    /// How many numbers each spout task had emitted when it was finished.
    #[must_use]
    pub fn emitted(&self) -> BTreeMap<u32, u64> {
        let count = |path: &Path| lines(path).last().and_then(|fields| fields.first().copied());
        let files = self.files("emitted-");
        files.into_iter().filter_map(|(source, path)| Some((source, count(&path)?))).collect()
    }

    /// Asserts of a finished topology that every number came through, and that no number was acked
    /// which did not.
    ///
    /// # Panics
    ///
    /// If a number is missing.
    pub fn assert_nothing_lost(&self, sources: usize) {
        let emitted = self.emitted();
        assert_eq!(emitted.len(), sources, "not every spout task finished: {emitted:?}");
        let wanted: BTreeSet<Number> = emitted
            .iter()
            .flat_map(|(source, count)| (0..*count).map(|number| (*source, number)))
            .collect();
        let (executed, acked) = (self.executed(), self.acked());
        assert_eq!(first(&wanted, &executed), None, "lost: emitted, but no sink executed it");
        assert_eq!(first(&wanted, &acked), None, "emitted, but never acked");
        self.assert_acked_were_executed();
    }

    /// Asserts that no number was acked which no sink had executed.
    ///
    /// # Panics
    ///
    /// If there is one.
    pub fn assert_acked_were_executed(&self) {
        // Read in this order: a sink writes before the spout hears of it.
        let acked = self.acked();
        let executed = self.executed();
        assert_eq!(first(&acked, &executed), None, "acked, but no sink executed it");
    }

    fn executed(&self) -> BTreeSet<Number> {
        self.passages().iter().map(|it| it.number).collect()
    }

    fn files(&self, prefix: &str) -> Vec<(u32, PathBuf)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let task = |path: &Path| path.file_name()?.to_str()?.strip_prefix(prefix)?.parse().ok();
        entries.map(|it| it.path()).filter_map(|path| Some((task(&path)?, path))).collect()
    }
}

/// The first of `these` that is not among `those`.
fn first(these: &BTreeSet<Number>, those: &BTreeSet<Number>) -> Option<Number> {
    these.difference(those).next().copied()
}

/// The lines of a file that were written to their end, as numbers.
fn lines(path: &Path) -> Vec<Vec<u64>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    complete.map(|line| line.split_whitespace().flat_map(str::parse).collect()).collect()
}

fn small(number: u64) -> u32 {
    u32::try_from(number).expect("there are few tasks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(files: &[(&str, &str)]) -> (tempfile::TempDir, Audit) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let audit = Audit::of(folder.path());
        (folder, audit)
    }

    const EMITTED: (&str, &str) = ("emitted-0", "2\n");
    const ACKED: (&str, &str) = ("acked-0", "1\n0\n");
    const SINKS: (&str, &str) = ("sink-0", "0 0 0 0 0\n1 0 1 1 0\n1 0 1 1 1\n");

    #[test]
    fn a_complete_record_is_accepted_with_numbers_that_came_twice() {
        let (_folder, audit) = audit(&[EMITTED, ACKED, SINKS]);
        audit.assert_nothing_lost(1);
        assert_eq!(audit.passages().len(), 3);
    }

    #[test]
    #[should_panic(expected = "no sink executed it")]
    fn a_number_that_no_sink_executed_is_found() {
        let half = ("sink-0", "0 0 0 0 0\n1 0 1");
        let (_folder, audit) = audit(&[EMITTED, ACKED, half]);
        audit.assert_nothing_lost(1);
    }

    #[test]
    #[should_panic(expected = "never acked")]
    fn a_number_that_was_never_acked_is_found() {
        let (_folder, audit) = audit(&[EMITTED, ("acked-0", "0\n"), SINKS]);
        audit.assert_nothing_lost(1);
    }

    #[test]
    #[should_panic(expected = "not every spout task finished")]
    fn a_spout_task_that_did_not_finish_is_found() {
        let (_folder, audit) = audit(&[EMITTED, ACKED, SINKS]);
        audit.assert_nothing_lost(2);
    }
}
