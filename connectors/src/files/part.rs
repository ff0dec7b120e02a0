//! One file that is being written: hidden while it grows, and renamed once it is complete and safe.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use topology_api::Input;

use super::rolling::Held;

/// What hidden names begin and end with.
pub(super) const HIDDEN: (&str, &str) = (".", ".part");

/// A file that is being written, with the tuples that wait for it.
#[derive(Debug)]
pub(super) struct Part<T> {
    file: File,
    hidden: PathBuf,
    path: PathBuf,
    /// What is still to be written.
    buffer: Vec<u8>,
    /// Tuples that are in the buffer or were written, and not acked.
    waiting: Vec<Input<T>>,
    /// How long the file is, as far as it was written.
    written: u64,
    /// How long it was when tuples were last acked.
    acked: u64,
    pub(super) held: Held,
}

impl<T> Part<T> {
    /// Makes a new file of this name in a folder, which is made too; it begins with `head`.
    pub(super) fn create(
        folder: &Path,
        name: &str,
        head: Vec<u8>,
        now: Instant,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let hidden = folder.join(format!("{}{name}{}", HIDDEN.0, HIDDEN.1));
        let file = File::options().write(true).create_new(true).open(&hidden)?;
        // Whoever looks for what a crash left over sees that this is not.
        file.try_lock()?;
        let held = Held { bytes: head.len() as u64, records: 0, since: now };
        let path = folder.join(name);
        Ok(Self {
            file,
            hidden,
            path,
            buffer: head,
            waiting: Vec::new(),
            written: 0,
            acked: 0,
            held,
        })
    }

    /// Takes a record, and the tuple that it came of.
    pub(super) fn take(&mut self, record: &[u8], input: Input<T>) {
        self.buffer.extend_from_slice(record);
        self.held.bytes += record.len() as u64;
        self.held.records += 1;
        self.waiting.push(input);
    }

    /// How many tuples wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Hands all to the system.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Has the system bring it to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Acks what waits: all of it is as safe as it has to be.
    pub(super) fn ack(&mut self) {
        self.acked = self.written;
        self.waiting.drain(..).for_each(Input::ack);
    }

    /// Gives the file its name, when all of it is on the disk.
    pub(super) fn complete(mut self) -> io::Result<PathBuf> {
        let done = self.write().and_then(|()| finish(&self.file, &self.hidden, &self.path));
        match done {
            Ok(()) => {
                self.ack();
                Ok(self.path)
            }
            Err(error) => {
                self.abandon(&error.to_string());
                Err(error)
            }
        }
    }

    /// Fails what waits and takes it out of the file; what was acked before is completed.
    pub(super) fn abandon(mut self, why: &str) {
        self.fail(why);
        // There is trouble with the disk already: what cannot be done now is left for the next start.
        let kept = self.file.set_len(self.acked);
        if self.acked == 0 {
            drop(fs::remove_file(&self.hidden));
        } else if kept.is_ok() {
            drop(finish(&self.file, &self.hidden, &self.path));
        }
    }

    fn fail(&mut self, why: &str) {
        for input in self.waiting.drain(..) {
            input.fail(why);
        }
    }
}

/// Gives a file that is on the disk its name, and brings the name to the disk.
pub(super) fn finish(file: &File, hidden: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    if path.exists() {
        let text = format!("{} is there already", path.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    fs::rename(hidden, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
