//! The one way to the servers: every exchange goes through here, under a deadline.

use crate::{
    config::{EtcdConfig, Target},
    endpoints,
    error::{Answer, Cause, Failure},
    layout::Range,
    members::{Dialed, Members},
};
use arc_swap::ArcSwapOption;
use etcd_client::{
    Client, ConnectOptions, DeleteOptions, DeleteResponse, GetOptions, GetResponse, KvClient,
    LeaseClient, PutOptions, PutResponse, ResponseHeader, Txn, TxnResponse, WatchClient,
};
use kv_core::{Error, ErrorKind, Outcome, Result, SystemClock, Timers};
use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::timeout};
use tonic::transport::Endpoint;

/// The largest answer that is taken. etcd keeps requests below 1.5 MiB, but a range of many keys can
/// be any size.
const LARGEST_ANSWER: usize = 64 << 20;
/// How long to wait for a leader at least before everybody is asked anew.
const PAUSE: Duration = Duration::from_millis(50);

/// The way to the servers, while it is connected.
#[derive(Default)]
pub(crate) struct Link {
    connected: ArcSwapOption<Connected>,
}

struct Connected {
    client: Client,
    kv: KvClient,
    lease: LeaseClient,
    members: Arc<Members>,
    options: ConnectOptions,
    timers: Timers,
    /// None without a user.
    token: Option<Token>,
}

impl Link {
    /// Connects; there is no connection unless a server has answered. While the members have no leader
    /// it tries again.
    pub(crate) async fn connect(&self, config: &EtcdConfig, target: &Target) -> Result<()> {
        let endpoints = endpoints::of(config, target).await?;
        let limit = config.connect_timeout;
        let message = format!("no server answered within {limit:?}");
        let mut last = Failure::new(ErrorKind::Unavailable, Outcome::NotApplied, message);
        let opening = async {
            loop {
                match Connected::open(config, target, endpoints.clone()).await {
                    // Its members were asked for as long as a call is.
                    Err(failure) if failure.cause() == Cause::NoLeader => last = failure,
                    opened => return opened,
                }
                let _ = timeout(PAUSE, pending::<()>()).await;
            }
        };
        let opened = timeout(limit, opening).await;
        let connected = opened.unwrap_or(Err(last)).map_err(|failure| {
            Error::from(failure).with_context("endpoints", target.endpoints.join(","))
        })?;
        self.connected.store(Some(Arc::new(connected)));
        Ok(())
    }

    /// Ends the connections once the calls under way are done.
    pub(crate) fn close(&self) {
        self.connected.store(None);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load().is_some()
    }

    /// The driver's own client.
    pub(crate) fn client(&self) -> Answer<Client> {
        Ok(self.connected()?.client.clone())
    }

    /// A connection of its own to one of the members, for streams and what belongs to them; the turn
    /// tells which, if it answers. Its streams end when the member loses its leader.
    pub(crate) async fn dial(&self, turn: usize) -> Answer<(Dialed, KvClient, WatchClient)> {
        let connected = self.connected()?;
        let dialed = connected.members.dial(turn).await;
        let options = Some(connected.options.clone());
        let client = Client::from_channel(dialed.channel(), options).await;
        let client = client.map_err(|error| Failure::connecting(&error))?;
        let watch = client.watch_client();
        let watch = watch.max_decoding_message_size(LARGEST_ANSWER);
        Ok((dialed, client.kv_client(), watch))
    }

    pub(crate) async fn get(
        &self,
        key: Vec<u8>,
        options: Option<GetOptions>,
    ) -> Answer<GetResponse> {
        let connected = self.connected()?;
        let exchange = |mut kv: KvClient, (key, options): (Vec<u8>, _)| async move {
            kv.get(key, options).await
        };
        let answer = connected
            .call(&connected.kv, (key, options), exchange)
            .await;
        answer.map_err(Failure::of_a_read)
    }

    pub(crate) async fn list(&self, range: &Range, options: GetOptions) -> Answer<GetResponse> {
        let options = options.with_range(range.to_key.clone());
        self.get(range.from_key.clone(), Some(options)).await
    }

    pub(crate) async fn put(
        &self,
        key: Vec<u8>,
        value: Vec<u8>,
        options: Option<PutOptions>,
    ) -> Answer<PutResponse> {
        let connected = self.connected()?;
        let exchange = |mut kv: KvClient, (key, value, options): (Vec<u8>, Vec<u8>, _)| async move {
            kv.put(key, value, options).await
        };
        let request = (key, value, options);
        connected.call(&connected.kv, request, exchange).await
    }

    pub(crate) async fn delete(&self, range: Range) -> Answer<DeleteResponse> {
        let connected = self.connected()?;
        let options = DeleteOptions::new().with_range(range.to_key);
        let exchange = |mut kv: KvClient, (key, options): (Vec<u8>, _)| async move {
            kv.delete(key, Some(options)).await
        };
        let request = (range.from_key, options);
        connected.call(&connected.kv, request, exchange).await
    }

    pub(crate) async fn txn(&self, txn: Txn) -> Answer<TxnResponse> {
        let connected = self.connected()?;
        let exchange = |mut kv: KvClient, txn| async move { kv.txn(txn).await };
        connected.call(&connected.kv, txn, exchange).await
    }

