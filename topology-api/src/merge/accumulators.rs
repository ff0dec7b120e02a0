//! Counts, sums, and the smallest and largest of something.

use super::Merge;
use crate::codec::FieldCodec;
use crate::{DecodeError, KeyHasher, Value};

/// The codec of a struct around one field is that field's.
macro_rules! codec_of_inner {
    ([$($generics:tt)*] $outer:ty, $inner:ty) => {
        #[diagnostic::do_not_recommend]
        impl<$($generics)*> FieldCodec for $outer {
            const BYTES_MIN: usize = <$inner>::BYTES_MIN;

            #[inline]
            fn weight(&self) -> usize {
                self.0.weight()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                <$inner>::decode(input).map(Self)
            }

            fn type_name() -> String {
                <$inner>::type_name()
            }

            fn value(&self) -> Value {
                self.0.value()
            }

            fn hash_value(&self, hasher: &mut KeyHasher) {
                self.0.hash_value(hasher);
            }
        }
    };
}

/// How many.
///
/// ```
/// let mut count = topology_api::Count::default();
/// count.add(1);
/// count.add(2);
/// assert_eq!(count.0, 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);
codec_of_inner!([] Count, u64);

impl Count {
    /// Counts so many more; stays at the largest number there is.
    #[inline]
    pub fn add(&mut self, count: u64) {
        self.0 = self.0.saturating_add(count);
    }
}

impl Merge for Count {
    fn merge(&mut self, other: Self) {
        self.add(other.0);
    }
}

/// The sum of `u64`, `i64` or `f64`.
///
/// Integers wrap around at the ends of their range. Floats are rounded, so the last digits of a sum
/// depend on the order in which its parts came.
///
/// ```
/// let mut sum = topology_api::Sum(0.5);
/// sum.add(0.25);
/// assert_eq!(sum.0, 0.75);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum<N>(pub N);
codec_of_inner!([N: FieldCodec] Sum<N>, N);

macro_rules! sum_of {
    ($($number:ty: |$a:ident, $b:ident| $sum:expr),*) => {$(
        impl Sum<$number> {
            /// Adds a number.
            #[inline]
            pub fn add(&mut self, number: $number) {
                let ($a, $b) = (self.0, number);
                self.0 = $sum;
            }
        }

        impl Merge for Sum<$number> {
            fn merge(&mut self, other: Self) {
                self.add(other.0);
            }
        }
    )*};
}
sum_of!(u64: |a, b| a.wrapping_add(b), i64: |a, b| a.wrapping_add(b), f64: |a, b| a + b);

macro_rules! extreme {
    ($name:ident, $which:literal, $better:ident, $example:literal) => {
        #[doc = concat!("The ", $which, " of what was added; `None` before that.")]
        ///
        /// Of floats it takes no notice of NaN.
        ///
        /// ```
        #[doc = concat!("let mut it = topology_api::", stringify!($name), "::default();")]
        /// for n in [3.0, 1.0, f64::NAN, 2.0] {
        ///     it.add(n);
        /// }
        #[doc = concat!("assert_eq!(it.0, Some(", $example, "));")]
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<T>(pub Option<T>);
        codec_of_inner!([T: FieldCodec] $name<T>, Option<T>);

        impl<T> Default for $name<T> {
            fn default() -> Self {
                Self(None)
            }
        }

        impl<T: PartialOrd> $name<T> {
            /// Adds a value.
            #[inline]
            pub fn add(&mut self, value: T) {
                // Only what is no number differs from itself.
                if value == value && self.0.as_ref().is_none_or(|best| value.$better(best)) {
                    self.0 = Some(value);
                }
            }
        }

        impl<T: FieldCodec + PartialOrd + Clone + Send + 'static> Merge for $name<T> {
            fn merge(&mut self, other: Self) {
                if let Some(value) = other.0 {
                    self.add(value);
                }
            }
        }
    };
}
extreme!(Min, "smallest", lt, "1.0");
extreme!(Max, "largest", gt, "3.0");
