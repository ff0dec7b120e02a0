//! The random numbers of Python's `random.Random`: the Mersenne Twister MT19937, seeded its way.
//!
//! The text of the word count is made by a Python script for the peers. With the same numbers this
//! crate makes the same bytes, and needs no Python.

/// Words of the generator's state.
const WORDS: usize = 624;

/// How far apart the words are that are mixed.
const APART: usize = 397;

/// A generator that gives what `random.Random(seed)` gives.
pub(crate) struct PythonRandom {
    state: [u32; WORDS],
    /// The next word to give; at `WORDS` all are used up.
    at: usize,
}

impl PythonRandom {
    /// Seeds it as Python does with a number below 2^32.
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [0; WORDS];
        state[0] = 19_650_218;
        let mixed = |before: u32| before ^ (before >> 30);
        for at in 1..WORDS {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            state[at] = mixed(state[at - 1]).wrapping_mul(1_812_433_253).wrapping_add(number);
        }
        let mut at = 1;
        for _ in 0..WORDS {
            state[at] =
                (state[at] ^ mixed(state[at - 1]).wrapping_mul(1_664_525)).wrapping_add(seed);
            at = Self::after(at, &mut state);
        }
        for _ in 1..WORDS {
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            state[at] =
                (state[at] ^ mixed(state[at - 1]).wrapping_mul(1_566_083_941)).wrapping_sub(number);
            at = Self::after(at, &mut state);
        }
        state[0] = 1 << 31;
        Self { state, at: WORDS }
    }

    /// The place after `at`; behind the last one the first takes the last one's word.
    fn after(at: usize, state: &mut [u32; WORDS]) -> usize {
        if at + 1 < WORDS {
            return at + 1;
        }
        state[0] = state[WORDS - 1];
        1
    }

    /// Gives 32 random bits.
    fn bits(&mut self) -> u32 {
        if self.at == WORDS {
            for at in 0..WORDS {
                let high = self.state[at] & (1 << 31);
                let low = self.state[(at + 1) % WORDS] & !(1 << 31);
                let twisted = if low & 1 == 0 { 0 } else { 0x9908_b0df };
                self.state[at] = self.state[(at + APART) % WORDS] ^ ((high | low) >> 1) ^ twisted;
            }
            self.at = 0;
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// Gives a fraction from 0 to 1, as `random()` does.
    pub(crate) fn fraction(&mut self) -> f64 {
        let (high, low) = (self.bits() >> 5, self.bits() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }

    /// Gives a number below `limit`, as `choice` and `randint` find theirs.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let bits = usize::BITS - limit.leading_zeros();
        loop {
            let number = (self.bits() >> (32 - bits)) as usize;
            if number < limit {
                return number;
            }
        }
    }

    /// Gives one of several.
    pub(crate) fn choice<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_what_python_gives() {
        // python3 -c 'import random; r = random.Random(1); print(r.random(), r.randint(6, 14))'
        let mut random = PythonRandom::new(1);
        assert_eq!(random.fraction().to_bits(), 0.134_364_244_112_401_22_f64.to_bits());
        assert_eq!(random.fraction().to_bits(), 0.847_433_736_937_232_7_f64.to_bits());
    }
}
