//! Async spouts by hand, without a runtime.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::prelude::*;
use crate::testing::{Setup, SpoutDriver};

/// Lines that somebody sends.
#[derive(Clone, Default)]
struct Mail(Arc<Mutex<(Vec<&'static str>, Option<Waker>)>>);

impl Mail {
    fn send(&self, text: &'static str) {
        let mut mail = self.0.lock().unwrap();
        mail.0.push(text);
        if let Some(waker) = mail.1.take() {
            waker.wake();
        }
    }

    async fn receive(&self) -> &'static str {
        poll_fn(|cx| {
            let mut mail = self.0.lock().unwrap();
            match mail.0.pop() {
                Some(text) => Poll::Ready(text),
                None => {
                    mail.1 = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

struct Letters {
    mail: Mail,
    told: RefCell<Vec<String>>,
    cx: Context,
}

impl AsyncSpout for Letters {
    type Output = Line;
    type Id = &'static str;

    async fn next(&self, out: &mut SpoutOutput<Line, &'static str>) -> SpoutResult {
        match self.mail.receive().await {
            "end" => return Ok(Next::Finished),
            "nothing" => return Ok(Next::Idle),
            "trouble" => return Err("trouble".into()),
            text => out.emit(text, Line { text: text.into() }),
        }
        Ok(Next::Emitted)
    }

    fn ack(&self, id: &'static str) {
        self.told.borrow_mut().push(format!("ack {id}"));
    }

    fn fail(&self, id: &'static str, reason: FailReason) {
        self.told.borrow_mut().push(format!("{} {id}", reason.name()));
    }

    fn close(&mut self) {
        self.cx.result(self.told.get_mut());
    }
}

#[test]
fn verdicts_come_while_a_call_waits() {
    let mail = Mail::default();
    let post = mail.clone();
    let make = move |cx: &Context| Letters {
        mail: mail.clone(),
        told: RefCell::default(),
        cx: cx.clone(),
    };
    let mut letters = SpoutDriver::asynchronous(Setup::new(), make).unwrap();
    let (next, emitted) = letters.call_next().unwrap();
    assert_eq!((next, emitted.len()), (Next::Idle, 0), "it waits");
    let sender = post.clone();
    let thread = std::thread::spawn(move || sender.send("one"));
    let (_, emitted) = letters.wait().unwrap();
    thread.join().unwrap();
    assert_eq!(emitted[0].tuple.text, "one");
    letters.call_next().unwrap();
    letters.ack(0);
    post.send("two");
    letters.wait().unwrap();
    letters.call_next().unwrap();
    letters.fail(1, FailReason::new("timeout", true));
    for (text, next) in [("nothing", Ok(Next::Idle)), ("trouble", Err("trouble".to_owned()))] {
        post.send(text);
        let ended = letters.wait().map(|(next, _)| next).map_err(|error| error.to_string());
        assert_eq!(ended, next, "after {text}");
    }
    post.send("end");
    assert_eq!(letters.wait().unwrap().0, Next::Finished);
    letters.close();
    assert_eq!(letters.result().unwrap(), serde_json::json!(["ack one", "timeout two"]));
}
