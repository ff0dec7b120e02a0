//! Claims about budgets and credits.

use std::sync::Arc;

use proptest::prelude::*;

use super::budget::{Account, Budget, Shares};
use super::credit::{Amount, Gate, RESERVE, WINDOW, Window, Windows, window_among};

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
    assert_eq!(gate.room(), 0, "a shuffle that looked at tuples alone would go on choosing it");
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

#[test]
fn a_window_that_shrank_takes_nothing_back_and_grants_little_from_then_on() {
    let (gate, mut window) = (Gate::new(), Window::new());
    window.resize(RESERVE);
    assert_eq!(window.announce(), WINDOW, "what was granted stays");
    gate.took(WINDOW.tuples, 0);
    window.received(WINDOW.tuples, 0);
    assert!(window.consumed(WINDOW.tuples, 0), "the sender waits: this is worth a message");
    let grant = window.announce();
    assert!(gate.granted(grant.tuples, grant.bytes), "it opens the gate");
    assert_eq!(gate.left(), RESERVE.tuples, "for the reserve");
}

#[test]
fn windows_that_grow_are_due_without_anything_more_being_taken() {
    let mut windows = Windows::default();
    windows.resize(RESERVE);
    windows.received(7, 2 * WINDOW.tuples, 10);
    assert!(windows.consumed(7, WINDOW.tuples, 10), "the window is used up");
    windows.announce_due();
    windows.resize(WINDOW);
    let due = windows.announce_due();
    assert_eq!(due[0].1.tuples, 2 * WINDOW.tuples, "a whole window beyond what was taken");
}

proptest! {
    /// Batches go out while the gate is open and are taken in any order of events; the window gets
    /// smaller and larger; grants may be lost, but the last one comes through.
    #[test]
    fn a_sender_is_never_stuck_and_never_far_over_the_window(
        batches in proptest::collection::vec((1_u64..200, 0_u64..300_000), 1..200),
        choices in proptest::collection::vec(0_u8..6, 1..600),
    ) {
        let (gate, mut window) = (Gate::new(), Window::new());
        let mut waiting = batches.into_iter();
        let mut mailbox = std::collections::VecDeque::new();
        let (mut held, mut sent, mut taken) = (Amount::default(), 0, 0);
        let mut choices = choices.into_iter();
        loop {
            let choice = choices.next().unwrap_or(3);
            match choice {
                4 => window.resize(RESERVE),
                5 => window.resize(WINDOW),
                _ => {}
            }
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

#[test]
fn a_full_budget_is_tight_until_half_of_it_is_free() {
    let budget = Arc::new(Budget::new(100, 1));
    let mut account = Account::new(&budget, 0);
    let mut tight_at = |held: u64, before: u64| {
        account.change(before, held);
        account.publish();
        budget.is_tight()
    };
    assert!(!tight_at(74, 0), "below three quarters");
    assert!(tight_at(75, 74), "three quarters");
    assert!(tight_at(50, 75), "falling, half is not free yet");
    assert!(!tight_at(49, 50), "half is free");
    assert!(!tight_at(74, 49), "rising again");
    assert!(tight_at(u64::from(u32::MAX), 74), "far beyond");
}

#[test]
fn without_a_limit_nothing_is_tight() {
    let budget = Budget::unlimited();
    budget.change(0, 1 << 50);
    assert!(!budget.is_tight() && budget.used() == 1 << 50, "a petabyte is held");
}

proptest! {
    /// What one loop charges another discharges, and they publish in any order.
    #[test]
    fn a_budget_is_the_sum_of_what_waits_once_all_have_published(
        moves in proptest::collection::vec((0_usize..4, 0_usize..4, 0_u64..1 << 40), 0..200),
        keep in 0_usize..50,
    ) {
        let budget = Arc::new(Budget::new(1 << 50, 3));
        let mut accounts: Vec<_> = (0..3).map(|at| Account::new(&budget, at)).collect();
        let held: u64 = moves.iter().take(keep).map(|(_, _, bytes)| bytes).sum();
        for (number, (from, to, bytes)) in moves.into_iter().enumerate() {
            match accounts.get_mut(from) {
                Some(loops) => loops.charge(bytes),
                None => budget.change(0, bytes),
            }
            if number >= keep {
                match accounts.get_mut(to) {
                    Some(loops) => loops.discharge(bytes),
                    None => budget.change(bytes, 0),
                }
            }
            if number % 3 == 0 {
                accounts[from.min(2)].publish();
                prop_assert!(budget.used() < 1 << 50, "never wraps to a huge figure");
            }
        }
        accounts.iter().for_each(Account::publish);
        prop_assert_eq!(budget.used(), held);
    }

    /// Every window is open, and together they take a quarter of the budget if that is enough for
    /// their reserves.
    #[test]
    fn windows_share_a_quarter_of_the_budget(
        limit in 32_u64 << 20..1 << 40,
        windows in 1_u64..10_000,
    ) {
        let size = window_among(limit, windows, false);
        let reserves = windows * RESERVE.bytes;
        prop_assert!(size.bytes * windows <= (limit / 4).max(reserves), "{:?} each", size);
        prop_assert!(size.tuples >= RESERVE.tuples && size.tuples <= WINDOW.tuples);
    }

    /// However many queues there are, all of them full leave room in the budget.
    #[test]
    fn full_queues_do_not_fill_a_budget(
        limit in 32_u64 << 20..1 << 40,
        mailboxes in 1_u64..1000,
        targets in 1_u64..2000,
    ) {
        let shares = Shares::of(limit, mailboxes, targets);
        prop_assert!(shares.mailbox * mailboxes + shares.outbox * targets <= limit / 2);
        prop_assert!(shares.mailbox > 0 && shares.outbox > 0, "each may hold something");
    }
}
