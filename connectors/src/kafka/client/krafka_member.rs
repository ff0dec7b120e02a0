//! What krafka says of a group: which partitions its brokers gave to this member, and which they took.
//!
//! krafka calls its listener inside `poll`, and waits for it. Whoever polls has to hear of it meanwhile,
//! and says when it is settled.

use krafka::consumer::{ConsumerRebalanceListener, TopicPartition};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::krafka_reader::own_place;
use super::{Change, Shift};

/// Hands on what krafka calls it with.
pub(super) struct Listener(Sender<Change>);

/// One of these, and where what it hears comes out.
pub(super) fn listener() -> (Listener, Receiver<Change>) {
    // Each is settled before the next comes.
    let (changes, heard) = channel(1);
    (Listener(changes), heard)
}

impl Listener {
    /// Waits until it is settled, or nobody cares any more.
    async fn tell(&self, shift: Shift, places: &[TopicPartition]) {
        if places.is_empty() {
            return;
        }
        let (settled, done) = oneshot::channel();
        let places = places.iter().map(own_place).collect();
        if self.0.send(Change { shift, places, settled }).await.is_ok() {
            // An error says that it was dropped, which settles it too.
            done.await.unwrap_or_default();
        }
    }
}

impl ConsumerRebalanceListener for Listener {
    async fn on_partitions_assigned(&self, places: &[TopicPartition]) {
        self.tell(Shift::Gained, places).await;
    }

    async fn on_partitions_revoked(&self, places: &[TopicPartition]) {
        self.tell(Shift::Asked, places).await;
    }

    async fn on_partitions_lost(&self, places: &[TopicPartition]) {
        self.tell(Shift::Lost, places).await;
    }
}
