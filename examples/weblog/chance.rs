//! Chance that is the same each time for the same seed, on every machine and in every version.

/// A stream of numbers: `SplitMix64` (G. Steele et al., "Fast Splittable Pseudorandom Number Generators",
/// 2014).
///
/// ```
/// let mut one = weblog::chance::Chance::new(7);
/// let mut other = weblog::chance::Chance::new(7);
/// assert_eq!(one.below(1_000), other.below(1_000));
/// ```
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Begins with a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, uniform in all 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below this one; 0 for none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.unit() * end as f64) as usize
    }

    /// Whether something happens that does so this often, of 1.
    pub fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// How long until something happens that does so every `mean` on average: exponential.
    pub fn wait(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// Places of a list by Zipf's law: place n is as frequent as 1 / n (G. K. Zipf, 1949).
///
/// ```
/// use weblog::chance::{Chance, Zipf};
///
/// let (zipf, mut chance) = (Zipf::new(100), Chance::new(7));
/// let firsts = (0..10_000).filter(|_| zipf.place(&mut chance) == 0).count();
/// assert!((1_700..2_200).contains(&firsts), "1 / (1 + 1/2 + .. + 1/100) of all is 1 928: {firsts}");
/// ```
#[derive(Clone, Debug)]
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// For a list of so many places, at least one.
    #[must_use]
    pub fn new(places: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=places.max(1)).map(|place| {
            sum += 1.0 / place as f64;
            sum
        });
        Self(sums.collect())
    }

    /// One of the places, from 0.
    pub fn place(&self, chance: &mut Chance) -> usize {
        let at = chance.unit() * self.0[self.0.len() - 1];
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1)
    }
}
