//! What a worker decides, without acting: which trees are open, where a tuple goes, who runs where.
//!
//! Nothing in this folder reads a clock, opens a socket, waits, or draws a random number. Time and
//! seeds come in as arguments, decisions go out as values, so the same code runs in a worker, in a
//! property test and in a seeded simulation.
//!
//! * [`acking`]: tuple trees, from the root a spout opens to its verdict;
//! * [`routing`]: groupings, key groups and the table that says who has which task;
//! * [`placement`]: which loop of a worker runs which executor;
//! * [`links`]: which frames a peer has, which are still owed to it, which are lost;
//! * [`flow`]: how much may be under way to a task of another worker;
//! * [`sampling`]: which tuple trees are looked at closely;
//! * [`waits`]: how much of their calls executors only wait;
//! * `lines`: which lines of its log pass.

pub mod acking;
pub mod flow;
pub(crate) mod lines;
pub mod links;
pub mod placement;
pub mod routing;
pub mod sampling;
pub mod waits;
