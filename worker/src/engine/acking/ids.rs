//! The ids that make up a tuple tree: roots, edges and incarnations.
//!
//! A [`RootId`] says where its ledger entry is, so an ack is routed by its first bits and finds the
//! entry by an index, without a look-up. An edge id says nothing: it only has to be unlike all
//! others, because a tree is complete when the XOR of its edge ids is zero.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;

/// Bits of a root id that name the spout's executor in the routing table.
pub const EXECUTOR_BITS: u32 = 14;
/// Bits of a root id that name the incarnation of that executor.
pub const INCARNATION_BITS: u32 = 6;
/// Bits of a root id that name the slot of the ledger.
pub const SLOT_BITS: u32 = 20;
/// Bits of a root id that tell the roots apart that had the same slot.
pub const GENERATION_BITS: u32 = 24;

/// Highest generation; the one after it is 1, because 0 would allow an id that is 0.
pub const GENERATION_MAX: u32 = (1 << GENERATION_BITS) - 1;

/// Incarnations count modulo this.
const INCARNATIONS: u8 = 1 << INCARNATION_BITS;

/// Where the bits of the slot begin.
pub(crate) const SLOT_SHIFT: u32 = GENERATION_BITS;
const INCARNATION_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;
const EXECUTOR_SHIFT: u32 = INCARNATION_SHIFT + INCARNATION_BITS;

/// Names one tuple tree: the executor that opened it, and the place of its entry there.
///
/// From the highest bit: 14 bits index of the executor, 6 bits incarnation, 20 bits slot, 24 bits
/// generation. It is never 0, because a generation never is; 0 stands for "not tracked".
///
/// ```
/// use worker::engine::acking::RootId;
///
/// let root = RootId::new(5, 2, 77, 1);
/// assert_eq!((root.executor(), root.incarnation()), (5, 2));
/// assert_eq!((root.slot(), root.generation()), (77, 1));
/// assert_eq!(RootId::from_bits(root.bits()), Some(root));
/// assert_eq!(RootId::from_bits(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(NonZeroU64);

impl RootId {
    /// The id of the root with these parts.
    ///
    /// # Panics
    ///
    /// If a part does not fit its bits, or if the generation is 0.
    #[must_use]
    pub fn new(executor: u16, incarnation: u8, slot: u32, generation: u32) -> Self {
        assert!(executor < 1 << EXECUTOR_BITS, "executor {executor} is over 14 bits");
        assert!(incarnation < INCARNATIONS, "incarnation {incarnation} is over 6 bits");
        assert!(slot < 1 << SLOT_BITS, "slot {slot} is over 20 bits");
        assert!((1..=GENERATION_MAX).contains(&generation), "generation {generation} is not valid");
        let bits = Self::prefix(executor, incarnation) << INCARNATION_SHIFT
            | u64::from(slot) << SLOT_SHIFT
            | u64::from(generation);
        Self(NonZeroU64::new(bits).expect("a generation is never 0"))
    }

    /// The id that has these bits, if they can be one.
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u64) -> Option<Self> {
        if generation_of(bits) == 0 { None } else { NonZeroU64::new(bits).map(Self) }
    }

    /// Index of the spout's executor in the routing table.
    #[inline]
    #[must_use]
    pub fn executor(self) -> u16 {
        executor_of(self.bits())
    }

    /// Incarnation of that executor, modulo 64.
    #[inline]
    #[must_use]
    pub fn incarnation(self) -> u8 {
        (self.bits() >> INCARNATION_SHIFT) as u8 & (INCARNATIONS - 1)
    }

    /// Place of its entry in the ledger of that executor.
    #[inline]
    #[must_use]
    pub fn slot(self) -> u32 {
        slot_of(self.bits())
    }

    /// Tells this root from those that had the slot before.
    #[inline]
    #[must_use]
    pub fn generation(self) -> u32 {
        generation_of(self.bits())
    }

    /// The id as it travels.
    #[inline]
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0.get()
    }

    /// The first 20 bits of every root that this incarnation of the executor opens.
    pub(super) fn prefix(executor: u16, incarnation: u8) -> u64 {
        u64::from(executor) << INCARNATION_BITS | u64::from(incarnation)
    }

    /// The id of a root, from parts the ledger knows to be in range.
    #[inline]
    pub(super) fn from_prefix(prefix: u64, slot: u32, generation: u32) -> Self {
        debug_assert!(generation != 0, "a generation is never 0");
        let bits =
            prefix << INCARNATION_SHIFT | u64::from(slot) << SLOT_SHIFT | u64::from(generation);
        Self(NonZeroU64::new(bits).expect("a generation is never 0"))
    }
}

