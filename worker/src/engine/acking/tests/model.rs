//! The ledger against a plain map that does the same.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::collections::HashMap;

use crate::engine::acking::{FailReason, GENERATION_MAX, Ledger, Outcome, RootId};

/// One call of the ledger; roots are named by when they were opened, counted from the latest.
#[derive(Clone, Debug)]
enum Call {
    Open { task: u32 },
    Seal { root: usize, edges: u64 },
    Fold { root: usize, edges: u64, stamp: u64 },
    Fail { root: usize },
    Adopt { retired_at: Option<u64> },
    Pass { ns: u64 },
    Expire { timeout_ns: u64, waiting_ns: u64 },
    FailAll,
    Verdict,
}

fn call() -> impl Strategy<Value = Call> {
    let (root, edges) = (0_usize..8, 0_u64..4);
    prop_oneof![
        8 => (0_u32..3).prop_map(|task| Call::Open { task }),
        8 => (root.clone(), edges.clone()).prop_map(|(root, edges)| Call::Seal { root, edges }),
        12 => (root.clone(), edges, 0_u64..20)
            .prop_map(|(root, edges, stamp)| Call::Fold { root, edges, stamp }),
        2 => root.prop_map(|root| Call::Fail { root }),
        1 => any::<Option<u8>>().prop_map(|version| Call::Adopt {
            retired_at: version.map(|version| u64::from(version % 20)),
        }),
        4 => (0_u64..30).prop_map(|ns| Call::Pass { ns }),
        3 => (1_u64..60, 0_u64..700)
            .prop_map(|(timeout_ns, waiting_ns)| Call::Expire { timeout_ns, waiting_ns }),
        1 => Just(Call::FailAll),
        8 => Just(Call::Verdict),
    ]
}

/// An open root.
#[derive(Debug)]
struct Open {
    order: usize,
    task: u32,
    opened_ns: u64,
    checksum: u64,
    sealed: bool,
}

/// What the ledger should do, without a thought for speed.
#[derive(Debug, Default)]
struct Model {
    open: HashMap<u64, Open>,
    verdicts: Vec<(u32, u32, Outcome, u64)>,
    opened: Vec<RootId>,
    stamp_min: u64,
    now_ns: u64,
    late: u64,
}

impl Model {
    fn end(&mut self, root: u64, outcome: Outcome) {
        let open = self.open.remove(&root).expect("the model ends open roots only");
        let slot = RootId::from_bits(root).expect("the ledger made it").slot();
        self.verdicts.push((slot, open.task, outcome, open.opened_ns));
    }

    fn add(&mut self, root: u64, edges: u64) {
        let Some(open) = self.open.get_mut(&root) else {
            return;
        };
        open.checksum ^= edges;
        if open.sealed && open.checksum == 0 {
            self.end(root, Outcome::Acked);
        }
    }

    fn fail_where(&mut self, reason: FailReason, due: impl Fn(&Open) -> bool) {
        let due = self.open.iter().filter(|(_, open)| due(open));
        let mut due: Vec<_> = due.map(|(root, open)| (open.order, *root)).collect();
        due.sort_unstable();
        due.into_iter().for_each(|(_, root)| self.end(root, Outcome::Failed(reason)));
    }

    fn latest(&self, root: usize) -> Option<RootId> {
        self.opened.iter().rev().nth(root).copied()
    }

    fn fold(&mut self, root: u64, edges: u64, stamp: u64) {
        if !self.open.contains_key(&root) {
            self.late += 1;
        } else if stamp < self.stamp_min {
            self.end(root, Outcome::Failed(FailReason::WorkerLost));
        } else {
            self.add(root, edges);
        }
    }

    fn fail(&mut self, root: u64) {
        if self.open.contains_key(&root) {
            self.end(root, Outcome::Failed(FailReason::Error));
        } else {
            self.late += 1;
        }
    }
}

const PENDING_MAX: usize = 5;

