//! The local-or-shuffle grouping: shuffle among the tasks of this worker, or among all if it has
//! none.

use super::{Nearness, Routed, Shuffle, Targets};

/// Routes runs of tuples to tasks of the same worker, if it has any.
#[derive(Debug)]
pub struct LocalOrShuffle {
    /// Chooses among `local`, or among all tasks if that is empty.
    shuffle: Shuffle,
    local: Vec<u32>,
}

impl LocalOrShuffle {
    pub(super) fn new(targets: &Targets, seed: u64) -> Self {
        let ordinals = (0..).zip(&targets.near);
        let (local, near): (Vec<u32>, Vec<Nearness>) =
            ordinals.filter(|&(_, &near)| near <= Nearness::Worker).unzip();
        let among = if local.is_empty() { targets.clone() } else { Targets { near } };
        Self { shuffle: Shuffle::new(&among, seed), local }
    }

    pub(super) fn route(
        &mut self,
        batch: (usize, Option<Nearness>),
        load: &dyn Fn(u32) -> u64,
        out: &mut Vec<u32>,
    ) -> Routed {
        if self.local.is_empty() {
            return self.shuffle.route(batch, load, out);
        }
        let local = &self.local;
        let routed = self.shuffle.route(batch, &|choice| load(local[choice as usize]), out);
        out.iter_mut().for_each(|choice| *choice = local[*choice as usize]);
        match routed {
            Routed::Whole(choice) => Routed::Whole(local[choice as usize]),
            routed => routed,
        }
    }
}