    /// A lease that lives for at least so many seconds; answers its id.
    pub(crate) async fn grant(&self, seconds: i64) -> Answer<i64> {
        let connected = self.connected()?;
        let exchange =
            |mut lease: LeaseClient, seconds| async move { lease.grant(seconds, None).await };
        let granted = connected.call(&connected.lease, seconds, exchange).await;
        // One whose answer is lost holds no keys and ends by itself.
        Ok(granted.map_err(Failure::of_a_read)?.id())
    }

    /// For how many more seconds a lease lives; `None` if it is not there.
    pub(crate) async fn lease_left(&self, id: i64) -> Answer<Option<Duration>> {
        let connected = self.connected()?;
        let exchange =
            |mut lease: LeaseClient, id| async move { lease.time_to_live(id, None).await };
        let told = connected.call(&connected.lease, id, exchange).await;
        let left = told.map_err(Failure::of_a_read)?.ttl();
        Ok(u64::try_from(left).ok().map(Duration::from_secs))
    }

    fn connected(&self) -> Answer<Arc<Connected>> {
        self.connected.load_full().ok_or_else(Failure::closed)
    }
}

impl Connected {
    async fn open(config: &EtcdConfig, target: &Target, endpoints: Vec<Endpoint>) -> Answer<Self> {
        let options = options(target);
        let members = Members::new(endpoints, config.response_timeout).await?;
        let connecting = Client::from_channel(members.channel(), Some(options.clone())).await;
        let client = connecting.map_err(|error| Failure::opening(&error, target))?;
        let mut kv = client.kv_client().max_decoding_message_size(LARGEST_ANSWER);
        // Connections are opened by the first call; a key that nobody writes is read, where a user
        // may who has no more than his own keys.
        let unused = format!("{}\0", target.root.as_deref().unwrap_or_default());
        let options_of_probe = GetOptions::new().with_keys_only();
        let probe = kv.get(&*unused, Some(options_of_probe)).await;
        match probe.map_err(|error| Failure::opening(&error, target)) {
            // A user who may not read this key is one all the same.
            Err(failure) if failure.kind() == ErrorKind::Denied && target.username.is_some() => {}
            Err(failure) => return Err(failure),
            Ok(found) => warn_of_history(&mut kv, unused, &found, config.long_history).await,
        }
        Ok(Self {
            kv,
            lease: client.lease_client(),
            members,
            options,
            timers: Timers::new(Arc::new(SystemClock), config.response_timeout),
            token: target.username.as_ref().map(|_| Token::default()),
            client,
        })
    }

    /// One exchange; a second one if the token was of before the last change of users, for which the
    /// driver does not renew it.
    async fn call<C, R, T, F>(
        &self,
        client: &C,
        request: R,
        exchange: impl Fn(C, R) -> F,
    ) -> Answer<T>
    where
        C: Clone,
        R: Clone,
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        let Some(token) = &self.token else {
            return self.within(exchange(client.clone(), request)).await;
        };
        let seen = token.renewed.load(Ordering::Acquire);
        let answer = self.within(exchange(client.clone(), request.clone())).await;
        match answer {
            Err(failure) if failure.cause() == Cause::OldToken => {
                let renewed = self.within(token.renew(seen, &self.client)).await;
                renewed.map_err(Failure::of_a_read)?;
                self.within(exchange(client.clone(), request)).await
            }
            answer => answer,
        }
    }

    async fn within<T>(
        &self,
        exchange: impl Future<Output = std::result::Result<T, etcd_client::Error>>,
    ) -> Answer<T> {
        match self.timers.timeout(exchange).await {
            Some(answer) => answer.map_err(|error| Failure::sending(&error)),
            None => Err(Failure::timeout(self.timers.limit())),
        }
    }
}

/// How often the token was renewed that stands for a user.
#[derive(Default)]
struct Token {
    renewed: AtomicU64,
    /// Servers take their time over a password: it is shown once for all who find the token old.
    turn: Mutex<()>,
}

impl Token {
    /// Renews it, unless somebody has done so since this number was seen.
    async fn renew(
        &self,
        seen: u64,
        client: &Client,
    ) -> std::result::Result<(), etcd_client::Error> {
        let _turn = self.turn.lock().await;
        if self.renewed.load(Ordering::Acquire) == seen {
            client.refresh_token().await?;
            self.renewed.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

/// Tells operators of servers that keep all versions of all keys: those get slower with every write
/// and full in the end.
async fn warn_of_history(kv: &mut KvClient, key: String, found: &GetResponse, long: u32) {
    let now = found.header().map_or(0, ResponseHeader::revision);
    let ancient = now - i64::from(long) + 1;
    if long == 0 || ancient < 1 {
        return;
    }
    let as_it_was = GetOptions::new().with_keys_only().with_revision(ancient);
    if kv.get(key, Some(as_it_was)).await.is_ok() {
        tracing::warn!(
            revision = now,
            "etcd keeps every version of the last {long} changes or more; run it with \
             --auto-compaction-mode=periodic --auto-compaction-retention=5m, or it gets slow and full"
        );
    }
}

fn options(target: &Target) -> ConnectOptions {
    // Who has lost its leader says so at once, and the call goes to another member.
    let options = ConnectOptions::new().with_require_leader(true);
    match (&target.username, &target.password) {
        (Some(username), Some(password)) => options
            .with_user(username, password)
            .with_auto_token_refresh(true),
        _ => options,
    }
}
