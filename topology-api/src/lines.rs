//! A spout that reads the lines of files.

mod source;

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::{Context, Error, FailReason, Next, Spout, SpoutOutput, SpoutResult, Text, Tuple};
use source::Source;

/// How many lines of one followed file are read before the next file has its turn.
const LINES_A_TURN: u32 = 1_000;

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
    generation: u32,
    offset: u64,
}

/// Reads files line by line; each task of the spout reads its share of the files.
///
/// A line that fails is read again from its place, so nothing but places is kept in memory. Lines
/// with bytes that are not UTF-8 are counted as `invalid-utf8`, lines over 1 MiB are cut there and
/// counted as `cut-lines`. One that fails when it is no longer in its file is counted as
/// `lost-lines`, and shown as an error.
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
    /// The files that are open, by index.
    sources: Vec<Option<Source>>,
    /// The file being read, by index; without `follow` all before it are done with.
    file: usize,
    follow: bool,
    /// Lines read of a followed file since its turn began.
    turn: u32,
    again: VecDeque<LinePlace>,
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
            source::open(file).map_err(|error| cannot("open", file, &error))?;
        }
        Ok(Self {
            cx: cx.clone(),
            sources: share.iter().map(|_| None).collect(),
            files: share,
            file: 0,
            follow: false,
            turn: 0,
            again: VecDeque::new(),
        })
    }

    /// Takes this task's share of the topology's arguments that are files: a whole factory.
    ///
    /// ```
    /// use topology_api::prelude::*;
    ///
    /// let mut t = TopologyBuilder::new("lines");
    /// t.spout("lines", LineFiles::of_arguments).parallelism(2);
    /// assert!(t.build().is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// As [`LineFiles::open`].
    pub fn of_arguments(cx: &Context) -> Result<Self, Error> {
        Self::open(cx.arguments().files(), cx)
    }

    /// Says whether to wait for more at the end of a file, as `tail -F` does; such a spout never
    /// finishes.
    ///
    /// The files are read in turns from their beginnings. A line is emitted when its line end is
    /// there. A file that is shorter than what was read of it was emptied, and is read from its
    /// beginning; one that was emptied and is longer again when it is looked at cannot be told
    /// from one that grew. When the name leads to another file that holds something (a log was
    /// rotated), the old one is read to its end, then the new one; so leave a rotated file as it
    /// is until the new one was written to.
    ///
    /// ```
    /// use std::io::Write;
    /// use topology_api::prelude::*;
    /// use topology_api::testing::SpoutDriver;
    ///
    /// let mut file = tempfile::NamedTempFile::new().unwrap();
    /// let path = file.path().to_owned();
    /// let factory = move |cx: &Context| {
    ///     LineFiles::open(vec![path.clone()], cx).map(|lines| lines.follow(true))
    /// };
    /// let mut lines = SpoutDriver::new(factory).unwrap();
    /// assert!(lines.run().unwrap().is_empty(), "nothing yet");
    /// write!(file, "one\ntw").unwrap();
    /// assert_eq!(lines.run().unwrap(), [Line { text: "one".into() }]);
    /// ```
    #[must_use]
    pub fn follow(self, follow: bool) -> Self {
        Self { follow, ..self }
    }

    /// Reads the next line, and says which file has it.
    fn read(&mut self) -> Result<Option<usize>, Error> {
        if self.follow { self.read_in_turns() } else { self.read_through() }
    }

    fn read_through(&mut self) -> Result<Option<usize>, Error> {
        while let Some(path) = self.files.get(self.file) {
            let source = opened(&mut self.sources[self.file], path)?;
            if source.read().map_err(|error| cannot("read", path, &error))? || source.take_rest() {
                return Ok(Some(self.file));
            }
            self.sources[self.file] = None;
            self.file += 1;
        }
        Ok(None)
    }

    fn read_in_turns(&mut self) -> Result<Option<usize>, Error> {
        // Once more than there are files: the first one's turn may just be over.
        for _ in 0..=self.files.len() {
            let Some(path) = self.files.get(self.file) else { break };
            if self.turn < LINES_A_TURN {
                self.turn += 1;
                let source = opened(&mut self.sources[self.file], path)?;
                if source.read_on().map_err(|error| cannot("read", path, &error))? {
                    return Ok(Some(self.file));
                }
            }
            self.file = (self.file + 1) % self.files.len();
            self.turn = 0;
        }
        Ok(None)
    }

    /// Reads the line at `place` again; none if it is gone.
    fn read_again(&mut self, place: LinePlace) -> Result<Option<Vec<u8>>, Error> {
        let path = &self.files[place.file];
        let line = match &mut self.sources[place.file] {
            Some(source) => source.read_again((place.generation, place.offset)),
            // Read to its end and closed.
            None => {
                source::open(path).and_then(|mut file| source::line_at(&mut file, place.offset))
            }
        };
        match line {
            Ok(line) => Ok(Some(line)),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.cx.count("lost-lines", 1);
                self.cx.report_error(&cannot("read again", path, &error).to_string());
                Ok(None)
            }
            Err(error) => Err(cannot("read again", path, &error)),
        }
    }
}

impl Spout for LineFiles {
    type Output = Line;
    type Id = LinePlace;

    fn next(&mut self, out: &mut SpoutOutput<Line, LinePlace>) -> SpoutResult {
        if let Some(place) = self.again.front().copied() {
            let line = self.read_again(place)?;
            self.again.pop_front();
            if let Some(line) = line {
                out.emit(place, Line { text: text(&line, &self.cx) });
            }
            return Ok(Next::Emitted);
        }
        let read = self.read()?;
        let read = read.and_then(|file| Some((file, self.sources[file].as_ref()?)));
        let Some((file, source)) = read else {
            let endless = self.follow && !self.files.is_empty();
            return Ok(if endless { Next::Idle } else { Next::Finished });
        };
        if source.is_cut() {
            self.cx.count("cut-lines", 1);
        }
        let (generation, offset) = source.place();
        let text = text(source.line(), &self.cx);
        out.emit(LinePlace { file, generation, offset }, Line { text });
        Ok(Next::Emitted)
    }

    fn fail(&mut self, place: LinePlace, _: FailReason) {
        self.again.push_back(place);
    }
}

fn opened<'a>(source: &'a mut Option<Source>, path: &Path) -> Result<&'a mut Source, Error> {
    match source {
        Some(source) => Ok(source),
        none => Ok(none.insert(Source::open(path).map_err(|error| cannot("open", path, &error))?)),
    }
}

fn text(line: &[u8], cx: &Context) -> Text {
    match std::str::from_utf8(line) {
        Ok(text) => Text::from(text),
        Err(_) => {
            cx.count("invalid-utf8", 1);
            Text::from(&*String::from_utf8_lossy(line))
        }
    }
}

fn cannot(act: &str, path: &Path, error: &std::io::Error) -> Error {
    format!("cannot {act} {}: {error}", path.display()).into()
}
