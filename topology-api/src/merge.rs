//! Merging partial results: a bolt that gathers what it has of each key, and one that puts what
//! several tasks gathered together.
//!
//! For keys that a grouping spreads over several tasks, because one task alone could not keep up
//! with them. The first bolt reads the stream by whatever grouping; the second one reads partial
//! results by their key, one for very many tuples.
//!
//! Nothing that is gathered is acked before its partial result is processed: the first bolt holds its
//! inputs, anchors the partial result to all of them, then acks them. A process that dies loses no
//! input, but as everywhere a replay may count one twice.

mod accumulators;
mod distinct;
mod partial;
#[cfg(test)]
mod tests;
mod top;

use std::collections::HashMap;
use std::hash::Hash;

pub use self::accumulators::{Count, Max, Min, Sum};
pub use self::distinct::Distinct;
pub use self::partial::Partial;
pub use self::top::Top;

use self::partial::{Gather, held_max};
use crate::codec::FieldCodec;
use crate::{
    Bolt, BoltDeclarer, BoltResult, ConnectedBolt, Context, DecodeError, Field, Key, KeyHasher,
    Output, Schema, Stream, TopologyBuilder, Tuple, Value,
};

/// A result that can be gathered in parts: [`Count`], [`Sum`], [`Min`], [`Max`], [`Distinct`],
/// [`Top`], tuples of them, or one of your own.
///
/// `Default` is the result of nothing, and merging is commutative and associative: however tuples
/// are split and in whatever order the parts come, the result is the same.
///
/// ```
/// use topology_api::{Count, Max, Merge};
///
/// let (mut one, mut two) = <((Count, Max<u64>), (Count, Max<u64>))>::default();
/// for (part, n) in [(&mut one, 3), (&mut two, 9)] {
///     part.0.add(1);
///     part.1.add(n);
/// }
/// one.merge(two);
/// assert_eq!((one.0.0, one.1.0), (2, Some(9)));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be gathered in parts",
    note = "use `Count`, `Sum`, `Min`, `Max`, `Distinct`, `Top`, tuples of them, or implement \
            `topology_api::Merge` for it"
)]
pub trait Merge: FieldCodec + Clone + Default + Send + 'static {
    /// Takes in what was gathered elsewhere.
    fn merge(&mut self, other: Self);
}

macro_rules! merge_of_parts {
    ($($part:ident $other:ident)*) => {
        impl<$($part: Merge),*> Merge for ($($part,)*) {
            #[expect(non_snake_case, reason = "the type parameters name the parts")]
            fn merge(&mut self, other: Self) {
                let (($($part,)*), ($($other,)*)) = (self, other);
                $($part.merge($other);)*
            }
        }
    };
}
merge_of_parts!(A A2 B B2);
merge_of_parts!(A A2 B B2 C C2);
merge_of_parts!(A A2 B B2 C C2 D D2);

/// What has a key and a value, as a tuple with these two fields.
macro_rules! tuple_of_key_and_value {
    ($tuple:ident) => {
        #[diagnostic::do_not_recommend]
        impl<K, M> Tuple for $tuple<K, M>
        where
            K: FieldCodec + Clone + Send + 'static,
            M: Merge,
        {
            fn schema() -> Schema {
                let key = Field::new("key", K::type_name());
                Schema::new(stringify!($tuple), vec![key, Field::new("value", M::type_name())])
            }

            #[inline]
            fn weight(&self) -> usize {
                self.key.weight() + self.value.weight()
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                self.key.encode(out);
                self.value.encode(out);
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> Result<Self, DecodeError> {
                Ok(Self { key: K::decode(input)?, value: M::decode(input)? })
            }

            fn value(&self, field: usize) -> Value {
                match field {
                    0 => self.key.value(),
                    1 => self.value.value(),
                    _ => Value::Null,
                }
            }

            fn hash_field(&self, field: usize, hasher: &mut KeyHasher) {
                match field {
                    0 => self.key.hash_value(hasher),
                    1 => self.value.hash_value(hasher),
                    _ => hasher.part(&[]),
                }
            }
        }
    };
}
use tuple_of_key_and_value;

/// The result for a key so far, of all its parts; emitted by [`TopologyBuilder::merged`].
///
/// ```
/// use topology_api::{Count, Merged, Text, Tuple};
///
/// assert_eq!(Merged::<Text, Count>::schema().to_string(), "Merged(key: text, value: u64)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged<K, M> {
    /// The key.
    pub key: K,
    /// All that was gathered for it.
    pub value: M,
}
tuple_of_key_and_value!(Merged);

