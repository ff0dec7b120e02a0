//! Looks at a folder: which files are there, which of them are known, and what becomes of new ones.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::content::{Content, Extent, place};
use super::followed::Followed;
use super::pattern::fits;
use super::print::{Place, Print};

/// How many looks a file that may be half a copy of another one is waited for.
const LOOKS: u32 = 3;

/// A file as a look at the folder shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    path: PathBuf,
    place: Place,
    extent: Extent,
}

/// Files that fit the pattern, the one that was written first first.
pub(super) fn look(folder: &Path, pattern: &str) -> io::Result<Vec<Seen>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| fits(pattern, name)) {
            continue;
        }
        // A link is followed; a file may be gone by now.
        let facts = match fs::metadata(entry.path()) {
            Ok(facts) => facts,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if facts.is_file() {
            let (path, place, extent) = (entry.path(), place(&facts), Extent::of(&facts));
            all.push(Seen { path, place, extent });
        }
    }
    all.sort_by(|a, b| (a.extent.written, &a.path).cmp(&(b.extent.written, &b.path)));
    Ok(all)
}

/// What one task knows of the files of a folder.
#[derive(Debug)]
pub(super) struct Folder {
    task: u32,
    tasks: u32,
    /// Files of the first look may begin at their ends.
    from_end: bool,
    /// Nothing is waited for: what is there is all there is.
    at_once: bool,
    looked: bool,
    /// Files of other tasks, as they were when that was found.
    foreign: HashMap<Place, Seen>,
    /// Files that are waited for, for how many looks they did not change, and for how many in all.
    waiting: HashMap<Place, (Seen, u32, u32)>,
    /// What could not be read, so that it is told once.
    troubled: HashSet<PathBuf>,
    /// What is to be told.
    pub(super) troubles: Vec<String>,
}

/// What is to be done about a new file.
enum Welcome {
    /// It is followed from its beginning.
    New(Print),
    /// It has what that file had: it is read on in its place.
    Is(usize),
    Later,
    Foreign,
}

impl Folder {
    pub(super) fn new((task, tasks): (u32, u32), from_end: bool, at_once: bool) -> Self {
        Self {
            task,
            tasks,
            from_end,
            at_once,
            looked: false,
            foreign: HashMap::new(),
            waiting: HashMap::new(),
            troubled: HashSet::new(),
            troubles: Vec::new(),
        }
    }

    /// Brings what is followed in line with what was seen.
    pub(super) fn take(&mut self, all: Vec<Seen>, files: &mut Vec<Option<Followed>>, now: Instant) {
        let by_place: HashMap<Place, &Seen> = all.iter().map(|seen| (seen.place, seen)).collect();
        let mut known = HashSet::new();
        for file in files.iter_mut().flatten() {
            let seen = by_place.get(&file.place).filter(|_| !file.cut_off);
            let Some(seen) = seen else {
                file.gone.get_or_insert(now);
                // Its writer may still have it.
                file.stirred = true;
                continue;
            };
            known.insert(file.place);
            file.gone = None;
            file.stirred |= file.path != seen.path || file.ended_at != Some(seen.extent);
            file.extent = seen.extent;
            file.path.clone_from(&seen.path);
        }
        self.foreign.retain(|place, _| by_place.contains_key(place));
        self.waiting.retain(|place, _| by_place.contains_key(place));
        for seen in all {
            // A file with two names is one file.
            if known.contains(&seen.place) || self.foreign.get(&seen.place) == Some(&seen) {
                continue;
            }
            known.insert(seen.place);
            if let Err(error) = self.welcome(&seen, files, now) {
                if error.kind() != ErrorKind::NotFound && self.troubled.insert(seen.path.clone()) {
                    self.troubles.push(format!(
                        "cannot read {}: {error}; it is left out until that works",
                        seen.path.display()
                    ));
                }
            } else {
                self.troubled.remove(&seen.path);
            }
        }
        self.looked = true;
    }

    fn welcome(
        &mut self,
        seen: &Seen,
        files: &mut Vec<Option<Followed>>,
        now: Instant,
    ) -> io::Result<()> {
        let mut content = Content::open(&seen.path)?;
        let file = match self.judge(seen, &mut content, files)? {
            Welcome::Later => return Ok(()),
            Welcome::Foreign => {
                self.foreign.insert(seen.place, seen.clone());
                return Ok(());
            }
            Welcome::Is(slot) => {
                if let Some(file) = files.get_mut(slot).and_then(Option::as_mut) {
                    file.moves_to(seen.path.clone(), seen.place, content);
                    file.extent = seen.extent;
                }
                self.waiting.remove(&seen.place);
                return Ok(());
            }
            Welcome::New(print) => {
                let mut file = Followed::new(seen.path.clone(), seen.place, print, now);
                file.extent = seen.extent;
                if self.from_end && !self.looked && !content.is_gzip() {
                    let last = content.piece(seen.extent.size.saturating_sub(1), 1)?;
                    file.start_at(seen.extent.size, last != b"\n");
                }
                file
            }
        };
        self.waiting.remove(&seen.place);
        match files.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(file),
            None => files.push(Some(file)),
        }
        Ok(())
    }

    fn judge(
        &mut self,
        seen: &Seen,
        content: &mut Content,
        files: &[Option<Followed>],
    ) -> io::Result<Welcome> {
        let (looks, all) = self.waited(seen);
        // Whoever compresses a file may not be done yet.
        if content.is_gzip() && looks == 0 && !self.at_once {
            return Ok(Welcome::Later);
        }
        let may_grow = !content.is_gzip() && !self.at_once;
        let Some(print) = Print::of_beginning(&content.head()?, may_grow) else {
            return Ok(Welcome::Later);
        };
        if print.task(self.tasks) != self.task {
            return Ok(Welcome::Foreign);
        }
        for (slot, file) in files.iter().enumerate() {
            let Some(file) = file.as_ref().filter(|file| file.print == print) else { continue };
            let Some((at, before)) = file.before.filter(|(at, _)| *at > 0) else {
                // If it was not read yet, and this is its copy, that shows when it is.
                let will_show = file.is_unread() && all < LOOKS && !self.at_once;
                let begins_at_end = self.from_end && !self.looked;
                match will_show && !begins_at_end {
                    true => return Ok(Welcome::Later),
                    false => continue,
                }
            };
            let long_enough = content.is_gzip() || seen.extent.size >= at;
            if long_enough && content.piece(at - 1, 1)?.len() == 1 && content.before(at)? == before
            {
                let is_there = file.gone.is_none() && !file.cut_off;
                return Ok(if is_there { Welcome::Later } else { Welcome::Is(slot) });
            }
            if !long_enough && looks < LOOKS && !self.at_once {
                return Ok(Welcome::Later);
            }
        }
        Ok(Welcome::New(print))
    }

    /// For how many looks the file has been as it is, and for how many it was waited for.
    fn waited(&mut self, seen: &Seen) -> (u32, u32) {
        let known = self.waiting.entry(seen.place).or_insert_with(|| (seen.clone(), 0, 0));
        let looks = if known.0 == *seen { known.1 } else { 0 };
        let all = known.2;
        *known = (seen.clone(), looks.saturating_add(1), all.saturating_add(1));
        (looks, all)
    }
}
