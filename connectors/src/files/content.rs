//! What is in a file, by offset: of a plain file its bytes, of one that gzip made what is in it.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::print::{PRINT_BYTES, Place, Print};

/// How every file of gzip begins (RFC 1952).
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file whose bytes can be read from any offset.
#[derive(Debug)]
pub(super) enum Content {
    Plain(File),
    Gzip(Box<Gzip>),
}

/// A compressed file: reading on is cheap, going back begins at the beginning.
#[derive(Debug)]
pub(super) struct Gzip {
    decoder: MultiGzDecoder<BufReader<File>>,
    /// Where the next byte of the decoder stands.
    at: u64,
    /// What stands before that and was read in vain.
    back: Vec<u8>,
}

impl Content {
    /// Opens a file; one that ends in `.gz` and begins like one is unpacked while it is read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a plain file"));
        }
        let mut magic = [0; 2];
        let is_gzip = path.extension().is_some_and(|extension| extension == "gz")
            && read_whole(|into, at| file.read_at(into, at), &mut magic, 0)? == 2
            && magic == MAGIC;
        Ok(if is_gzip { Self::Gzip(Box::new(Gzip::new(file))) } else { Self::Plain(file) })
    }

    pub(super) fn is_gzip(&self) -> bool {
        matches!(self, Self::Gzip(_))
    }

    pub(super) fn facts(&self) -> io::Result<Metadata> {
        match self {
            Self::Plain(file) => file.metadata(),
            Self::Gzip(gzip) => gzip.decoder.get_ref().get_ref().metadata(),
        }
    }

    /// Reads from an offset; nothing: it is the end, for now.
    pub(super) fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => retried(|| file.read_at(into, offset)),
            Self::Gzip(gzip) => gzip.read(offset, into),
        }
    }

    /// Takes back what was read up to where the content now is.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        if let Self::Gzip(gzip) = self {
            gzip.back = bytes.to_vec();
        }
    }

    /// Reads so many bytes from an offset, or as many as there are.
    pub(super) fn piece(&mut self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut piece = vec![0; bytes];
        let count = read_whole(|into, at| self.read(at, into), &mut piece, offset)?;
        piece.truncate(count);
        Ok(piece)
    }

    /// How it begins.
    pub(super) fn head(&mut self) -> io::Result<Vec<u8>> {
        self.piece(0, PRINT_BYTES)
    }

    /// Whether it begins like this.
    pub(super) fn begins(&mut self, print: Print) -> io::Result<bool> {
        Ok(Print::of(&self.piece(0, print.bytes)?) == print)
    }

    /// The last bytes before an offset.
    pub(super) fn before(&mut self, offset: u64) -> io::Result<Print> {
        let bytes = offset.min(PRINT_BYTES as u64);
        let piece = self.piece(offset - bytes, usize::try_from(bytes).unwrap_or(PRINT_BYTES))?;
        Ok(Print::of(&piece))
    }
}

impl Gzip {
    fn new(file: File) -> Self {
        Self { decoder: MultiGzDecoder::new(BufReader::new(file)), at: 0, back: Vec::new() }
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        if offset < self.at {
            let back = usize::try_from(self.at - offset).unwrap_or(usize::MAX);
            if back <= self.back.len() {
                let from = self.back.len() - back;
                let count = back.min(into.len());
                into[..count].copy_from_slice(&self.back[from..from + count]);
                return Ok(count);
            }
            // The handle is shared with the decoder before: it has to be taken back to the beginning.
            let mut file = self.decoder.get_ref().get_ref().try_clone()?;
            io::Seek::rewind(&mut file)?;
            *self = Self::new(file);
        }
        let mut passed = [0; 16 * 1024];
        while self.at < offset {
            let most = passed.len().min(usize::try_from(offset - self.at).unwrap_or(usize::MAX));
            let count = retried(|| self.decoder.read(&mut passed[..most]))?;
            if count == 0 {
                return Ok(0);
            }
            self.moved(count);
        }
        let count = retried(|| self.decoder.read(into))?;
        self.moved(count);
        Ok(count)
    }

    fn moved(&mut self, by: usize) {
        self.at += by as u64;
        if by > 0 {
            self.back.clear();
        }
    }
}

/// How long a file is on the disk, and when it was last written: one that was emptied and written anew may
/// be as long as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) size: u64,
    /// In nanoseconds since 1970.
    pub(super) written: i128,
}

impl Extent {
    pub(super) fn of(facts: &Metadata) -> Self {
        let written = i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec());
        Self { size: facts.len(), written }
    }
}

/// Where a file is on the disk.
pub(super) fn place(facts: &Metadata) -> Place {
    Place { device: facts.dev(), inode: facts.ino() }
}

fn retried(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn read_whole(
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    into: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut count = 0;
    while count < into.len() {
        match retried(|| read(&mut into[count..], offset + count as u64))? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_compressed_file_reads_like_the_plain_one_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let text: Vec<u8> =
            (0..100_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        let (plain, packed) = (folder.path().join("a"), folder.path().join("a.gz"));
        std::fs::write(&plain, &text).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&text).unwrap();
        std::fs::write(&packed, encoder.finish().unwrap()).unwrap();
        let (mut plain, mut packed) =
            (Content::open(&plain).unwrap(), Content::open(&packed).unwrap());
        assert!(packed.is_gzip() && !plain.is_gzip());
        for offset in [0, 5, 400_000, 7, 300_000, 300_010, 588_880] {
            let piece = plain.piece(offset, 50).unwrap();
            assert_eq!(packed.piece(offset, 50).unwrap(), piece, "at {offset}");
            assert_eq!(packed.before(offset).unwrap(), plain.before(offset).unwrap());
        }
        packed.piece(100, 50).unwrap();
        packed.unread(&text[140..150]);
        assert_eq!(packed.piece(145, 10).unwrap(), &text[145..155], "what was taken back, and on");
    }
}
