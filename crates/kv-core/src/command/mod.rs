//! Commands as data: the table, what a row becomes, and how layers reach into one.

mod apart;
mod arg;
mod batch;
mod expand;
mod places;
mod spec;
mod table;
mod visit;
mod walk;

pub use self::{
    apart::Refused,
    arg::Arg,
    batch::{Cursor, ScanFrom, ScanPage, ScoredMember, SetReply},
    places::{Place, Places},
    spec::{Access, Repeat, Spec},
    table::{COMMANDS, Command, Reply, Store},
    visit::Visitor,
    walk::{Parts, Walk, Walker},
};

pub(crate) use self::table::dispatch;
