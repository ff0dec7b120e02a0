//! Routing a batch, and handing it over to its executor.

use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use topology_api::runtime::{Batch, Rows};
use worker::engine::acking::Tracking;
use worker::engine::routing::{self, GroupingKind, Nearness, ROOM_FULL, Routed, Router, Targets};
use worker::executor::inbox::{Inbox, Message};
use worker::executor::mailbox::{
    Delivery, Gauge, Item, MAILBOX_TUPLES, Mailbox, Payload, StreamRef,
};

use super::words::{NULL, Parts, Word};
use super::{BATCH, BATCHES, Bench};
use crate::figures::as_f64;
use crate::meter::now_ns;
use crate::problem::Problem;

/// Tasks to choose from.
const TASKS: usize = 4;

/// Chooses targets, and parts the batch where its tuples part ways.
pub(super) fn route(bench: &mut Bench) -> Result<(), Problem> {
    let parts = Parts::new()?;
    let inputs = &parts.component(NULL)?.inputs;
    let key = inputs.iter().find_map(|input| input.grouping.key());
    let key = key.ok_or_else(|| Problem::failed("cannot route", "no key is declared"))?;
    let direct: Vec<u32> = (0..).take(BATCH).map(|at| at % TASKS as u32).collect();
    for (kind, what) in [
        (GroupingKind::Shuffle, "shuffle to 4"),
        (GroupingKind::LocalOrShuffle, "local or shuffle, 4 local"),
        (GroupingKind::Fields, "fields to 4: hash and part"),
        (GroupingKind::PartialKey, "partial key to 4: hash and part"),
        (GroupingKind::SpreadHotKeys, "spread hot keys over 4: hash and part"),
        (GroupingKind::All, "all to 4: copies, a tuple emitted"),
        (GroupingKind::Global, "global"),
        (GroupingKind::Direct, "direct to 4: part"),
    ] {
        let mut router = Router::new(kind, &Targets { near: vec![Nearness::Worker; TASKS] }, 1);
        let mut bins: Vec<Box<dyn Rows>> = (0..TASKS).map(|_| Batch::<Word>::boxed()).collect();
        let (mut keys, mut ordinals) = (Vec::new(), Vec::new());
        let mut batches = parts.batches()?;
        let is_keyed = what.contains("hash");
        let direct: &[u32] = if kind == GroupingKind::Direct { &direct } else { &[] };
        bench.stage(("route", what), &mut batches, |mut rows| {
            for bin in &mut bins {
                bin.clear();
            }
            keys.clear();
            if is_keyed {
                (key.hashes)(&*rows, &mut keys);
            }
            let batch = routing::Batch { len: rows.len(), hashes: &keys, direct, busy: None };
            match router.route(batch, &|_| ROOM_FULL, &mut ordinals) {
                Routed::Each => rows.scatter(&ordinals, &mut bins),
                Routed::Every => bins.iter_mut().for_each(|bin| *bin = rows.duplicate()),
                // As the worker does when nothing waits for that task.
                Routed::Whole(at) => std::mem::swap(&mut bins[at as usize], &mut rows),
                Routed::Nowhere => {}
            }
            rows
        });
    }
    Ok(())
}

fn delivery(rows: Box<dyn Rows>, now: Instant) -> Delivery {
    Delivery {
        target: 0,
        from: StreamRef { component: 0, stream: 0 },
        tuples: rows.len() as u64,
        bytes: rows.weight() as u64,
        payload: Payload::Typed(rows),
        tracking: Tracking::new(),
        peer: None,
        since: now,
    }
}

/// Puts a batch into a mailbox and takes it out, on one loop and between two.
pub(super) fn hand_over(bench: &mut Bench) -> Result<(), Problem> {
    let parts = Parts::new()?;
    let mut batches = parts.batches()?;
    let gauge = Arc::new(Gauge::default());
    let mut mailbox = Mailbox::new(Arc::clone(&gauge));
    let now = daemon::Clock::system().now();
    let mut ready = || delivery(batches(), now);
    bench.stage(("hand over", "to a mailbox of the same loop"), &mut ready, |delivery| {
        gauge.put(delivery.tuples, delivery.bytes);
        mailbox.push(Item::Batch(delivery));
        mailbox.pop()
    });
    let mut batches = parts.batches()?;
    let waiting: Vec<Delivery> =
        (0..MAILBOX_TUPLES as usize / BATCH).map(|_| delivery(batches(), now)).collect();
    across_loops(bench, waiting);
    Ok(())
}

/// Sends batches to another thread, which reads them and sends them back: how long half of that
/// takes while there are as many under way as a mailbox takes.
fn across_loops(bench: &mut Bench, waiting: Vec<Delivery>) {
    let (there, back) = (Inbox::default(), Inbox::default());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut messages = Vec::new();
            while !over.load(Ordering::Relaxed) {
                there.drain(&mut messages);
                pass_on(&mut messages, &back);
            }
        });
        let send = |delivery| Message::Item { executor: 0, item: Item::Batch(delivery) };
        waiting.into_iter().for_each(|delivery| there.send(send(delivery)));
        let mut messages = Vec::new();
        bench.rounds("hand over", "to the inbox of another loop, and read there", || {
            let begun = now_ns();
            let mut passed = 0;
            while passed < BATCHES {
                back.drain(&mut messages);
                passed += pass_on(&mut messages, &there);
            }
            as_f64(now_ns() - begun) / 2.0
        });
        over.store(true, Ordering::Relaxed);
    });
}

/// Reads the batches of messages and sends them on; returns how many there were.
fn pass_on(messages: &mut Vec<Message>, to: &Inbox) -> u32 {
    if messages.is_empty() {
        spin_loop();
    }
    let mut count = 0;
    for message in messages.drain(..) {
        if let Message::Item { item: Item::Batch(Delivery { payload, .. }), .. } = &message
            && let Payload::Typed(rows) = payload
            && let Some(batch) = rows.as_any().downcast_ref::<Batch<Word>>()
        {
            black_box(batch.rows.iter().map(|word| word.number).sum::<u64>());
        }
        to.send(message);
        count += 1;
    }
    count
}
