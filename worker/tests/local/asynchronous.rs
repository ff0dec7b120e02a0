//! Async bolts: many calls under way, each settled once, whatever becomes of it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::pending;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use topology_api::NoOutput;
use topology_api::prelude::*;

use crate::vocabulary::{Alone, Audit, Number, Pass, fused_and_not, run, topology};

/// Waits for a time that depends on the number.
struct Wait;

impl AsyncBolt for Wait {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        tokio::time::sleep(Duration::from_micros(number.n * 7919 % 3000)).await;
        out.emit(number);
        Ok(())
    }
}

#[test]
fn what_async_calls_emit_leaves_in_the_order_of_their_inputs() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("ordered", fusion);
        let numbers = audit.spout(&mut t, 5_000);
        let waited = t.async_bolt("wait", |_| Wait).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&waited);
        run(t);
        audit.assert_each_acked_once(5_000);
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..5_000), "first in, first out, and none lost");
    });
}

/// The first call waits for a later one; how many are under way is noted.
#[derive(Default)]
struct First {
    under_way: Cell<usize>,
    most: Cell<usize>,
    later: Notify,
    cx: Option<Context>,
}

impl AsyncBolt for First {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        self.under_way.set(self.under_way.get() + 1);
        self.most.set(self.most.get().max(self.under_way.get()));
        match number.n {
            0 => self.later.notified().await,
            7 => self.later.notify_one(),
            _ => tokio::task::yield_now().await,
        }
        out.emit(number);
        self.under_way.set(self.under_way.get() - 1);
        Ok(())
    }

    async fn finish(&self, _: &mut Output<Number>) -> BoltResult {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Some(cx) = &self.cx {
            cx.result(&self.most.get());
        }
        Ok(())
    }
}

#[test]
fn calls_overtake_each_other_within_bounds_and_their_output_only_if_it_may() {
    for ordered in [true, false] {
        fused_and_not(|fusion| {
            let audit = Audit::default();
            let mut t = topology("first", fusion);
            let numbers = audit.spout(&mut t, 1_000);
            let first = |cx: &Context| First { cx: Some(cx.clone()), ..First::default() };
            let first = t.async_bolt("first", first).concurrency(8);
            let first = if ordered { first.ordered() } else { first.unordered() };
            t.bolt("sink", audit.sink()).global(&first.shuffle(&numbers).stream());
            let finished = run(t);
            audit.assert_each_acked_once(1_000);
            let seen: Vec<u64> = audit.seen.lock().unwrap().iter().map(|(_, n)| *n).collect();
            assert_eq!(seen.is_sorted(), ordered, "the first was overtaken: {seen:?}");
            assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 1_000, "none is lost");
            let most = &finished.snapshot.results;
            assert!(most.values().eq(["8"]), "eight at a time, and no more: {most:?}");
        });
    }
}

/// Does not do well the first time, each time in another way.
struct Trouble {
    tried: Arc<Mutex<HashSet<u64>>>,
}

impl AsyncBolt for Trouble {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        tokio::task::yield_now().await;
        out.emit(number.clone());
        if number.n.is_multiple_of(100) && self.tried.lock().unwrap().insert(number.n) {
            match number.n / 100 {
                1 => panic!("trouble with {}", number.n),
                2 => pending().await,
                3 => (0..100_000).for_each(|_| out.emit(number.clone())),
                _ => "no number".parse::<u64>().map(drop)?,
            }
        }
        Ok(())
    }
}

