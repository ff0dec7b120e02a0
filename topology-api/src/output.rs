//! The emit side: where `execute` and `next` put their tuples.
//!
//! Emitting appends to a typed column and notes the anchor beside it; the worker takes the columns
//! after the call, routes them a batch at a time and gives them their edge ids. Nothing is sent,
//! hashed or locked inside `emit`.

mod context;
mod hand_over;
mod lane;
mod spout;

use std::collections::VecDeque;
use std::marker::PhantomData;

pub use self::hand_over::HandOver;
pub(crate) use self::lane::{AnyLane, MakeLane, make_lane};
pub use self::spout::SpoutOutput;

use self::hand_over::Away;
use self::lane::Lane;
use crate::input::Input;
use crate::rows::{Pool, Rows};
use crate::{Context, Error, Tuple};

/// The anchor of a tuple that is tied to no input.
pub const UNANCHORED: u32 = u32::MAX;

/// Set in an anchor that is an index into the lists of several anchors.
pub const SEVERAL: u32 = 1 << 31;

/// Marks a tuple that is not emitted directly to one task.
pub const NOT_DIRECT: u32 = u32::MAX;

/// Calls into a component end when the tuples they emitted have so many bytes: a batch.
pub(crate) const ENOUGH_BYTES: usize = 64 << 10;

/// What one call, or several, emitted to one stream.
pub struct Emitted {
    /// The tuples.
    pub rows: Box<dyn Rows>,
    /// For each tuple, what it is anchored to: an input's number, [`UNANCHORED`], or with
    /// [`SEVERAL`] set an index into the anchors of the whole output.
    pub anchors: Vec<u32>,
    /// Empty, or for each tuple the index of the task it is meant for, or [`NOT_DIRECT`].
    pub direct: Vec<u32>,
    /// About how many bytes the tuples take when encoded.
    pub weight: usize,
    /// Encoded bytes of the largest tuple.
    pub largest: usize,
}

/// Names one declared side output of a component, with its type.
///
/// A factory asks its context for it: `cx.port::<Late>("late")?`.
#[derive(Debug)]
pub struct Port<T> {
    /// Index among the component's streams; 0 is the main one.
    stream: usize,
    tuple: PhantomData<fn() -> T>,
}

impl<T> Clone for Port<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Port<T> {}

impl<T> Port<T> {
    pub(crate) fn new(stream: usize) -> Self {
        Self { stream, tuple: PhantomData }
    }
}

/// Takes what a bolt emits.
///
/// ```
/// use topology_api::prelude::*;
///
/// #[derive(Clone, Debug, Tuple)]
/// struct Number { n: u64 }
///
/// struct Double;
/// impl Bolt for Double {
///     type Input = Number;
///     type Output = Number;
///     fn execute(&mut self, input: Number, out: &mut Output<Number>) -> BoltResult {
///         out.emit(Number { n: input.n * 2 }); // anchored to `input`
///         Ok(())
///     }
/// }
/// ```
pub struct Output<T: Tuple> {
    main: Lane<T>,
    side: Vec<Box<dyn AnyLane>>,
    /// What [`Output::emit`] anchors to: the input in hand.
    anchor: u32,
    /// Anchors of tuples with several.
    several: Vec<Vec<u32>>,
    /// Iterators still to be pulled, with their anchors.
    pulls: VecDeque<(Box<dyn Iterator<Item = T> + Send>, u32)>,
    meter: Meter,
    /// Set when the task opens.
    cx: Option<Context>,
}

/// How much was emitted, to whatever stream.
struct Meter {
    /// Tuples emitted and not yet taken.
    count: usize,
    /// Bytes emitted by the call in hand.
    call_weight: usize,
    /// What one call may emit, in bytes.
    budget: usize,
    /// The call in hand emitted more than its budget.
    over_budget: bool,
    /// Where to hand over instead of failing.
    away: Option<Box<Away<HandOver>>>,
}

