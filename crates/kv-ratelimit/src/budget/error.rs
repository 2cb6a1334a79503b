//! Why a budget could not be asked.

use crate::quota::LARGEST_COUNT;
use kv_core::Error;
use std::{error, fmt};

/// Why a budget could not be asked. None of these means that it is used up: that is
/// [`Reserve::Over`](super::Reserve::Over).
#[derive(Debug)]
#[non_exhaustive]
pub enum BudgetError {
    /// A limit or an amount that cannot be counted.
    Amount(AmountError),
    /// The store could not be asked, or cannot do it.
    Store(Error),
}

/// A limit or an amount that cannot be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmountError {
    what: &'static str,
    amount: u64,
    least: u64,
}

impl AmountError {
    /// What was asked for.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

/// One that can be counted.
pub(super) fn amount(what: &'static str, amount: u64, least: u64) -> Result<u64, BudgetError> {
    match (least..LARGEST_COUNT).contains(&amount) {
        true => Ok(amount),
        false => Err(BudgetError::Amount(AmountError {
            what,
            amount,
            least,
        })),
    }
}

impl fmt::Display for AmountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            amount,
            least,
        } = self;
        write!(
            f,
            "{what} cannot be {amount}: it must be at least {least} and below 2^53"
        )
    }
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(it) => it.fmt(f),
            Self::Store(it) => it.fmt(f),
        }
    }
}

impl error::Error for AmountError {}

impl error::Error for BudgetError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Amount(_) => None,
        }
    }
}

impl From<Error> for BudgetError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
