//! Tuples over the size limit: they fail where they are emitted, wherever they were to go.

use topology_api::format_size;
use topology_api::runtime::Emitted;

use crate::engine::acking::FailReason;
use crate::executor::anchoring::Anchoring;
use crate::executor::exits::Exits;

/// Fails the tuples that are over the size limit, and gives back the others.
pub(super) fn fail(
    source: u32,
    emitted: Emitted,
    anchoring: &mut Anchoring<'_>,
    exits: &mut Exits,
) -> Emitted {
    let Emitted { mut rows, mut anchors, mut direct, mut weight, largest } = emitted;
    let limit = exits.tuple_bytes_max;
    let large = rows.larger_than(limit);
    if large.is_empty() {
        // The one that was too large was also over the budget of its call, and left out.
        return Emitted { rows, anchors, direct, weight, largest: limit };
    }
    let text = format!(
        "emitted a tuple of {} which is over `tuple.max_bytes` = {}: split it, or raise the limit",
        format_size(largest as u64),
        format_size(limit as u64),
    );
    exits.plan.board.show(source, FailReason::TooLarge.name(), text);
    exits.plan.board.count(source, FailReason::TooLarge.name(), large.len() as u64);
    let mut which = vec![0; rows.len()];
    for at in large.iter().rev() {
        anchoring.fail(anchors[*at], FailReason::TooLarge, exits);
        which[*at] = 1;
        weight = weight.saturating_sub(limit);
        anchors.remove(*at);
        if !direct.is_empty() {
            direct.remove(*at);
        }
    }
    let mut kept = [rows.empty(), rows.empty()];
    rows.scatter(&which, &mut kept);
    let [rows, _] = kept;
    Emitted { rows, anchors, direct, weight, largest: limit }
}
