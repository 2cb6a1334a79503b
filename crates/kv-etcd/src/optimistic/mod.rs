//! Commands that read, decide and write, as one atomic step.
//!
//! A command is a *plan*: a function that looks at what is on the store and says what to write. It
//! runs on a [`View`], which answers from facts that were read at one revision. What it looks at
//! and nobody has read yet is read, and the plan runs again. Once it runs through, its writes go out
//! in one transaction on the condition that all it relied on is still so; if not, the answer brings
//! what there is now, and the plan runs again on that.
//!
//! So a plan must be a function of the view alone. It may run on guesses; those are conditions like
//! all else, and nothing is answered from them that the store did not confirm.

mod done;
mod facts;
mod nest;
mod pages;
mod recall;
mod run;
mod step;
mod view;
mod writes;

pub(crate) use self::{
    done::{Count, Done},
    facts::{Listing, Query, Seen, What},
    run::{MOST_BYTES, MOST_OPS, Optimist},
    step::{Group, GroupSlot, Slot},
    view::{Interrupt, Planned, View},
};