fn step(ledger: &mut Ledger, model: &mut Model, call: &Call) {
    match *call {
        Call::Open { task } => {
            let root = ledger.open(task, model.now_ns);
            let room = model.open.len() + model.verdicts.len() < PENDING_MAX;
            assert_eq!(root.is_some(), room, "there is room, or not");
            if let Some(root) = root {
                let (order, opened_ns) = (model.opened.len(), model.now_ns);
                let open = Open { order, task, opened_ns, checksum: 0, sealed: false };
                let before = model.open.insert(root.bits(), open);
                assert!(before.is_none(), "{root} was given twice");
                model.opened.push(root);
            }
        }
        Call::Seal { root, edges } => {
            // A root is sealed once: not again if it is open and sealed.
            let Some(root) = model.latest(root) else { return };
            if model.open.get(&root.bits()).is_some_and(|open| open.sealed) {
                return;
            }
            ledger.seal(root, edges);
            if let Some(open) = model.open.get_mut(&root.bits()) {
                open.sealed = true;
            }
            model.add(root.bits(), edges);
        }
        Call::Fold { root, edges, stamp } => {
            let Some(root) = model.latest(root) else { return };
            ledger.fold(root.bits(), edges, stamp);
            model.fold(root.bits(), edges, stamp);
        }
        Call::Fail { root } => {
            let Some(root) = model.latest(root) else { return };
            ledger.fail(root.bits(), FailReason::Error);
            model.fail(root.bits());
        }
        Call::Adopt { retired_at } => {
            ledger.adopt(retired_at);
            if let Some(version) = retired_at {
                model.stamp_min = model.stamp_min.max(version);
                model.fail_where(FailReason::WorkerLost, |_| true);
            }
        }
        Call::Pass { ns } => model.now_ns += ns,
        Call::Expire { timeout_ns, waiting_ns } => {
            ledger.expire(model.now_ns, timeout_ns, waiting_ns);
            let age = (timeout_ns + waiting_ns).min(10 * timeout_ns);
            let now_ns = model.now_ns;
            model.fail_where(FailReason::Timeout, |open| now_ns - open.opened_ns >= age);
        }
        Call::FailAll => {
            ledger.fail_all(FailReason::Shutdown);
            model.fail_where(FailReason::Shutdown, |_| true);
        }
        Call::Verdict => take(ledger, model),
    }
    assert_eq!(ledger.open_count() as usize, model.open.len(), "open roots");
    assert_eq!(ledger.pending() as usize, model.open.len() + model.verdicts.len(), "slots in use");
    assert_eq!(ledger.room() + ledger.pending(), PENDING_MAX as u32, "the rest is room");
    assert_eq!(ledger.late(), model.late, "late contributions");
}

/// Takes a verdict. Roots opened in the same instant may fail together in any order.
fn take(ledger: &mut Ledger, model: &mut Model) {
    let Some(verdict) = ledger.verdicts() else {
        assert!(model.verdicts.is_empty(), "the ledger owes {:?}", model.verdicts);
        return;
    };
    let said = (verdict.slot, verdict.task, verdict.outcome, verdict.opened_ns);
    let first = *model.verdicts.first().expect("the model owes a verdict too");
    let at = model.verdicts.iter().position(|&owed| owed == said);
    let at = at.unwrap_or_else(|| panic!("{verdict:?} is none of {:?}", model.verdicts));
    assert_eq!((said.2, said.3), (first.2, first.3), "out of order: {:?}", model.verdicts);
    model.verdicts.remove(at);
}

proptest! {
    #[test]
    fn the_ledger_does_what_a_plain_map_does(
        calls in proptest::collection::vec(call(), 0..200),
        generation in prop_oneof![Just(1), Just(GENERATION_MAX)],
        rounds in prop_oneof![Just(0), Just(4_095), Just(4_099)],
    ) {
        let mut ledger = Ledger::with_generation(7, 3, PENDING_MAX as u32, generation);
        let mut model = Model::default();
        // Slots, and perhaps generations, come round within the run.
        for _ in 0..rounds {
            let root = ledger.open(0, 0).expect("there is room");
            ledger.seal(root, 0);
            assert!(ledger.verdicts().is_some(), "complete at once");
        }
        calls.iter().for_each(|call| step(&mut ledger, &mut model, call));
        while ledger.pending() > 0 {
            ledger.fail_all(FailReason::Shutdown);
            model.fail_where(FailReason::Shutdown, |_| true);
            take(&mut ledger, &mut model);
        }
        assert!(model.verdicts.is_empty(), "every root got its verdict");
    }
}
