#![doc = include_str!("../README.md")]

mod answer;
mod asking;
mod budget;
mod decision;
mod error;
mod follow;
mod here;
#[cfg(feature = "tower")]
pub mod http;
mod leased;
mod limit;
mod limiter;
mod local;
mod place;
mod policies;
mod policy;
mod quota;
mod refund;
mod reserve;
mod settings;
mod several;
mod slot;
mod store;
pub mod telemetry;

pub use kv_lock::{Lost, LostReason, Release};

pub use self::{
    budget::{
        AmountError, Budget, BudgetError, Budgets, BudgetsBuilder, Hold, Over, Reserve, Settlement,
        Standing,
    },
    decision::{Decision, Source, Verdict},
    error::{CostError, LimitError, NoSlot, NotPossible, PolicyError, TooLate, UnknownPolicy},
    follow::Following,
    limit::Limit,
    limiter::{RateLimiter, RateLimiterBuilder},
    policy::{OnError, Policy, Tier},
    quota::{CalendarPeriod, Quota, QuotaError},
    reserve::{Reservation, Reserved},
    settings::{OnErrorSetting, PolicySettings, RateLimitSettings, TierSetting},
    several::Decisions,
    slot::{Acquired, Slot},
};
