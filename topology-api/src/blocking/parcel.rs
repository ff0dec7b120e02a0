//! What a thread leaves for its loop: tuples, and the verdicts that must not overtake them.

use std::time::Duration;

use crate::input::Verdict;
use crate::output::{Emitted, SEVERAL, UNANCHORED};

/// Tuples, from which on the thread waits until the loop has taken them.
const TUPLES: usize = 1_024;

/// Bytes, from which on it waits.
const BYTES: usize = 1024 * 1024;

/// What was emitted and decided and not taken yet.
#[derive(Default)]
pub(crate) struct Parcel {
    /// By stream.
    emitted: Vec<Option<Emitted>>,
    /// Anchors of tuples that have several.
    several: Vec<Vec<u32>>,
    tuples: usize,
    bytes: usize,
    /// To be given once the tuples have been routed.
    pub(super) verdicts: Vec<(u32, Verdict)>,
    /// How many calls ended, and how long they took together.
    pub(super) calls: (u64, Duration),
}

impl Parcel {
    pub(super) fn is_full(&self) -> bool {
        self.tuples >= TUPLES || self.bytes >= BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tuples == 0 && self.verdicts.is_empty() && self.calls.0 == 0
    }

    /// Adds what was emitted to one stream, with the lists of several anchors that it refers to; `anchor`
    /// says what becomes of every other anchor.
    pub(super) fn add(
        &mut self,
        stream: usize,
        mut emitted: Emitted,
        several: Vec<Vec<u32>>,
        anchor: impl Fn(u32) -> u32,
    ) {
        let base = u32::try_from(self.several.len()).unwrap_or(u32::MAX >> 1);
        for own in emitted.anchors.iter_mut().filter(|own| **own != UNANCHORED) {
            *own = if *own & SEVERAL != 0 { *own + base } else { anchor(*own) };
        }
        self.several.extend(several);
        self.tuples += emitted.rows.len();
        self.bytes += emitted.weight;
        if self.emitted.len() <= stream {
            self.emitted.resize_with(stream + 1, || None);
        }
        match &mut self.emitted[stream] {
            Some(before) => before.append(emitted),
            none => *none = Some(emitted),
        }
    }

    /// Adds the verdicts and calls of another parcel, and all its tuples.
    pub(super) fn merge(&mut self, other: Self) {
        let mut several = other.several;
        for (stream, emitted) in other.emitted.into_iter().enumerate() {
            if let Some(emitted) = emitted {
                // Only the main stream has tuples with several anchors.
                self.add(stream, emitted, std::mem::take(&mut several), |anchor| anchor);
            }
        }
        self.verdicts.extend(other.verdicts);
        self.calls.0 += other.calls.0;
        self.calls.1 += other.calls.1;
    }

    pub(super) fn take(&mut self, stream: usize) -> Option<Emitted> {
        self.emitted.get_mut(stream)?.take()
    }

    pub(super) fn take_several(&mut self) -> Vec<Vec<u32>> {
        std::mem::take(&mut self.several)
    }
}
