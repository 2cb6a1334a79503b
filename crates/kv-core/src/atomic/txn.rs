//! A transaction: conditions, and what is done or read.

use super::{Guard, Op, Read};
use crate::{Result, Walk, Walker, command::Parts};

/// One atomic step on keys of one group: if all guards hold, `then` is done, else `otherwise` is
/// read. Nobody sees a part of it, and what cannot be done as a whole changes nothing.
///
/// In `then` each string, each field and each member may be written once, and at most one
/// [`ZRemRange`](Op::ZRemRange) and one of [`Expire`](Op::Expire) and [`Persist`](Op::Persist) may name
/// a key. A string that it writes it cannot read as well.
///
/// ```
/// use kv_core::{Guard, KeyGroup, Lifetime, Mark, Op, Read, Ttl, Txn};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let lock = KeyGroup::new("lock:report")?;
/// let (held, fence) = (lock.key(":holder"), lock.key(":fence"));
/// let lease = Ttl::Held(Lifetime::new(Duration::from_secs(10))?);
///
/// let acquire = |nonce: &'static str| {
///     Txn::new()
///         .when(Guard::absent(&held))
///         .then(Op::Set { key: held.clone(), content: Mark::from(nonce).into(), ttl: lease })
///         .then(Op::NextToken { key: fence.clone(), ttl: Ttl::Never })
///         .otherwise(Read::GetMark { key: held.clone() })
/// };
/// let mut ann = kv.commit_one(acquire("ann")).await?;
/// assert!(ann.applied && ann.token(1)? > 0);
///
/// let mut bob = kv.commit_one(acquire("bob")).await?;
/// assert!(!bob.applied);
/// assert_eq!(bob.mark(0)?, Some("ann".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Txn {
    /// What must hold.
    pub when: Vec<Guard>,
    /// What is done if it does.
    pub then: Vec<Op>,
    /// What is read if it does not.
    pub otherwise: Vec<Read>,
}

impl Txn {
    /// A transaction that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more condition.
    #[must_use]
    pub fn when(mut self, guard: Guard) -> Self {
        self.when.push(guard);
        self
    }

    /// With one more step.
    #[must_use]
    pub fn then(mut self, op: impl Into<Op>) -> Self {
        self.then.push(op.into());
        self
    }

    /// With one more read where a condition does not hold.
    #[must_use]
    pub fn otherwise(mut self, read: Read) -> Self {
        self.otherwise.push(read);
        self
    }
}

impl Txn {
    /// Whether anything in it is told by the store's clock, so that the reply tells the time.
    pub fn tells_time(&self) -> bool {
        self.when.iter().any(Guard::is_relative)
            || self.then.iter().any(Op::is_relative)
            || self.otherwise.iter().any(Read::is_relative)
    }
}

impl Walk for Txn {
    const PARTS: Parts = <Guard as Walk>::PARTS.and(<Op as Walk>::PARTS);

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.when.walk(walker)?;
        self.then.walk(walker)?;
        self.otherwise.walk(walker)
    }
}
