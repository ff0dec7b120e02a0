//! One topology feeds another: what was answered 202 on one side is processed on the other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tests::{Outcome, until};

use crate::push::{Piped, curl, free, output, posted_until, until_open};

#[test]
fn what_was_answered_is_processed_over_kills_of_the_receiver() {
    let (http, relay) = (free(), free());
    let receiving = ["--source=relay", &*format!("--listen={relay}")];
    let mut receiver = Piped::start(&receiving);
    let to = format!("--relay={relay}");
    let sender = Piped::start(&["--source=http", &format!("--listen={http}"), &to]);
    until_open(&http);
    let stop = AtomicBool::new(false);
    let accepted = thread::scope(|scope| {
        let accepted = scope.spawn(|| posted_until(&http, &stop));
        for _ in 0..3 {
            let before = receiver.seen("seen").len();
            until("records are relayed", || receiver.seen("seen").len() > before + 50);
            receiver.kill_and_start(&receiving);
        }
        let before = receiver.seen("seen").len();
        until("records are relayed again", || receiver.seen("seen").len() > before + 50);
        stop.store(true, Ordering::Relaxed);
        accepted.join().unwrap()
    });
    assert!(accepted.len() > 150, "{} were accepted", accepted.len());
    let seen = receiver.seen("seen");
    let set: BTreeSet<String> = seen.iter().cloned().collect();
    let lost: Vec<_> = accepted.difference(&set).collect();
    assert!(lost.is_empty(), "answered 202 and lost: {lost:?}");
    let twice = seen.len() - set.len();
    assert!(twice < seen.len() / 2, "{twice} of {} came twice over three kills", seen.len());
    drop(sender);
}

#[test]
fn buffers_on_both_sides_lose_nothing_over_kills_of_either() {
    let (http, relay) = (free(), free());
    let [near, far] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let kept = [&near, &far].map(|folder| format!("--buffer={}", folder.path().display()));
    let receiving = ["--source=relay", &*format!("--listen={relay}"), &*kept[1]];
    let to = [format!("--listen={http}"), format!("--relay={relay}")];
    let sending = ["--source=http", &*to[0], &*to[1], &*kept[0]];
    let (mut sender, mut receiver) = (Piped::start(&sending), Piped::start(&receiving));
    until_open(&http);
    let stop = AtomicBool::new(false);
    let accepted = thread::scope(|scope| {
        let accepted = scope.spawn(|| posted_until(&http, &stop));
        for round in 0..4 {
            let before = receiver.seen("seen").len();
            until("records are relayed", || receiver.seen("seen").len() > before + 50);
            if round % 2 == 0 {
                sender.kill_and_start(&sending);
            } else {
                receiver.kill_and_start(&receiving);
            }
        }
        stop.store(true, Ordering::Relaxed);
        accepted.join().unwrap()
    });
    assert!(accepted.len() > 100, "{} were accepted", accepted.len());
    until("all that was answered 202 is processed on the other side", || {
        accepted.is_subset(&receiver.seen("seen").into_iter().collect())
    });
}

#[test]
fn a_receiver_that_takes_another_type_says_so_at_the_hello() {
    let (http, relay) = (free(), free());
    let mut receiver = Piped::start(&["--source=relay", &format!("--listen={relay}")]);
    until_open(&relay);
    let to = [format!("--listen={http}"), format!("--relay={relay}")];
    let sending = ["--source=http", &*to[0], &*to[1]];
    let mut sender = Piped::start(&[&sending[..], &["--mismatch"]].concat());
    until_open(&http);
    // Run by hand, a topology tells its errors when it is asked to end.
    until("the sender is told", || {
        sender.process.terminate();
        let told = tells(&sender);
        if !told {
            sender.kill_and_start(&[&sending[..], &["--mismatch"]].concat());
            until_open(&http);
        }
        told
    });
    receiver.process.terminate();
    assert!(tells(&receiver), "{}", receiver.process.log());
}

#[test]
fn with_tls_only_who_shows_a_certificate_posts_and_relays() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    for arguments in
        [&["certs", "init", at][..], &["certs", "issue", at, "node", "--host", "127.0.0.1"]]
    {
        let made = Outcome::of(arguments);
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    let (tls, http, relay) = (format!("--tls={at}"), free(), free());
    let receiver = Piped::start(&["--source=relay", &format!("--listen={relay}"), &tls]);
    let to = [format!("--listen={http}"), format!("--relay={relay}")];
    let _sender = Piped::start(&["--source=http", &to[0], &to[1], &tls]);
    until_open(&http);
    let file = |name: &str| format!("{at}/{name}");
    let (ca, cert, key) = (file("ca.pem"), file("node.pem"), file("node-key.pem"));
    let post = |more: &[&str]| {
        let url = format!("https://{http}/records");
        let kind = "content-type: text/plain";
        let fixed =
            ["-s", "-w", "%{http_code}", "-H", kind, "--data-binary", "@-", "--cacert", &ca];
        let (works, answer) = output("curl", &[&fixed, more, &[&url]].concat(), "over tls");
        (works, answer)
    };
    until("what is posted with a certificate is processed on the other side", || {
        post(&["--cert", &cert, "--key", &key]).1.ends_with("202")
    });
    assert!(receiver.seen("seen").contains(&"over tls".to_owned()));
    let (works, answer) = post(&[]);
    assert!(!works || !answer.ends_with("202"), "who shows no certificate is refused: {answer}");
    assert_eq!(curl(&http, "text/plain", "plain", &[]).0, 400, "who speaks no TLS is told");
    assert_eq!(receiver.seen("seen").iter().filter(|it| **it == "plain").count(), 0);

    // A relay that shows no certificate is not heard.
    let lonely = free();
    let bare = [format!("--listen={lonely}"), format!("--relay={relay}")];
    let mut bare = Piped::start(&["--source=http", &bare[0], &bare[1]]);
    until_open(&lonely);
    let late = curl(&lonely, "text/plain", "lonely", &["--max-time", "2"]).0;
    assert_ne!(late, 202);
    bare.process.terminate();
    assert!(bare.process.log().contains("its tuples wait"), "{}", bare.process.log());
    assert!(!receiver.seen("seen").contains(&"lonely".to_owned()));
}

fn tells(side: &Piped) -> bool {
    let log = side.process.log();
    log.contains("SyslogMessage(") && log.contains("and this end takes Line(text: text)")
}
