//! Numbers in one or two bytes: what is kept for a day is drawn, not added up.
//!
//! Rates have ten bits of mantissa (an error of at most 0.1 %), those of failures three (at most 6 %,
//! whole numbers up to 16 exact), latencies are on a logarithmic scale
//! of seven steps an octave (at most 5 %), shares are in steps of 0.4 %. The layout of rates is that
//! of floating point numbers without a sign (Goldberg, 1991), as in HDR histograms.

/// A rate: six bits of exponent, ten of mantissa, in units of a thousandth (1/1024) a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(pub(super) u16);

/// Bits of the mantissa.
const MANTISSA: u32 = 10;

/// What does not fit is this.
const RATE_MAX: u16 = u16::MAX - 1;

impl Rate {
    /// Not known.
    pub const GAP: Self = Self(u16::MAX);

    /// Rounds a rate, per second.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float to an integer saturates, which is meant"
    )]
    pub fn of(per_second: f64) -> Self {
        let units = (per_second * f64::from(1 << MANTISSA)).round() as u64;
        if units < 1 << MANTISSA {
            return Self(units as u16);
        }
        let exponent = units.ilog2() - MANTISSA + 1;
        let mantissa = (units >> (exponent - 1)) & ((1 << MANTISSA) - 1);
        Self(((exponent << MANTISSA) as u16 | mantissa as u16).min(RATE_MAX))
    }

    /// The rate, per second; `None` if it is not known.
    #[must_use]
    pub fn per_second(self) -> Option<f64> {
        if self == Self::GAP {
            return None;
        }
        let (exponent, mantissa) = (self.0 >> MANTISSA, self.0 & ((1 << MANTISSA) - 1));
        let one = f64::from(1 << MANTISSA);
        Some(match exponent {
            0 => f64::from(mantissa) / one,
            _ => (one + f64::from(mantissa)) / one * f64::from(exponent - 1).exp2(),
        })
    }
}

/// A rate of what is rare: five bits of exponent, three of mantissa, in units of 1/64 a second.
///
/// ```
/// use nimbus::engine::history::compact::Coarse;
///
/// let kept = [0.0, 1.0, 7.0, 16.0, 100.0].map(|rate| Coarse::of(rate).per_second());
/// assert_eq!(kept, [0.0, 1.0, 7.0, 16.0, 104.0], "whole numbers up to 16 are exact");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coarse(pub(super) u8);

/// Its units in one a second.
const UNITS: f64 = 64.0;

/// The first number that needs an exponent.
const FIRST: f64 = 8.0;

impl Coarse {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Rounds a rate, per second; what is not zero stays so.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float to an integer saturates, which is meant"
    )]
    pub fn of(per_second: f64) -> Self {
        let units = per_second * UNITS;
        if units < FIRST {
            let least = u8::from(units > 0.0);
            return Self((units.round() as u8).max(least));
        }
        let exponent = (units / FIRST).log2().floor();
        // A mantissa that is rounded up to the next power is that of the next exponent.
        let mantissa = (units / exponent.exp2()).round();
        Self((exponent * FIRST + mantissa) as u8)
    }

    /// The rate, per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        let (exponent, mantissa) = (self.0 >> 3, f64::from(self.0 & 7));
        let units = match exponent {
            0 => mantissa,
            _ => (FIRST + mantissa) * f64::from(exponent - 1).exp2(),
        };
        units / UNITS
    }
}

/// A latency, or that nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency(pub(super) u8);

/// The shortest latency that is told from others, in nanoseconds.
const SHORTEST: f64 = 64.0;

/// Steps for a factor of two.
const STEPS: f64 = 7.0;

impl Latency {
    /// Nothing was measured.
    pub const NONE: Self = Self(0);

    /// Rounds a latency in nanoseconds.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a cast of a float to an integer saturates, which is meant"
    )]
    pub fn of(nanoseconds: Option<u64>) -> Self {
        let step = |ns: u64| ((ns as f64 / SHORTEST).max(1.0).log2() * STEPS).round() as u8;
        Self(nanoseconds.map_or(0, |ns| step(ns).saturating_add(1)))
    }

    /// The latency in µs.
    #[must_use]
    pub fn us(self) -> Option<f64> {
        let step = self.0.checked_sub(1)?;
        Some(SHORTEST * (f64::from(step) / STEPS).exp2() / 1_000.0)
    }
}

/// A share of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(pub(super) u8);

/// What a whole is.
const WHOLE: f64 = 250.0;

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Rounds a share, from 0 to 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float to an integer saturates, which is meant"
    )]
    pub fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * WHOLE).round() as u8)
    }

    /// The share, from 0 to 1.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / WHOLE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_small_is_exact_and_what_is_unknown_stays_so() {
        for exact in [0.0, 0.5, 1.0, 3.0, 1_000.0, 1_023.0] {
            assert_eq!(Rate::of(exact).per_second(), Some(exact));
        }
        assert_eq!(Rate::GAP.per_second(), None);
        assert_eq!(Latency::of(None).us(), None);
        assert!(Rate::of(f64::INFINITY).per_second().is_some(), "too much is not a gap");
        assert!(Latency::of(Some(u64::MAX)).us().is_some_and(|us| us > 3.6e9), "more than an hour");
        assert_eq!(Share::of(1.0).get(), 1.0);
    }

    proptest! {
        #[test]
        fn a_rate_is_off_by_a_thousandth_at_most(rate in 0.0..1e12_f64) {
            let kept = Rate::of(rate).per_second().unwrap();
            prop_assert!((kept - rate).abs() <= rate / 1_000.0 + 0.001, "{rate} became {kept}");
        }

        #[test]
        fn a_rate_of_failures_is_off_by_a_sixteenth_at_most(rate in 0.0..1e8_f64) {
            let kept = Coarse::of(rate).per_second();
            prop_assert!((kept - rate).abs() <= rate / 16.0 + 0.02, "{rate} became {kept}");
        }

        #[test]
        fn a_latency_is_off_by_a_twentieth_at_most(ns in 64..3_600_000_000_000_u64) {
            #[expect(clippy::cast_precision_loss, reason = "an hour in ns is below 2^53")]
            let us = ns as f64 / 1_000.0;
            let kept = Latency::of(Some(ns)).us().unwrap();
            prop_assert!((kept - us).abs() <= us / 19.0, "{us} became {kept}");
        }
    }
}
