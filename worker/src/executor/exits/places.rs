//! Where the tasks are that an executor sends to, and how much room there is.

use std::sync::Arc;

use super::{Exits, Place};
use crate::executor::bolt::BoltExecutor;
use crate::executor::inbox::Message;
use crate::transport::FrameWriter;

impl Exits {
    /// Finds where a task is now.
    #[must_use]
    pub fn place_of(&self, task: u32) -> Place {
        match self.routes.seating.seat_of(task) {
            Some(seat) if seat.at == self.at => Place::Here(seat.place),
            Some(seat) => {
                let gauge = Arc::clone(&seat.gauge);
                Place::Loop { at: seat.at, executor: seat.place, gauge }
            }
            None => self.place_away(task).unwrap_or(Place::Nowhere),
        }
    }

    fn place_away(&self, task: u32) -> Option<Place> {
        let (route, executor) = self.routes.table.executor_of_task(task)?;
        let gate = self.routes.links.get(&route.worker)?.gate(task);
        Some(Place::Away { worker: route.worker, ownership: executor.ownership, gate })
    }

    /// Takes out the bolt at a place of this loop, if a batch may be executed by it at once.
    pub fn take_idle_bolt(&mut self, place: &Place) -> Option<(usize, Box<BoltExecutor>)> {
        let Place::Here(at) = place else { return None };
        if !self.fusion {
            return None;
        }
        let bolt = self.bolts[*at].take()?;
        if bolt.is_idle(self) {
            return Some((*at, bolt));
        }
        self.bolts[*at] = Some(bolt);
        None
    }

    /// Tells whether a batch may go there now.
    #[must_use]
    pub fn has_room(&self, place: &Place) -> bool {
        match place {
            Place::Here(executor) => self.mailboxes[*executor].gauge.has_room(),
            Place::Loop { gauge, .. } => gauge.has_room(),
            Place::Away { gate, .. } => gate.may_send(),
            Place::Nowhere => false,
        }
    }

    /// How much room there is, in parts of [`ROOM_FULL`](crate::engine::routing::ROOM_FULL), for
    /// choosing among targets.
    #[must_use]
    pub fn room(&self, place: &Place) -> u64 {
        match place {
            Place::Here(executor) => self.mailboxes[*executor].gauge.room(),
            Place::Loop { gauge, .. } => gauge.room(),
            Place::Away { gate, .. } => gate.room(),
            Place::Nowhere => 0,
        }
    }

    /// Tells everyone that all loops of this worker go by the routing table in force: what they sent
    /// by older ones is before this, on every way.
    pub fn tell_adopted(&mut self) {
        let version = self.version();
        for link in self.routes.links.values() {
            let mut frame = FrameWriter::new();
            frame.adopted(version);
            link.send(frame.finish());
        }
        for inbox in self.loops.iter() {
            inbox.send(Message::Adopted(self.plan.worker, version));
        }
    }

    /// Whether all is here that was sent to this worker by tables older than `version`. Workers that
    /// are being started have sent nothing.
    #[must_use]
    pub fn all_adopted(&self, version: u64) -> bool {
        let own = self.plan.worker;
        let senders = self.routes.table.workers().iter();
        let mut senders = senders.filter(|route| route.worker == own || !route.address.is_empty());
        senders.all(|route| self.adopted.get(&route.worker).is_some_and(|it| *it >= version))
    }
}
