//! The items with the highest scores.

use super::Merge;
use crate::codec::FieldCodec;
use crate::{DecodeError, Value};

/// The `N` items with the highest scores, the highest first; of equal scores the smaller item.
///
/// An item's score is the highest that was added for it: made for scores that grow, such as the
/// running counts of [`TopologyBuilder::merged`](crate::TopologyBuilder::merged). It does not add
/// scores up: merge counts by item first, then take the top of them.
///
/// ```
/// use topology_api::{Count, Merged, Text, Top};
///
/// let counts = [("a", 1), ("b", 5), ("c", 2), ("a", 4)];
/// let mut top = Top::<Text, 2>::default();
/// for (word, count) in counts {
///     let so_far = Merged::<Text, _> { key: word.into(), value: Count(count) };
///     top.add(&so_far.key, so_far.value.0);
/// }
/// assert_eq!(top.items(), [("b".into(), 5), ("a".into(), 4)]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top<T, const N: usize, S = u64> {
    items: Vec<(T, S)>,
}

impl<T, const N: usize, S> Default for Top<T, N, S> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T: Ord + Clone, const N: usize, S: Ord> Top<T, N, S> {
    /// Adds an item with its score. It is copied only if it is one of the highest.
    pub fn add(&mut self, item: &T, score: S) {
        if let Some(last) = self.items.last()
            && self.items.len() == N
            && !is_above((item, &score), last)
        {
            return;
        }
        let item = match self.items.iter().position(|(known, _)| known == item) {
            Some(at) if self.items[at].1 >= score => return,
            Some(at) => self.items.remove(at).0,
            None => item.clone(),
        };
        let at = self.items.partition_point(|other| !is_above((&item, &score), other));
        self.items.insert(at, (item, score));
        self.items.truncate(N);
    }

    /// The items with their scores, the highest first.
    #[must_use]
    pub fn items(&self) -> &[(T, S)] {
        &self.items
    }
}

/// Tells whether the one stands above the other.
fn is_above<T: Ord, S: Ord>(one: (&T, &S), other: &(T, S)) -> bool {
    (one.1, std::cmp::Reverse(one.0)) > (&other.1, std::cmp::Reverse(&other.0))
}

impl<T, const N: usize, S> Merge for Top<T, N, S>
where
    T: FieldCodec + Ord + Clone + Send + 'static,
    S: FieldCodec + Ord + Clone + Send + 'static,
{
    fn merge(&mut self, other: Self) {
        other.items.into_iter().for_each(|(item, score)| self.add(&item, score));
    }
}

#[diagnostic::do_not_recommend]
impl<T, const N: usize, S> FieldCodec for Top<T, N, S>
where
    T: FieldCodec + Ord,
    S: FieldCodec + Ord,
{
    const BYTES_MIN: usize = 1;

    fn weight(&self) -> usize {
        self.items.weight()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.items.encode(out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
        let items = Vec::<(T, S)>::decode(input)?;
        let falls = items.is_sorted_by(|one, next| is_above((&one.0, &one.1), next));
        if items.len() > N || !falls {
            return Err(DecodeError::new("the highest items are too many, or not in order"));
        }
        Ok(Self { items })
    }

    fn type_name() -> String {
        format!("list of ({}, {})", T::type_name(), S::type_name())
    }

    fn value(&self) -> Value {
        self.items.value()
    }
}