impl Meter {
    /// Counts a tuple of the call whose input is `anchor`; false if it is to be left out, for which
    /// the input will fail.
    #[inline(always)]
    fn admits(&mut self, weight: usize, anchor: u32) -> bool {
        self.call_weight += weight;
        if self.call_weight > self.budget && self.leaves_out(weight, anchor) {
            return false;
        }
        self.count += 1;
        true
    }

    #[cold]
    fn leaves_out(&mut self, weight: usize, anchor: u32) -> bool {
        // One large tuple is for `tuple.max_bytes` to judge; in `tick` and `finish` no input could
        // fail for the rest, which would be left out in silence.
        let too_much = self.call_weight > weight;
        self.over_budget = too_much && anchor != UNANCHORED && self.away.is_none();
        self.over_budget || (too_much && self.away.is_some())
    }
}

impl<T: Tuple> Output<T> {
    pub(crate) fn new(side: &[MakeLane], budget: usize) -> Self {
        Self {
            main: Lane::new(),
            side: side.iter().map(|make| make()).collect(),
            anchor: UNANCHORED,
            several: Vec::new(),
            pulls: VecDeque::new(),
            meter: Meter { count: 0, call_weight: 0, budget, over_budget: false, away: None },
            cx: None,
        }
    }

    /// Emits a tuple anchored to the input in hand.
    #[inline(always)]
    pub fn emit(&mut self, value: T) {
        self.push(value, self.anchor);
    }

    /// Emits a tuple that is tied to no input: nobody replays it when it is lost.
    #[inline(always)]
    pub fn emit_unanchored(&mut self, value: T) {
        self.push(value, UNANCHORED);
    }

    /// Emits a tuple anchored to every input of `anchors`: it fails them all when it fails.
    pub fn emit_anchored<'a, I, A>(&mut self, anchors: A, value: T)
    where
        I: 'a,
        A: IntoIterator<Item = &'a Input<I>>,
    {
        let slots: Vec<u32> = anchors.into_iter().map(Input::slot).collect();
        let anchor = match slots.as_slice() {
            [] => UNANCHORED,
            [one] => *one,
            _ => {
                self.several.push(slots);
                SEVERAL | u32::try_from(self.several.len() - 1).unwrap_or(u32::MAX >> 1)
            }
        };
        self.push(value, anchor);
    }

    /// Emits a tuple to the task with this index of every bolt that reads the stream directly.
    pub fn emit_direct(&mut self, task_index: u32, value: T) {
        let weight = value.weight();
        if self.meter.admits(weight, self.anchor) || self.hand_over_main(weight) {
            self.main.push_direct(value, self.anchor, task_index);
        }
    }

