//! The spout behind every source that pushes: it emits what was posted, from the queue or the buffer.

use std::collections::VecDeque;
use std::sync::Arc;

use topology_api::{
    Context, Counter, Error, FailReason, Gauge, Next, Spout, SpoutOutput, SpoutResult, Tuple,
};

use super::queue::{Intake, Shared, Ticket, Waiting};
use crate::buffer::{self, BufferOptions, Reader};

/// Most records that one call of `next` emits.
const AT_ONCE: usize = 256;

/// Calls of `next` between two looks at the figures of the buffer.
const LOOK_EVERY: u32 = 64;

/// What names an emitted record.
///
/// ```
/// # #[cfg(feature = "push")]
/// use connectors::push::{PushSpout, Pushed};
/// # #[cfg(feature = "push")]
/// # fn same(id: <PushSpout<topology_api::Line> as topology_api::Spout>::Id) -> Pushed<topology_api::Line> { id }
/// ```
pub struct Pushed<T>(Kind<T>);

enum Kind<T> {
    /// Somebody waits for the verdict.
    Told(Ticket),
    /// Nobody does: it is emitted again when it fails.
    Again(T),
    /// It is in the buffer under this number, until it is processed.
    Kept(u64, T),
}

impl<T> std::fmt::Debug for Pushed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record that was pushed")
    }
}

/// Emits what is pushed to a server, or said by a command; the connectors of `push` and `relay` open it.
///
/// Its server ends with it.
///
/// ```
/// # #[cfg(feature = "push")] {
/// use connectors::push::{HttpIn, PushSpout};
/// use topology_api::Line;
/// use topology_api::testing::SpoutDriver;
///
/// let open = |cx: &_| -> Result<PushSpout<Line>, _> { HttpIn::new("127.0.0.1:0").lines(cx) };
/// let mut spout = SpoutDriver::new(open).unwrap();
/// assert!(spout.run().unwrap().is_empty(), "nobody has posted yet");
/// # }
/// ```
pub struct PushSpout<T: Tuple> {
    shared: Arc<Shared<T>>,
    taken: VecDeque<Waiting<T>>,
    again: VecDeque<Pushed<T>>,
    kept: Option<Kept>,
    emitted: Counter,
    cx: Context,
    /// What pushes; ends when it is dropped.
    server: Option<Box<dyn Send>>,
}

/// The buffer as the spout reads it.
struct Kept {
    reader: Reader,
    bytes: Gauge,
    records: Gauge,
    unreadable: Counter,
    calls: u32,
}

impl<T: Tuple> std::fmt::Debug for PushSpout<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a spout of what is pushed")
    }
}

impl<T: Tuple> PushSpout<T> {
    /// Makes the spout and what is posted to; opens the buffer if there is to be one.
    pub(crate) fn open(
        capacity: usize,
        options: Option<&BufferOptions>,
        cx: &Context,
    ) -> Result<(Self, Intake<T>), Error> {
        let (mut appender, mut kept) = (None, None);
        if let Some(options) = options {
            let (to, reader, opened) = buffer::open::<T>(options, cx.task_index())?;
            opened.notes.iter().for_each(|note| cx.report_error(note));
            cx.count("buffer-found", opened.records);
            appender = Some(to);
            kept = Some(Kept {
                reader,
                bytes: cx.gauge("buffer-bytes"),
                records: cx.gauge("buffer-records"),
                unreadable: cx.counter("buffer-unreadable"),
                calls: 0,
            });
        }
        let intake = Intake::new(capacity, appender, cx.counter("refused"));
        let spout = Self {
            shared: Arc::clone(&intake.shared),
            taken: VecDeque::new(),
            again: VecDeque::new(),
            kept,
            emitted: cx.counter("records"),
            cx: cx.clone(),
            server: None,
        };
        Ok((spout, intake))
    }

    /// Keeps what pushes alive, for as long as the spout lives.
    pub(crate) fn with_server(mut self, server: impl Send + 'static) -> Self {
        self.server = Some(Box::new(server));
        self
    }

    fn next_kept(&mut self, out: &mut SpoutOutput<T, Pushed<T>>) -> SpoutResult {
        let Some(kept) = &mut self.kept else { return Ok(Next::Idle) };
        if kept.calls % LOOK_EVERY == 0 {
            let (bytes, records, problem) = kept.reader.figures();
            kept.bytes.set(bytes as f64);
            kept.records.set(records as f64);
            if let Some(problem) = problem {
                self.cx.report_error(&format!("the buffer cannot be written: {problem}"));
            }
        }
        kept.calls = kept.calls.wrapping_add(1);
        let waker = self.cx.waker();
        let mut unreadable = Vec::new();
        let read = kept.reader.read(AT_ONCE, &waker, |number, row| {
            let mut row = row;
            match T::decode(&mut row) {
                Ok(tuple) => out.emit(Pushed(Kind::Kept(number, tuple.clone())), tuple),
                Err(error) => unreadable.push((number, error)),
            }
        })?;
        for (number, error) in unreadable {
            kept.unreadable.add(1);
            self.cx.report_error(&format!("record {number} of the buffer is left out: {error}"));
            kept.reader.finish(number);
        }
        self.emitted.add(read as u64);
        Ok(if read > 0 { Next::Emitted } else { Next::Idle })
    }
}

impl<T: Tuple> Spout for PushSpout<T> {
    type Output = T;
    type Id = Pushed<T>;

    fn next(&mut self, out: &mut SpoutOutput<T, Pushed<T>>) -> SpoutResult {
        if let Some(id) = self.again.pop_front() {
            if let Kind::Again(tuple) | Kind::Kept(_, tuple) = &id.0 {
                let tuple = tuple.clone();
                out.emit(id, tuple);
            }
            return Ok(Next::Emitted);
        }
        if self.kept.is_some() {
            let next = self.next_kept(out)?;
            if next == Next::Emitted {
                return Ok(next);
            }
        }
        let may_come = self.shared.take(AT_ONCE, &self.cx.waker(), &mut self.taken);
        if self.taken.is_empty() {
            return Ok(if may_come { Next::Idle } else { Next::Finished });
        }
        self.emitted.add(self.taken.len() as u64);
        for Waiting { tuple, ticket } in self.taken.drain(..) {
            let kind = match ticket {
                Some(ticket) => Kind::Told(ticket),
                None => Kind::Again(tuple.clone()),
            };
            out.emit(Pushed(kind), tuple);
        }
        Ok(Next::Emitted)
    }

    fn ack(&mut self, id: Pushed<T>) {
        match id.0 {
            Kind::Told(ticket) => {
                ticket.settle(None);
                self.shared.make_room();
            }
            Kind::Again(_) => self.shared.make_room(),
            Kind::Kept(number, _) => {
                if let Some(kept) = &self.kept {
                    kept.reader.finish(number);
                }
            }
        }
    }

    fn fail(&mut self, id: Pushed<T>, reason: FailReason) {
        match id.0 {
            Kind::Told(ticket) => {
                ticket.settle(Some(reason.name()));
                self.shared.make_room();
            }
            kind @ (Kind::Again(_) | Kind::Kept(..)) => self.again.push_back(Pushed(kind)),
        }
    }

    fn activate(&mut self) {
        self.shared.set_active(true);
    }

    fn deactivate(&mut self) {
        self.shared.set_active(false);
    }

    fn close(&mut self) {
        self.shared.end();
        self.server = None;
    }
}

impl<T: Tuple> Drop for PushSpout<T> {
    fn drop(&mut self) {
        self.shared.end();
    }
}
