//! What a grouping has to know of each tuple, as the author's code tells it: keys, and tasks named.
//!
//! That code may panic, or name a task that there is not. It then fails the tuples it was asked
//! about, as it would in a component, and nothing else.

use topology_api::GroupingTargets;
use topology_api::runtime::{Chooser, Grouping, KeyHashes, MakeChooser, NOT_DIRECT, Rows};

use crate::engine::acking::FailReason;
use crate::engine::routing::{GroupingKind, NO_TASK, Nearness, Targets};
use crate::executor::anchoring::Anchoring;
use crate::executor::exits::Exits;
use crate::executor::task_state::guarded;

/// What the author's code tells about the tuples of one subscription.
pub(super) struct Facts {
    pub(super) kind: GroupingKind,
    hashes: Option<KeyHashes>,
    /// There is only one task: keys say nothing.
    is_alone: bool,
    custom: Option<Custom>,
}

struct Custom {
    make: MakeChooser,
    targets: GroupingTargets,
    /// Made when it is needed first, and again after a panic.
    chooser: Option<Box<dyn Chooser>>,
    chosen: Vec<u32>,
    /// How many tasks were chosen for each tuple; nothing if that is one.
    copies: Vec<u32>,
}

/// The tasks that were named for the tuples of a batch.
pub(super) struct Named<'a> {
    /// In order.
    pub(super) tasks: &'a [u32],
    /// How many are of each tuple; nothing if that is one.
    pub(super) copies: &'a [u32],
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind.fmt(f)
    }
}

/// Why tuples have no target.
pub(super) struct Lost {
    reason: FailReason,
    text: String,
}

impl Facts {
    pub(super) fn new(grouping: &Grouping, targets: &Targets) -> Self {
        let hashes = grouping.key().map(|key| KeyHashes::clone(&key.hashes));
        let custom = match grouping {
            Grouping::Custom(make) => {
                let near = (0..).zip(&targets.near);
                let local = near.filter(|(_, near)| **near != Nearness::Away).map(|(task, _)| task);
                let tasks = targets.near.len() as u32;
                let targets = GroupingTargets { tasks, local: local.collect() };
                let make = MakeChooser::clone(make);
                let (chosen, copies) = (Vec::new(), Vec::new());
                Some(Custom { make, targets, chooser: None, chosen, copies })
            }
            _ => None,
        };
        let is_alone = targets.near.len() < 2;
        Self { kind: kind_of(grouping), hashes, is_alone, custom }
    }

    /// Asks for the facts of a batch: hashes, or the tasks named.
    ///
    /// # Errors
    ///
    /// That the author's code panicked.
    pub(super) fn ask<'a>(
        &'a mut self,
        rows: &dyn Rows,
        direct: &'a [u32],
        hashes: &mut Vec<u64>,
    ) -> Result<Named<'a>, Lost> {
        hashes.clear();
        if let Some(keys) = self.hashes.as_ref().filter(|_| !self.is_alone) {
            guarded(|| keys(rows, hashes))
                .map_err(|text| Lost::panic("key of the grouping", &text))?;
        }
        let Some(custom) = &mut self.custom else {
            return Ok(Named { tasks: direct, copies: &[] });
        };
        custom.chosen.clear();
        custom.copies.clear();
        let Custom { make, targets, chooser, chosen, copies } = custom;
        let choose = || chooser.get_or_insert_with(|| make(targets)).choose(rows, chosen, copies);
        if let Err(text) = guarded(choose) {
            custom.chooser = None;
            custom.copies.clear();
            return Err(Lost::panic("custom grouping", &text));
        }
        Ok(Named { tasks: &custom.chosen, copies: &custom.copies })
    }

    /// How many tasks were named for each tuple of the last batch; nothing if that is one.
    pub(super) fn copies(&self) -> &[u32] {
        self.custom.as_ref().map_or(&[], |custom| &custom.copies)
    }

    /// Tells whether each tuple must be looked at although all have one target: some may not be for
    /// this subscription.
    pub(super) fn sifts(&self, direct: &[u32]) -> bool {
        self.kind == GroupingKind::Direct || !direct.is_empty()
    }

    /// Takes away what is not for this subscription: what was emitted directly is for those who read
    /// the stream directly, and the rest for the others. Tells why some tuples have no target.
    pub(super) fn sift(
        &self,
        ordinals: &mut Vec<u32>,
        (direct, rows): (&[u32], usize),
        nowhere: u32,
    ) -> Option<Lost> {
        if self.kind == GroupingKind::Direct && direct.is_empty() {
            ordinals.clear();
            ordinals.resize(rows, nowhere);
        }
        let is_direct = self.kind == GroupingKind::Direct;
        for (ordinal, direct) in ordinals.iter_mut().zip(direct) {
            if (*direct != NOT_DIRECT) != is_direct {
                *ordinal = nowhere;
            }
        }
        if !self.kind.is_named() {
            return None;
        }
        let lost = ordinals.iter().position(|ordinal| *ordinal == NO_TASK)?;
        Some(self.no_target(lost, (direct, rows), nowhere))
    }

    fn no_target(&self, lost: usize, (direct, rows): (&[u32], usize), tasks: u32) -> Lost {
        let range = format!("of {tasks} tasks: name one of 0 to {}", tasks.saturating_sub(1));
        let chosen = self.custom.as_ref().map(|custom| &custom.chosen);
        let text = match chosen {
            None => format!("emitted directly to task {} {range}", direct[lost]),
            Some(chosen) if chosen.len() == rows => {
                format!("the custom grouping chose task {} {range}", chosen[lost])
            }
            Some(chosen) => format!(
                "the custom grouping chose {} tasks for {rows} tuples: choose one for each",
                chosen.len()
            ),
        };
        Lost { reason: FailReason::NoTarget, text }
    }
}

impl Lost {
    fn panic(whose: &str, text: &str) -> Self {
        Self { reason: FailReason::Panic, text: format!("the {whose} panicked: {text}") }
    }

    /// Fails the tuples that have no target; then they go nowhere.
    pub(super) fn fail(
        self,
        (source, nowhere): (u32, u32),
        (anchors, ordinals): (&[u32], &mut [u32]),
        anchoring: &mut Anchoring<'_>,
        exits: &mut Exits,
    ) {
        let mut count = 0;
        for (ordinal, anchor) in ordinals.iter_mut().zip(anchors) {
            if *ordinal == NO_TASK {
                *ordinal = nowhere;
                count += 1;
                anchoring.fail(*anchor, self.reason, exits);
            }
        }
        exits.plan.board.count(source, self.reason.name(), count);
        exits.plan.board.show(source, self.reason.name(), self.text);
    }
}

fn kind_of(grouping: &Grouping) -> GroupingKind {
    match grouping {
        Grouping::Shuffle => GroupingKind::Shuffle,
        Grouping::LocalOrShuffle => GroupingKind::LocalOrShuffle,
        Grouping::None => GroupingKind::None,
        Grouping::Fields(_) => GroupingKind::Fields,
        Grouping::PartialKey(_) => GroupingKind::PartialKey,
        Grouping::SpreadHotKeys(_) => GroupingKind::SpreadHotKeys,
        Grouping::ScatterHotKeys(_) => GroupingKind::ScatterHotKeys,
        Grouping::All => GroupingKind::All,
        Grouping::Global => GroupingKind::Global,
        Grouping::Direct => GroupingKind::Direct,
        Grouping::Custom(_) => GroupingKind::Custom,
    }
}
