//! Takes a stream of bytes apart: at line ends, or by the count of octets in front (RFC 6587, 2012).
//!
//! Pure: bytes go in, frames come out. Too long a frame is cut to what is allowed and the rest of it
//! passed over, so that a line of a gigabyte takes no more memory than a long one.

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Each ends with a line feed.
    Lines,
    /// As syslog over TCP: a frame that begins with a digit has its length in front, another one ends
    /// with a line feed.
    OctetsOrLines,
}

/// What stands at the front of the bytes.
enum Front {
    /// A frame of this range, and how many bytes it takes with what is around it.
    Whole(std::ops::Range<usize>, usize),
    /// Nothing that is whole.
    Part,
    /// A frame of so many bytes, from here on, is too long.
    Long(usize, usize),
    /// A line that is too long already.
    LongLine,
}

/// Takes a stream apart.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    bytes_max: usize,
    bytes: Vec<u8>,
    /// Bytes at the front that were given out.
    begin: usize,
    passing: Passing,
    /// Frames that were cut.
    pub(super) cut: u64,
}

/// What is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    Nothing,
    Octets(usize),
    Line,
}

/// Most digits of a length.
const DIGITS_MAX: usize = 9;

impl Frames {
    pub(super) fn new(framing: Framing, bytes_max: usize) -> Self {
        let passing = Passing::Nothing;
        Self { framing, bytes_max, bytes: Vec::new(), begin: 0, passing, cut: 0 }
    }

    /// Takes in what came, and gives out the frames that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8], mut give: impl FnMut(&[u8])) {
        let bytes = self.pass_over(bytes);
        self.bytes.extend_from_slice(bytes);
        loop {
            match self.front() {
                Front::Part => break,
                Front::Whole(frame, taken) => {
                    let frame = &self.bytes[self.begin + frame.start..self.begin + frame.end];
                    if !frame.is_empty() {
                        give(frame);
                    }
                    self.begin += taken;
                }
                Front::Long(head, length) => {
                    let (from, have) = (self.begin + head, self.bytes.len() - self.begin - head);
                    give(&self.bytes[from..from + self.bytes_max]);
                    self.cut += 1;
                    if have >= length {
                        self.begin = from + length;
                        continue;
                    }
                    self.passing = Passing::Octets(length - have);
                    self.begin = self.bytes.len();
                }
                Front::LongLine => {
                    give(&self.bytes[self.begin..self.begin + self.bytes_max]);
                    self.cut += 1;
                    self.passing = Passing::Line;
                    self.begin = self.bytes.len();
                }
            }
        }
        self.bytes.drain(..self.begin);
        self.begin = 0;
    }

    /// The stream ended: gives out a last line without its end.
    pub(super) fn end(&mut self, give: impl FnOnce(&[u8])) {
        let rest = std::mem::take(&mut self.bytes);
        let is_counted = self.is_counted(&rest);
        if !rest.is_empty() && self.passing == Passing::Nothing && !is_counted {
            give(rest.strip_suffix(b"\r").unwrap_or(&rest));
        }
    }

    fn pass_over<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match self.passing {
            Passing::Nothing => bytes,
            Passing::Octets(left) => {
                let passed = left.min(bytes.len());
                let left = left - passed;
                self.passing = if left > 0 { Passing::Octets(left) } else { Passing::Nothing };
                &bytes[passed..]
            }
            Passing::Line => match memchr::memchr(b'\n', bytes) {
                Some(at) => {
                    self.passing = Passing::Nothing;
                    &bytes[at + 1..]
                }
                None => &[],
            },
        }
    }

    fn is_counted(&self, bytes: &[u8]) -> bool {
        self.framing == Framing::OctetsOrLines
            && bytes.first().is_some_and(|byte| (b'1'..=b'9').contains(byte))
    }

    fn front(&self) -> Front {
        let bytes = &self.bytes[self.begin..];
        if self.is_counted(bytes) {
            let digits = bytes.iter().take(DIGITS_MAX + 1).take_while(|it| it.is_ascii_digit());
            let digits = digits.count();
            match bytes.get(digits) {
                None => return Front::Part,
                Some(b' ') if digits <= DIGITS_MAX => {
                    let length = bytes[..digits]
                        .iter()
                        .fold(0_usize, |sum, digit| sum * 10 + usize::from(digit - b'0'));
                    let head = digits + 1;
                    let have = bytes.len() - head;
                    return if length <= self.bytes_max {
                        if have < length {
                            Front::Part
                        } else {
                            Front::Whole(head..head + length, head + length)
                        }
                    } else if have < self.bytes_max {
                        Front::Part
                    } else {
                        Front::Long(head, length)
                    };
                }
                // A line that happens to begin with a digit.
                Some(_) => {}
            }
        }
        match memchr::memchr(b'\n', bytes) {
            Some(at) if at <= self.bytes_max => {
                let end = if at > 0 && bytes[at - 1] == b'\r' { at - 1 } else { at };
                Front::Whole(0..end, at + 1)
            }
            Some(at) => Front::Long(0, at + 1),
            None if bytes.len() > self.bytes_max => Front::LongLine,
            None => Front::Part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn frames(framing: Framing, bytes_max: usize, pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let (mut frames, mut all) = (Frames::new(framing, bytes_max), Vec::new());
        let text = |frame: &[u8]| String::from_utf8_lossy(frame).into_owned();
        for piece in pieces {
            frames.push(piece, |frame| all.push(text(frame)));
        }
        frames.end(|frame| all.push(text(frame)));
        (all, frames.cut)
    }

    #[test]
    fn both_framings_may_be_mixed_in_one_stream() {
        let stream = b"<1>a\n5 <2>b\n<3>c\r\n\n4 <4>d<5>e";
        let (all, cut) = frames(Framing::OctetsOrLines, 100, &[stream]);
        assert_eq!(all, ["<1>a", "<2>b\n", "<3>c", "<4>d", "<5>e"]);
        assert_eq!(cut, 0);
        assert_eq!(frames(Framing::Lines, 100, &[b"5 a\nb"]).0, ["5 a", "b"]);
        assert_eq!(frames(Framing::OctetsOrLines, 100, &[b"12:30 up\n"]).0, ["12:30 up"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_next_is_whole() {
        let long = "x".repeat(1_000);
        let (all, cut) = frames(Framing::Lines, 10, &[long.as_bytes(), b"yy\nnext\n"]);
        assert_eq!((all, cut), (vec!["x".repeat(10), "next".to_owned()], 1));
        let counted = format!("1000 {long}4 <1>a");
        for at in [4, 8, 20, 1_004, 1_006] {
            let (one, two) = counted.as_bytes().split_at(at);
            let (all, cut) = frames(Framing::OctetsOrLines, 10, &[one, two]);
            assert_eq!((all, cut), (vec!["x".repeat(10), "<1>a".to_owned()], 1), "cut at {at}");
        }
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_the_bytes_came(
            stream in vec(prop_oneof![Just(b'\n'), Just(b'1'), Just(b'2'), Just(b' '), any::<u8>()], 0..200),
            at in vec(0.0..1.0, 0..6), long in 1_usize..30,
        ) {
            for framing in [Framing::Lines, Framing::OctetsOrLines] {
                let whole = frames(framing, long, &[&stream]);
                let mut cuts: Vec<usize> =
                    at.iter().map(|at| (stream.len() as f64 * at) as usize).collect();
                cuts.extend([0, stream.len()]);
                cuts.sort_unstable();
                let pieces: Vec<&[u8]> =
                    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
                prop_assert_eq!(frames(framing, long, &pieces), whole);
            }
        }
    }
}
