//! A cgroup (version 2) for each worker: what holds it to its limits, and says if it ran out of memory.
//!
//! All lie below one cgroup that is ours to divide: the one of `--cgroup`, or the parent of the
//! supervisor's own if that is called `supervisor`, as systemd makes it with `Delegate=` and
//! `DelegateSubgroup=supervisor`. A cgroup that is divided may not hold processes itself, so the
//! supervisor must not be in it, and moves nobody but its workers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ending::counter;
use crate::limits::Limits;

/// What the supervisor's own cgroup is called when its parent is ours to divide.
const OWN: &str = "supervisor";

/// In which cores are dealt out, in microseconds.
const PERIOD_US: u64 = 100_000;

/// How long what was killed may take to vanish from its cgroup: tries, and the time between two.
const REMOVE_TRIES: u32 = 50;
const REMOVE_WAIT: Duration = Duration::from_millis(20);

/// The cgroup below which each worker gets one of its own.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    base: PathBuf,
    /// Begins the names of ours: other supervisors may have theirs beside them.
    prefix: String,
    /// Whether memory and cores can be limited there.
    memory: bool,
    cpu: bool,
}

/// The cgroup of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    /// How many of its processes the kernel had ended for want of memory before.
    kills_before: u64,
}

impl Groups {
    /// Takes a cgroup to divide among the workers of the supervisor with this id.
    pub(crate) fn open(base: &Path, id: &str) -> Result<Self, String> {
        let there = fs::read_to_string(base.join("cgroup.controllers"))
            .map_err(|error| format!("{} is no cgroup of version 2: {error}", base.display()))?;
        let mut on = [false; 2];
        for (on, name) in on.iter_mut().zip(["memory", "cpu"]) {
            if !there.split_whitespace().any(|it| it == name) {
                continue;
            }
            let divided = fs::write(base.join("cgroup.subtree_control"), format!("+{name}"));
            divided.map_err(|error| {
                format!("the {name} of {} cannot be divided: {error}", base.display())
            })?;
            *on = true;
        }
        let [memory, cpu] = on;
        let groups = Self { base: base.to_owned(), prefix: format!("{id}.slot-"), memory, cpu };
        // What is not writable is better known now than at the first worker.
        let probe = groups.base.join(format!("{id}.probe"));
        fs::create_dir(&probe)
            .and_then(|()| fs::remove_dir(&probe))
            .map_err(|error| format!("no cgroup can be made below {}: {error}", base.display()))?;
        groups.sweep();
        Ok(groups)
    }

    /// The cgroup that is ours to divide although nobody named it.
    pub(crate) fn delegated() -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        delegated(&mounts, &fs::read_to_string("/proc/self/cgroup").ok()?)
    }

    /// Whether memory can be limited.
    pub(crate) fn has_memory(&self) -> bool {
        self.memory
    }

    /// Whether cores can be limited.
    pub(crate) fn has_cpu(&self) -> bool {
        self.cpu
    }

    fn folder(&self, slot: u32) -> PathBuf {
        self.base.join(format!("{}{slot}", self.prefix))
    }

    /// Puts a process, and all it will start, into the cgroup of a slot, with these limits as far as
    /// they can be set there.
    pub(crate) fn enter(&self, slot: u32, pid: u32, limits: &Limits) -> io::Result<Group> {
        let folder = self.folder(slot);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let set = |file: &str, text: &str| fs::write(folder.join(file), text);
        if self.memory {
            let bytes = limits.memory.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
            set("memory.max", &bytes)?;
            set("memory.oom.group", "1")?;
            // Without swap there is no such file, and nothing to forbid.
            if folder.join("memory.swap.max").exists() {
                set("memory.swap.max", if limits.memory.is_some() { "0" } else { "max" })?;
            }
        }
        if self.cpu {
            let quota = |cores: u32| (u64::from(cores) * PERIOD_US / 1_000).to_string();
            let quota = limits.cpu.map_or_else(|| "max".to_owned(), quota);
            set("cpu.max", &format!("{quota} {PERIOD_US}"))?;
        }
        let kills_before = kills(&folder);
        set("cgroup.procs", &pid.to_string())?;
        Ok(Group { folder, kills_before })
    }

    /// Finds the cgroup that an earlier life of the supervisor made for a slot.
    pub(crate) fn find(&self, slot: u32) -> Option<Group> {
        let folder = self.folder(slot);
        folder.is_dir().then(|| Group { kills_before: kills(&folder), folder })
    }

    /// Removes what an earlier life left and nobody is in.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                drop(fs::remove_dir(entry.path()));
            }
        }
    }
}