/// Puts partial results together.
struct Together<K, M> {
    results: HashMap<K, M>,
}

impl<K, M> Bolt for Together<K, M>
where
    K: FieldCodec + Hash + Eq + Clone + Send + 'static,
    M: Merge,
{
    type Input = Partial<K, M>;
    type Output = Merged<K, M>;

    fn execute(&mut self, partial: Partial<K, M>, out: &mut Output<Merged<K, M>>) -> BoltResult {
        let Partial { key, value } = partial;
        let result = match self.results.get_mut(&key) {
            Some(result) => {
                result.merge(value);
                result.clone()
            }
            None => self.results.entry(key.clone()).or_insert(value).clone(),
        };
        out.emit(Merged { key, value: result });
        Ok(())
    }
}

impl TopologyBuilder {
    /// Declares a bolt that gathers what it has of each key, and emits it as [`Partial`] results: at
    /// each tick (every 0.1 s unless `.tick_every` says another period), or before that when it
    /// holds a good part of `max_pending` tuples. `add` adds a tuple to what was gathered; say the
    /// type of that, it begins as its `Default`.
    ///
    /// Read the stream by a grouping that spreads a hot key over several tasks. Inputs are acked when
    /// their partial result has been emitted, anchored to all of them. With ticks of more than a
    /// second say `.holds(period)` too, which is how much later inputs may time out.
    ///
    /// ```
    /// use topology_api::{Count, Distinct, Merged, prelude::*};
    ///
    /// #[derive(Clone, Debug, Tuple)]
    /// struct Visit { page: Text, user: u64 }
    ///
    /// let mut t = TopologyBuilder::new("visits");
    /// let lines = t.spout("lines", |cx| LineFiles::open(cx.arguments().files(), cx)).stream();
    /// let visits = t.flat_map("parse", |line: Line| {
    ///     let (page, user) = line.text.split_once(' ')?;
    ///     Some(Visit { page: page.into(), user: user.parse().ok()? })
    /// });
    /// let visits = visits.shuffle(&lines).stream();
    ///
    /// type Visits = (Count, Distinct);
    /// let add = |(count, users): &mut Visits, visit: &Visit| {
    ///     count.add(1);
    ///     users.add(&visit.user);
    /// };
    /// let parts = t.partial("gather", |visit: &Visit| &visit.page, add);
    /// let parts = parts.parallelism(4).shuffle(&visits).stream();
    /// let pages = t.merged("pages", &parts).parallelism(2).stream();
    /// t.for_each("print", |page: Merged<Text, Visits>| {
    ///     let (count, users) = page.value;
    ///     println!("{}: {} visits of about {} users", page.key, count.0, users.estimate());
    /// })
    /// .shuffle(&pages);
    /// assert!(t.build().is_ok());
    /// ```
    #[track_caller]
    pub fn partial<T, K, M>(
        &mut self,
        name: &str,
        key: impl Fn(&T) -> &K + Clone + Send + Sync + 'static,
        add: impl FnMut(&mut M, &T) + Clone + Send + Sync + 'static,
    ) -> BoltDeclarer<T, Partial<K::Owned, M>>
    where
        T: Tuple,
        K: ToOwned<Owned: FieldCodec + Hash + Eq + Clone + Send> + Hash + Eq + ?Sized + 'static,
        M: Merge,
    {
        let gather = move |cx: &Context| {
            Ok(Gather::<T, K, M, _, _>::new(key.clone(), add.clone(), held_max(cx)))
        };
        let bolt = self.explicit_bolt(name, gather);
        bolt.tick_every(partial::PERIOD).holds(partial::HOLDS)
    }

    /// Declares a bolt that puts partial results together by their key, and emits the result of the
    /// key so far each time a part of it comes.
    ///
    /// It reads `partials` by a fields grouping of the key; there is nothing left to connect. Results
    /// are kept in memory, for as long as the task lives and for every key there is.
    #[track_caller]
    pub fn merged<K, M>(
        &mut self,
        name: &str,
        partials: &Stream<Partial<K, M>>,
    ) -> ConnectedBolt<Merged<K, M>>
    where
        K: Key + FieldCodec + Hash + Eq + Clone + Send + 'static,
        M: Merge,
    {
        let bolt = self.bolt(name, |_| Together { results: HashMap::new() });
        bolt.fields(partials, |partial| &partial.key).connected()
    }
}
