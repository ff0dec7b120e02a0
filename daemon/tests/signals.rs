//! Signals sent to this very process; alone in its binary, because they reach all of it.

use daemon::signals::{Signal, terminate};
use nix::sys::signal::{Signal as Sent, raise};

#[tokio::test]
async fn signals_that_ask_to_end_are_told_apart_and_survived() {
    for (sent, expected) in [
        (Sent::SIGTERM, Signal::Terminate),
        (Sent::SIGINT, Signal::Interrupt),
        (Sent::SIGTERM, Signal::Terminate),
    ] {
        let signal = terminate();
        raise(sent).unwrap();
        assert_eq!(signal.await, expected, "raised before the future was polled");
        assert_eq!(expected.to_string(), sent.as_str());
    }
}
