//! Credits over real connections.

use bytes::Bytes;

use super::{TASK, Worker, numbered, pair_with_wire, until};
use crate::engine::flow::WINDOW;

/// Sends single tuples until the gate closes; returns how many.
fn fill(a: &Worker) -> u32 {
    let (link, gate) = (a.link(2), a.link(2).gate(TASK));
    let mut sent = 0;
    while gate.may_send() {
        gate.took(1, 4);
        link.send(numbered(sent, 0));
        sent += 1;
    }
    sent
}

#[tokio::test]
async fn a_gate_closes_at_the_window_and_opens_when_the_peer_consumes() {
    let (a, b, _wire) = pair_with_wire().await;
    assert_eq!(u64::from(fill(&a)), WINDOW.tuples, "the window bounds what is under way");
    b.recorder.until(|it| it.frames.len() as u64 == WINDOW.tuples).await;
    a.until_acknowledged().await;
    assert!(!a.link(2).gate(TASK).may_send(), "to arrive is not to be consumed");

    b.transport.consumed(1, TASK, WINDOW.tuples, WINDOW.tuples * 4);
    a.recorder.until(|it| it.wakes > 0).await;
    assert_eq!(a.link(2).gate(TASK).left(), WINDOW.tuples, "a whole window more");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_task_without_credit_does_not_hold_up_another() {
    let (a, b, _wire) = pair_with_wire().await;
    fill(&a);
    assert!(a.link(2).gate(TASK + 1).may_send(), "each task has its own window");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn credits_granted_while_the_network_was_down_come_with_the_resume() {
    let (a, b, wire) = pair_with_wire().await;
    fill(&a);
    b.recorder.until(|it| it.frames.len() as u64 == WINDOW.tuples).await;
    wire.take_down();
    b.transport.consumed(1, TASK, 10, 40);
    wire.put_up();
    until("even a grant not worth a message", || a.link(2).gate(TASK).left() == 10).await;
    a.recorder.until(|it| it.wakes > 0).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_gate_of_a_retired_link_is_open() {
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    fill(&a);
    wire.take_down();
    a.adopt(2, &[a.route()]);
    a.recorder.until(|it| it.wakes > 0).await;
    let (known, new) = (link.gate(TASK), link.gate(TASK + 1));
    new.took(WINDOW.tuples, 0);
    assert!(known.may_send() && new.may_send(), "nobody waits for a worker that is gone");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn credits_start_over_with_the_link_when_it_could_not_resume() {
    let (a, b, _wire) = pair_with_wire().await;
    fill(&a);
    b.recorder.until(|it| it.frames.len() as u64 == WINDOW.tuples).await;
    a.link(2).send(Bytes::from_static(b"\x01garbage"));
    a.recorder.until(|it| it.wakes > 0).await;
    assert_eq!(u64::from(fill(&a)), WINDOW.tuples, "what was under way does not count any more");
    b.recorder.until(|it| it.frames.len() as u64 == 2 * WINDOW.tuples).await;
    // The mailbox holds two windows now; only what came since the new start is granted again.
    b.transport.consumed(1, TASK, 2 * WINDOW.tuples, 2 * WINDOW.tuples * 4);
    until("a window is granted", || a.link(2).gate(TASK).left() == WINDOW.tuples).await;
    a.stop().await;
    b.stop().await;
}
