//! What a relay has to send, and what has no verdict yet.
//!
//! Pure: it holds inputs, whatever they are, and each leaves it once. A batch that was sent over a
//! connection that broke stands in front of all others again, in the order in which it was sent.

use std::collections::{BTreeMap, VecDeque};

/// Most records of a batch.
pub(super) const BATCH_RECORDS_MAX: usize = 256;

/// How many bytes fill a batch.
const BATCH_BYTES: usize = 256 << 10;

/// Rows that are sent together, and whose they are.
#[derive(Debug)]
pub(super) struct Batch<I> {
    pub(super) rows: Vec<u8>,
    pub(super) inputs: Vec<I>,
}

impl<I> Default for Batch<I> {
    fn default() -> Self {
        Self { rows: Vec::new(), inputs: Vec::new() }
    }
}

impl<I> Batch<I> {
    /// How many records it has.
    pub(super) fn count(&self) -> u32 {
        self.inputs.len() as u32
    }

    fn is_full(&self) -> bool {
        self.inputs.len() >= BATCH_RECORDS_MAX || self.rows.len() >= BATCH_BYTES
    }
}

/// What is to be sent, and what was.
#[derive(Debug)]
pub(super) struct Outgoing<I> {
    ready: VecDeque<Batch<I>>,
    sent: BTreeMap<u64, Batch<I>>,
    /// Records that were sent.
    open: u32,
    next: u64,
}

impl<I> Default for Outgoing<I> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), sent: BTreeMap::new(), open: 0, next: 1 }
    }
}

impl<I> Outgoing<I> {
    /// Takes an input in; `encode` appends its row.
    pub(super) fn push(&mut self, input: I, encode: impl FnOnce(&I, &mut Vec<u8>)) {
        if self.ready.back().is_none_or(Batch::is_full) {
            self.ready.push_back(Batch::default());
        }
        if let Some(batch) = self.ready.back_mut() {
            encode(&input, &mut batch.rows);
            batch.inputs.push(input);
        }
    }

    /// Marks the next batch as sent, if so many records without a verdict allow it, and hands it to
    /// `send` with its number; tells whether there was one.
    pub(super) fn send(&mut self, credit: u32, send: impl FnOnce(u64, &Batch<I>)) -> bool {
        let Some(batch) = self.ready.pop_front() else { return false };
        if self.open.saturating_add(batch.count()) > credit {
            self.ready.push_front(batch);
            return false;
        }
        self.open += batch.count();
        send(self.next, &batch);
        self.sent.insert(self.next, batch);
        self.next += 1;
        true
    }

    /// Gives back the inputs of a batch that has its verdict; none if it was not sent.
    pub(super) fn settle(&mut self, number: u64) -> Option<Vec<I>> {
        let batch = self.sent.remove(&number)?;
        self.open -= batch.count();
        Some(batch.inputs)
    }

    /// The connection broke: what has no verdict is to be sent again. Gives how many records that is.
    pub(super) fn lost(&mut self) -> u32 {
        for (_, batch) in std::mem::take(&mut self.sent).into_iter().rev() {
            self.ready.push_front(batch);
        }
        std::mem::take(&mut self.open)
    }

    /// All inputs that are held.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &I> {
        let batches = self.sent.values().chain(&self.ready);
        batches.flat_map(|batch| &batch.inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Send,
        Settle(usize),
        Lose,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_usize..600).prop_map(Step::Push),
            Just(Step::Send),
            Just(Step::Send),
            (0_usize..4).prop_map(Step::Settle),
            Just(Step::Lose),
        ]
    }

    proptest! {
        #[test]
        fn each_input_leaves_once_and_no_more_are_open_than_allowed(
            steps in proptest::collection::vec(step(), 0..80), credit in 256_u32..1_000,
        ) {
            let mut outgoing = Outgoing::default();
            let (mut pushed, mut settled) = (0_u32, Vec::new());
            let mut wire: Vec<(u64, Vec<u32>)> = Vec::new();
            let mut again = Vec::new();
            for step in steps {
                match step {
                    Step::Push(count) => for _ in 0..count {
                        outgoing.push(pushed, |input, rows| rows.extend(input.to_le_bytes()));
                        pushed += 1;
                    },
                    Step::Send => {
                        outgoing.send(credit, |number, batch| {
                            let rows: Vec<u32> = batch.rows.chunks(4)
                                .map(|row| u32::from_le_bytes(row.try_into().unwrap())).collect();
                            assert_eq!(rows, batch.inputs, "rows stand for their inputs");
                            wire.push((number, rows));
                        });
                        let open: usize = wire.iter().map(|(_, rows)| rows.len()).sum();
                        prop_assert!(open <= credit as usize);
                    }
                    Step::Settle(at) if at < wire.len() => {
                        let (number, rows) = wire.remove(at);
                        prop_assert_eq!(outgoing.settle(number).unwrap(), rows.clone());
                        prop_assert!(outgoing.settle(number).is_none(), "once");
                        settled.extend(rows);
                    }
                    Step::Settle(_) => {}
                    Step::Lose => {
                        let count: usize = wire.iter().map(|(_, rows)| rows.len()).sum();
                        prop_assert_eq!(outgoing.lost() as usize, count);
                        again = wire.drain(..).flat_map(|(_, rows)| rows).collect();
                    }
                }
            }
            prop_assert!(outgoing.inputs().count() + settled.len() == pushed as usize);
            outgoing.lost();
            let held: Vec<u32> = outgoing.inputs().copied().collect();
            prop_assert!(again.iter().all(|it| held.contains(it) || settled.contains(it)));
            settled.extend(held);
            settled.sort_unstable();
            prop_assert_eq!(settled, (0..pushed).collect::<Vec<_>>());
        }
    }
}
