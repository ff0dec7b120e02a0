//! One file being read line by line, to its end or for as long as it grows.
//!
//! A line is whole when its line end was read. What stands of a line so far is kept over calls, so
//! that a writer can be caught in the middle of one.

use std::fs::{File, Metadata};
use std::io::{BufRead, BufReader, ErrorKind, Read, Result, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest line that is read whole, in bytes; a longer one is cut, and counted.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// How much of a file is read at once, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// A file being read.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    reader: BufReader<File>,
    /// Device and inode: a name may lead to another file later.
    identity: (u64, u64),
    /// How often it began anew: emptied, or another file under its name.
    generation: u32,
    /// The file before the last rename, for lines of it that fail.
    previous: Option<File>,
    /// The line being read: as much of it as there is.
    line: Vec<u8>,
    /// Where that line begins.
    start: u64,
    /// Where the next byte to read stands.
    offset: u64,
    /// The line is too long: the rest of it is skipped.
    cut: bool,
    /// The line has its end: the next read begins another one.
    whole: bool,
}

/// What has become of a file that was read to its end.
enum Change {
    None,
    Emptied,
    Replaced,
}

impl Source {
    /// Opens the file at its beginning.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open(path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: identity(&file.metadata()?),
            reader: BufReader::with_capacity(READ_BUFFER_BYTES, file),
            generation: 0,
            previous: None,
            line: Vec::new(),
            start: 0,
            offset: 0,
            cut: false,
            whole: false,
        })
    }

    /// Reads up to the end of the line; false if the file ends before.
    pub(super) fn read(&mut self) -> Result<bool> {
        if self.whole {
            self.begin(self.offset);
        }
        if !self.cut {
            let before = self.line.len() as u64;
            let mut room = (&mut self.reader).take(LINE_BYTES_MAX - before);
            let result = room.read_until(b'\n', &mut self.line);
            let after = self.line.len() as u64;
            self.offset += after - before;
            result?;
            self.whole = self.line.last() == Some(&b'\n');
            self.cut = !self.whole && after == LINE_BYTES_MAX;
        }
        if self.cut {
            self.skip()?;
        }
        Ok(self.whole)
    }

    /// Takes what stands without a line end as a line; false if there is nothing.
    pub(super) fn take_rest(&mut self) -> bool {
        self.whole = !self.whole && self.offset > self.start;
        self.whole
    }

    /// Reads as [`Source::read`] does; at the end of the file it looks whether the file was emptied,
    /// or another one has its name, and goes on there.
    pub(super) fn read_on(&mut self) -> Result<bool> {
        if self.read()? {
            return Ok(true);
        }
        match self.change()? {
            Change::None => Ok(false),
            Change::Emptied => {
                self.reader.seek(SeekFrom::Start(0))?;
                self.previous = None;
                self.generation += 1;
                self.begin(0);
                self.read()
            }
            Change::Replaced => {
                // Its writer may have written after the end was seen, and before it moved on.
                if self.read()? || self.take_rest() {
                    return Ok(true);
                }
                let file = open(&self.path)?;
                self.identity = identity(&file.metadata()?);
                let reader = BufReader::with_capacity(READ_BUFFER_BYTES, file);
                self.previous = Some(std::mem::replace(&mut self.reader, reader).into_inner());
                self.generation += 1;
                self.begin(0);
                self.read()
            }
        }
    }

    /// The line that was read, without its end.
    pub(super) fn line(&self) -> &[u8] {
        without_end(&self.line)
    }

    /// Where that line stands: the generation and the offset.
    pub(super) fn place(&self) -> (u32, u64) {
        (self.generation, self.start)
    }

    /// Whether that line was cut.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Reads the line at a place again; none if it is gone.
    pub(super) fn read_again(&mut self, (generation, offset): (u32, u64)) -> Result<Vec<u8>> {
        if generation == self.generation {
            let file = self.reader.get_mut();
            // The reader's buffer ends here, whatever is read in between.
            let here = file.stream_position()?;
            let line = line_at(file, offset);
            file.seek(SeekFrom::Start(here))?;
            return line;
        }
        match &mut self.previous {
            Some(previous) if generation + 1 == self.generation => line_at(previous, offset),
            _ => Err(gone()),
        }
    }

    fn begin(&mut self, at: u64) {
        self.line.clear();
        (self.start, self.offset) = (at, at);
        (self.cut, self.whole) = (false, false);
    }

    /// Skips to the end of the line.
    fn skip(&mut self) -> Result<()> {
        while !self.whole {
            let chunk = self.reader.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(taken);
            self.offset += taken as u64;
            self.whole = end.is_some();
        }
        Ok(())
    }

    fn change(&self) -> Result<Change> {
        let there = match std::fs::metadata(&self.path) {
            Ok(there) => there,
            // Renamed, and the next file of the name is not there yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Change::None),
            Err(error) => return Err(error),
        };
        let another = identity(&there) != self.identity;
        Ok(match (another, there.is_file()) {
            // As long as the new file is empty the writer may still be at the old one.
            (true, true) if there.len() > 0 => Change::Replaced,
            (false, true) if there.len() < self.offset => Change::Emptied,
            _ => Change::None,
        })
    }
}

/// Opens a file; a folder is refused here already.
pub(super) fn open(path: &Path) -> Result<File> {
    let file = File::open(path)?;
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        let text = "it is a folder; name its files";
        return Err(std::io::Error::new(ErrorKind::IsADirectory, text));
    }
    Ok(file)
}

/// Reads the line at an offset; an error of the kind `UnexpectedEof` if the file ends before.
pub(super) fn line_at(file: &mut File, offset: u64) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut line = Vec::new();
    BufReader::new(file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(gone());
    }
    line.truncate(without_end(&line).len());
    Ok(line)
}

fn gone() -> std::io::Error {
    std::io::Error::new(ErrorKind::UnexpectedEof, "the line is gone from the file")
}

fn identity(facts: &Metadata) -> (u64, u64) {
    (facts.dev(), facts.ino())
}

fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}
