//! The contract of a coordination store, as one suite that runs on every implementation.
//!
//! Each scenario gets a [`stand::Stand`]: a fresh store, in memory on a clock moved by hand or on a
//! real etcd of its own, and the few things that only the stand can do to it.

#![expect(clippy::unwrap_used, reason = "a scenario is a test, though not marked as one")]

mod edges;
mod elections;
mod leases;
mod mirrors;
mod sessions;
mod stand;
mod transactions;
mod watches;

/// Makes a test on each store of every scenario.
macro_rules! scenarios {
    ($($group:ident { $($name:ident,)* })*) => {
        mod in_memory {
            $($(
                #[tokio::test]
                async fn $name() {
                    let stand = crate::stand::Stand::in_memory();
                    stand.within(crate::$group::$name(&stand)).await;
                }
            )*)*
        }
        mod on_etcd {
            $($(
                #[tokio::test]
                async fn $name() {
                    let stand = crate::stand::Stand::on_etcd().await;
                    stand.within(crate::$group::$name(&stand)).await;
                }
            )*)*
        }
    };
}

scenarios! {
    transactions {
        an_empty_store_is_at_revision_one,
        absent_holds_only_while_there_is_no_key,
        created_at_holds_until_the_key_is_made_anew,
        modified_at_holds_until_the_key_changes,
        a_guard_on_revision_zero_never_holds,
        all_guards_must_hold,
        a_conflict_writes_nothing,
        a_transaction_has_one_revision,
        a_transaction_that_changes_nothing_raises_no_revision,
        a_prefix_is_deleted_and_nothing_else,
        a_listing_is_sorted_and_ends_with_its_prefix,
        as_many_operations_as_allowed_pass_and_one_more_is_refused,
        what_is_too_large_is_refused,
        a_value_of_1300000_bytes_comes_back_whole,
        a_key_written_twice_is_refused,
    }
    leases {
        a_lease_that_is_not_kept_alive_takes_its_keys_along,
        a_lease_that_is_kept_alive_stays,
        a_lost_lease_cannot_be_kept_alive,
        a_put_on_a_lost_lease_writes_nothing,
        a_revoked_lease_takes_its_keys_along_at_one_revision,
        a_key_belongs_to_the_lease_it_was_last_put_with,
    }
    watches {
        a_watch_shows_every_change_once_in_order,
        a_watch_shows_the_operations_of_a_transaction_in_order,
        a_watch_from_a_past_revision_begins_there,
        a_watch_from_a_future_revision_waits_for_it,
        a_watch_shows_its_prefix_only,
        a_watch_from_before_the_compaction_is_told,
        a_watch_that_is_up_to_date_outlives_a_compaction,
    }
    mirrors {
        a_mirror_begins_with_a_snapshot_and_follows,
        a_mirror_lists_again_after_a_compaction,
        a_mirror_reports_an_outage_and_recovers,
        a_mirror_that_is_read_late_misses_nothing,
    }
    sessions {
        a_session_keeps_its_lease,
        a_session_that_lost_its_lease_gets_another,
        a_session_keeps_its_lease_over_an_outage,
        a_session_takes_its_keys_along_at_shutdown,
        a_session_takes_its_keys_along_when_dropped,
    }
    elections {
        one_of_two_candidates_wins,
        the_next_candidate_takes_over_when_the_lease_ends,
        the_next_candidate_takes_over_after_a_resignation,
        a_stale_leaders_guarded_write_conflicts,
        a_leadership_outlives_an_outage,
        a_candidate_does_not_wait_for_its_own_earlier_key,
    }
}
