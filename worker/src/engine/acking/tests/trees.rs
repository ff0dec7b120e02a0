//! Trees of every shape, while everyone lives: never complete early, never hang.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use std::collections::BTreeMap;

use super::world::{Ghost, Plan, World};
use crate::engine::acking::{FailReason, GENERATION_MAX, Outcome};

/// Worlds in which nobody dies.
pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let size = (1_u16..4, 1_u32..4, 1_u32..40, 1_u32..5, 0_u32..4);
    let percent = || prop_oneof![Just(0), 0_u32..100];
    let generation = prop_oneof![Just(1), Just(GENERATION_MAX)];
    (any::<u64>(), size, percent(), percent(), generation).prop_map(
        |(seed, (spouts, workers, emissions, depth, fan_out), kept, fused, generation)| Plan {
            seed,
            spouts,
            workers,
            emissions,
            depth,
            fan_out,
            kept,
            fused,
            failing: 0,
            deaths: 0,
            departures: 0,
            restarts: 0,
            generation,
        },
    )
}

fn run(plan: Plan) -> World {
    let mut world = World::new(plan);
    world.run();
    world.assert_all_ended();
    world
}

/// Whether each emission was acked, by its name.
fn acked(world: &World) -> BTreeMap<(usize, u32), bool> {
    let acked = |ghost: &Ghost| (ghost.name, ghost.outcome == Some(Outcome::Acked));
    world.ghosts.iter().map(acked).collect()
}

proptest! {
    #[test]
    fn every_tree_completes_and_none_before_its_last_tuple(plan in plan()) {
        let world = run(plan);
        assert!(acked(&world).values().all(|&acked| acked), "nothing fails: {:?}", world.outcomes());
        assert!(world.ghosts.iter().all(|ghost| ghost.outstanding == 0), "all was processed");
        let late: u64 = world.spouts.iter().map(|spout| spout.ledger.late()).sum();
        assert_eq!(late, 0, "nothing arrives after the end of a tree that completes");
    }

    #[test]
    fn a_tree_in_which_a_tuple_fails_fails(plan in plan(), failing in 1_u32..60) {
        let world = run(Plan { failing, ..plan });
        for (emission, ghost) in world.ghosts.iter().enumerate() {
            let whole = ghost.outstanding == 0;
            let acked = ghost.outcome == Some(Outcome::Acked);
            assert_eq!(acked, whole, "emission {emission} ended as {:?}", ghost.outcome);
        }
        for outcome in world.outcomes().into_keys() {
            let own = matches!(
                outcome,
                Outcome::Acked | Outcome::Failed(FailReason::Error | FailReason::DroppedGuard)
            );
            assert!(own, "nobody gave the reason {outcome:?}");
        }
    }

    #[test]
    fn fusion_changes_nothing_but_the_number_of_edges(
        plan in plan(),
        fused in 1_u32..=100,
        failing in prop_oneof![Just(0), 1_u32..20],
    ) {
        // Joins depend on who meets whom, so they are left out where worlds are compared.
        let plan = Plan { kept: 0, failing, ..plan };
        let apart = run(Plan { fused: 0, ..plan });
        let fused = run(Plan { fused, ..plan });
        assert_eq!(acked(&apart), acked(&fused), "the same verdicts");
        if failing == 0 {
            assert_eq!(apart.processed, fused.processed, "the same tuples");
        }
    }
}
