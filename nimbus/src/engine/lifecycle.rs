//! What may happen to a topology in which status: all legal moves, in one table.
//!
//! `Killed` and `Rebalancing` stand for a promise (a pending action in the topology's record) that
//! a later leader keeps if this one cannot.

use proto::store::TopologyStatus;

/// Something that moves a topology from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Its spouts may emit.
    Activate,
    /// Its spouts stop.
    Deactivate,
    /// Its executors are to be placed anew.
    Rebalance,
    /// They were, and all that moves has moved.
    Rebalanced,
    /// All its spouts are done and all trees have ended.
    Finish,
    /// It is to be stopped and forgotten.
    Kill,
}

/// Every move, for those who want to try them all.
pub const MOVES: [Move; 6] =
    [Move::Activate, Move::Deactivate, Move::Rebalance, Move::Rebalanced, Move::Finish, Move::Kill];

/// Returns the status that `action` leads to from `status`, or why it cannot happen.
///
/// `resume` is what a rebalance goes back to.
///
/// # Errors
///
/// A sentence for the person who asked.
pub fn next(
    status: TopologyStatus,
    action: Move,
    resume: TopologyStatus,
) -> Result<TopologyStatus, &'static str> {
    use Move::{Activate, Deactivate, Finish, Kill, Rebalance, Rebalanced};
    use TopologyStatus::{Active, Finished, Inactive, Killed, Rebalancing, Unspecified};
    match (status, action) {
        (Active | Inactive, Activate) => Ok(Active),
        (Active | Inactive, Deactivate) => Ok(Inactive),
        (Active | Inactive | Rebalancing, Rebalance) => Ok(Rebalancing),
        (Rebalancing, Rebalanced) => Ok(if resume == Inactive { Inactive } else { Active }),
        (Active | Inactive | Rebalancing, Finish) => Ok(Finished),
        (Active | Inactive | Rebalancing | Finished | Killed, Kill) => Ok(Killed),
        (Rebalancing, Activate | Deactivate) => Err("it is being rebalanced"),
        (Finished, Activate | Deactivate | Rebalance | Rebalanced | Finish) => {
            Err("it has finished")
        }
        (Killed, Activate | Deactivate | Rebalance | Rebalanced | Finish) => {
            Err("it is being killed")
        }
        (Active | Inactive, Rebalanced) => Err("it is not being rebalanced"),
        (Unspecified, _) => Err("its record has a status that this version does not know"),
    }
}

/// What `status` is called by people.
#[must_use]
pub fn word(status: TopologyStatus) -> &'static str {
    match status {
        TopologyStatus::Active => "active",
        TopologyStatus::Inactive => "inactive",
        TopologyStatus::Rebalancing => "rebalancing",
        TopologyStatus::Finished => "finished",
        TopologyStatus::Killed => "killed",
        TopologyStatus::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legal_moves_are_these_and_no_others() {
        use TopologyStatus::{Active, Finished, Inactive, Killed, Rebalancing, Unspecified};
        let refused = None;
        // In the order of MOVES.
        let table = [
            (
                Active,
                [
                    Some(Active),
                    Some(Inactive),
                    Some(Rebalancing),
                    refused,
                    Some(Finished),
                    Some(Killed),
                ],
            ),
            (
                Inactive,
                [
                    Some(Active),
                    Some(Inactive),
                    Some(Rebalancing),
                    refused,
                    Some(Finished),
                    Some(Killed),
                ],
            ),
            (
                Rebalancing,
                [refused, refused, Some(Rebalancing), Some(Active), Some(Finished), Some(Killed)],
            ),
            (Finished, [refused, refused, refused, refused, refused, Some(Killed)]),
            (Killed, [refused, refused, refused, refused, refused, Some(Killed)]),
            (Unspecified, [refused; 6]),
        ];
        for (status, row) in table {
            for (action, expected) in MOVES.into_iter().zip(row) {
                assert_eq!(next(status, action, Active).ok(), expected, "{status:?} {action:?}");
            }
        }
    }

    #[test]
    fn a_rebalance_goes_back_to_where_it_came_from() {
        let back = |resume| next(TopologyStatus::Rebalancing, Move::Rebalanced, resume);
        assert_eq!(back(TopologyStatus::Inactive), Ok(TopologyStatus::Inactive));
        assert_eq!(back(TopologyStatus::Active), Ok(TopologyStatus::Active));
        assert_eq!(back(TopologyStatus::Unspecified), Ok(TopologyStatus::Active), "an old record");
    }
}
