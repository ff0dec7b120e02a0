//! A small disk of a test's own, to be filled or made read-only: memory that is mounted over a folder, where
//! only one thread and the processes that it starts can see it, so nothing of it outlives them.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// What takes up the room.
const FILLER: &str = ".filler";

/// A small disk; nothing until it is mounted. Goes last of all that is on it.
#[derive(Debug, Default)]
pub struct Disk {
    at: PathBuf,
    /// The folder of the test, which could not be removed before.
    folder: PathBuf,
}

impl Disk {
    /// Runs a story on a thread that may mount disks. `Err` says why it may not: that takes the rights of
    /// root.
    ///
    /// # Errors
    ///
    /// If the system does not let it.
    ///
    /// # Panics
    ///
    /// If the story does.
    pub fn story(story: impl FnOnce(Self) + Send + 'static) -> Result<(), String> {
        let told = std::thread::spawn(move || {
            let nothing: Option<&str> = None;
            let own = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount(nothing, "/", nothing, private, nothing)
            });
            own.map_err(|error| error.to_string())?;
            story(Self::default());
            Ok(())
        });
        told.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Puts a disk of so many MiB in the place of a folder below the test's, with what is in there.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn mount(&mut self, at: &Path, folder: &Path, mib: u32) {
        let aside = folder.join("aside");
        fs::create_dir_all(&aside).expect("the folder of the test can be written to");
        let (settings, plain) = (format!("mode=700,size={mib}m"), MsFlags::empty());
        let nothing: Option<&str> = None;
        let made = mount(nothing, &aside, Some("tmpfs"), plain, Some(settings.as_str()));
        made.expect("memory can be mounted");
        let copy = Command::new("cp").arg("-a").arg(at.join(".")).arg(&aside).status();
        assert!(copy.is_ok_and(|status| status.success()), "what is there can be copied");
        let moved = mount(Some(&aside), at, nothing, MsFlags::MS_MOVE, nothing);
        moved.expect("a mount can be moved");
        (self.at, self.folder) = (at.to_owned(), folder.to_owned());
    }

    /// Fills it to the last page.
    ///
    /// # Panics
    ///
    /// If it has too much room.
    pub fn fill(&self) {
        let mut file = File::create(self.at.join(FILLER)).expect("there was room for a name");
        for bytes in [1 << 20, 4 << 10] {
            let block = vec![0; bytes];
            let full = (0..4_096).find_map(|_| file.write_all(&block).err());
            let full = full.expect("it is full at some point");
            assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    ///
    /// If it was not filled.
    pub fn make_room(&self) {
        fs::remove_file(self.at.join(FILLER)).expect("it was filled");
    }

    /// Makes it read-only for whatever is opened from now on.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn make_read_only(&self) {
        let nothing: Option<&str> = None;
        let bound = mount(Some(&self.at), &self.at, nothing, MsFlags::MS_BIND, nothing);
        bound.expect("a folder can be mounted over itself");
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(nothing, &self.at, nothing, flags, nothing).expect("a mount can be read-only");
    }

    /// Makes it writable again.
    ///
    /// # Panics
    ///
    /// If it was not read-only.
    pub fn make_writable(&self) {
        umount2(&self.at, MntFlags::MNT_DETACH).expect("it was read-only");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.folder.as_os_str().is_empty() {
            return;
        }
        while umount2(&self.at, MntFlags::MNT_DETACH).is_ok() {}
        drop(fs::remove_dir_all(&self.folder));
    }
}