#[test]
fn calls_that_fail_panic_hang_or_emit_too_much_fail_their_inputs_and_are_made_again() {
    for ordered in [true, false] {
        fused_and_not(|fusion| {
            let audit = Audit::default();
            let mut t = topology("trouble", fusion);
            t.config("output.budget", "64KiB").unwrap();
            let numbers = audit.spout(&mut t, 1_000);
            let tried = Arc::default();
            let trouble = t.async_bolt("trouble", move |_| Trouble { tried: Arc::clone(&tried) });
            let trouble = trouble.concurrency(10).deadline(Duration::from_millis(200));
            let trouble = if ordered { trouble } else { trouble.unordered() };
            t.bolt("sink", audit.sink()).global(&trouble.shuffle(&numbers).stream());
            let finished = run(t);
            audit.assert_each_acked_once(1_000);
            let failed = audit.failed.lock().unwrap();
            let of = |n: u64| failed.iter().find(|(id, _)| *id == n).map(|(_, reason)| *reason);
            let reasons = [100, 200, 300, 400].map(of);
            let expected = ["panic", "timeout", "too-much-output", "error"].map(Some);
            assert_eq!(reasons, expected, "of {failed:?}");
            let panics = failed.iter().filter(|(_, reason)| *reason == "panic").count();
            assert!(panics <= 10, "only what was under way fails with a panic: {failed:?}");
            let told = |part| finished.snapshot.errors.iter().any(|e| e.text.contains(part));
            assert!(told("trouble with 100"), "the panic is shown");
            assert!(told("a call had not returned after 200ms"), "what hung is shown");
            assert!(told("invalid digit"), "the error is shown");
        });
    }
}

/// Waits in vain for a store the first time, and knows that it is away.
struct Away(Trouble);

impl AsyncBolt for Away {
    type Input = Number;
    type Output = NoOutput;

    async fn execute(&self, number: Number, _: &mut Output<NoOutput>) -> BoltResult {
        if self.0.tried.lock().unwrap().insert(number.n) {
            pending::<()>().await;
        }
        Ok(())
    }

    fn late(&self) -> Option<String> {
        Some("the store is away".to_owned())
    }
}

#[test]
fn a_call_past_its_deadline_fails_as_unavailable_where_the_bolt_knows_what_is_away() {
    let audit = Audit::default();
    let mut t = topology("away", false);
    let numbers = audit.spout(&mut t, 20);
    let tried = Arc::default();
    let store = t.async_bolt("store", move |_| Away(Trouble { tried: Arc::clone(&tried) }));
    store.deadline(Duration::from_millis(50)).shuffle(&numbers);
    let finished = run(t);
    audit.assert_each_acked_once(20);
    let failed = audit.failed.lock().unwrap();
    let reasons: HashSet<_> = failed.iter().map(|(_, reason)| *reason).collect();
    assert_eq!((failed.len(), reasons), (20, HashSet::from(["unavailable"])));
    let errors = &finished.snapshot.errors;
    let told = "the store is away (given up after 50ms)";
    assert!(errors.iter().any(|error| error.text == told), "{errors:?}");
}

/// Asks a server by TCP, each time on a connection of its own, and keeps what it cannot share
/// between threads.
struct Ask {
    server: SocketAddr,
    asked: Rc<RefCell<u64>>,
    cx: Context,
}

impl AsyncBolt for Ask {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        *self.asked.borrow_mut() += 1;
        let mut stream = tokio::net::TcpStream::connect(self.server).await?;
        stream.write_all(format!("{}\n", number.n).as_bytes()).await?;
        let mut answer = String::new();
        tokio::io::BufReader::new(stream).read_line(&mut answer).await?;
        out.emit(Number { n: answer.trim().parse()? });
        Ok(())
    }

    fn close(&mut self) {
        self.cx.result(&*self.asked.borrow());
    }
}

/// Answers each number with its double, on one thread.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let n: u64 = line.trim().parse().unwrap();
            writeln!(reader.get_mut(), "{}", 2 * n).unwrap();
        }
    });
    address
}

#[test]
fn calls_use_the_sockets_of_tokio() {
    let server = server();
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("ask", fusion);
        let numbers = audit.spout(&mut t, 500);
        let ask = move |cx: &Context| Ask { server, asked: Rc::default(), cx: cx.clone() };
        let doubled = t.async_bolt("ask", ask).unordered().shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&doubled);
        let finished = run(t);
        audit.assert_each_acked_once(500);
        let mut seen: Vec<u64> = audit.seen.lock().unwrap().iter().map(|(_, n)| *n).collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..500).map(|n| 2 * n)), "the server's answers");
        assert!(finished.snapshot.results.values().eq(["500"]), "`close` is called at the end");
    });
}

/// Gives very much for each tuple, and the same again at the end.
struct Burst;

impl AsyncBolt for Burst {
    type Input = Number;
    type Output = Number;

    async fn execute(&self, number: Number, out: &mut Output<Number>) -> BoltResult {
        tokio::task::yield_now().await;
        out.emit_from((0..50_000).map(move |n| Number { n: number.n * 50_000 + n }));
        Ok(())
    }

