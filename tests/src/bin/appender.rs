//! A program that appends to a list under a lock, which a test can kill and stop. It ends with its parent.
//!
//! Arguments: the URL of the store, a file for its journal, `fenced` or `bare`, and the lease and how long
//! it thinks about what it has read, both in milliseconds. It prints a line whenever it has read. The journal
//! has a line `granted FENCE ASKED ANSWERED FIRST LAST` for each lock that it held, in tokens of the
//! store, the last two empty if it was not seen held, and `written FENCE` for each write that was
//! acknowledged.

use kv_core::{Clock, Guard, Key, Kv, Lifetime, Mark, Op, SystemClock, Ttl, Txn, Value};
use kv_etcd::EtcdStore;
use kv_lock::{Lock, LockGuard, LockManager};
use kv_redis::RedisStore;
use std::{
    env, error, fs,
    io::{Read, Write},
    process, thread,
    time::Duration,
};

type Outcome<T = ()> = Result<T, Box<dyn error::Error + Send + Sync>>;

/// Until the store is there again.
const PAUSE: Duration = Duration::from_millis(20);

struct Site {
    kv: Kv,
    lock: Lock,
    journal: fs::File,
    is_fenced: bool,
    work: Duration,
}

#[tokio::main]
async fn main() -> Outcome {
    end_with_parent();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, journal, way, lease, work] = &arguments[..] else {
        return Err("wrong arguments".into());
    };
    let millis =
        |text: &str| Ok::<_, std::num::ParseIntError>(Duration::from_millis(text.parse()?));
    let builder = match url.starts_with("etcd") {
        true => Kv::builder(EtcdStore::from_url(url)?),
        false => Kv::builder(RedisStore::from_url(url)?),
    };
    let kv = builder.connect().await?;
    let site = Site {
        lock: LockManager::new(&kv)?.lock("list").lease(millis(lease)?),
        kv,
        journal: fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(journal)?,
        is_fenced: way == "fenced",
        work: millis(work)?,
    };
    loop {
        // The store may be away, or the lock lost.
        if site.append().await.is_err() {
            SystemClock.sleep(PAUSE).await;
        }
    }
}

impl Site {
    async fn append(&self) -> Outcome {
        let asked = self.moment().await?;
        let guard = self.lock.acquire().await?;
        let answered = self.moment().await?;
        let first = guard.check().is_ok().then_some(answered);
        let fence = guard.fence().get();
        let list = match self.is_fenced {
            true => guard.fenced_get("list").await?,
            false => self.kv.hget("list", "v").await?,
        };
        println!("{fence}");
        SystemClock.sleep(self.work).await;
        let list = format!("{} {fence}", list.unwrap_or_default().to_str()?);
        let is_written = self.write(&guard, list).await;
        let last = self.moment().await;
        // Not asked of the guard before: this goes past all checks, as after a pause.
        let last = last.ok().filter(|_| guard.check().is_ok()).or(first);
        let seen = |it: Option<u64>| it.map(|it| it.to_string()).unwrap_or_default();
        let (first, last) = (seen(first), seen(last));
        self.note(&format!(
            "granted {fence} {asked} {answered} {first} {last}"
        ))?;
        if is_written? {
            self.note(&format!("written {fence}"))?;
        }
        guard.release().await;
        Ok(())
    }

    /// On the way when the program was stopped: past all that could have told it of the loss.
    async fn write(&self, guard: &LockGuard, list: String) -> Outcome<bool> {
        if !self.is_fenced {
            self.kv.hset("list", "v", list).await?;
            return Ok(true);
        }
        let (key, fence) = (Key::new("list")?, guard.fence());
        let limit = i64::try_from(fence.get())?;
        let txn = Txn::new()
            .when(Guard::field_at_most(&key, "fence", limit))
            .then(Op::HSet {
                key,
                fields: vec![
                    ("v".into(), Value::from(list).into()),
                    ("fence".into(), Mark::from(fence.to_string()).into()),
                ],
            });
        Ok(self.kv.commit_one(txn).await?.applied)
    }

    /// A token of the store, greater than all before: a time that is the same for all.
    async fn moment(&self) -> Outcome<u64> {
        let ttl = Ttl::In(Lifetime::new(Duration::from_secs(3600))?);
        let key = Key::new("{moments}:last")?;
        let txn = Txn::new().then(Op::NextToken { key, ttl });
        Ok(self.kv.commit_one(txn).await?.token(0)?)
    }

    /// One write, so that lines of several programs do not mix.
    fn note(&self, line: &str) -> Outcome {
        Ok((&self.journal).write_all(format!("{line}\n").as_bytes())?)
    }
}

/// The parent holds the other end of our input; it closes when the parent ends, even killed.
fn end_with_parent() {
    thread::spawn(|| {
        let mut rest = Vec::new();
        _ = std::io::stdin().read_to_end(&mut rest);
        process::exit(1);
    });
}
