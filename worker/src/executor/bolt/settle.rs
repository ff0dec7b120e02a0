//! What a bolt's executor owes the trees of its inputs: contributions when they are done with,
//! failures when they are not.

use std::ops::Range;

use topology_api::runtime::{Fault, Rows, Verdict};

use super::{BoltExecutor, InHand};
use crate::engine::acking::{FailReason, NO_STAMP, Why};
use crate::executor::exits::Exits;
use crate::executor::mailbox::{Payload, StreamRef};
use crate::executor::plan::Plan;
use crate::executor::traces::hops::Fate;

/// What a person is told when a call emitted too much.
const TOO_MUCH_OUTPUT: &str = "one call emitted more than `output.budget`: give the tuples to \
                               `out.emit_from(iterator)` instead";

impl BoltExecutor {
    /// Settles the inputs that were done with by an automatic bolt.
    pub(super) fn commit(&mut self, done: usize, panicked: Option<&str>, exits: &mut Exits) {
        let Some(hand) = self.in_hand.as_mut() else { return };
        let cell = &mut self.cells[hand.cell];
        cell.counters.executed += done as u64;
        let faults = cell.task.faults();
        let (from, to) = (hand.done, hand.done + done);
        hand.done = to;
        if let Some(hops) = hand.hops.as_deref_mut().filter(|_| self.explicit) {
            self.held_hops.hold(hand.cell, hops, &mut exits.tracer);
        }
        if faults.is_empty() && panicked.is_none() {
            if !self.explicit {
                cell.counters.acked += done as u64;
                contribute(hand, from..to, exits);
                hand.acked(from..to, exits);
            }
            return;
        }
        let mut faults = faults.into_iter().peekable();
        for input in from..to {
            let mut failure = None;
            exits.said = None;
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at as usize == input) {
                failure = Some(reason_of(fault, cell.counters.task, exits));
            }
            if let Some(text) = panicked.filter(|_| input + 1 == to) {
                exits.said = Some(Why::cut(text));
                failure = Some(FailReason::Panic);
            }
            if self.explicit {
                continue;
            }
            match failure {
                None => {
                    cell.counters.acked += 1;
                    contribute(hand, input..input + 1, exits);
                    hand.acked(input..input + 1, exits);
                }
                Some(reason) => {
                    cell.counters.fail(reason);
                    hand.failed((cell.counters.task, input), reason, exits);
                    let edges = hand.tracking.of(input);
                    edges.iter().for_each(|edge| exits.fail(edge.root, reason));
                }
            }
        }
        exits.said = None;
    }

    /// Takes the verdicts that an explicit bolt gave, after all that it emitted was routed.
    ///
    /// `closing` is why what is dropped fails, if the components are being closed.
    pub(super) fn settle_held(
        &mut self,
        closing: Option<FailReason>,
        plan: &Plan,
        exits: &mut Exits,
    ) -> bool {
        let mut settled = false;
        self.held_hops.look(&exits.tracer);
        let traced = exits.tracer.is_on();
        for (at, cell) in self.cells.iter_mut().enumerate() {
            let Some(verdicts) = cell.task.verdicts() else { continue };
            // A component that panicked is dropped with all the guards it held.
            let panicked = !cell.state.open && !cell.state.ended;
            for (slot, verdict) in verdicts.take() {
                settled = true;
                exits.said = None;
                let stamp = cell.held.stamp(slot);
                let reason = match verdict {
                    Verdict::ResetTimeout => {
                        cell.held.edges(slot).iter().for_each(|it| exits.reset_timeout(it.root));
                        continue;
                    }
                    Verdict::Ack => {
                        cell.counters.acked += 1;
                        if traced {
                            let fate = Fate { failed: None, text: "", at: exits.now };
                            self.held_hops.settle((at, slot), fate, &mut exits.tracer);
                        }
                        cell.held.settle(slot, |root, edges| exits.fold(root, edges, stamp));
                        continue;
                    }
                    Verdict::Fail(text) => reason_of(Fault::Error(text), cell.counters.task, exits),
                    Verdict::Unavailable(text) => {
                        reason_of(Fault::Unavailable(text), cell.counters.task, exits)
                    }
                    Verdict::TooMuchOutput => {
                        reason_of(Fault::TooMuchOutput, cell.counters.task, exits)
                    }
                    Verdict::Late(text) => {
                        exits.said = Some(Why::cut(&text));
                        plan.board.show(cell.counters.task, FailReason::Timeout.name(), text);
                        FailReason::Timeout
                    }
                    Verdict::Dropped => closing.unwrap_or(match panicked {
                        true => FailReason::Panic,
                        false => FailReason::DroppedGuard,
                    }),
                };
                cell.counters.fail(reason);
                if traced {
                    let said = exits.said.as_deref().unwrap_or("");
                    let fate = Fate { failed: Some(reason.name()), text: said, at: exits.now };
                    if !self.held_hops.settle((at, slot), fate, &mut exits.tracer) {
                        let edges = (cell.held.edges(slot), exits.now);
                        exits.tracer.failed(cell.counters.task, edges, (None, 0), fate);
                    }
                }
                cell.held.fail(slot, |root| exits.fail(root, reason));
            }
        }
        exits.said = None;
        settled
    }
}

