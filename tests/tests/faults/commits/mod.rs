//! Commits while the server is killed and stopped: what was acknowledged stays, whole; what was not is
//! unknown or not applied, and says so.

mod journal;

use crate::site::{Backend, Site, bounded, on_each_server, recovers};
use journal::{Found, Journal, Reply, Totals, judge, judge_remains};
use kv_core::{Content, Error, ErrorKind, Guard, KeyGroup, Kv, Op, Outcome, Read, Ttl, Txn};
use kv_tests::patience::{pause, until};
use kv_tests::server::Redis;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinSet;

on_each_server! {
    commits_to_a_stopped_server_are_unknown_and_done_once_or_never
    acknowledged_commits_survive_kills
}

const TASKS: usize = 6;

/// Entry `number` of a book, if the one before it is the last.
fn entry(book: &KeyGroup, number: u64) -> Txn {
    let last = book.key(":last");
    let guard = match number {
        1 => Guard::absent(&last),
        _ => Guard::value_is(&last, (number - 1).to_string()),
    };
    let text = number.to_string();
    Txn::new()
        .when(guard)
        .then(Op::Set {
            key: last.clone(),
            content: Content::Mark(text.clone().into()),
            ttl: Ttl::Never,
        })
        .then(Op::HSet {
            key: book.key(":pages"),
            fields: vec![(text.clone().into(), Content::Mark(text.clone().into()))],
        })
        .then(Op::ZAdd {
            key: book.key(":order"),
            members: vec![(text.into(), (number as u32).into())],
            notify_if_first: None,
        })
        .then(Op::Increment {
            key: book.key(":count"),
            by: 1,
            ttl_if_created: Ttl::Never,
        })
        .otherwise(Read::GetMark { key: last })
}

