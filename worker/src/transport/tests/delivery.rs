//! Frames arrive once and in order, whatever happens to connections.

use super::{Worker, epoch, numbered, pair_with_wire};

#[tokio::test]
async fn frames_arrive_once_and_in_order_both_ways() {
    let (a, b, _wire) = pair_with_wire().await;
    let (to_b, to_a) = (a.link(2), b.link(1));
    for number in 0..1000 {
        to_b.send(numbered(number, 10));
        to_a.send(numbered(number, 10));
    }
    a.recorder.until(|it| it.frames.len() >= 1000).await;
    b.recorder.until(|it| it.frames.len() >= 1000).await;
    a.until_acknowledged().await;
    b.until_acknowledged().await;
    let expected: Vec<u32> = (0..1000).collect();
    assert_eq!(a.recorder.numbers(), expected, "what b sent");
    assert_eq!(b.recorder.numbers(), expected, "what a sent");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn frames_wait_for_a_peer_that_has_no_address_yet() {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    a.adopt(1, &[a.route(), b.route_by("")]);
    a.link(2).send(numbered(1, 0));
    assert!(a.transport.pending(), "it waits");
    a.adopt(2, &[a.route(), b.route()]);
    b.recorder.until(|it| it.frames == [(1, 1)]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn tables_are_adopted_and_frames_are_sent_on_any_thread() {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    let routes = [a.route(), b.route()];
    std::thread::scope(|threads| {
        threads.spawn(|| {
            a.adopt(1, &routes);
            a.link(2).send(numbered(1, 0));
        });
    });
    b.recorder.until(|it| it.frames == [(1, 1)]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_frame_of_the_largest_tuple_arrives() {
    let (a, b, _wire) = pair_with_wire().await;
    a.link(2).send(numbered(1, 16 << 20));
    b.recorder.until(|it| it.frames == [(1, 1)]).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_reordered_when_connections_break_under_load() {
    const FRAMES: u32 = 6000;
    const CUTS: u32 = 20;
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    let mut cuts = 0;
    for number in 0..FRAMES {
        // From a few bytes to several HTTP/2 frames.
        link.send(numbered(number, (number as usize * 7919) % 20_000));
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while cuts < CUTS {
        cuts += 1;
        let goal = (FRAMES / (CUTS + 1) * cuts) as usize;
        b.recorder.until(|it| it.frames.len() >= goal).await;
        wire.cut();
    }
    b.recorder.until(|it| it.frames.len() >= FRAMES as usize).await;
    a.until_acknowledged().await;
    assert_eq!(b.recorder.numbers(), (0..FRAMES).collect::<Vec<_>>(), "once and in order");
    assert!(a.recorder.lost().is_empty(), "a broken connection loses nothing");
    let report = &a.transport.reports()[0];
    assert!(report.reconnects > 0, "the connection was cut {CUTS} times: {report:?}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn frames_sent_while_the_network_is_down_arrive_when_it_is_back() {
    let (a, b, wire) = pair_with_wire().await;
    let link = a.link(2);
    link.send(numbered(0, 0));
    b.recorder.until(|it| it.frames.len() == 1).await;
    wire.take_down();
    (1..100).for_each(|number| link.send(numbered(number, 1000)));
    wire.put_up();
    b.recorder.until(|it| it.frames.len() >= 100).await;
    assert_eq!(b.recorder.numbers(), (0..100).collect::<Vec<_>>(), "once and in order");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_worker_that_shuts_down_leaves_no_tokio_task_behind() {
    let (a, b, _wire) = pair_with_wire().await;
    a.link(2).send(numbered(0, 0));
    b.recorder.until(|it| it.frames.len() == 1).await;
    b.stop().await;
    a.link(2).send(numbered(1, 0));
    a.stop().await;
}
