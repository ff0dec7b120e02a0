//! What posters are told, driven by hand.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use topology_api::testing::SpoutDriver;
use topology_api::{FailReason, Line, Next};

use super::PushSpout;
use super::queue::{Failed, Intake, Refused};

const FAILED: FailReason = FailReason::new("error", true);

fn opened(capacity: usize) -> (SpoutDriver<Line>, Intake<Line>) {
    let intake = Arc::new(Mutex::new(None));
    let to = Arc::clone(&intake);
    let open = move |cx: &_| {
        let (spout, intake) = PushSpout::<Line>::open(capacity, None, cx)?;
        *to.lock().unwrap() = Some(intake);
        Ok::<_, topology_api::Error>(spout)
    };
    let driver = SpoutDriver::new(open).unwrap();
    let intake = intake.lock().unwrap().take().unwrap();
    (driver, intake)
}

fn lines(count: usize) -> Vec<Line> {
    (0..count).map(|n| Line { text: n.to_string().as_str().into() }).collect()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

fn posted(intake: &Intake<Line>, count: usize) -> JoinHandle<Result<Failed, Refused>> {
    let intake = intake.clone();
    std::thread::spawn(move || block_on(intake.post(lines(count))))
}

fn emitted(driver: &mut SpoutDriver<Line>, count: usize) {
    let mut all = 0;
    while all < count {
        all += driver.run().unwrap().len();
    }
}

#[test]
fn a_batch_has_its_verdict_when_each_of_its_records_has() {
    let (mut driver, intake) = opened(10);
    let post = posted(&intake, 3);
    emitted(&mut driver, 3);
    driver.ack(2);
    driver.fail(1, FAILED);
    assert!(!post.is_finished(), "one is under way");
    driver.ack(0);
    assert_eq!(post.join().unwrap(), Ok(vec![(1, "error")]));
    assert!(driver.run().unwrap().is_empty(), "who was told sends it again");
    assert_eq!(block_on(intake.post(Vec::new())), Ok(Failed::new()), "nothing is soon processed");
}

#[test]
fn there_is_room_for_all_of_a_batch_or_it_is_refused() {
    let (mut driver, intake) = opened(5);
    let post = posted(&intake, 4);
    emitted(&mut driver, 4);
    assert_eq!(block_on(intake.post(lines(2))), Err(Refused::Full));
    assert_eq!(driver.counter("refused"), 1);
    driver.ack(0);
    let second = posted(&intake, 2);
    emitted(&mut driver, 2);
    driver.ack_all();
    assert_eq!((post.join().unwrap(), second.join().unwrap()), (Ok(vec![]), Ok(vec![])));
}

#[test]
fn who_waits_when_the_task_ends_is_told() {
    let (mut driver, intake) = opened(10);
    let (emitted_one, waiting) = (posted(&intake, 1), intake.clone());
    emitted(&mut driver, 1);
    drop(driver);
    assert_eq!(emitted_one.join().unwrap(), Ok(vec![(0, "task-ended")]));
    assert_eq!(block_on(waiting.post(lines(1))), Err(Refused::Ended));
    assert_eq!(block_on(waiting.hand_over(lines(1))), Err(Refused::Ended));
}

#[test]
fn what_nobody_waits_for_is_emitted_until_it_is_processed() {
    let (mut driver, intake) = opened(1);
    block_on(intake.hand_over(lines(1))).unwrap();
    emitted(&mut driver, 1);
    driver.fail(0, FAILED);
    emitted(&mut driver, 1);
    assert_eq!(block_on(intake.try_hand_over(lines(1))), Err(Refused::Full));
    driver.ack(1);
    block_on(intake.try_hand_over(lines(1))).unwrap();
    emitted(&mut driver, 1);
    intake.finish();
    assert_eq!(driver.call_next().unwrap().0, Next::Finished);
}
