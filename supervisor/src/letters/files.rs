//! The files of dead letters, `letters/<topology>` below the supervisor's folder: appended to, read at
//! the start, written anew when most of one is history. What stands in them is the engine's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proto::supervisor::{DeadLetter, LetterRenewed, LettersDone, LettersPage};

use super::Reports;
use crate::engine::{Keep, Letters, chosen};
use crate::workdir;

/// What the disk did not take, by topology, and why.
pub(super) type Failed = BTreeMap<String, String>;

/// The file of one topology.
struct Log {
    letters: Letters,
    file: File,
    /// How long the file is, as far as the disk is known to have it.
    synced: u64,
    /// What is to be appended.
    waiting: Vec<u8>,
}

impl Log {
    /// Opens a file, and cuts off what the last writer did not finish.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        let (letters, whole) = Letters::read(&fs::read(path)?);
        let whole = whole as u64;
        let cut = file.metadata()?.len().saturating_sub(whole);
        if cut > 0 {
            tracing::warn!(
                file = %path.display(), bytes = cut,
                "the end of a file of dead letters is damaged, cutting it off"
            );
            file.set_len(whole)?;
            file.sync_all()?;
        }
        Ok(Self { letters, file, synced: whole, waiting: Vec::new() })
    }

    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.waiting)?;
        self.file.sync_data()?;
        self.synced += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Goes back to what the disk is known to have.
    fn undo(&mut self, path: &Path) -> io::Result<()> {
        self.file.set_len(self.synced)?;
        let mut again = Self::open(path)?;
        again.letters.go_on_from(&self.letters);
        *self = again;
        Ok(())
    }

    /// Reads a letter that is written.
    fn whole(&self, number: u64) -> Option<DeadLetter> {
        let place = self.letters.place(number)?;
        let mut record = vec![0; place.bytes];
        self.file.read_exact_at(&mut record, place.offset).ok()?;
        self.letters.whole(number, &record)
    }

    /// Writes the file anew, without its history.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let mut fresh = self.letters.beginning();
        for number in self.letters.numbers() {
            let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a letter is damaged");
            fresh.extend(Letters::record(self.whole(number).ok_or_else(damaged)?));
        }
        workdir::write_atomically(path, &fresh)?;
        let mut again = Self::open(path)?;
        again.letters.go_on_from(&self.letters);
        *self = again;
        Ok(())
    }
}

/// The files of all topologies.
pub(super) struct Files {
    folder: PathBuf,
    logs: BTreeMap<String, Log>,
}

