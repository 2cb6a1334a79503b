#![doc = include_str!("../README.md")]

mod bench;
mod case;
mod cases;
mod failure;
mod fixture;
mod refusal;
mod runner;

pub mod differential;
pub mod faults;
pub mod proxy;
pub mod zoo;

pub use self::{
    bench::{Bench, Written, together},
    case::{Case, Outcome},
    cases::{IN_SCOPE, all as all_cases},
    failure::{Failure, Verdict},
    fixture::{Fixture, Settings, Tenancy},
    runner::{Report, run, run_only, trials},
};
