//! Positions that outlive the process: one small file a task, replaced as a whole.
//!
//! Written by a thread of its own, because a disk may take its time: the newest positions wait for it,
//! older ones that it did not get to are left out. A position says that everything before it was
//! processed, so of several for one file the highest holds; so tasks may read the positions of each
//! other, and the tasks of a topology may become more or less.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use topology_api::{Context, Error};

use super::print::{Place, Print};

/// What the files say they are.
const FORMAT: u32 = 1;

/// The position of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Its name when it was last seen; for people.
    pub(super) name: String,
    pub(super) place: Place,
    /// How it begins.
    pub(super) print: Print,
    /// Up to where it was processed, in bytes; of a compressed file, in bytes of what is in it.
    pub(super) offset: u64,
    /// What stands before some offset up to which it was read.
    pub(super) before: Option<(u64, Print)>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    files: Vec<Position>,
}

/// The newest position of each file, out of those of all tasks.
fn merged(all: impl IntoIterator<Item = Position>) -> Vec<Position> {
    let mut newest: std::collections::BTreeMap<(Place, Print), Position> = Default::default();
    for position in all {
        let known =
            newest.entry((position.place, position.print)).or_insert_with(|| position.clone());
        if known.offset < position.offset {
            *known = position;
        }
    }
    newest.into_values().collect()
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Desk {
    next: Option<Vec<u8>>,
    writing: bool,
    ends: bool,
    trouble: Option<String>,
}

/// Keeps the positions of one task.
#[derive(Debug)]
pub(super) struct Positions {
    desk: Arc<(Mutex<Desk>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    /// What was handed over last.
    last: Vec<Position>,
}

impl Positions {
    /// Reads what all tasks of the component left in the folder, and gets ready to write.
    pub(super) fn open(folder: &Path, cx: &Context) -> Result<(Self, Vec<Position>), Error> {
        fs::create_dir_all(folder).map_err(|error| cannot("make the folder", folder, &error))?;
        let stem = format!("{}.{}.", cx.topology(), cx.component());
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))? {
            let path = entry.map_err(|error| cannot("read", folder, &error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let task = name.strip_prefix(&stem).and_then(|rest| rest.strip_suffix(".json"));
            if task.is_some_and(|task| task.parse::<u32>().is_ok()) {
                all.extend(read(&path)?);
            }
        }
        let path = folder.join(format!("{stem}{}.json", cx.task_index()));
        let desk = Arc::<(Mutex<Desk>, Condvar)>::default();
        let of_thread = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("positions".to_owned())
            .spawn(move || write_all(&of_thread, &path))?;
        Ok((Self { desk, thread: Some(thread), last: Vec::new() }, merged(all)))
    }

    /// Hands positions over, to be written soon; gives what went wrong with earlier ones.
    pub(super) fn save(&mut self, positions: Vec<Position>) -> Option<String> {
        let mut desk = lock(&self.desk.0);
        let trouble = desk.trouble.take();
        if positions == self.last && trouble.is_none() {
            return None;
        }
        let saved = Saved { format: FORMAT, files: positions };
        match serde_json::to_vec_pretty(&saved) {
            Ok(text) => desk.next = Some(text),
            Err(error) => return Some(error.to_string()),
        }
        self.last = saved.files;
        self.desk.1.notify_all();
        trouble
    }
}

/// Waits until everything was written.
impl Drop for Positions {
    fn drop(&mut self) {
        lock(&self.desk.0).ends = true;
        self.desk.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has written or it has not: there is nobody left to tell.
            drop(thread.join());
        }
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_all((desk, news): &(Mutex<Desk>, Condvar), path: &Path) {
    let mut held = lock(desk);
    loop {
        if let Some(text) = held.next.take() {
            held.writing = true;
            drop(held);
            let written = replace(path, &text);
            held = lock(desk);
            held.writing = false;
            held.trouble = written.err().map(|error| cannot("write", path, &error).to_string());
        } else if held.ends {
            return;
        } else {
            held = news.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Replaces a file as a whole: whoever reads it finds the old text or the new one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new: PathBuf = path.to_owned();
    new.as_mut_os_string().push(".new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn read(path: &Path) -> Result<Vec<Position>, Error> {
    let text = fs::read(path).map_err(|error| cannot("read", path, &error))?;
    let saved: Saved = serde_json::from_slice(&text).map_err(|error| {
        format!("cannot understand the positions in {}: {error}; mend it, or delete it to read all files from their beginnings", path.display())
    })?;
    if saved.format != FORMAT {
        let (known, path) = (FORMAT, path.display());
        return Err(format!("the positions in {path} have the format {}, not {known}: another version of squall wrote them", saved.format).into());
    }
    Ok(saved.files)
}

fn cannot(act: &str, path: &Path, error: &io::Error) -> Error {
    format!("cannot {act} {} for the positions in files: {error}", path.display()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(inode: u64, offset: u64) -> Position {
        let (place, print) = (Place { device: 1, inode }, Print { bytes: 4, hash: 7 });
        Position { name: format!("{inode}.log"), place, print, offset, before: None }
    }

    #[test]
    fn of_several_positions_of_a_file_the_highest_holds() {
        let all = [position(1, 10), position(2, 5), position(1, 30), position(1, 20)];
        assert_eq!(merged(all), [position(1, 30), position(2, 5)]);
    }

    #[test]
    fn a_file_that_is_no_record_of_positions_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.c.0.json");
        for text in ["", "{\"format\":1,\"fil", "{\"format\":9,\"files\":[]}"] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("t.c.0.json"), "{error}");
        }
        replace(
            &path,
            &serde_json::to_vec(&Saved { format: 1, files: vec![position(3, 4)] }).unwrap(),
        )
        .unwrap();
        assert_eq!(read(&path).unwrap(), [position(3, 4)]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
    }
}
