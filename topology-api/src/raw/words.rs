//! A string in three words: up to 23 bytes inline, longer ones on the heap.
//!
//! All three words are whole numbers to the compiler, so that a text travels in registers. The
//! highest byte of the last word is the length of an inline text; the bytes behind its end are 0, so
//! that equal texts have equal words.

use std::mem::ManuallyDrop;
use std::ptr;

/// The longest text that is kept inline, in bytes.
const INLINE_MAX: usize = 23;

/// The highest byte of the last word of a text on the heap; below it, in the same word, is the
/// capacity.
const HEAP: u64 = 0xff;

/// Where the highest byte starts.
const TAG_SHIFT: u32 = 56;

const CAPACITY: u64 = (1 << TAG_SHIFT) - 1;

/// Inline: the bytes, as they lie in memory. On the heap: address, length, and capacity of a
/// `String` that this owns.
pub(crate) struct Words([u64; 3]);

impl Words {
    pub(crate) const fn new() -> Self {
        Self([0; 3])
    }

    #[inline(always)]
    pub(crate) fn from_str(text: &str) -> Self {
        if text.len() <= INLINE_MAX { Self::inline(text.as_bytes()) } else { Self::heap_copy(text) }
    }

    pub(crate) fn from_string(text: String) -> Self {
        if text.len() <= INLINE_MAX { Self::inline(text.as_bytes()) } else { Self::heap(text) }
    }

    /// At most [`INLINE_MAX`] bytes of UTF-8, put together in registers.
    #[inline(always)]
    fn inline(bytes: &[u8]) -> Self {
        let length = bytes.len();
        let [first, second, third] = match length {
            0..=7 => [up_to_seven(bytes), 0, 0],
            8..=16 => [eight(bytes, 0), tail(bytes, 16), 0],
            _ => [eight(bytes, 0), eight(bytes, 8), tail(bytes, 24)],
        };
        let tagged = third | (length as u64) << TAG_SHIFT;
        Self([first.to_le(), second.to_le(), tagged.to_le()])
    }

    fn heap(text: String) -> Self {
        let mut text = ManuallyDrop::new(text);
        let capacity = text.capacity() as u64 & CAPACITY;
        let address = text.as_mut_ptr().expose_provenance() as u64;
        Self([address, text.len() as u64, (capacity | HEAP << TAG_SHIFT).to_le()])
    }

    /// A text on the heap, whose words come back in registers.
    #[inline(always)]
    fn heap_copy(text: &str) -> Self {
        let address = copied(text);
        let length = text.len() as u64;
        Self([address, length, (length & CAPACITY | HEAP << TAG_SHIFT).to_le()])
    }

    #[inline(always)]
    fn tag(&self) -> u64 {
        u64::from_le(self.0[2]) >> TAG_SHIFT
    }

    #[inline(always)]
    fn is_heap(&self) -> bool {
        self.tag() == HEAP
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        if self.is_heap() { self.0[1] as usize } else { self.tag() as usize }
    }

    /// The text of these bytes, if they are ASCII and few enough to be kept inline: what most words
    /// are, checked all at once.
    #[inline(always)]
    pub(crate) fn from_short_ascii(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > INLINE_MAX {
            return None;
        }
        let words = Self::inline(bytes);
        let letters = words.0[0] | words.0[1] | words.0[2];
        // The length, in the highest byte of the last word, is below 0x80 too.
        (letters & 0x8080_8080_8080_8080 == 0).then_some(words)
    }

    /// The bytes of an inline text, with zeros behind them up to the length.
    #[inline(always)]
    pub(crate) fn inline_bytes(&self) -> Option<([u8; 24], usize)> {
        if self.is_heap() {
            return None;
        }
        let mut bytes = [0; 24];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *place = word.to_ne_bytes();
        }
        Some((bytes, self.tag() as usize))
    }

    #[inline(always)]
    pub(crate) fn as_str(&self) -> &str {
        let start = if self.is_heap() {
            ptr::with_exposed_provenance(self.0[0] as usize)
        } else {
            self.0.as_ptr().cast::<u8>()
        };
        // SAFETY: on the heap, address and length are those of a `String` that this owns and nobody
        // changes while it is borrowed. Inline, the length is at most 23, and so many bytes of the
        // 24 here were copied from a `str`; bytes need no alignment.
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(start, self.len())) }
    }

    /// Gives the `String` on the heap; the words own nothing from then on.
    fn take_heap(&mut self) -> String {
        let [address, length, tagged] = std::mem::take(&mut self.0);
        // SAFETY: the words are those of a text on the heap, and were replaced, so this happens once.
        unsafe { string_of(address, length, tagged) }
    }

    pub(crate) fn into_string(mut self) -> String {
        if self.is_heap() { self.take_heap() } else { self.as_str().to_owned() }
    }

    pub(crate) fn push_str(&mut self, more: &str) {
        let mut text = if self.is_heap() { self.take_heap() } else { self.as_str().to_owned() };
        text.push_str(more);
        // What was on the heap stays there: only texts longer than 23 bytes ever are.
        *self = Self::from_string(text);
    }
}

