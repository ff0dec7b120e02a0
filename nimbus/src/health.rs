//! Looks at the store's health now and then: a store that nobody writes to would else be found full,
//! or without its quorum, only by the first who wants something.

use std::sync::Arc;
use std::time::Duration;

use coordination::Store;
use daemon::Clock;

use crate::daemon::Handle;
use crate::engine::event::{Event, Health};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks that get no answer in a row before that is told: one may be a machine that is busy.
const SILENT_LOOKS: u32 = 2;

/// Looks at the store's health until it is dropped, and tells the loop of every change.
pub(crate) async fn watch(store: Arc<dyn Store>, clock: Clock, handle: Handle) {
    let (mut told, mut unanswered) = (Health::Fine, 0);
    loop {
        let health = match store.read_only().await {
            Ok(None) => Health::Fine,
            Ok(Some(reason)) => Health::ReadOnly(reason),
            Err(error) => Health::Silent(error.to_string()),
        };
        unanswered = if matches!(health, Health::Silent(_)) { unanswered + 1 } else { 0 };
        if health != told && (unanswered == 0 || unanswered >= SILENT_LOOKS) {
            match &health {
                Health::Fine => tracing::info!("the store takes writes again"),
                Health::ReadOnly(reason) => tracing::error!(reason, "the store takes no writes"),
                // Once an outage, whatever its reason turns to.
                Health::Silent(reason) if unanswered == SILENT_LOOKS => {
                    tracing::warn!(reason, "the store does not answer");
                }
                Health::Silent(_) => {}
            }
            told = health.clone();
            handle.tell(Event::StoreHealth(health)).await;
        }
        clock.sleep(LOOK_EVERY).await;
    }
}
