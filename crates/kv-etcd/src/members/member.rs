//! One member: the connection to it, and whether it is any good.

use super::exchange::{Request, Response};
use crate::error::{Answer, Failure};
use etcd_client::{Client, ConnectOptions, GetOptions, KvClient};
use kv_core::{ErrorKind, Stopwatch};
use parking_lot::Mutex;
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, task::AbortHandle, time::timeout};
use tonic::transport::{Channel, Endpoint};
use tower::{BoxError, Service, ServiceExt};

/// How long a member that does not answer is left alone at first, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A member that is in doubt again so soon has to be good for longer, each time twice as long, ...
const SOON: Duration = Duration::from_secs(30);
/// ... up to so many times.
const MOST_STRIKES: u32 = 5;

/// Calls go there.
const GOOD: u8 = 0;
/// It was silent, or refused a call; calls go to others while it is asked.
const DOUBTED: u8 = 1;
/// It did not answer then either.
const LOST: u8 = 2;

pub(super) struct Member {
    pub(super) endpoint: Endpoint,
    channel: Channel,
    /// Without credentials: also who says that they are missing is there.
    probe: KvClient,
    /// How long a probe may take.
    limit: Duration,
    health: AtomicU8,
    /// How many calls it has answered.
    answers: AtomicU64,
    gone: Notify,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    strikes: u32,
    recovered: Option<Stopwatch>,
    probing: Option<AbortHandle>,
}

impl Member {
    /// Nothing is sent.
    pub(super) async fn new(endpoint: Endpoint, limit: Duration) -> Answer<Self> {
        let channel = endpoint.connect_lazy();
        // Who has lost its leader says so, in place of waiting for one.
        let options = ConnectOptions::new().with_require_leader(true);
        let raw = etcd_client::Channel::Tonic(channel.clone());
        let client = Client::from_channel(raw, Some(options)).await;
        let client = client.map_err(|error| Failure::connecting(&error))?;
        Ok(Self {
            endpoint,
            channel,
            probe: client.kv_client(),
            limit,
            health: AtomicU8::new(GOOD),
            answers: AtomicU64::new(0),
            gone: Notify::new(),
            past: Mutex::default(),
        })
    }

    pub(super) async fn call(&self, request: Request) -> Result<Response, BoxError> {
        let mut channel = self.channel.clone();
        let response = channel.ready().await?.call(request).await?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    pub(super) fn is_good(&self) -> bool {
        self.health.load(Ordering::Relaxed) == GOOD
    }

    /// Ends once the member is lost.
    pub(super) async fn gone(&self) {
        loop {
            let told = self.gone.notified();
            if self.health.load(Ordering::Acquire) == LOST {
                return;
            }
            told.await;
        }
    }

    /// Has others take the calls until it is known to answer.
    pub(super) fn doubt(self: &Arc<Self>) {
        // A call can be dropped when there is no runtime any more.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.turn(GOOD, DOUBTED) {
            return;
        }
        let mut past = self.past.lock();
        let again = past.recovered.is_some_and(|it| it.elapsed() < SOON);
        past.strikes = match again {
            true => MOST_STRIKES.min(past.strikes + 1),
            false => 0,
        };
        let task = runtime.spawn(Arc::clone(self).watch_over(past.strikes));
        let before = past.probing.replace(task.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }

    /// It did what only a member can that is connected to the others.
    pub(super) fn recover(&self) {
        if self.health.swap(GOOD, Ordering::AcqRel) == LOST {
            tracing::info!(endpoint = %self.endpoint.uri(), "a member answers again");
        }
        self.past.lock().recovered = Some(Stopwatch::start());
    }

    /// Whether it answers what takes the agreement of the others.
    pub(super) async fn answers_a_probe(&self) -> bool {
        let mut probe = self.probe.clone();
        let options = GetOptions::new().with_keys_only();
        let Ok(answer) = timeout(self.limit, probe.get("\0", Some(options))).await else {
            return false;
        };
        let failure = answer.err().map(|error| Failure::sending(&error).kind());
        !matches!(failure, Some(ErrorKind::Unavailable | ErrorKind::Timeout))
    }

    /// Ends what was begun for it.
    pub(super) fn forget(&self) {
        if let Some(task) = self.past.lock().probing.take() {
            task.abort();
        }
    }

    /// Asks until it answers.
    async fn watch_over(self: Arc<Self>, strikes: u32) {
        let mut pause = SHORTEST_PAUSE * (1 << strikes);
        let mut pauses = strikes > 0;
        loop {
            if pauses {
                let jitter = pause.mul_f64(fastrand::f64() / 4.0);
                let _ = timeout(pause + jitter, pending::<()>()).await;
            }
            if self.is_good() {
                return;
            }
            if self.answers_a_probe().await {
                self.recover();
                return;
            }
            if self.turn(DOUBTED, LOST) {
                tracing::warn!(
                    endpoint = %self.endpoint.uri(),
                    "a member does not answer, or has no leader; calls go to the others"
                );
                self.gone.notify_waiters();
            }
            (pause, pauses) = (LONGEST_PAUSE.min(pause * 2), true);
        }
    }

    fn turn(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        let turned = self.health.compare_exchange(from, to, success, failure);
        turned.is_ok()
    }
}

/// A call under way at a member. Callers of little patience drop theirs before it is long enough to be
/// noticed; so their dropping is.
pub(super) struct Waiting<'a> {
    member: &'a Arc<Member>,
    /// How many calls it had answered then.
    answers: u64,
    since: Stopwatch,
    patience: Duration,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(member: &'a Arc<Member>, patience: Duration) -> Self {
        Self {
            member,
            answers: member.answers.load(Ordering::Relaxed),
            since: Stopwatch::start(),
            patience,
        }
    }

    /// Whether the member has answered nobody meanwhile.
    pub(super) fn in_vain(&self) -> bool {
        self.member.answers.load(Ordering::Relaxed) == self.answers
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.in_vain() && self.since.elapsed() >= self.patience {
            self.member.doubt();
        }
    }
}
