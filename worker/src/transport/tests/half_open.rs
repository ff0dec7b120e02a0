//! Connections whose other end is gone without a word: pings find them, and nothing is lost.

use std::time::Duration;

use super::{numbered, pair_with_wire, until};
use crate::engine::routing::ROOM_FULL;

#[tokio::test]
async fn a_half_open_connection_is_found_and_the_link_resumes_without_a_loss() {
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    (0..5).for_each(|number| link.send(numbered(number, 0)));
    b.recorder.until(|it| it.frames.len() == 5).await;
    a.until_acknowledged().await;

    wire.hang();
    (5..10).for_each(|number| link.send(numbered(number, 0)));
    // The system itself would go on sending for a quarter of an hour.
    until("the silence is noticed", || !link.is_connected()).await;
    assert!(a.transport.oldest_wait() > Duration::ZERO, "what was sent into the void waits");

    wire.heal();
    b.recorder.until(|it| it.frames.len() == 10).await;
    assert_eq!(b.recorder.numbers(), (0..10).collect::<Vec<_>>(), "each once, in order");
    assert!(a.recorder.lost().is_empty(), "nothing is given up");
    a.until_acknowledged().await;
    assert_eq!(a.transport.oldest_wait(), Duration::ZERO, "nothing waits any more");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_worker_that_can_send_but_not_receive_is_not_mistaken_for_a_connected_one() {
    let (a, b, wire) = pair_with_wire().await;
    let (to_b, to_a) = (a.link(2), b.link(1));
    to_a.send(numbered(1, 0));
    to_b.send(numbered(2, 0));
    a.recorder.until(|it| it.frames.len() == 1).await;
    b.recorder.until(|it| it.frames.len() == 1).await;
    wire.hang();
    until("one way is gone", || !to_b.is_connected()).await;
    to_a.send(numbered(3, 0));
    a.recorder.until(|it| it.frames.len() == 2).await;
    assert!(to_a.is_connected(), "the other way goes on");
    wire.heal();
    to_b.send(numbered(4, 0));
    b.recorder.until(|it| it.frames.len() == 2).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_choice_passes_by_a_worker_that_is_not_connected_and_others_still_reach_it() {
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    let gate = link.gate(0);
    until("it is connected", || gate.room() == ROOM_FULL).await;
    wire.hang();
    link.send(numbered(0, 0));
    until("the silence is noticed", || gate.room() == 0).await;
    assert_eq!(link.gate(1).room(), 0, "a gate that is asked for meanwhile knows of it");
    assert!(gate.may_send(), "what only this worker can do waits in the link");
    link.send(numbered(1, 0));
    wire.heal();
    b.recorder.until(|it| it.frames.len() == 2).await;
    assert_eq!(gate.room(), ROOM_FULL, "it takes part again");
    a.stop().await;
    b.stop().await;
}
