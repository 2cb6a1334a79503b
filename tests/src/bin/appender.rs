//! A program that appends to a list under a lock, which a test can kill and stop. It ends with its parent.
//!
//! Arguments: the URL of the store, a file for its journal, `fenced` or `bare`, the kind of lock, by whose
//! name the list goes, too, and the lease and how long it thinks about what it has read, both in milliseconds. It
//! prints a line whenever it has read. The journal has a line `granted FENCE ASKED ANSWERED FIRST LAST` for
//! each lock that it held, in tokens of the store, the last two empty if it was not seen held; then
//! `written FENCE` for each write that was acknowledged, or `refused FENCE` for one that came too late.

use kv_core::{
    Clock, Content, Field, Guard, Key, Kv, Lifetime, Mark, Op, SystemClock, Ttl, Txn, Value,
};
use kv_etcd::EtcdStore;
use kv_lock::LockManager;
use kv_redis::RedisStore;
use kv_tests::kinds::{Held, Kind};
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
    locks: LockManager,
    kind: Kind,
    journal: fs::File,
    is_fenced: bool,
    work: Duration,
}

#[tokio::main]
async fn main() -> Outcome {
    end_with_parent();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, journal, way, kind, lease, work] = &arguments[..] else {
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
        locks: LockManager::builder(&kv).lease(millis(lease)?).build()?,
        kind: Kind::named(kind).ok_or("no such kind")?,
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
        let guard = self.kind.acquire(&self.locks, self.list()).await?;
        let answered = self.moment().await?;
        let first = guard.check().is_ok().then_some(answered);
        let fence = guard.fence();
        let list = match self.is_fenced {
            true => self.read(&guard).await?,
            false => self.kv.hget(self.list(), "v").await?,
        };
        println!("{fence}");
        SystemClock.sleep(self.work).await;
        let list = format!("{} {fence}", list.unwrap_or_default().to_str()?);
        let is_written = self.write(fence, list).await;
        let last = self.moment().await;
        // Not asked of the guard before: this goes past all checks, as after a pause.
        let last = last.ok().filter(|_| guard.check().is_ok()).or(first);
        let seen = |it: Option<u64>| it.map(|it| it.to_string()).unwrap_or_default();
        let (first, last) = (seen(first), seen(last));
        self.note(&format!(
            "granted {fence} {asked} {answered} {first} {last}"
        ))?;
        match is_written? {
            true => self.note(&format!("written {fence}"))?,
            false => self.note(&format!("refused {fence}"))?,
        }
        guard.release().await;
        Ok(())
    }

    /// Leaves the fence at the list: from now on it refuses earlier holders.
    async fn read(&self, held: &Held) -> Outcome<Option<Value>> {
        let list = self.list();
        let read = match held {
            Held::Lock(guard) => guard.fenced_get(list).await,
            Held::Write(guard) => guard.fenced_get(list).await,
            Held::Election(guard) => guard.fenced_get(list).await,
            // They have none, and bring their own.
            Held::Read(_) | Held::Permits(_) | Held::Several(_) => {
                let txn = self
                    .fenced(held.fence(), Vec::new())?
                    .then(kv_core::Read::HGet {
                        key: Key::new(list)?,
                        field: "v".into(),
                    });
                let mut reply = self.kv.commit_one(txn).await?;
                return match reply.applied {
                    true => Ok(reply.value(1)?),
                    false => Err("a later holder has read".into()),
                };
            }
        };
        Ok(read?)
    }

    /// On the way when the program was stopped: past all that could have told it of the loss.
    async fn write(&self, fence: u64, list: String) -> Outcome<bool> {
        if !self.is_fenced {
            self.kv.hset(self.list(), "v", list).await?;
            return Ok(true);
        }
        let txn = self.fenced(fence, vec![("v".into(), Value::from(list).into())])?;
        Ok(self.kv.commit_one(txn).await?.applied)
    }

    /// Writes unless a later holder has been here.
    fn fenced(&self, fence: u64, mut fields: Vec<(Field, Content)>) -> Outcome<Txn> {
        fields.push(("fence".into(), Mark::from(fence.to_string()).into()));
        let key = Key::new(self.list())?;
        let limit = i64::try_from(fence)?;
        Ok(Txn::new()
            .when(Guard::field_at_most(&key, "fence", limit))
            .then(Op::HSet { key, fields }))
    }

    fn list(&self) -> &'static str {
        self.kind.name()
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
