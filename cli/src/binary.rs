//! A topology binary on disk: checked before anything is done with it.
//!
//! A directory, a script, another machine's program or a half-copied file is refused here with a
//! sentence that says so, instead of failing on some machine of the cluster later.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::codes::Code;
use crate::error::Failure;

/// A file that looks like a program for this machine.
#[derive(Debug)]
pub(crate) struct Binary {
    /// Where it is: with a slash, so that no search path applies when it is run.
    pub(crate) path: PathBuf,
    /// Its length.
    pub(crate) bytes: u64,
    file: File,
}

impl Binary {
    /// Opens and checks the file.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let what = format!("cannot use {} as a topology binary", path.display());
        let data = |why: &str, fix: &str| Failure::new(Code::NotAProgram, &what, why, fix);
        let metadata = std::fs::metadata(path).map_err(|error| {
            let fix = "check the path; with cargo, the binary is in target/release/";
            Failure::new(Code::FileUnreadable, &what, error, fix)
        })?;
        if metadata.is_dir() {
            return Err(data("it is a directory", "name the program inside it"));
        }
        if !metadata.is_file() {
            return Err(data("it is not a regular file", "name a program"));
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            let fix = format!("chmod +x {}", path.display());
            return Err(data("it is not executable", &fix));
        }
        let file = File::open(path).map_err(|error| {
            Failure::new(Code::FileUnreadable, &what, error, "make the file readable for you")
        })?;
        let bytes = metadata.len();
        check_format(&file, bytes).map_err(|why| {
            let fix = "build the topology for this machine: cargo build --release";
            data(&why, fix)
        })?;
        let path = if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) };
        Ok(Self { path, bytes, file })
    }

    /// SHA-256 of the content, in lower-case hexadecimal.
    pub(crate) fn digest(&mut self) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads up to `bytes_max` bytes from `offset` on; empty at the end.
    pub(crate) fn chunk(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = self.bytes.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(bytes_max).min(bytes_max);
        let mut chunk = vec![0; length];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk)
    }
}

/// `e_machine` of the platform this was built for.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    0
};

/// Length of the ELF header of a 64-bit program.
const ELF_HEADER_BYTES: usize = 64;

/// Length of one entry of its program header table.
const PROGRAM_HEADER_BYTES: u64 = 56;

/// Says why the file is no program for this machine. Elsewhere than on Linux the system says it.
fn check_format(file: &File, bytes: u64) -> Result<(), String> {
    let mut header = [0; ELF_HEADER_BYTES];
    let length = ELF_HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(ELF_HEADER_BYTES));
    file.read_exact_at(&mut header[..length], 0).map_err(|error| error.to_string())?;
    if bytes == 0 {
        return Err("it is empty".into());
    }
    if header.starts_with(b"#!") {
        return Err("it is a script; a topology is a compiled program".into());
    }
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    if !header.starts_with(b"\x7fELF") {
        return Err("it is not a program for Linux (no ELF file)".into());
    }
    check_elf(&header, length, bytes, |offset, buffer| file.read_exact_at(buffer, offset))
}

/// Checks an ELF header against the platform, and the tables it points to against the length.
fn check_elf(
    header: &[u8; ELF_HEADER_BYTES],
    length: usize,
    bytes: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> Result<(), String> {
    const TRUNCATED: &str = "it is cut off: shorter than its own headers say";
    const SIXTY_FOUR_BIT: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    if length < ELF_HEADER_BYTES {
        return Err(TRUNCATED.into());
    }
    if header[4] != SIXTY_FOUR_BIT || header[5] != LITTLE_ENDIAN {
        return Err("it is for another kind of machine (not 64-bit little-endian)".into());
    }
    let kind = u16_at(header, 16);
    if kind != 2 && kind != 3 {
        return Err("it is an ELF file but no program (an object file or a core dump)".into());
    }
    let machine = u16_at(header, 18);
    if MACHINE != 0 && machine != MACHINE {
        return Err(format!("it is for another machine (ELF machine {machine}, not {MACHINE})"));
    }
    let (programs, programs_count) = (u64_at(header, 32), u64::from(u16_at(header, 56)));
    let sections = u64_at(header, 40);
    let sections_bytes = u64::from(u16_at(header, 58)) * u64::from(u16_at(header, 60));
    let inside =
        |start: u64, length: u64| start.checked_add(length).is_some_and(|end| end <= bytes);
    if !inside(sections, sections_bytes) || !inside(programs, programs_count * PROGRAM_HEADER_BYTES)
    {
        return Err(TRUNCATED.into());
    }
    for number in 0..programs_count {
        let mut entry = [0; PROGRAM_HEADER_BYTES as usize];
        read(programs + number * PROGRAM_HEADER_BYTES, &mut entry).map_err(|it| it.to_string())?;
        if !inside(u64_at(&entry, 8), u64_at(&entry, 32)) {
            return Err(TRUNCATED.into());
        }
    }
    Ok(())
}

fn u16_at(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn u64_at(bytes: &[u8], place: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[place..place + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    /// A file of this content and mode in a folder of its own.
    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("binary");
        std::fs::write(&path, content).expect("a file can be written there");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("it is ours");
        (folder, path)
    }

    fn refused(content: &[u8], mode: u32) -> Failure {
        let (_folder, path) = file(content, mode);
        Binary::open(&path).expect_err("it is no topology binary")
    }

    fn own_executable() -> Vec<u8> {
        let path = std::env::current_exe().expect("a test runs from a file");
        std::fs::read(path).expect("it can be read")
    }

    #[test]
    fn what_is_no_program_is_refused_with_its_own_reason() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Binary::open(folder.path()).expect_err("a directory is no program");
        let executable = own_executable();
        let mut foreign = executable.clone();
        foreign[18..20].copy_from_slice(&8_u16.to_le_bytes());
        for (failure, reason) in [
            (directory, "directory"),
            (refused(b"#!/bin/sh\nexit 0\n", 0o755), "script"),
            (refused(b"hello", 0o755), "not a program"),
            (refused(b"", 0o755), "empty"),
            (refused(&executable, 0o644), "not executable"),
            (refused(&executable[..40], 0o755), "cut off"),
            (refused(&executable[..executable.len() / 2], 0o755), "cut off"),
            (refused(&executable[..executable.len() - 1], 0o755), "cut off"),
            (refused(&foreign, 0o755), "another machine"),
        ] {
            assert_eq!(failure.exit, Exit::Data, "{reason}: {failure:?}");
            assert!(failure.why.contains(reason), "{reason}: {}", failure.why);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_missing_input() {
        let failure = Binary::open(Path::new("/no/such/binary")).expect_err("not there");
        assert_eq!(failure.exit, Exit::NoInput);
    }

    #[test]
    fn chunks_are_the_file_and_the_digest_is_of_all_of_it() {
        let executable = own_executable();
        let (_folder, path) = file(&executable, 0o755);
        let mut binary = Binary::open(&path).expect("a program");
        let mut read = Vec::new();
        loop {
            let chunk = binary.chunk(read.len() as u64, 1_000_003).unwrap();
            if chunk.is_empty() {
                break;
            }
            read.extend(chunk);
        }
        assert!(read == executable, "the chunks do not add up to the file");
        let expected: String =
            Sha256::digest(&executable).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(binary.digest().unwrap(), expected);
    }
}
