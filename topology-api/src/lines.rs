//! A spout that reads the lines of files.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::{Context, Error, FailReason, Next, Spout, SpoutOutput, SpoutResult, Text, Tuple};

/// Longest line that is read whole, in bytes; a longer one is cut, and counted.
const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// How much of a file is read at once, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// One line of a file, without its line end.
#[derive(Clone, Debug, PartialEq, Eq, Tuple)]
pub struct Line {
    /// Its text; bytes that are not UTF-8 read as U+FFFD.
    pub text: Text,
}

/// Where a line stands: what [`LineFiles`] tracks it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinePlace {
    file: usize,
    offset: u64,
}

/// Reads files line by line; each task of the spout reads its share of the files.
///
/// A line that fails is read again from its place, so nothing but places is kept in memory. Lines
/// with bytes that are not UTF-8 are counted as `invalid-utf8`, lines over 1 MiB are cut there and
/// counted as `cut-lines`.
///
/// ```
/// use topology_api::prelude::*;
/// use topology_api::testing::SpoutDriver;
///
/// let file = tempfile::NamedTempFile::new().unwrap();
/// std::fs::write(file.path(), "to be\nor not\n").unwrap();
/// let path = file.path().to_owned();
/// let mut lines = SpoutDriver::new(move |cx| LineFiles::open(vec![path.clone()], cx)).unwrap();
/// let texts: Vec<String> = lines.run().unwrap().iter().map(|line| line.text.to_string()).collect();
/// assert_eq!(texts, ["to be", "or not"]);
/// ```
#[derive(Debug)]
pub struct LineFiles {
    cx: Context,
    files: Vec<PathBuf>,
    /// The file being read, by index; all before it are done with.
    file: usize,
    reader: Option<BufReader<File>>,
    offset: u64,
    again: VecDeque<LinePlace>,
    buffer: Vec<u8>,
}

impl LineFiles {
    /// Takes this task's share of `files` (every n-th), and checks that each can be opened.
    ///
    /// # Errors
    ///
    /// Names the file that cannot be opened, and why.
    pub fn open(files: Vec<PathBuf>, cx: &Context) -> Result<Self, Error> {
        let share: Vec<PathBuf> = files
            .into_iter()
            .skip(cx.task_index() as usize)
            .step_by(cx.task_count().max(1) as usize)
            .collect();
        for file in &share {
            open(file)?;
        }
        Ok(Self {
            cx: cx.clone(),
            files: share,
            file: 0,
            reader: None,
            offset: 0,
            again: VecDeque::new(),
            buffer: Vec::new(),
        })
    }

    /// Reads the next line into the buffer and says where it stood.
    fn read(&mut self) -> Result<Option<LinePlace>, Error> {
        while let Some(path) = self.files.get(self.file) {
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    self.offset = 0;
                    none.insert(BufReader::with_capacity(READ_BUFFER_BYTES, open(path)?))
                }
            };
            let (bytes, cut) = read_line(reader, &mut self.buffer)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            if bytes > 0 {
                let place = LinePlace { file: self.file, offset: self.offset };
                self.offset += bytes;
                if cut {
                    self.cx.count("cut-lines", 1);
                }
                return Ok(Some(place));
            }
            self.reader = None;
            self.file += 1;
        }
        Ok(None)
    }

    /// Reads the line at `place` into the buffer again.
    fn read_again(&mut self, place: LinePlace) -> Result<(), Error> {
        let path = &self.files[place.file];
        let mut file = open(path)?;
        file.seek(SeekFrom::Start(place.offset))
            .and_then(|_| read_line(&mut BufReader::new(file), &mut self.buffer))
            .map_err(|error| format!("cannot read {} again: {error}", path.display()))?;
        Ok(())
    }
}

impl Spout for LineFiles {
    type Output = Line;
    type Id = LinePlace;

    fn next(&mut self, out: &mut SpoutOutput<Line, LinePlace>) -> SpoutResult {
        let place = match self.again.pop_front() {
            Some(place) => {
                self.read_again(place).inspect_err(|_| self.again.push_front(place))?;
                place
            }
            None => match self.read()? {
                Some(place) => place,
                None => return Ok(Next::Finished),
            },
        };
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => Text::from(text),
            Err(_) => {
                self.cx.count("invalid-utf8", 1);
                Text::from(&*String::from_utf8_lossy(&self.buffer))
            }
        };
        out.emit(place, Line { text });
        Ok(Next::Emitted)
    }

    fn fail(&mut self, place: LinePlace, _: FailReason) {
        self.again.push_back(place);
    }
}

fn open(path: &PathBuf) -> Result<File, Error> {
    let file =
        File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    if file.metadata().is_ok_and(|facts| facts.is_dir()) {
        return Err(
            format!("cannot read {}: it is a folder; name its files", path.display()).into()
        );
    }
    Ok(file)
}

/// Reads one line without its end; gives how many bytes it took, and whether it was cut.
fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> std::io::Result<(u64, bool)> {
    buffer.clear();
    let mut bytes = reader.take(LINE_BYTES_MAX).read_until(b'\n', buffer)? as u64;
    let cut = bytes == LINE_BYTES_MAX && buffer.last() != Some(&b'\n');
    if cut {
        bytes += skip_line(reader)?;
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
    }
    Ok((bytes, cut))
}

/// Skips to the end of the line; gives how many bytes that took.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let chunk = reader.fill_buf()?;
        let (taken, done) = match chunk.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (chunk.len(), chunk.is_empty()),
        };
        reader.consume(taken);
        skipped += taken as u64;
        if done {
            return Ok(skipped);
        }
    }
}
