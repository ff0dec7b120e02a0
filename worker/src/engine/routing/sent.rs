//! What one sender has sent to each task: the load that groupings with a choice go by.
//!
//! Senders tell each other nothing: if each spreads its own tuples evenly, so do all together
//! (Nasir et al., "The Power of Both Choices", 2015). Old tuples count for less, by halves, so that
//! a task that had much once is not left without work for as long.

/// Tuples, for each task, between two halvings.
const HALVING: u64 = 4096;

/// Tuples sent to each task, the older ones counted for less.
#[derive(Debug)]
pub(super) struct Sent {
    tuples: Vec<u64>,
    until_halving: u64,
}

impl Sent {
    pub(super) fn new(tasks: u32) -> Self {
        Self { tuples: vec![0; tasks as usize], until_halving: HALVING * u64::from(tasks) }
    }

    /// Whichever of two tasks has been sent less; the first if they are even.
    #[inline]
    pub(super) fn less(&self, first: u32, second: u32) -> u32 {
        if self.tuples[second as usize] < self.tuples[first as usize] { second } else { first }
    }

    /// Counts tuples that are, or will be, sent to a task.
    #[inline]
    pub(super) fn add(&mut self, task: u32, tuples: u64) {
        self.tuples[task as usize] += tuples;
        match self.until_halving.checked_sub(tuples) {
            Some(left) => self.until_halving = left,
            None => self.halve(),
        }
    }

    #[cold]
    fn halve(&mut self) {
        self.until_halving = HALVING * self.tuples.len() as u64;
        let least = self.tuples.iter().copied().min().unwrap_or(0);
        self.tuples.iter_mut().for_each(|tuples| *tuples = (*tuples - least) / 2);
    }
}
