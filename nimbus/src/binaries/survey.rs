//! Looking at what lies in the folder of binaries: which are whole, and which were lost or damaged.
//!
//! A file is read only when the kernel says that it was changed since it was found whole.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use daemon::{Clock, Shutdown, Stamp};
use sha2::{Digest, Sha256};
use tracing::warn;

use super::{Binaries, check_digest, hex};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Surveys the binaries now and then, until asked to stop.
pub(crate) fn start(binaries: Binaries, clock: Clock, shutdown: &Shutdown) {
    shutdown.spawn_until_asked(async move {
        loop {
            binaries.survey().await;
            clock.sleep(LOOK_EVERY).await;
        }
    });
}

impl Binaries {
    /// Looks which binaries are there and whole. What is damaged is left where it is: somebody may
    /// be putting it there just now. A copy of another nimbus takes its place.
    pub(crate) async fn survey(&self) {
        let binaries = self.clone();
        let looked = tokio::task::spawn_blocking(move || binaries.survey_now()).await;
        if let Err(error) = looked {
            warn!(%error, "cannot look at the binaries");
        }
    }

    fn survey_now(&self) {
        let known = self.whole.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut found = HashMap::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let digest = entry.file_name().to_string_lossy().into_owned();
            if check_digest(&digest).is_err() {
                continue;
            }
            match look(&entry.path(), &digest, known.get(&digest)) {
                Ok(file) => {
                    if !file.whole && known.get(&digest) != Some(&file) {
                        warn!(digest, "binary is damaged: it needs another copy");
                    }
                    found.insert(digest, file);
                }
                // It may have been removed at this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => warn!(digest, %error, "binary cannot be read"),
            }
        }
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        // What came or went while this looked is known already.
        let same = |digest: &String| whole.get(digest) == known.get(digest);
        let mut now: HashMap<String, Looked> =
            found.into_iter().filter(|(digest, _)| same(digest)).collect();
        let others = whole.iter().filter(|(digest, _)| !same(digest));
        now.extend(others.map(|(digest, file)| (digest.clone(), *file)));
        let held = now.iter().filter(|(_, file)| file.whole);
        let held: BTreeSet<String> = held.map(|(digest, _)| digest.clone()).collect();
        *whole = now;
        self.held.send_if_modified(|before| before.replace(held) != *before);
    }
}

/// What was found of a file, and what it was like then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) stamp: Stamp,
    /// Whether it has the content its name says.
    pub(super) whole: bool,
}

/// Looks at a file; reads it only if it is not what was found before.
fn look(path: &Path, digest: &str, known: Option<&Looked>) -> io::Result<Looked> {
    let metadata = fs::symlink_metadata(path)?;
    let stamp = Stamp::of(&metadata);
    if let Some(known) = known.filter(|known| known.stamp == stamp) {
        return Ok(*known);
    }
    Ok(Looked { stamp, whole: metadata.is_file() && hash(path)? == digest })
}

fn hash(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_damaged_or_lost_is_not_held_and_what_was_put_back_is() {
        let folder = tempfile::tempdir().unwrap();
        let binaries = Binaries::open(folder.path(), 1 << 20).await.unwrap();
        let mut held = binaries.held();
        let digest = hex(&Sha256::digest(b"program"));
        let path = folder.path().join("binaries").join(&digest);
        let mut look = async |expected: bool| {
            binaries.survey().await;
            let now = held.borrow_and_update().clone().expect("it was looked");
            assert_eq!(now.contains(&digest), expected, "{now:?}");
        };
        look(false).await;
        fs::write(&path, "program").unwrap();
        look(true).await;
        assert!(binaries.read(&digest).await.is_ok());
        fs::write(&path, "PROGRAM").unwrap();
        assert!(binaries.read(&digest).await.is_err(), "same size, another content");
        look(false).await;
        fs::write(&path, "program").unwrap();
        look(true).await;
        fs::remove_file(&path).unwrap();
        look(false).await;
    }
}
