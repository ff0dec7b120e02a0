//! How long a cache line takes to another core and back: what bounds every hop between threads.
//!
//! It depends on where the system puts the two threads and on the neighbours of a virtual machine,
//! so it is printed before and after each run: figures of runs compare only where it is alike.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daemon::Clock;

/// How long it is measured.
const MEASURED: Duration = Duration::from_millis(200);

/// Round trips between two looks at the clock. Few, because on one core each takes a time slice.
const ROUNDS: u64 = 64;

/// Tells the other side to stop.
const STOP: u64 = u64::MAX;

/// Bounces a cache line between two threads; returns nanoseconds for a round trip.
pub(crate) fn round_trip_ns() -> f64 {
    let line = AtomicU64::new(0);
    let clock = Clock::system();
    std::thread::scope(|scope| {
        scope.spawn(|| answer(&line));
        let (begun, mut rounds) = (clock.now(), 0);
        loop {
            for _ in 0..ROUNDS {
                // Odd: to be answered.
                line.store(rounds * 2 + 1, Ordering::Release);
                rounds += 1;
                while line.load(Ordering::Acquire) != rounds * 2 {
                    std::hint::spin_loop();
                }
            }
            let elapsed = clock.now().saturating_duration_since(begun);
            if elapsed >= MEASURED {
                line.store(STOP, Ordering::Release);
                let rounds = f64::from(u32::try_from(rounds).unwrap_or(u32::MAX));
                return elapsed.as_secs_f64() * 1e9 / rounds;
            }
        }
    })
}

fn answer(line: &AtomicU64) {
    loop {
        match line.load(Ordering::Acquire) {
            STOP => return,
            asked if asked % 2 == 1 => line.store(asked + 1, Ordering::Release),
            _ => std::hint::spin_loop(),
        }
    }
}
