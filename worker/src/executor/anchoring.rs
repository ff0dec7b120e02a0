//! How the tuples of one call are tied to what they came from: Storm's rule, a column at a time.
//!
//! An emitted copy gets one fresh edge id per anchor; the copy carries, per root, the XOR of its ids
//! for the anchors that hold that root, and each anchor remembers the XOR of the ids given for it.
//! One id for several anchors of the same root would cancel out.

use crate::engine::acking::{Anchors, Edge, EdgeIds, FailReason, Held, Ledger, RootId, Tracking};
use crate::executor::exits::Exits;
use topology_api::runtime::{SEVERAL, UNANCHORED};

/// The trees of what a spout emitted just now.
///
/// A tree is opened in the ledger when a tuple of it first gets an edge: what fused bolts have done
/// with before the spout is asked again needs none.
#[derive(Debug)]
pub struct Roots<'a> {
    /// Where the trees are kept.
    pub ledger: &'a mut Ledger,
    /// The task that emitted.
    pub task: u32,
    /// When, since the worker started.
    pub now_ns: u64,
    /// By message id: the root, 0 while none is open, [`Roots::REFUSED`] where there is no room.
    pub roots: &'a mut [u64],
    /// For each, the XOR of the ids given for it.
    pub given: &'a mut [u64],
}

impl Roots<'_> {
    /// Stands for a tree that could not be opened.
    pub const REFUSED: u64 = u64::MAX;

    #[inline]
    fn edge(&mut self, anchor: u32, ids: &mut EdgeIds) -> Edge {
        let anchor = anchor as usize;
        if self.roots[anchor] == 0 {
            let root = self.ledger.open(self.task, self.now_ns);
            self.roots[anchor] = root.map_or(Self::REFUSED, RootId::bits);
        }
        let root = self.roots[anchor];
        if root == Self::REFUSED {
            return Edge::UNTRACKED;
        }
        let id = ids.next();
        self.given[anchor] ^= id;
        Edge { root, id }
    }
}

/// What the anchors of an emitted column refer to.
#[derive(Debug)]
pub enum Anchoring<'a> {
    /// Nobody tracks anything.
    Off,
    /// Inputs of a batch, by number.
    Inputs {
        /// The trees the inputs belong to.
        tracking: &'a Tracking,
        /// For each input, the XOR of the ids given for it.
        given: &'a mut [u64],
    },
    /// Trees of a spout, by message id.
    Roots(Roots<'a>),
    /// Inputs that an explicit bolt holds, by slot.
    Held {
        /// What it holds.
        held: &'a mut Held,
        /// Anchors of tuples that have several.
        several: &'a [Vec<u32>],
        /// The routing table version under which the tuples are emitted.
        version: u64,
    },
}

impl Anchoring<'_> {
    /// Fails the trees of an anchor: what came of it is lost before it could leave.
    ///
    /// The anchor gets an edge that nobody will ever give back, so that its tree cannot complete
    /// before the failure arrives.
    pub fn fail(&mut self, anchor: u32, reason: FailReason, exits: &mut Exits) {
        let mut lost = Tracking::new();
        self.tie(anchor, &mut exits.ids, &mut lost);
        exits.fail_all(&lost, reason);
    }

    /// Gives the edges of what an anchor refers to: of a spout, the roots that are open.
    pub fn anchored_to(&self, anchor: u32, mut give: impl FnMut(Edge)) {
        if anchor == UNANCHORED {
            return;
        }
        match self {
            Self::Off => {}
            Self::Inputs { tracking, .. } => {
                tracking.of(anchor as usize).iter().copied().for_each(give);
            }
            Self::Roots(roots) => {
                let root = roots.roots.get(anchor as usize).copied().unwrap_or(0);
                if root != 0 && root != Roots::REFUSED {
                    give(Edge { root, id: 0 });
                }
            }
            Self::Held { held, several, .. } => {
                for slot in slots_of(&anchor, several) {
                    held.edges(*slot).iter().copied().for_each(&mut give);
                }
            }
        }
    }

    /// Tells whether a bolt may be fused to what is anchored like this.
    #[must_use]
    pub fn may_fuse(&self) -> bool {
        !matches!(self, Self::Held { .. })
    }

    /// Appends to `to[pick(i)]` the edges of one more copy anchored to `anchors[i]`, for each `i`.
    #[inline]
    pub fn tie_each(
        &mut self,
        anchors: &[u32],
        ids: &mut EdgeIds,
        to: &mut [Tracking],
        pick: impl Fn(usize) -> usize,
    ) {
        match self {
            // The usual cases, without looking at each tuple which one it is.
            Self::Off => (0..anchors.len()).for_each(|at| to[pick(at)].push_untracked()),
            Self::Inputs { tracking, given } if let Some(edges) = tracking.singles() => {
                for (at, anchor) in anchors.iter().enumerate() {
                    let of = edges.get(*anchor as usize).copied().unwrap_or(Edge::UNTRACKED);
                    if of.root == 0 {
                        to[pick(at)].push_untracked();
                        continue;
                    }
                    let id = ids.next();
                    given[*anchor as usize] ^= id;
                    to[pick(at)].push_one(Edge { root: of.root, id });
                }
            }
            _ => {
                for (at, anchor) in anchors.iter().enumerate() {
                    self.tie(*anchor, ids, &mut to[pick(at)]);
                }
            }
        }
    }

    /// Appends to `to` the edges of one more copy that is anchored to `anchor`.
    #[inline]
    pub fn tie(&mut self, anchor: u32, ids: &mut EdgeIds, to: &mut Tracking) {
        if anchor == UNANCHORED {
            to.push_untracked();
            return;
        }
        match self {
            Self::Off => to.push_untracked(),
            Self::Inputs { tracking, given } => match tracking.of(anchor as usize) {
                [] => to.push_untracked(),
                [one] => {
                    let id = ids.next();
                    given[anchor as usize] ^= id;
                    to.push_one(Edge { root: one.root, id });
                }
                many => {
                    let id = ids.next();
                    given[anchor as usize] ^= id;
                    let edges: Vec<Edge> =
                        many.iter().map(|edge| Edge { root: edge.root, id }).collect();
                    to.push_many(&edges);
                }
            },
            Self::Roots(roots) => match roots.edge(anchor, ids) {
                Edge::UNTRACKED => to.push_untracked(),
                edge => to.push_one(edge),
            },
            Self::Held { held, several, version } => {
                let anchors = slots_of(&anchor, several);
                to.push_many(tie_held(held, anchors, *version, ids).edges());
            }
        }
    }
}

/// The slots that an anchor stands for.
fn slots_of<'a>(anchor: &'a u32, several: &'a [Vec<u32>]) -> &'a [u32] {
    match anchor & SEVERAL {
        0 => std::slice::from_ref(anchor),
        _ => &several[(anchor & !SEVERAL) as usize],
    }
}

/// One fresh id an anchor; per root, the XOR of the ids of the anchors that hold it.
fn tie_held(held: &mut Held, slots: &[u32], version: u64, ids: &mut EdgeIds) -> Anchors {
    let mut anchors = Anchors::default();
    for slot in slots {
        let id = ids.next();
        anchors.add(held.edges(*slot), id);
        held.add_output(*slot, id);
        held.note_stamp(*slot, version);
    }
    anchors
}
