//! Claims about numbered frames.

use proptest::prelude::*;

use super::sequence::{ANY, Arrival, CannotResume, ReceiveLink, SendLink};
use std::collections::VecDeque;

use bytes::Bytes;
use daemon::Clock;

const NO_LIMIT: usize = usize::MAX;

fn frame(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

fn link_with(frames: u32) -> SendLink {
    let now = Clock::manual().now();
    let mut link = SendLink::new();
    for number in 0..frames {
        link.push(frame(number), now);
    }
    link
}

fn transmit_all(link: &mut SendLink) -> Vec<u64> {
    std::iter::from_fn(|| link.transmit(NO_LIMIT)).map(|(sequence, _)| sequence).collect()
}

#[test]
fn frames_are_numbered_from_one_without_gaps() {
    assert_eq!(transmit_all(&mut link_with(3)), [1, 2, 3], "numbers in the order of push");
}

#[test]
fn a_resumed_link_sends_again_from_where_the_receiver_is() {
    let mut link = link_with(4);
    transmit_all(&mut link);
    link.resume(3).unwrap();
    assert_eq!(transmit_all(&mut link), [3, 4], "1 and 2 had arrived");
}

#[test]
fn an_acknowledged_frame_is_forgotten() {
    let mut link = link_with(3);
    transmit_all(&mut link);
    link.acknowledged(3).unwrap();
    assert_eq!(
        (link.len(), link.bytes(), link.oldest()),
        (1, 4, 3),
        "one frame of 4 bytes is left"
    );
    link.acknowledged(2).unwrap();
    assert_eq!(link.len(), 1, "an older acknowledgement says nothing new");
}

#[test]
fn frames_that_were_never_sent_cannot_be_acknowledged() {
    let mut link = link_with(3);
    link.transmit(NO_LIMIT).unwrap();
    let wrong = CannotResume { oldest: 1, newest: 1, wanted: 3 };
    assert_eq!(link.acknowledged(3), Err(wrong), "frame 2 has not left");
    assert_eq!(link.resume(3), Err(wrong), "nor can it have arrived before the connection");
}

#[test]
fn a_receiver_that_lacks_forgotten_frames_cannot_be_resumed() {
    let mut link = link_with(3);
    transmit_all(&mut link);
    link.acknowledged(3).unwrap();
    assert!(link.resume(2).is_err(), "frame 2 is gone");
}

#[test]
fn an_abandoned_link_goes_on_from_wherever_the_receiver_is() {
    let mut link = link_with(2);
    transmit_all(&mut link);
    assert_eq!(link.abandon(), [frame(0), frame(1)], "both frames are lost");
    assert_eq!(link.oldest(), ANY, "the hello asks for a number");
    link.push(frame(9), Clock::manual().now());
    assert_eq!(link.transmit(NO_LIMIT), None, "there is no number for it yet");
    link.resume(57).unwrap();
    assert_eq!(link.transmit(NO_LIMIT), Some((57, frame(9))), "the receiver said 57");
}

#[test]
fn the_bytes_under_way_are_limited() {
    let mut link = link_with(3);
    assert!(link.transmit(8).is_some() && link.transmit(8).is_some(), "8 bytes may be under way");
    assert_eq!(link.transmit(8), None, "the third frame waits");
    link.acknowledged(2).unwrap();
    assert_eq!(link.transmit(8), Some((3, frame(2))), "4 bytes were acknowledged");
}

#[test]
fn only_the_first_waiting_frame_needs_a_wake() {
    let now = Clock::manual().now();
    let mut link = SendLink::new();
    assert!(link.push(frame(0), now), "nothing was waiting");
    assert!(!link.push(frame(1), now), "the connection is awake already");
    transmit_all(&mut link);
    assert!(link.push(frame(2), now), "everything had been sent");
}

/// What can happen to two ends and the wires between them.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Send,
    Arrive,
    Acknowledge,
    AcknowledgementArrives,
    Reconnect,
    HelloTwice,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Push),
        4 => Just(Step::Send),
        4 => Just(Step::Arrive),
        2 => Just(Step::Acknowledge),
        2 => Just(Step::AcknowledgementArrives),
        1 => Just(Step::Reconnect),
        1 => Just(Step::HelloTwice),
    ];
    proptest::collection::vec(step, 0..200)
}

struct Wire {
    sender: SendLink,
    receiver: ReceiveLink,
    frames: VecDeque<(u64, Bytes)>,
    acknowledgements: VecDeque<u64>,
    pushed: u32,
    arrived: Vec<Bytes>,
}

impl Wire {
    fn arrive(&mut self) {
        let Some((sequence, frame)) = self.frames.pop_front() else { return };
        match self.receiver.accept(sequence) {
            Arrival::Fresh => self.arrived.push(frame),
            Arrival::Duplicate => {}
            Arrival::Gap => panic!("a wire that keeps order made a gap before {sequence}"),
        }
    }

    /// What was on the wires is gone.
    fn reconnect(&mut self) {
        self.frames.clear();
        self.acknowledgements.clear();
        assert!(self.receiver.can_resume(self.sender.oldest()), "both ends are still the same");
        self.sender.resume(self.receiver.next()).unwrap();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Push => {
                self.sender.push(frame(self.pushed), Clock::manual().now());
                self.pushed += 1;
            }
            Step::Send => self.frames.extend(self.sender.transmit(64)),
            Step::Arrive => self.arrive(),
            Step::Acknowledge => self.acknowledgements.push_back(self.receiver.next()),
            Step::AcknowledgementArrives => {
                if let Some(next) = self.acknowledgements.pop_front() {
                    self.sender.acknowledged(next).unwrap();
                }
            }
            Step::Reconnect => self.reconnect(),
            Step::HelloTwice => {
                self.reconnect();
                self.reconnect();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_frame_arrives_once_and_in_order_over_any_number_of_connections(steps in steps()) {
        let mut wire = Wire {
            sender: SendLink::new(),
            receiver: ReceiveLink::new(),
            frames: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            pushed: 0,
            arrived: Vec::new(),
        };
        for step in steps {
            wire.step(step);
            let held: u32 = wire.sender.len().try_into().unwrap();
            prop_assert!(wire.arrived.len() as u32 + held >= wire.pushed, "a frame is nowhere");
        }
        wire.reconnect();
        while let Some(next) = wire.sender.transmit(NO_LIMIT) {
            wire.frames.push_back(next);
            wire.arrive();
        }
        wire.sender.acknowledged(wire.receiver.next()).unwrap();
        prop_assert!(wire.sender.is_empty() && wire.sender.bytes() == 0, "all are acknowledged");
        let expected: Vec<Bytes> = (0..wire.pushed).map(frame).collect();
        prop_assert_eq!(wire.arrived, expected);
    }
}