impl fmt::Debug for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (executor, incarnation) = (self.executor(), self.incarnation());
        write!(f, "{executor}.{incarnation}/{}.{}", self.slot(), self.generation())
    }
}

/// Index of the executor that owns the root with these bits: where its contributions go.
#[inline]
#[must_use]
pub fn executor_of(root: u64) -> u16 {
    (root >> EXECUTOR_SHIFT) as u16
}

/// Executor and incarnation in one number.
#[inline]
pub(super) fn prefix_of(root: u64) -> u64 {
    root >> INCARNATION_SHIFT
}

#[inline]
pub(super) fn slot_of(root: u64) -> u32 {
    (root >> SLOT_SHIFT) as u32 & ((1 << SLOT_BITS) - 1)
}

#[inline]
pub(super) fn generation_of(root: u64) -> u32 {
    root as u32 & GENERATION_MAX
}

/// Makes the edge ids of one executor.
///
/// An id is the splitmix64 of a counter. Splitmix64 is one to one, so an executor repeats no id in
/// 2⁶⁴, and its ids show no pattern, so that a few of them XOR to zero only by chance. A counter
/// times a constant would be cheaper and wrong: such ids cancel by structure, as `1 ^ 2 ^ 3 == 0`.
///
/// The start must be drawn from the operating system for each incarnation of each executor: two
/// executors that shared it would give the same ids to tuples of the same trees.
///
/// ```
/// let mut ids = worker::engine::acking::EdgeIds::new(42);
/// assert_ne!(ids.next(), ids.next());
/// ```
#[derive(Debug)]
pub struct EdgeIds {
    counter: u64,
}

impl EdgeIds {
    /// Ids that start from `start`, a random number of the operating system.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self { counter: start }
    }

    /// A fresh id, never 0: an edge with id 0 would not hold its tree open.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "ids never end; an iterator's `next` may")]
    pub fn next(&mut self) -> u64 {
        loop {
            let id = splitmix64(&mut self.counter);
            if id != 0 {
                return id;
            }
        }
    }
}

/// By how much each draw raises the counter.
pub(crate) const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// Steps the counter and mixes it (Steele, Lea and Flood, "Fast splittable generators", 2014).
#[inline]
pub(crate) fn splitmix64(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(INCREMENT);
    let mut mixed = *counter;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Undoes the mixing: the counter from which splitmix64 made this id.
///
/// Each shift is undone by itself, once more for the bits that it passed on, and each product by the
/// inverse of its factor modulo 2⁶⁴.
#[inline]
pub(crate) fn counter_of(id: u64) -> u64 {
    let mut mixed = id ^ (id >> 31) ^ (id >> 62);
    mixed = mixed.wrapping_mul(0x3196_42b2_d24d_8ec3);
    mixed = (mixed ^ (mixed >> 27) ^ (mixed >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
    mixed ^ (mixed >> 30) ^ (mixed >> 60)
}

/// How many draws lead from one counter to another.
#[inline]
pub(crate) fn draws_between(from: u64, to: u64) -> u64 {
    // The inverse of the increment modulo 2⁶⁴.
    to.wrapping_sub(from).wrapping_mul(0xf1de_83e1_9937_733d)
}

/// How the incarnation `named` in a root id stands to the one `held` in a table.
///
/// `Greater`: it is newer than the table. Incarnations count modulo 64, so this is serial-number
/// arithmetic: up to 31 steps ahead is newer, the rest is older. Exactly half-way round cannot be
/// known; it counts as older, because what is taken for newer waits at the sender.
#[inline]
#[must_use]
pub fn incarnation_order(held: u8, named: u8) -> Ordering {
    match named.wrapping_sub(held) & (INCARNATIONS - 1) {
        0 => Ordering::Equal,
        ahead if ahead < INCARNATIONS / 2 => Ordering::Greater,
        _ => Ordering::Less,
    }
}
