//! Claims about credits.

use proptest::prelude::*;

use super::credit::{Amount, Gate, WINDOW, Window, Windows};

#[test]
fn a_gate_closes_at_the_window_in_tuples() {
    let gate = Gate::new();
    gate.took(WINDOW.tuples - 1, 0);
    assert!(gate.may_send(), "one tuple is left");
    gate.took(100, 0);
    assert!(!gate.may_send(), "a batch may pass the window, a second may not");
    assert_eq!(gate.left(), 0, "nothing is left");
}

#[test]
fn a_gate_closes_at_the_window_in_bytes() {
    let gate = Gate::new();
    gate.took(1, WINDOW.bytes);
    assert!(!gate.may_send(), "one tuple of a whole window");
}

#[test]
fn a_grant_that_is_overtaken_by_a_higher_one_changes_nothing() {
    let gate = Gate::new();
    gate.took(WINDOW.tuples, 10);
    assert!(gate.granted(WINDOW.tuples + 600, WINDOW.bytes), "this one opens the gate");
    assert!(!gate.granted(WINDOW.tuples + 500, WINDOW.bytes), "the late one does not");
    assert!(gate.may_send(), "nor does it close it");
    assert_eq!(gate.left(), 600, "the highest grant counts");
}

#[test]
fn a_released_gate_never_closes() {
    let gate = Gate::new();
    gate.took(1 << 40, 1 << 50);
    assert!(gate.release(), "it was closed");
    assert!(gate.may_send(), "whatever is sent is lost at once");
}

#[test]
fn a_reset_gate_starts_from_the_window() {
    let gate = Gate::new();
    gate.took(1 << 20, 1 << 30);
    gate.granted(1 << 21, 1 << 31);
    gate.reset();
    assert_eq!(gate.left(), WINDOW.tuples, "as the other end does");
}

#[test]
fn one_tuple_larger_than_the_window_is_granted_again_once_it_was_taken() {
    let (gate, mut window) = (Gate::new(), Window::new());
    gate.took(1, 16 << 20);
    window.received(1, 16 << 20);
    assert!(!gate.may_send(), "it fills the window");
    assert!(window.consumed(1, 16 << 20), "worth a message");
    let grant = window.announce();
    assert!(gate.granted(grant.tuples, grant.bytes) && gate.may_send(), "and opens the gate");
}

#[test]
fn what_an_older_incarnation_left_in_the_mailbox_does_not_widen_the_window_for_good() {
    let mut window = Window::new();
    window.consumed(500, 5000);
    assert_eq!(window.announce(), WINDOW, "nothing of this incarnation came yet");
    window.received(100, 1000);
    window.consumed(300, 3000);
    let grant = window.announce();
    assert_eq!(grant.tuples, WINDOW.tuples + 100, "never more than came and a window");
}

#[test]
fn only_grants_worth_a_message_are_due_and_a_resume_says_all() {
    let mut windows = Windows::default();
    windows.received(7, WINDOW.tuples, 10);
    windows.received(8, 1000, 10);
    assert!(windows.consumed(7, WINDOW.tuples / 4, 1), "a quarter of the window is due");
    assert!(!windows.consumed(7, 1, 1), "it is due already");
    assert!(!windows.consumed(8, 1, 1), "one tuple is not");
    assert!(!windows.consumed(9, 1000, 1), "a task that was sent nothing has no window");
    let due: Vec<u32> = windows.announce_due().into_iter().map(|(task, _)| task).collect();
    assert_eq!(due, [7], "task 8 can wait");
    assert!(!windows.is_due(), "all was said");
    assert_eq!(windows.announce_all().len(), 2, "after a reconnect nothing is taken for granted");
}

proptest! {
    /// Batches go out while the gate is open and are taken in any order of events; grants may be
    /// lost, but the last one comes through.
    #[test]
    fn a_sender_is_never_stuck_and_never_far_over_the_window(
        batches in proptest::collection::vec((1_u64..200, 0_u64..300_000), 1..200),
        choices in proptest::collection::vec(0_u8..4, 1..600),
    ) {
        let (gate, mut window) = (Gate::new(), Window::new());
        let mut waiting = batches.into_iter();
        let mut mailbox = std::collections::VecDeque::new();
        let (mut held, mut sent, mut taken) = (Amount::default(), 0, 0);
        let mut choices = choices.into_iter();
        loop {
            let choice = choices.next().unwrap_or(3);
            if choice != 2 && gate.may_send() && let Some((tuples, bytes)) = waiting.next() {
                prop_assert!(held.tuples < WINDOW.tuples && held.bytes < WINDOW.bytes,
                    "{held:?} were under way and the gate was open");
                gate.took(tuples, bytes);
                window.received(tuples, bytes);
                held.tuples += tuples;
                held.bytes += bytes;
                mailbox.push_back((tuples, bytes));
                sent += 1;
            } else if let Some((tuples, bytes)) = mailbox.pop_front() {
                held.tuples -= tuples;
                held.bytes -= bytes;
                taken += 1;
                if window.consumed(tuples, bytes) {
                    let grant = window.announce();
                    // A lost grant is made good by the next one, the last by the resume.
                    if choice != 1 || mailbox.is_empty() {
                        gate.granted(grant.tuples, grant.bytes);
                    }
                }
            } else if waiting.len() == 0 {
                break;
            } else if choice == 3 {
                let grant = window.announce();
                gate.granted(grant.tuples, grant.bytes);
                prop_assert!(gate.may_send(), "all was taken and the gate is closed");
            }
        }
        prop_assert_eq!(sent, taken);
    }
}