/// Tasks that write one book each until they are stopped.
struct Writers {
    tasks: JoinSet<(usize, Journal)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl Writers {
    fn start(kv: &Kv) -> Self {
        let shared = Arc::<Shared>::default();
        let tasks = (0..TASKS).map(|task| {
            let (kv, shared) = (kv.clone(), Arc::clone(&shared));
            async move { (task, write(kv, book(task), shared).await) }
        });
        Self {
            tasks: tasks.collect(),
            shared,
        }
    }

    async fn succeed(&self, more: u64) {
        let goal = self.shared.acknowledged.load(Ordering::Acquire) + more;
        let reached = async || self.shared.acknowledged.load(Ordering::Acquire) >= goal;
        until("commits succeed", reached).await;
    }

    async fn fail(&self, more: u64) {
        let goal = self.shared.failed.load(Ordering::Acquire) + more;
        let reached = async || self.shared.failed.load(Ordering::Acquire) >= goal;
        until("commits fail", reached).await;
    }

    async fn verdict(self, direct: &Kv) -> Totals {
        let mut all = Totals::default();
        for (task, journal) in self.stop().await {
            let found = read(direct, &book(task)).await;
            let totals = judge(&journal, &found);
            all += totals.unwrap_or_else(|reason| panic!("book {task}: {reason}"));
        }
        println!("commits: {all:?}");
        all
    }

    /// Ends the tasks; what each saw.
    async fn stop(self) -> Vec<(usize, Journal)> {
        self.shared.stop.store(true, Ordering::Release);
        self.tasks.join_all().await
    }
}

fn book(task: usize) -> KeyGroup {
    KeyGroup::new(format!("book-{task}")).unwrap()
}

async fn write(kv: Kv, book: KeyGroup, shared: Arc<Shared>) -> Journal {
    let mut journal = Journal::default();
    while !shared.stop.load(Ordering::Acquire) {
        let number = journal.next();
        let reply = match bounded("a commit", kv.commit_one(entry(&book, number))).await {
            Ok(reply) if reply.applied => Reply::Applied,
            Ok(mut reply) => {
                let last = reply.mark(0).unwrap();
                Reply::Refused(last.map_or(0, |it| it.to_str().unwrap().parse().unwrap()))
            }
            Err(error) => reply_of(&error),
        };
        journal.note(number, reply);
        if matches!(reply, Reply::Applied | Reply::Refused(_)) {
            shared.acknowledged.fetch_add(1, Ordering::AcqRel);
            tokio::task::yield_now().await;
        } else {
            shared.failed.fetch_add(1, Ordering::AcqRel);
            // A store that fails at once would otherwise fill the journal.
            pause(Duration::from_millis(2)).await;
        }
    }
    journal
}

fn reply_of(error: &Error) -> Reply {
    let kinds = [ErrorKind::Timeout, ErrorKind::Unavailable];
    match error.outcome() {
        _ if !kinds.contains(&error.kind()) => Reply::Wrong(error.kind()),
        Outcome::NotApplied => Reply::NotApplied,
        Outcome::Unknown => Reply::Unknown,
        _ => Reply::Wrong(error.kind()),
    }
}

async fn read(kv: &Kv, book: &KeyGroup) -> Found {
    let number = async |suffix: &str| -> u64 {
        let text = kv.get(&book.key(suffix)).await.unwrap();
        text.map_or(0, |it| it.to_str().unwrap().parse().unwrap())
    };
    let pages = kv.hgetall(&book.key(":pages")).await.unwrap();
    Found {
        last: number(":last").await,
        count: number(":count").await,
        pages: pages
            .iter()
            .map(|(field, _)| field.to_str().unwrap().parse().unwrap())
            .collect(),
        ordered: kv
            .zcount(&book.key(":order"), (f64::MIN, f64::MAX))
            .await
            .unwrap(),
    }
}

async fn acknowledged_commits_survive_kills<S: Backend>() {
    const KILLS: usize = 3;
    let mut site = Site::<S>::start_durable().await;
    let kv = site.through().await;
    let writers = Writers::start(&kv);
    for _ in 0..KILLS {
        writers.succeed(200).await;
        site.server.kill();
        writers.fail(6).await;
        site.server.restart();
        writers.succeed(200).await;
    }
    until("the other handle is back", async || {
        site.direct.get("k").await.is_ok()
    })
    .await;
    let totals = writers.verdict(&site.direct).await;
    println!("{KILLS} kills and restarts; proxy: {}", site.proxy.counts());
    assert!(totals.unknown + totals.not_applied > 0, "{totals:?}");
}

/// While the log is being synced the server holds back what follows, for up to two seconds, though it
/// has been acknowledged: a killed process can take that along. What it leaves is a beginning, and whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_leaves_is_whole_when_the_log_is_synced_every_second() {
    const KILLS: usize = 3;
    for _ in 0..KILLS {
        let mut site = Site::<Redis>::of(Redis::start_durable_every_second()).await;
        let kv = site.through().await;
        let writers = Writers::start(&kv);
        writers.succeed(300).await;
        site.server.kill();
        writers.fail(6).await;
        let journals = writers.stop().await;
        site.server.restart();
        until("the other handle is back", async || {
            site.direct.get("k").await.is_ok()
        })
        .await;
        let mut lost = 0;
        for (task, journal) in journals {
            let found = read(&site.direct, &book(task)).await;
            let judged = judge_remains(&journal, &found);
            lost += judged.unwrap_or_else(|reason| panic!("book {task}: {reason}"));
        }
        println!("appendfsync everysec: a kill took {lost} acknowledged commits along");
    }
}

async fn commits_to_a_stopped_server_are_unknown_and_done_once_or_never<S: Backend>() {
    const PAUSES: usize = 3;
    let site = Site::<S>::start_durable().await;
    let kv = site.through().await;
    let writers = Writers::start(&kv);
    for _ in 0..PAUSES {
        writers.succeed(200).await;
        site.server.pause();
        writers.fail(12).await;
        site.server.resume();
        writers.succeed(200).await;
    }
    recovers(&kv).await;
    let totals = writers.verdict(&site.direct).await;
    println!("{PAUSES} pauses; proxy: {}", site.proxy.counts());
    assert!(totals.unknown > 0, "{totals:?}");
}