    async fn finish(&self, out: &mut Output<Number>) -> BoltResult {
        tokio::task::yield_now().await;
        out.emit_from((200_000..250_000).map(|n| Number { n }));
        Ok(())
    }
}

#[test]
fn what_iterators_give_leaves_as_there_is_room_and_before_the_end() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("burst", fusion);
        let numbers = audit.spout(&mut t, 4);
        let many = t.async_bolt("burst", |_| Burst).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&many);
        run(t);
        audit.assert_each_acked_once(4);
        let seen = audit.seen.lock().unwrap();
        assert!(seen.iter().map(|(_, n)| *n).eq(0..250_000), "all of them, in order");
    });
}

/// Never comes back, and says when it is asked.
struct Never(Arc<Notify>);

impl AsyncBolt for Never {
    type Input = Number;
    type Output = NoOutput;

    async fn execute(&self, _: Number, _: &mut Output<NoOutput>) -> BoltResult {
        self.0.notify_one();
        pending().await
    }
}

#[test]
fn what_is_under_way_when_the_worker_stops_fails_with_the_shutdown() {
    let audit = Audit::default();
    let asked = Arc::new(Notify::new());
    let mut t = topology("never", false);
    let numbers = audit.spout(&mut t, 1);
    let never = Arc::clone(&asked);
    t.async_bolt("never", move |_| Never(Arc::clone(&never))).shuffle(&numbers);
    let (alone, _) = Alone::start(t);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(asked.notified());
    alone.stop();
    assert_eq!(audit.failed.lock().unwrap().as_slice(), [(0, "shutdown")], "the spout is told");
}

/// Emits its numbers as time passes, and is not finished before each is acked: only verdicts that
/// come while a call waits can end it.
struct Timed {
    next: Cell<u64>,
    count: u64,
    acked: Cell<u64>,
    failed: RefCell<Vec<u64>>,
    told: Notify,
    cx: Context,
}

impl AsyncSpout for Timed {
    type Output = Number;
    type Id = u64;

    async fn next(&self, out: &mut SpoutOutput<Number, u64>) -> SpoutResult {
        if self.next.get() < self.count {
            let n = self.next.replace(self.next.get() + 1);
            if n.is_multiple_of(100) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            out.emit(n, Number { n });
            return Ok(Next::Emitted);
        }
        while self.acked.get() < self.count {
            let failed = self.failed.borrow_mut().pop();
            if let Some(n) = failed {
                out.emit(n, Number { n });
                return Ok(Next::Emitted);
            }
            self.told.notified().await;
        }
        self.cx.result(&self.acked.get());
        Ok(Next::Finished)
    }

    fn ack(&self, _: u64) {
        self.acked.set(self.acked.get() + 1);
        self.told.notify_one();
    }

    fn fail(&self, n: u64, _: FailReason) {
        self.failed.borrow_mut().push(n);
        self.told.notify_one();
    }
}

#[test]
fn an_async_spout_hears_of_its_tuples_while_it_waits() {
    fused_and_not(|fusion| {
        let audit = Audit::default();
        let mut t = topology("timed", fusion);
        t.config("max_pending", "50").unwrap();
        let timed = |cx: &Context| Timed {
            next: Cell::new(0),
            count: 2_000,
            acked: Cell::new(0),
            failed: RefCell::default(),
            told: Notify::new(),
            cx: cx.clone(),
        };
        let numbers = t.async_spout("timed", timed).stream();
        let flaky = |_: &Context| {
            let mut tried = HashSet::new();
            let trouble = move |n: u64| {
                let first = n.is_multiple_of(7) && tried.insert(n);
                if first { Err("first try".into()) } else { Ok(()) }
            };
            Pass { trouble }
        };
        let passed = t.bolt("flaky", flaky).shuffle(&numbers).stream();
        t.bolt("sink", audit.sink()).global(&passed);
        let finished = run(t);
        assert!(finished.snapshot.results.values().eq(["2000"]), "each is acked once");
        let seen: HashSet<u64> = audit.seen.lock().unwrap().iter().map(|(_, n)| *n).collect();
        assert_eq!(seen.len(), 2_000, "none is lost");
    });
}