    /// Emits all that `tuples` gives, pulled as the receivers have room: one tuple may become a
    /// billion in constant memory. The input is acked when the iterator has ended.
    ///
    /// In `tick` and `finish`, where there is no input, the next input, tick or `close` waits for
    /// its end.
    pub fn emit_from<I>(&mut self, tuples: I)
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        self.pulls.push_back((Box::new(tuples.into_iter()), self.anchor));
    }

    /// Emits to a declared side output.
    pub fn to<S: Tuple>(&mut self, port: &Port<S>) -> SideOutput<'_, S> {
        let lane = self.side[port.stream - 1]
            .as_any_mut()
            .downcast_mut::<Lane<S>>()
            .expect("a port has the type that its output was declared with");
        SideOutput { lane, stream: port.stream, anchor: self.anchor, meter: &mut self.meter }
    }

    #[inline(always)]
    fn push(&mut self, value: T, anchor: u32) {
        let weight = self.main.push(value, anchor);
        if !self.meter.admits(weight, self.anchor) {
            self.put_behind(weight);
        }
    }

    /// Tells whether the call in hand may emit so many bytes more.
    #[inline]
    pub(crate) fn has_budget(&self, weight: usize) -> bool {
        self.meter.call_weight + weight <= self.meter.budget || self.meter.call_weight == 0
    }

    /// Begins a call whose emits are anchored to `anchor`.
    #[inline]
    pub(crate) fn begin(&mut self, anchor: u32) {
        self.anchor = anchor;
        self.meter.call_weight = 0;
        self.meter.over_budget = false;
    }

    #[inline]
    pub(crate) fn is_over_budget(&self) -> bool {
        self.meter.over_budget
    }

    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.meter.count
    }

    /// Bytes that the call in hand emitted.
    #[inline]
    pub(crate) fn call_weight(&self) -> usize {
        self.meter.call_weight
    }

    /// Pulls iterators until `room` tuples wait, or enough bytes; tells whether all have ended.
    pub(crate) fn pull(&mut self, room: usize) -> bool {
        let mut bytes = 0;
        while let Some((mut tuples, anchor)) = self.pulls.pop_front() {
            while self.meter.count < room && bytes < ENOUGH_BYTES {
                match tuples.next() {
                    Some(value) => {
                        self.meter.count += 1;
                        bytes += self.main.push(value, anchor);
                    }
                    None => break,
                }
            }
            if self.meter.count >= room || bytes >= ENOUGH_BYTES {
                self.pulls.push_front((tuples, anchor));
                return false;
            }
        }
        true
    }

    #[inline]
    pub(crate) fn is_pulling(&self) -> bool {
        !self.pulls.is_empty()
    }

    pub(crate) fn abandon_pulls(&mut self) {
        self.pulls.clear();
    }

    /// Takes what was emitted to the stream with this index.
    pub(crate) fn take(&mut self, stream: usize, pool: &mut Pool) -> Option<Emitted> {
        let taken = match stream {
            0 => self.main.take(pool),
            side => self.side.get_mut(side - 1)?.take(pool),
        };
        if let Some(taken) = &taken {
            self.meter.count = self.meter.count.saturating_sub(taken.rows.len());
        }
        taken
    }

    /// Takes what was emitted to the main stream, tuple by tuple with its anchor.
    fn drain(&mut self) -> impl Iterator<Item = (T, u32)> {
        self.meter.count = 0;
        self.main.drain()
    }

    pub(crate) fn take_several(&mut self) -> Vec<Vec<u32>> {
        std::mem::take(&mut self.several)
    }
}

/// A side output, borrowed for one emit.
pub struct SideOutput<'a, T> {
    lane: &'a mut Lane<T>,
    stream: usize,
    anchor: u32,
    meter: &'a mut Meter,
}

impl<T: Tuple> SideOutput<'_, T> {
    /// Emits a tuple anchored to the input in hand.
    #[inline(always)]
    pub fn emit(&mut self, value: T) {
        self.push(value, self.anchor);
    }

    /// Emits a tuple that is tied to no input.
    #[inline(always)]
    pub fn emit_unanchored(&mut self, value: T) {
        self.push(value, UNANCHORED);
    }

    #[inline(always)]
    fn push(&mut self, value: T, anchor: u32) {
        let weight = self.lane.push(value, anchor);
        if !self.meter.admits(weight, self.anchor) {
            self.put_behind(weight);
        }
    }
}

/// Finds the side output `name` of type `T` among those the component declared.
pub(crate) fn find_port<T: Tuple>(cx: &Context, name: &str) -> Result<Port<T>, Error> {
    let outputs = cx.outputs();
    match outputs.iter().position(|output| output.name == name) {
        Some(0) => Err(format!("`{name}` is the main output: emit to it without a port").into()),
        Some(stream) if outputs[stream].tuple == std::any::type_name::<T>() => {
            Ok(Port::new(stream))
        }
        Some(stream) => Err(format!(
            "the output `{name}` carries {}, not {}",
            outputs[stream].tuple,
            std::any::type_name::<T>()
        )
        .into()),
        None => Err(format!(
            "the component declares no output `{name}`: add `.output::<{}>(\"{name}\")` to it",
            std::any::type_name::<T>()
        )
        .into()),
    }
}