impl Files {
    /// Opens what there is. What cannot be opened is left alone until it is needed.
    pub(super) fn open(folder: PathBuf) -> Self {
        let found = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = found.filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.filter(|name| workdir::is_safe(name) && !name.ends_with(".new"));
        let mut logs = BTreeMap::new();
        for topology in names {
            match Log::open(&folder.join(&topology)) {
                Ok(log) => drop(logs.insert(topology, log)),
                Err(error) => tracing::warn!(%topology, %error, "cannot read dead letters"),
            }
        }
        Self { folder, logs }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    pub(super) fn letters(&mut self, topology: &str) -> Option<&mut Letters> {
        self.logs.get_mut(topology).map(|log| &mut log.letters)
    }

    /// Keeps a letter, once [`Files::sync`] has succeeded.
    pub(super) fn keep(
        &mut self,
        topology: &str,
        letter: DeadLetter,
        bytes_max: u64,
    ) -> Result<Keep, String> {
        if !self.logs.contains_key(topology) {
            let path = self.path(topology).ok_or("this is no id of a topology")?;
            let opened = self.create(&path);
            let log = opened.map_err(|error| format!("{} cannot be used: {error}", path.display()));
            self.logs.insert(topology.to_owned(), log?);
        }
        let log = self.logs.get_mut(topology).ok_or("it was opened just now")?;
        let kept = log.letters.keep(letter, bytes_max);
        if let Keep::Append(bytes) = &kept {
            log.waiting.extend(bytes);
        }
        Ok(kept)
    }

    /// Opens a file whose name is on disk before anything stands in it.
    fn create(&self, path: &Path) -> io::Result<Log> {
        workdir::make_private(&self.folder)?;
        let log = Log::open(path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(log)
    }

    /// Lists letters behind a number.
    pub(super) fn page(&self, topology: &str, after: u64, max: usize) -> LettersPage {
        let Some(log) = self.logs.get(topology) else { return LettersPage::default() };
        let mut behind = log.letters.behind(after);
        let letters = behind.by_ref().take(max).collect();
        LettersPage { letters, more: behind.next().is_some() }
    }

    /// Reads a letter.
    pub(super) fn whole(&self, topology: &str, number: u64) -> Option<DeadLetter> {
        self.logs.get(topology)?.whole(number)
    }

    /// Drops letters: those named, or all.
    pub(super) fn discard(&mut self, topology: &str, numbers: &[u64]) -> LettersDone {
        let mut done = LettersDone::default();
        let Some(log) = self.logs.get_mut(topology) else {
            let none = |number: &u64| (*number, "there is no such letter".to_owned());
            return LettersDone { done: 0, refused: numbers.iter().map(none).collect() };
        };
        for number in chosen(&log.letters, numbers) {
            match log.letters.discard(number) {
                Ok(bytes) => {
                    log.waiting.extend(bytes);
                    done.done += 1;
                }
                Err(why) => drop(done.refused.insert(number, why.to_owned())),
            }
        }
        done
    }

    pub(super) fn replayed(&mut self, topology: &str, number: u64) {
        if let Some(log) = self.logs.get_mut(topology) {
            log.waiting.extend(log.letters.replayed(number).unwrap_or_default());
        }
    }

    pub(super) fn renew(&mut self, topology: &str, renewed: LetterRenewed) {
        if let Some(log) = self.logs.get_mut(topology) {
            log.waiting.extend(log.letters.renew(renewed).unwrap_or_default());
        }
    }

    pub(super) fn give_up_replay(&mut self, topology: &str, number: u64) {
        if let Some(letters) = self.letters(topology) {
            letters.give_up_replay(number);
        }
    }

    pub(super) fn forget_epochs(&mut self, topology: &str) {
        if let Some(log) = self.logs.get_mut(topology) {
            log.waiting.extend(log.letters.forget_epochs());
        }
    }

    /// Removes the letters of a topology.
    pub(super) fn remove(&mut self, topology: &str) -> Result<(), String> {
        let Some(path) = self.path(topology) else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", path.display()));
            }
            _ => {}
        }
        self.logs.remove(topology);
        Ok(())
    }

    /// Has the disk take all that was done. Where it does not, that is undone.
    pub(super) fn sync(&mut self) -> Failed {
        let mut failed = Failed::new();
        let folder = &self.folder;
        self.logs.retain(|topology, log| {
            let path = folder.join(topology);
            if let Err(error) = log.write() {
                tracing::warn!(%topology, %error, "cannot write dead letters");
                failed.insert(topology.clone(), format!("{}: {error}", path.display()));
                // Where not even that is possible it is opened anew when it is needed.
                return log.undo(&path).is_ok();
            }
            if log.letters.is_mostly_history()
                && let Err(error) = log.write_anew(&path)
            {
                tracing::warn!(%topology, %error, "cannot write dead letters anew");
            }
            true
        });
        failed
    }

    /// What there is of each topology.
    pub(super) fn reports(&self) -> Reports {
        let report =
            |(topology, log): (&String, &Log)| (topology.clone(), log.letters.report(topology));
        self.logs.iter().map(report).collect()
    }

    fn path(&self, topology: &str) -> Option<PathBuf> {
        workdir::is_safe(topology).then(|| self.folder.join(topology))
    }
}

#[cfg(test)]
mod tests;
