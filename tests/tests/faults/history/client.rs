//! Clients that do random things to one group of keys and tell the recorder.

use super::{
    model::{Ask, Told},
    recorder::Recorder,
};
use crate::site::bounded;
use kv_core::{
    Content, Error, ErrorKind, Guard, Key, KeyGroup, Kv, Mark, Op, Outcome, Read, RelativeScore,
    Result, Score, SetOptions, Ttl, Txn, When, ZMove,
};
use std::sync::Arc;
use tokio::task::{JoinSet, yield_now};

const CLIENTS: usize = 6;
const CALLS: usize = 16;
const JOBS: u8 = 8;

/// Runs all clients on a group of keys of their own.
pub(super) async fn run_clients(kv: &Kv, group: &KeyGroup, recorder: &Arc<Recorder>) {
    let keys = Keys {
        kv: kv.clone(),
        x: group.key(":x"),
        y: group.key(":y"),
        due: group.key(":due"),
        claimed: group.key(":claimed"),
    };
    let clients = (0..CLIENTS).map(|_| run_client(keys.clone(), Arc::clone(recorder)));
    clients.collect::<JoinSet<_>>().join_all().await;
}

async fn run_client(keys: Keys, recorder: Arc<Recorder>) {
    let mut memory = Memory::default();
    for _ in 0..CALLS {
        let ask = memory.choose();
        let open = recorder.call(ask.clone());
        // A store that answers at once would otherwise never be asked two things at a time.
        yield_now().await;
        let told = told(bounded("a call", keys.execute(&ask)).await);
        yield_now().await;
        memory.learn(&told);
        recorder.answer(open, told);
    }
}

/// What a client has last seen.
#[derive(Default)]
struct Memory {
    x: Option<i64>,
    job: Option<u8>,
}

impl Memory {
    fn choose(&mut self) -> Ask {
        match (fastrand::u8(..16), self.x) {
            (0..3, _) => Ask::Get,
            (3..5, seen) => Ask::Swap {
                seen,
                new: fastrand::i64(100..1000),
            },
            (5..7, _) => Ask::Increment,
            (7..10, Some(seen)) => Ask::Transfer { seen },
            (7..11, _) => Ask::Both,
            (11..13, _) => Ask::Add(fastrand::u8(..JOBS)),
            _ => match self.job.take() {
                Some(job) => Ask::Finish(job),
                None => Ask::Claim,
            },
        }
    }

    fn learn(&mut self, told: &Told) {
        match *told {
            Told::Value(x) | Told::Pair(x, _) => self.x = x,
            Told::Sum(sum) => self.x = Some(sum),
            Told::Job(job) => self.job = job,
            Told::Done(_) | Told::Unknown | Told::NotApplied => {}
        }
    }
}

#[derive(Clone)]
struct Keys {
    kv: Kv,
    x: Key,
    y: Key,
    due: Key,
    claimed: Key,
}

impl Keys {
    async fn execute(&self, ask: &Ask) -> Result<Told> {
        let kv = &self.kv;
        Ok(match *ask {
            Ask::Get => Told::Value(number(kv.get(&self.x).await?.map(|it| it.into_bytes()))),
            Ask::Swap { seen, new } => {
                let when = match seen {
                    None => When::IfAbsent,
                    Some(seen) => When::IfValue(seen.to_string().into()),
                };
                let reply = kv.set_with(&self.x, new.to_string(), SetOptions::from(when));
                Told::Done(reply.await?.applied)
            }
            Ask::Increment => Told::Sum(kv.increment(&self.x, 1).await?),
            Ask::Transfer { seen } => {
                let txn = Txn::new()
                    .when(Guard::value_is(&self.x, seen.to_string()))
                    .then(Op::Set {
                        key: self.x.clone(),
                        content: Content::Mark((seen - 1).to_string().into()),
                        ttl: Ttl::Never,
                    })
                    .then(Op::Increment {
                        key: self.y.clone(),
                        by: 1,
                        ttl_if_created: Ttl::Never,
                    });
                Told::Done(kv.commit_one(txn).await?.applied)
            }
            Ask::Both => {
                let read = |key: &Key| Read::GetMark { key: key.clone() };
                let txn = Txn::new().then(read(&self.x)).then(read(&self.y));
                let mut reply = kv.commit_one(txn).await?;
                let mut next = |step| reply.mark(step).map(|it| number(it.map(Mark::into_bytes)));
                Told::Pair(next(0)?, next(1)?)
            }
            // A job that is there already stays as it is: its score tells it.
            Ask::Add(job) => {
                let score = Score::from(i32::from(job));
                Told::Done(kv.zadd(&self.due, [(member(job), score)]).await? == 1)
            }
            Ask::Claim => {
                let step = ZMove::new(1)
                    .from(&self.due, Score::MAX)
                    .to(&self.claimed, RelativeScore::NOW);
                let moved = kv.zmove(step).await?.members;
                let job = moved.first().map(|it| it.member.as_bytes()[0]);
                Told::Job(job)
            }
            Ask::Finish(job) => {
                let txn = Txn::new()
                    .when(Guard::member_exists(&self.claimed, member(job)))
                    .then(Op::ZRem {
                        key: self.claimed.clone(),
                        members: vec![member(job).into()],
                    });
                Told::Done(kv.commit_one(txn).await?.applied)
            }
        })
    }
}

fn member(job: u8) -> Vec<u8> {
    vec![job]
}

fn number(text: Option<bytes::Bytes>) -> Option<i64> {
    text.map(|it| str::from_utf8(&it).unwrap().parse().unwrap())
}

fn told(result: Result<Told>) -> Told {
    let error: Error = match result {
        Ok(told) => return told,
        Err(error) => error,
    };
    let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
    assert!(kinds.contains(&error.kind()), "{error:?}");
    match error.outcome() {
        Outcome::NotApplied => Told::NotApplied,
        _ => Told::Unknown,
    }
}
