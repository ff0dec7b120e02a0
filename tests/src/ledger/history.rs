//! What all ledgers of a folder say, read as they grow.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::record::{EXECUTED_BYTES, Executed, Step, TOLD_BYTES, Told, now_ns};

/// How many times of reading are remembered.
const MARKS_MAX: usize = 1_000;

/// A task of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Task {
    /// One that emits numbers.
    Spout(u32),
    /// One that passes them on.
    Relay(u32),
    /// One that takes them.
    Sink(u32),
}

/// The ledgers of a folder.
///
/// ```
/// let folder = std::env::temp_dir().join("no-such-ledgers");
/// let mut history = tests::ledger::History::of(folder);
/// assert_eq!((history.refresh().is_ok(), history.executed().len()), (false, 0));
/// ```
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    /// By path: who writes it, and how much of it was read.
    files: BTreeMap<PathBuf, Source>,
    /// The order in which they were found.
    order: Vec<PathBuf>,
    told: Vec<Told>,
    executed: Vec<Executed>,
    /// When it was read, and how much had been read of sinks before.
    marks: VecDeque<(u64, usize)>,
    /// Emitted and not acked yet.
    open: HashSet<(u32, u64)>,
    /// By task: its processes, each with when its first line was written.
    processes: BTreeMap<Task, BTreeMap<u32, u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    task: Task,
    pid: u32,
    read: u64,
}

impl History {
    /// Nothing was read yet.
    #[must_use]
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            files: BTreeMap::new(),
            order: Vec::new(),
            told: Vec::new(),
            executed: Vec::new(),
            marks: VecDeque::new(),
            open: HashSet::new(),
            processes: BTreeMap::new(),
        }
    }

    /// Reads what was written since the last time.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn refresh(&mut self) -> io::Result<()> {
        if self.marks.len() == MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((now_ns(), self.executed.len()));
        self.look_for_files()?;
        for path in self.order.clone() {
            let Some(mut source) = self.files.get(&path).copied() else { continue };
            let line = if let Task::Spout(_) = source.task { TOLD_BYTES } else { EXECUTED_BYTES };
            let mut file = File::open(&path)?;
            let grown = file.metadata()?.len().saturating_sub(source.read);
            let whole = grown - grown % line as u64;
            if whole == 0 {
                continue;
            }
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(source.read))?;
            file.take(whole).read_to_end(&mut bytes)?;
            for line in bytes.chunks_exact(line) {
                self.line(source, line);
            }
            source.read += whole;
            self.files.insert(path, source);
        }
        Ok(())
    }

    /// Lets the spouts end, once everything that they emitted is acked.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written to.
    pub fn let_end(&self) -> io::Result<()> {
        std::fs::write(self.folder.join("end"), "")
    }

    /// Finds new files, those of earlier processes first.
    fn look_for_files(&mut self) -> io::Result<()> {
        let mut new = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if let (false, Some((task, pid))) = (self.files.contains_key(&path), writer(&path)) {
                new.push((entry.metadata()?.modified()?, path, task, pid));
            }
        }
        new.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for (_, path, task, pid) in new {
            self.order.push(path.clone());
            self.files.insert(path, Source { task, pid, read: 0 });
        }
        Ok(())
    }

    fn line(&mut self, source: Source, line: &[u8]) {
        match source.task {
            Task::Spout(task) => {
                let told = Told::read(line, task, source.pid);
                let number = (task, told.attempt.number);
                match told.step {
                    Step::Emitted => drop(self.open.insert(number)),
                    Step::Acked => drop(self.open.remove(&number)),
                    Step::Failed => {}
                }
                self.seen(source.task, source.pid, told.at_ns);
                self.told.push(told);
            }
            Task::Sink(task) | Task::Relay(task) => {
                let executed = Executed::read(line, task, source.pid);
                self.seen(source.task, source.pid, executed.at_ns);
                self.seen(Task::Relay(executed.relay), executed.relay_pid, executed.at_ns);
                self.executed.push(executed);
            }
        }
    }

    fn seen(&mut self, task: Task, pid: u32, at_ns: u64) {
        let first = self.processes.entry(task).or_default().entry(pid).or_insert(at_ns);
        *first = at_ns.min(*first);
    }

    /// All lines of spouts, file after file.
    #[must_use]
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// All lines of sinks, piece by piece in the order of each file.
    #[must_use]
    pub fn executed(&self) -> &[Executed] {
        &self.executed
    }

    /// How many numbers were emitted and not acked yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// The processes that each task had, with when the first sign of each was written.
    #[must_use]
    pub fn processes(&self) -> &BTreeMap<Task, BTreeMap<u32, u64>> {
        &self.processes
    }

    /// The process that each task has now.
    #[must_use]
    pub fn current(&self) -> BTreeMap<Task, u32> {
        let newest = |lives: &BTreeMap<u32, u64>| {
            lives.iter().max_by_key(|(_, first)| **first).map(|(pid, _)| *pid)
        };
        self.processes.iter().filter_map(|(task, lives)| Some((*task, newest(lives)?))).collect()
    }

    /// What sinks executed in the last `window_ns` nanoseconds before now: how many tuples, and
    /// the tasks that they passed.
    #[must_use]
    pub fn recent(&self, window_ns: u64) -> (u64, BTreeSet<Task>) {
        let since = now_ns().saturating_sub(window_ns);
        // What was written since then was read later.
        let before = self.marks.iter().rev().find(|(at, _)| *at < since);
        let from = before.map_or(0, |(_, length)| *length);
        let (mut count, mut tasks) = (0, BTreeSet::new());
        for executed in self.executed[from..].iter().filter(|it| it.at_ns >= since) {
            count += 1;
            tasks.insert(Task::Spout(executed.attempt.source));
            tasks.insert(Task::Relay(executed.relay));
            tasks.insert(Task::Sink(executed.sink));
        }
        (count, tasks)
    }
}

/// Who writes a file, by its name.
fn writer(path: &Path) -> Option<(Task, u32)> {
    let mut parts = path.file_name()?.to_str()?.split('-');
    let (role, task, pid) = (parts.next()?, parts.next()?, parts.next()?);
    let task = task.parse().ok()?;
    let task = match role {
        "spout" => Task::Spout(task),
        "sink" => Task::Sink(task),
        _ => return None,
    };
    Some((task, pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::record::Attempt;
    use super::*;

    #[test]
    fn what_is_appended_is_read_once_and_a_torn_line_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let attempt = |number| Attempt { source: 0, number, attempt: 0 };
        let told = |number, step| Told { attempt: attempt(number), step, at_ns: 5, pid: 7 };
        let mut bytes = Vec::new();
        for line in [told(0, Step::Emitted), told(1, Step::Emitted), told(0, Step::Acked)] {
            line.write(&mut bytes);
        }
        let path = folder.path().join("spout-0-7");
        std::fs::write(&path, &bytes[..TOLD_BYTES + 3]).unwrap();
        std::fs::write(folder.path().join("end"), "").unwrap();
        let mut history = History::of(folder.path());
        history.refresh().unwrap();
        assert_eq!((history.told().len(), history.open()), (1, 1));
        std::fs::write(&path, &bytes).unwrap();
        history.refresh().unwrap();
        assert_eq!((history.told().len(), history.open()), (3, 1));
        assert_eq!(history.current(), BTreeMap::from([(Task::Spout(0), 7)]));
    }
}
