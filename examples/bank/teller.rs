//! Who pays in.

use crate::Failure;
use kv_core::{Clock, Guard, Key, Kv, Mark, Op, SystemClock, Txn, Value};
use kv_lock::{Lock, LockManager};
use std::{
    fmt,
    io::{Read, Write},
    str::FromStr,
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// What a dead or silent teller had is free after this time, and half as long again.
const LEASE: Duration = Duration::from_millis(400);

/// How long a teller counts the coins.
const COUNTING: Duration = Duration::from_millis(20);

/// Whether the account looks at fences.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    Fenced,
    Bare,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fenced => "with fences",
            Self::Bare => "without fences",
        })
    }
}

/// An account on the store.
#[derive(Clone)]
pub(crate) struct Account {
    kv: Kv,
    pub(crate) number: i64,
    pub(crate) way: Way,
}

/// What a teller says, to whoever started it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum News {
    HasRead,
    HasPaid,
    WasRefused,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HasRead => "read",
            Self::HasPaid => "paid",
            Self::WasRefused => "refused",
        })
    }
}

impl FromStr for News {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let all = [Self::HasRead, Self::HasPaid, Self::WasRefused];
        let found = all.into_iter().find(|it| it.to_string() == text);
        found.ok_or_else(|| format!("a teller says {text:?}").into())
    }
}

impl Account {
    pub(crate) fn new(kv: &Kv, number: i64, way: Way) -> Self {
        let kv = kv.clone();
        Self { kv, number, way }
    }

    pub(crate) async fn balance(&self) -> Result<u64, Failure> {
        coins(self.kv.hget(self.key()?, "v").await?)
    }

    /// For one teller: it shares nothing with the others but the store.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        let locks = LockManager::builder(&self.kv).lease(LEASE).build()?;
        Ok(locks.lock(format!("account {}", self.number)))
    }

    /// Pays in one coin; says so in between, which is the worst moment to be paused.
    pub(crate) async fn pay_in(&self, lock: &Lock, say: impl Fn(News)) -> Result<(), Failure> {
        let guard = lock.acquire().await?;
        let balance = match self.way {
            Way::Fenced => guard.fenced_get(self.key()?).await?,
            Way::Bare => self.kv.hget(self.key()?, "v").await?,
        };
        // The last check: whatever comes after it, no lock can prevent.
        guard.check()?;
        say(News::HasRead);
        SystemClock.sleep(COUNTING).await;
        let balance = coins(balance)? + 1;
        let is_paid = match self.way {
            Way::Fenced => self.write(balance, guard.fence().get()).await?,
            Way::Bare => {
                self.kv.hset(self.key()?, "v", balance.to_string()).await?;
                true
            }
        };
        say(if is_paid {
            News::HasPaid
        } else {
            News::WasRefused
        });
        guard.release().await;
        Ok(())
    }

    /// What `fenced_put` does, but for its check: the account alone is to refuse.
    async fn write(&self, balance: u64, fence: u64) -> Result<bool, Failure> {
        let key = self.key()?;
        let txn = Txn::new()
            .when(Guard::field_at_most(&key, "fence", i64::try_from(fence)?))
            .then(Op::HSet {
                key,
                fields: vec![
                    ("v".into(), Value::from(balance.to_string()).into()),
                    ("fence".into(), Mark::from(fence.to_string()).into()),
                ],
            });
        Ok(self.kv.commit_one(txn).await?.applied)
    }

    fn key(&self) -> Result<Key, Failure> {
        Ok(Key::new(format!("account:{}", self.number))?)
    }
}

/// A process that pays in until its input ends.
pub(crate) async fn serve(account: Account) -> Result<(), Failure> {
    let (ended, mut signal) = oneshot::channel::<()>();
    thread::spawn(move || {
        // Nothing is ever written to it.
        _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
    });
    let lock = account.lock()?;
    let say = |news| {
        let mut output = std::io::stdout().lock();
        // Nobody reads any more when the parent is gone; then the input ends, too.
        _ = writeln!(output, "{news}").and_then(|()| output.flush());
    };
    while signal.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        if account.pay_in(&lock, say).await.is_err() {
            // The lock was lost before anything was done.
            SystemClock.sleep(COUNTING).await;
        }
    }
    Ok(())
}

fn coins(balance: Option<Value>) -> Result<u64, Failure> {
    match balance {
        None => Ok(0),
        Some(text) => Ok(text.to_str()?.parse()?),
    }
}