impl Group {
    /// Whether the kernel ended some of its processes for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        kills(&self.folder) > self.kills_before
    }

    /// Ends whatever is left in it, and removes it. Waits for a moment, at most a second.
    pub(crate) fn remove(&self) {
        // Kernels before 5.14 have no such file; the process group was killed before.
        if self.folder.join("cgroup.kill").exists() {
            drop(fs::write(self.folder.join("cgroup.kill"), "1"));
        }
        for _ in 0..REMOVE_TRIES {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(REMOVE_WAIT);
                }
                _ => return,
            }
        }
        tracing::debug!(folder = %self.folder.display(), "a cgroup stays: somebody is in it");
    }
}

fn kills(folder: &Path) -> u64 {
    let events = fs::read_to_string(folder.join("memory.events")).unwrap_or_default();
    counter(&events, "oom_kill")
}

/// Finds where the cgroups of version 2 are mounted.
fn root(mounts: &str) -> Option<PathBuf> {
    let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.filter(|mount| mount.get(2) == Some(&"cgroup2")).find_map(|mount| {
        let path = mount.get(1)?;
        // Spaces and the like are escaped there; nobody mounts cgroups at such a place.
        (!path.contains('\\')).then(|| PathBuf::from(path))
    })
}

/// Finds the parent of a cgroup called `supervisor` in what `/proc` says.
fn delegated(mounts: &str, own: &str) -> Option<PathBuf> {
    let root = root(mounts)?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let base = Path::new(path).parent().filter(|_| Path::new(path).ends_with(OWN))?;
    // The root of all cgroups is never ours.
    (!base.as_os_str().is_empty()).then(|| root.join(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    /// A folder with the files that the kernel would make in a cgroup.
    fn stand_in(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), controllers).unwrap();
        folder
    }

    fn written(group: &Group, file: &str) -> String {
        fs::read_to_string(group.folder.join(file)).unwrap_or_default()
    }

    #[test]
    fn limits_are_written_as_the_kernel_wants_them() {
        let base = stand_in("cpuset cpu io memory pids\n");
        let groups = Groups::open(base.path(), "machine-1").unwrap();
        assert!(groups.has_memory() && groups.has_cpu());
        let limits = Limits { memory: Some(64 << 20), cpu: Some(1_500) };
        let group = groups.enter(3, 4711, &limits).unwrap();
        assert!(group.folder.ends_with("machine-1.slot-3"), "{group:?}");
        for (file, text) in [
            ("memory.max", "67108864"),
            ("memory.oom.group", "1"),
            ("cpu.max", "150000 100000"),
            ("cgroup.procs", "4711"),
        ] {
            assert_eq!(written(&group, file), text, "{file}");
        }
        let free = groups.enter(3, 4712, &Limits::default()).unwrap();
        assert_eq!(written(&free, "memory.max"), "max", "the next worker has no limit");
        assert_eq!(written(&free, "cpu.max"), "max 100000");
    }

    /// A real cgroup of the test's own, where it may make one: below the one it is in itself.
    struct Real(PathBuf);

    impl Real {
        fn make() -> Option<Self> {
            let root = root(&fs::read_to_string("/proc/self/mounts").ok()?)?;
            let own = fs::read_to_string("/proc/self/cgroup").ok()?;
            let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
            let base = root.join(own).join(format!("squall-test-{}", std::process::id()));
            fs::create_dir(&base).ok().map(|()| Self(base))
        }
    }

    impl Drop for Real {
        fn drop(&mut self) {
            drop(fs::remove_dir(&self.0));
        }
    }

    #[test]
    fn whatever_a_worker_left_in_its_real_cgroup_ends_with_it() {
        // Without the right to make cgroups there is nothing to see.
        let Some(base) = Real::make() else { return };
        let groups = Groups::open(&base.0, "m").unwrap();
        let mut shell = Command::new("sh");
        // Another session, and so another process group, which a signal to the worker's does not reach.
        shell.args(["-c", "read go; setsid sleep 1000 & echo $!; wait"]);
        let piped = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let group = groups.enter(7, child.id(), &Limits::default()).unwrap();
        writeln!(child.stdin.take().unwrap(), "go").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let of = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        for pid in [child.id().to_string().as_str(), line.trim()] {
            assert!(of(pid).contains("/m.slot-7\n"), "{pid} is in {}", of(pid));
        }
        assert!(!group.ran_out_of_memory());
        Groups::open(&base.0, "m").unwrap();
        assert!(groups.find(7).is_some(), "who is adopted keeps it");
        group.remove();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was killed");
        assert!(groups.find(7).is_none(), "the cgroup is gone, and so is all that was in it");
    }

    #[test]
    fn what_the_kernel_counts_says_whether_memory_ran_out() {
        let base = stand_in("memory");
        let groups = Groups::open(base.path(), "m").unwrap();
        let count = |kills: u32| {
            let text = format!("low 0\nhigh 0\nmax 17\noom 1\noom_kill {kills}\n");
            fs::write(base.path().join("m.slot-0/memory.events"), text).unwrap();
        };
        let group = groups.enter(0, 1, &Limits::default()).unwrap();
        assert!(!group.ran_out_of_memory(), "nothing is known");
        count(1);
        assert!(group.ran_out_of_memory());
        let next = groups.find(0).unwrap();
        assert!(!next.ran_out_of_memory(), "that was before");
        count(2);
        assert!(next.ran_out_of_memory());
        assert!(groups.find(1).is_none(), "there never was one");
    }

    #[test]
    fn what_cannot_be_divided_is_refused_with_the_reason() {
        let none = Groups::open(Path::new("/proc/self"), "m").unwrap_err();
        assert!(none.contains("no cgroup of version 2"), "{none}");
        let base = stand_in("io pids");
        let groups = Groups::open(base.path(), "m").unwrap();
        assert!(!groups.has_memory() && !groups.has_cpu(), "the kernel gives neither");
        let empty = base.path().join("m.slot-9");
        fs::create_dir(&empty).unwrap();
        fs::create_dir(base.path().join("another.slot-9")).unwrap();
        Groups::open(base.path(), "m").unwrap();
        assert!(!empty.exists(), "an earlier life left it");
        assert!(base.path().join("another.slot-9").exists(), "it belongs to somebody else");
    }

    #[test]
    fn only_the_parent_of_a_cgroup_called_supervisor_is_taken_unasked() {
        let mounts = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let of = |own: &str| delegated(mounts, own);
        let service = "/sys/fs/cgroup/system.slice/squall.service";
        assert_eq!(of("0::/system.slice/squall.service/supervisor"), Some(service.into()));
        for own in ["0::/", "0::/supervisor", "0::/user.slice/session-3.scope", "4:memory:/x"] {
            assert_eq!(of(own), None, "{own}");
        }
        let hybrid = "1:cpu:/supervisor\n0::/a/supervisor\n";
        assert_eq!(of(hybrid), Some("/sys/fs/cgroup/a".into()));
        assert_eq!(delegated("cgroup /sys/fs/cgroup/memory cgroup rw 0 0", hybrid), None);
    }
}
