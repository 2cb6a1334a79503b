//! Atomic commands on several keys of one group.

mod check;
mod guard;
mod op;
mod read;
mod reply;
mod txn;
mod zmove;

pub use self::{
    guard::Guard,
    op::{Content, Notice, Op, Structure},
    read::Read,
    reply::{OpReply, TxnReply},
    txn::Txn,
    zmove::{Bodies, ClaimOrder, Fate, Moved, Source, ZMove, ZMoved},
};

pub(crate) use self::check::{Check, each_once, same_group};

/// How many members one step moves, removes or reads at most: it holds up everybody else meanwhile.
pub const MAX_MEMBERS: u32 = 200;
