//! Tasks that other threads have called.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};

use topology_api::prelude::*;
use topology_api::{Outcome, channel};

use crate::vocabulary::{Audit, Number, fused_and_not, run, topology};

/// Emits what another thread leaves for it; that one sends the next number when this one is acked.
struct Fed {
    from: Arc<Mutex<VecDeque<u64>>>,
    acked: mpsc::Sender<u64>,
    left: u64,
}

impl Fed {
    fn new(cx: &Context, count: u64) -> Self {
        let from = Arc::new(Mutex::new(VecDeque::from([0])));
        let (to, waker) = (Arc::clone(&from), cx.waker());
        let (acked, replies) = mpsc::channel();
        std::thread::spawn(move || {
            for n in replies.iter().take_while(|n| n + 1 < count) {
                to.lock().unwrap().push_back(n + 1);
                waker.wake_by_ref();
            }
        });
        Self { from, acked, left: count }
    }
}

impl Spout for Fed {
    type Output = Number;
    type Id = u64;

    fn next(&mut self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.left == 0 {
            return Ok(Next::Finished);
        }
        let Some(n) = self.from.lock().unwrap().pop_front() else { return Ok(Next::Idle) };
        self.left -= 1;
        out.emit(n, Number { n });
        Ok(Next::Emitted)
    }

    fn ack(&mut self, id: u64) {
        self.acked.send(id).ok();
    }
}

#[test]
fn a_spout_is_asked_when_another_thread_wakes_it() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("fed", fusion);
        let numbers = t.spout("fed", |cx| Fed::new(cx, 2_000)).stream();
        t.bolt("sink", audit.sink()).shuffle(&numbers);
        run(t);
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..2_000), "one after the other, and all");
    });
}

#[test]
fn what_is_sent_through_a_channel_comes_without_a_pause() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let (feeder, spout) = channel(10);
        let mut t = topology("channel", fusion);
        let numbers = t.spout("fed", move |_| spout.clone()).stream();
        t.bolt("sink", audit.sink()).shuffle(&numbers);
        let sender = std::thread::spawn(move || {
            for n in 0..1_000 {
                let receipt = feeder.send_with_receipt(Number { n }).unwrap();
                assert_eq!(receipt.wait(), Outcome::Acked, "number {n}");
            }
        });
        run(t);
        sender.join().unwrap();
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..1_000), "one after the other, and all");
    });
}
