//! What a worker wrote last and did not live to bring to its log.
//!
//! A worker's output goes through a pipe that it empties itself into its log (`worker/src/log.rs`), so
//! what it says in the moment of its death stays in there. The kernel keeps a pipe as long as anybody
//! has it open: the supervisor opens it too when the worker says hello, leaves it alone while the worker
//! lives, and reads what is left when it is dead.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::{Arc, OnceLock};

use nix::libc::O_NONBLOCK;

/// No pipe holds more unless its size was raised, and then this is enough.
const BYTES_MAX: u64 = 1 << 20;

/// The pipe of one incarnation's output, once it has one. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlet(Arc<OnceLock<File>>);

impl Outlet {
    /// Opens the pipe that a process has as its standard error, if it has one.
    pub(crate) fn open(&self, pid: u32) {
        let path = format!("/proc/{pid}/fd/2");
        if self.0.get().is_none() && fs::metadata(&path).is_ok_and(|it| it.file_type().is_fifo()) {
            let opened = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(&path);
            if let Ok(pipe) = opened {
                self.0.get_or_init(|| pipe);
            }
        }
    }

    /// Reads what is left; for a process that has ended.
    pub(crate) fn rest(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Some(pipe) = self.0.get() {
            // It ends with an error where a child of the worker still has the pipe.
            drop(pipe.take(BYTES_MAX).read_to_end(&mut rest));
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn what_a_process_wrote_into_its_pipe_outlives_it() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "read line; echo \"its last words: $line\" >&2"]);
        let mut child = shell.stdin(Stdio::piped()).stderr(writer).spawn().unwrap();
        let outlet = Outlet::default();
        outlet.open(child.id());
        drop((shell, reader));
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"farewell\n").unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(String::from_utf8(outlet.rest()).unwrap(), "its last words: farewell\n");
        assert_eq!(outlet.rest(), b"", "once");
        assert_eq!(Outlet::default().rest(), b"", "a process without a pipe left nothing");
    }
}