impl InHand {
    /// Notes that these inputs were processed, for who looks at their trees.
    fn acked(&mut self, inputs: Range<usize>, exits: &mut Exits) {
        if let Some(hops) = &mut self.hops {
            let fate = Fate { failed: None, text: "", at: exits.now };
            hops.settle(inputs, fate, &mut exits.tracer);
        }
    }

    /// Notes that an input failed, for who looks at trees.
    fn failed(&mut self, (task, input): (u32, usize), reason: FailReason, exits: &mut Exits) {
        if exits.tracer.is_on() {
            let text = exits.said.as_deref().unwrap_or("");
            let fate = Fate { failed: Some(reason.name()), text, at: exits.now };
            let edges = (self.tracking.of(input), self.since);
            exits.tracer.failed(task, edges, (self.hops.as_deref_mut(), input), fate);
        }
    }
}

/// Contributes what these inputs owe their trees.
fn contribute(hand: &InHand, inputs: Range<usize>, exits: &mut Exits) {
    if !hand.tracking.is_tracked() {
        return;
    }
    if let Some(edges) = hand.tracking.singles() {
        let (edges, given) = (&edges[inputs.clone()], &hand.given[inputs]);
        let mut at = 0;
        // The tuples of one line follow each other: they make one record.
        for run in edges.chunk_by(|one, next| one.root == next.root) {
            let given = &given[at..at + run.len()];
            at += run.len();
            if run[0].root != 0 {
                let sum = run.iter().zip(given).fold(0, |sum, (edge, given)| sum ^ edge.id ^ given);
                let childless = given.iter().all(|given| *given == 0);
                exits.fold(run[0].root, sum, if childless { NO_STAMP } else { hand.stamp });
            }
        }
        return;
    }
    for input in inputs {
        let given = hand.given[input];
        let stamp = if given == 0 { NO_STAMP } else { hand.stamp };
        for edge in hand.tracking.of(input) {
            exits.fold(edge.root, edge.id ^ given, stamp);
        }
    }
}

/// Shows what a call did wrong, and gives the reason for which its input fails; what is failed next, fails
/// with the text of it.
pub(super) fn reason_of(fault: Fault, task: u32, exits: &mut Exits) -> FailReason {
    let (reason, text) = match fault {
        Fault::Error(text) => (FailReason::Error, text),
        Fault::Unavailable(text) => (FailReason::Unavailable, text),
        Fault::TooMuchOutput => (FailReason::TooMuchOutput, TOO_MUCH_OUTPUT.to_owned()),
    };
    exits.said = Some(Why::cut(&text));
    exits.plan.board.show(task, reason.name(), text);
    reason
}

/// Gives a batch the type that the bolt reads.
pub(super) fn read(
    plan: &Plan,
    component: usize,
    from: StreamRef,
    payload: Payload,
) -> Result<Box<dyn Rows>, String> {
    let components = plan.topology.components();
    let input = components[component]
        .inputs
        .iter()
        .find(|input| input.component == from.component && input.stream == from.stream)
        .ok_or("a batch of a stream that the bolt does not read")?;
    let rows = match payload {
        Payload::Typed(rows) => rows,
        Payload::Encoded { bytes, count } => {
            let output = &components[from.component].outputs[from.stream];
            (output.decode)(&bytes, count as usize)
                .map_err(|error| format!("a batch cannot be read: {error}"))?
        }
    };
    Ok((input.convert)(rows))
}
