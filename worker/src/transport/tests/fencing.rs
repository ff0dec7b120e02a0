//! Incarnations: the older one is refused, and what was on its way to it comes back.

use bytes::Bytes;

use super::{FRAME_BYTES_MAX, Worker, epoch, numbered, pair_with_wire, route, until};
use crate::engine::acking::FailReason;
use crate::engine::links::handshake::Refusal;

#[tokio::test]
async fn an_older_incarnation_than_the_table_names_is_refused_and_told() {
    let (old, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    b.adopt(9, &[route(1, epoch(2), ""), b.route()]);
    old.adopt(3, &[old.route(), b.route()]);
    old.link(2).send(numbered(0, 0));
    until("it is refused", || old.transport.retired() == Some(9)).await;
    assert!(b.recorder.numbers().is_empty(), "nothing of it is taken");
    let turned = b.transport.turned_away();
    let (who, epoch, why, count) = turned.iter().next().expect("it is counted");
    assert_eq!((who, epoch, why), ("worker 1", "1.0", "retired"));
    assert!(count > 0, "each time");
    old.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_newer_incarnation_that_says_hello_retires_the_older_before_any_table_does() {
    let (old, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    let routes = [old.route(), b.route()];
    b.adopt(1, &routes);
    old.adopt(1, &routes);
    old.link(2).send(numbered(0, 0));
    b.recorder.until(|it| it.frames.len() == 1).await;

    let new = Worker::start(1, epoch(2)).await;
    new.adopt(2, &[new.route(), b.route()]);
    new.link(2).send(numbered(10, 0));
    b.recorder.until(|it| it.frames.len() == 2).await;
    until("the older is told", || old.transport.retired().is_some()).await;
    old.link(2).send(numbered(1, 0));
    new.link(2).send(numbered(11, 0));
    b.recorder.until(|it| it.frames.len() == 3).await;
    assert_eq!(b.recorder.numbers(), [0, 10, 11], "frames of the older are not taken any more");
    old.stop().await;
    new.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_table_that_names_a_newer_incarnation_ends_the_stream_of_the_older() {
    let (old, b, _wire) = pair_with_wire().await;
    old.link(2).send(numbered(0, 0));
    b.recorder.until(|it| it.frames.len() == 1).await;
    b.adopt(5, &[route(1, epoch(2), ""), b.route()]);
    old.link(2).send(numbered(1, 0));
    until("it is refused", || old.transport.retired() == Some(5)).await;
    assert_eq!(b.recorder.numbers(), [0], "frames of the older are not taken any more");
    assert!(b.transport.turned_away().iter().any(|it| it.2 == "retired"), "it is counted");
    old.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_sender_that_wants_another_incarnation_waits_for_the_next_table() {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(2)).await);
    a.adopt(1, &[a.route(), route(2, epoch(1), &b.transport.address())]);
    let link = a.link(2);
    link.send(numbered(0, 0));
    until("it is refused", || a.refusals() == [Refusal::NotMe]).await;
    assert!(a.transport.retired().is_none(), "it is not a itself that is retired");
    a.adopt(2, &[a.route(), b.route()]);
    a.recorder.until(|it| it.lost == [(0, FailReason::WorkerLost)]).await;
    a.link(2).send(numbered(1, 0));
    b.recorder.until(|it| it.frames == [(1, 1)]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_worker_of_another_topology_is_refused() {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start_in("other", 2, epoch(1)).await);
    a.adopt(1, &[a.route(), b.route()]);
    a.link(2).send(numbered(0, 0));
    until("it is refused", || a.refusals() == [Refusal::Foreign]).await;
    assert!(b.recorder.numbers().is_empty(), "nothing of it is taken");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn exactly_the_unacknowledged_frames_come_back_when_the_peer_is_restarted() {
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    (0..5).for_each(|number| link.send(numbered(number, 0)));
    b.recorder.until(|it| it.frames.len() == 5).await;
    a.until_acknowledged().await;
    wire.take_down();
    (5..8).for_each(|number| link.send(numbered(number, 0)));

    let restarted = Worker::start(2, epoch(2)).await;
    a.adopt(2, &[a.route(), restarted.route()]);
    a.recorder.until(|it| it.lost.len() >= 3).await;
    let lost: Vec<_> = (5..8).map(|number| (number, FailReason::WorkerLost)).collect();
    assert_eq!(a.recorder.lost(), lost, "the first five had been acknowledged");

    a.link(2).send(numbered(100, 0));
    restarted.recorder.until(|it| it.frames == [(1, 100)]).await;
    link.send(numbered(8, 0));
    a.recorder.until(|it| it.lost.last() == Some(&(8, FailReason::WorkerLost))).await;
    assert_eq!(restarted.recorder.numbers(), [100], "nothing for the older one reaches the newer");
    a.stop().await;
    b.stop().await;
    restarted.stop().await;
}

#[tokio::test]
async fn a_worker_that_left_the_table_is_lost() {
    let (a, b, wire) = pair_with_wire().await;
    wire.take_down();
    let link = a.link(2);
    link.send(numbered(0, 0));
    a.adopt(2, &[a.route()]);
    a.recorder.until(|it| it.lost == [(0, FailReason::WorkerLost)]).await;
    assert!(a.transport.link(2).is_none(), "there is no link to it");
    assert!(!a.transport.pending(), "and nothing to wait for");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_older_table_changes_nothing() {
    let (a, b, _wire) = pair_with_wire().await;
    a.adopt(5, &[a.route(), b.route()]);
    let link = a.link(2);
    a.adopt(4, &[a.route()]);
    link.send(numbered(0, 0));
    b.recorder.until(|it| it.frames == [(1, 0)]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_frame_that_cannot_be_read_is_given_up_and_the_link_goes_on() {
    let (a, b, _wire) = pair_with_wire().await;
    let link = a.link(2);
    link.send(numbered(0, 0));
    b.recorder.until(|it| it.frames.len() == 1).await;
    link.send(Bytes::from_static(b"\x01garbage"));
    link.send(numbered(1, 0));
    a.recorder.until(|it| it.lost == [(1, FailReason::LinkLost)]).await;
    link.send(numbered(2, 0));
    b.recorder.until(|it| it.frames.len() == 2).await;
    assert_eq!(b.recorder.numbers(), [0, 2], "what was behind the broken frame is lost, as told");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_frame_that_no_message_can_hold_comes_back_and_the_link_goes_on() {
    let (a, b, _wire) = pair_with_wire().await;
    let link = a.link(2);
    link.send(numbered(0, FRAME_BYTES_MAX));
    link.send(numbered(1, 0));
    a.recorder.until(|it| it.lost == [(0, FailReason::TooLarge)]).await;
    b.recorder.until(|it| it.frames == [(1, 1)]).await;
    a.stop().await;
    b.stop().await;
}
