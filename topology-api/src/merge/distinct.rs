//! How many different keys there were, about, in a few kilobytes.
//!
//! `HyperLogLog` (P. Flajolet, É. Fusy, O. Gandouet, F. Meunier, "`HyperLogLog`: the analysis of a
//! near-optimal cardinality estimation algorithm", 2007), with its correction for small numbers,
//! on 64-bit hashes, which need none for large ones. 4 096 registers: the standard error is
//! 1.04 / √4096 = 1.6 %. As long as few registers are in use, only those are kept.
//!
//! The hash is the one of fields groupings, which never changes: sketches of any two workers, and of
//! any two versions, can be merged.

use super::Merge;
use crate::codec::{FieldCodec, decode_length, encode_length, length_weight, take};
use crate::{DecodeError, Key, Value, key_hash};

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 12;

/// Registers.
const REGISTERS: usize = 1 << INDEX_BITS;

/// The largest rank: one more than the bits that are left of a hash.
const RANK_MAX: u8 = (64 - INDEX_BITS + 1) as u8;

/// Most registers that are kept one by one.
const FEW_MAX: usize = 512;

/// About how many different keys were added: 1.6 % off as a rule (one standard error), 5 % hardly
/// ever. It takes up to 2 KiB for up to 500 keys, and 4 KiB for any number.
///
/// ```
/// use topology_api::{Distinct, Merge};
///
/// let (mut monday, mut tuesday) = (Distinct::default(), Distinct::default());
/// (0..600_u64).for_each(|user| monday.add(&user));
/// (400..1_000_u64).for_each(|user| tuesday.add(&user));
/// monday.merge(tuesday);
/// let users = monday.estimate();
/// assert!((950..=1_050).contains(&users), "{users} is about 1 000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    registers: Registers,
}

/// The registers, each the largest rank seen. `Few` while at most [`FEW_MAX`] are not zero, so that
/// equal sketches are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Registers {
    /// Those that are not zero, by index.
    Few(Vec<(u16, u8)>),
    All(Box<[u8]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self { registers: Registers::Few(Vec::new()) }
    }
}

impl Distinct {
    /// Adds a key; one that was there before changes nothing.
    #[inline]
    pub fn add<K: Key + ?Sized>(&mut self, key: &K) {
        self.add_hash(key_hash(key));
    }

    /// Adds a key by its 64-bit hash, whose bits must all be as good as random.
    #[inline]
    pub fn add_hash(&mut self, hash: u64) {
        let index = (hash >> (64 - INDEX_BITS)) as u16;
        let rank = (hash << INDEX_BITS).leading_zeros() as u8 + 1;
        self.raise(index, rank.min(RANK_MAX));
    }

    fn raise(&mut self, index: u16, rank: u8) {
        match &mut self.registers {
            Registers::All(all) => {
                let register = &mut all[usize::from(index)];
                *register = rank.max(*register);
            }
            Registers::Few(few) => match few.binary_search_by_key(&index, |(index, _)| *index) {
                Ok(at) => few[at].1 = rank.max(few[at].1),
                Err(at) if few.len() < FEW_MAX => few.insert(at, (index, rank)),
                Err(_) => {
                    let mut all = vec![0; REGISTERS].into_boxed_slice();
                    few.iter().for_each(|(index, rank)| all[usize::from(*index)] = *rank);
                    all[usize::from(index)] = rank;
                    self.registers = Registers::All(all);
                }
            },
        }
    }

    /// Gives about how many different keys were added.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let inverse = |rank: u8| (-f64::from(rank)).exp2();
        let (zeros, sum) = match &self.registers {
            Registers::Few(few) => {
                let zeros = REGISTERS - few.len();
                (zeros, zeros as f64 + few.iter().map(|(_, rank)| inverse(*rank)).sum::<f64>())
            }
            Registers::All(all) => {
                let zeros = all.iter().filter(|rank| **rank == 0).count();
                (zeros, all.iter().map(|rank| inverse(*rank)).sum())
            }
        };
        let m = REGISTERS as f64;
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
        let estimate = if raw <= 2.5 * m && zeros > 0 { m * (m / zeros as f64).ln() } else { raw };
        estimate.round() as u64
    }
}

impl Merge for Distinct {
    fn merge(&mut self, other: Self) {
        match other.registers {
            Registers::Few(few) => {
                few.into_iter().for_each(|(index, rank)| self.raise(index, rank));
            }
            Registers::All(all) => {
                let mut merged = Self { registers: Registers::All(all) };
                match &self.registers {
                    Registers::Few(few) => {
                        few.iter().for_each(|(index, rank)| merged.raise(*index, *rank));
                    }
                    Registers::All(all) => {
                        (0..).zip(all).for_each(|(index, rank)| merged.raise(index, *rank));
                    }
                }
                *self = merged;
            }
        }
    }
}

/// How many registers follow, then each as index and rank; or 513, then all.
#[diagnostic::do_not_recommend]
impl FieldCodec for Distinct {
    const BYTES_MIN: usize = 1;

    fn weight(&self) -> usize {
        match &self.registers {
            Registers::Few(few) => length_weight(few.len()) + 3 * few.len(),
            Registers::All(_) => length_weight(FEW_MAX + 1) + REGISTERS,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match &self.registers {
            Registers::Few(few) => {
                encode_length(few.len(), out);
                few.iter().for_each(|register| register.encode(out));
            }
            Registers::All(all) => {
                encode_length(FEW_MAX + 1, out);
                out.extend_from_slice(all);
            }
        }
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let count = decode_length(3, input)?;
        let registers = if count <= FEW_MAX {
            let few = <(u16, u8)>::decode_items(count, input)?;
            let fits = |(index, rank): &(u16, u8)| {
                usize::from(*index) < REGISTERS && (1..=RANK_MAX).contains(rank)
            };
            if !few.iter().all(fits) || !few.is_sorted_by(|one, next| one.0 < next.0) {
                return Err(DecodeError::new("a sketch has registers that none can have"));
            }
            Registers::Few(few)
        } else {
            let all = take(REGISTERS, input)?;
            if count != FEW_MAX + 1 || all.iter().any(|rank| *rank > RANK_MAX) {
                return Err(DecodeError::new("a sketch has registers that none can have"));
            }
            Registers::All(all.into())
        };
        Ok(Self { registers })
    }

    fn type_name() -> String {
        "distinct".to_owned()
    }

    /// The estimate.
    fn value(&self) -> Value {
        Value::from(self.estimate())
    }
}