impl Clone for Words {
    #[inline(always)]
    fn clone(&self) -> Self {
        if self.is_heap() { Self::heap_copy(self.as_str()) } else { Self(self.0) }
    }
}

impl Drop for Words {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_heap() {
            let [address, length, tagged] = self.0;
            // By value: a text whose address is passed on cannot stay in registers.
            free(address, length, tagged);
        }
    }
}

impl PartialEq for Words {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        // Texts of more than 23 bytes are on the heap, and no others.
        self.0 == other.0 || (self.is_heap() && other.is_heap() && self.as_str() == other.as_str())
    }
}

/// Puts a `String` together again.
///
/// # Safety
///
/// They are the words of a text on the heap, which nobody uses any more.
unsafe fn string_of(address: u64, length: u64, tagged: u64) -> String {
    let capacity = u64::from_le(tagged) & CAPACITY;
    let start = ptr::with_exposed_provenance_mut(address as usize);
    // SAFETY: these are the parts of a `String` that was taken apart, whose capacity has no more than
    // 56 bits since no address space is larger.
    unsafe { String::from_raw_parts(start, length as usize, capacity as usize) }
}

/// Frees what the words of a text on the heap own.
#[cold]
#[inline(never)]
fn free(address: u64, length: u64, tagged: u64) {
    // SAFETY: called once, by `drop`, for words that are a text on the heap.
    drop(unsafe { string_of(address, length, tagged) });
}

/// The address of a `String` with this text, whose capacity is its length.
#[cold]
#[inline(never)]
fn copied(text: &str) -> u64 {
    let boxed: Box<str> = text.into();
    Box::into_raw(boxed).cast::<u8>().expose_provenance() as u64
}

/// Eight bytes from `at` on; the first is the lowest.
#[inline(always)]
fn eight(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// The bytes of the last word, which ends at `end`: read with those before them, which go.
#[inline(always)]
fn tail(bytes: &[u8], end: usize) -> u64 {
    let read = bytes.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk));
    read.checked_shr(8 * (end - bytes.len()) as u32).unwrap_or(0)
}

#[inline(always)]
fn up_to_seven(bytes: &[u8]) -> u64 {
    let length = bytes.len() as u32;
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (length - 4));
    }
    match *bytes {
        [] => 0,
        [one] => u64::from(one),
        [one, .., last] => {
            u64::from(one) | u64::from(bytes[1]) << 8 | u64::from(last) << (8 * (length - 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn every_length_around_the_limits_reads_back() {
        let text = "0123456789abcdefghijklmnopqrstuvwxyz";
        for length in 0..=text.len() {
            let words = Words::from_str(&text[..length]);
            assert_eq!(words.as_str(), &text[..length], "{length} bytes");
            assert_eq!((words.len(), words.is_heap()), (length, length > INLINE_MAX));
            let inline = words.inline_bytes().map(|(bytes, length)| bytes[..length].to_vec());
            let expected = (length <= INLINE_MAX).then(|| text.as_bytes()[..length].to_vec());
            assert_eq!(inline, expected, "the bytes of {length}");
            let ascii = Words::from_short_ascii(&text.as_bytes()[..length]);
            assert_eq!(ascii.is_some(), length <= INLINE_MAX, "short enough: {length}");
            assert!(ascii.is_none_or(|ascii| ascii == words), "{length} bytes of ASCII");
            assert_eq!(words.clone().as_str(), &text[..length], "a copy of {length} bytes");
            assert_eq!(Words::from_string(text[..length].to_owned()).as_str(), &text[..length]);
            assert_eq!(words.into_string(), text[..length]);
        }
    }

    proptest! {
        #[test]
        fn it_is_the_text_that_was_put_in(one in ".{0,30}", other in ".{0,30}") {
            let (first, second) = (Words::from_str(&one), Words::from_str(&other));
            prop_assert_eq!(first.as_str(), &one);
            prop_assert_eq!(first == second, one == other, "equal as the texts are");
            prop_assert_eq!(first == Words::from_string(one.clone()), true);
            let ascii = Words::from_short_ascii(one.as_bytes());
            prop_assert_eq!(ascii.is_some(), one.is_ascii() && one.len() <= INLINE_MAX);
        }

        #[test]
        fn it_grows_like_a_string(parts in proptest::collection::vec(any::<String>(), 0..6)) {
            let (mut words, mut expected) = (Words::new(), String::new());
            for part in &parts {
                words.push_str(part);
                expected.push_str(part);
                prop_assert_eq!(words.as_str(), &expected);
                let copy = words.clone();
                drop(std::mem::replace(&mut words, copy));
            }
            prop_assert_eq!(words.into_string(), expected);
        }
    }
}
