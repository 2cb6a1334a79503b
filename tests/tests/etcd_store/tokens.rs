//! Credentials by tokens that expire soon: commands and watches go on.

use crate::site::{Raw, key, millis, open, secs};
use etcd_client::Client;
use futures_util::{StreamExt, future::join_all};
use kv_core::{ErrorKind, Event, Events, Kv, Stopwatch, Watch};
use kv_tests::{
    patience::{PATIENCE, pause, until},
    server::Etcd,
};
use std::{fs, time::Duration};
use tempfile::TempDir;

/// How long a token is good for.
const LIFE: Duration = secs(1);
/// When it is surely expired: the server counts in whole seconds.
const EXPIRED: Duration = millis(2500);

/// A server whose tokens expire, and a user's store on it. He may do everything below `app/`.
struct Site {
    server: Etcd,
    kv: Kv,
    _secret: TempDir,
}

impl Site {
    async fn start() -> Self {
        Self::with_tokens_for(LIFE).await
    }

    async fn with_tokens_for(life: Duration) -> Self {
        let directory = TempDir::new().unwrap();
        let secret = directory.path().join("secret");
        fs::write(&secret, fastrand::u128(..).to_string()).unwrap();
        let token = format!(
            "jwt,priv-key={},sign-method=HS256,ttl={}s",
            secret.display(),
            life.as_secs()
        );
        let server = Etcd::start_with(&[("auth-token", &token)]);
        let free = open(&server.url()).await;
        let raw = Raw(free.native::<Client>().unwrap());
        raw.ask_for_passwords().await;
        let url = format!("etcd://app:s3cret@{}/app/", server.address());
        let kv = open(&url).await;
        Self {
            server,
            kv,
            _secret: directory,
        }
    }

    async fn watch(&self, name: &str) -> Events {
        let watch = Watch::Keys(vec![key(name)]);
        self.kv.watch(watch).await.unwrap()
    }
}

/// The next event is about this value.
async fn is_told(events: &mut Events, name: &str, value: &str) {
    let told = tokio::time::timeout(PATIENCE, events.next()).await;
    let told = told.expect("nothing is told").unwrap().unwrap();
    let (key, value) = (key(name), Some(value.into()));
    assert_eq!(told, Event::Put { key, value });
}

#[tokio::test]
async fn a_token_does_expire() {
    let site = Site::start().await;
    let options = etcd_client::ConnectOptions::new().with_user("app", "s3cret");
    let address = site.server.address().to_string();
    let mut raw = Client::connect([address], Some(options)).await.unwrap();
    raw.put("app/k", "v", None).await.unwrap();
    pause(EXPIRED).await;
    let error = raw.put("app/k", "v", None).await.unwrap_err();
    assert!(error.to_string().contains("invalid auth token"), "{error}");
}

#[tokio::test]
async fn commands_go_on_behind_it() {
    let site = Site::start().await;
    let kv = &site.kv;
    for round in 0..3 {
        kv.set("k", "v").await.unwrap();
        assert_eq!(kv.get("k").await.unwrap(), Some("v".into()));
        kv.set_for("timed", "v", secs(60)).await.unwrap();
        assert_eq!(kv.increment("n", 1).await.unwrap(), round + 1);
        kv.zadd("z", [("m", 1.0)]).await.unwrap();
        assert!(kv.zpopbyscore("z", 2.0).await.unwrap().is_some());
        pause(EXPIRED).await;
        // Many at the same time, each of which finds it expired.
        let counting = (0..20).map(|number| kv.increment(format!("n{number}"), 1));
        for sum in join_all(counting).await {
            assert_eq!(sum.unwrap(), round + 1);
        }
    }
}

#[tokio::test]
async fn watches_go_on_and_new_ones_join_them() {
    let site = Site::start().await;
    let mut old = site.watch("old").await;
    site.kv.set("old", "1").await.unwrap();
    is_told(&mut old, "old", "1").await;
    for round in 2..4 {
        pause(EXPIRED).await;
        let value = round.to_string();
        site.kv.set("old", &*value).await.unwrap();
        is_told(&mut old, "old", &value).await;
        // On the same stream, whose token is no good any more.
        let name = format!("new{round}");
        let mut new = site.watch(&name).await;
        site.kv.set(&*name, "1").await.unwrap();
        is_told(&mut new, &name, "1").await;
        let value = format!("{round} again");
        site.kv.set("old", &*value).await.unwrap();
        is_told(&mut old, "old", &value).await;
    }
}

/// A token holds what its user might do when it was made, so members refuse all that are older than
/// the last change of any user or role.
#[tokio::test]
async fn commands_and_watches_go_on_behind_a_change_of_roles() {
    let site = Site::with_tokens_for(secs(300)).await;
    let root = format!("etcd://root:pw@{}", site.server.address());
    let mut root = open(&root).await.native::<Client>().unwrap();
    let mut old = site.watch("old").await;
    site.kv.set("old", "1").await.unwrap();
    is_told(&mut old, "old", "1").await;
    root.role_add("another").await.unwrap();
    // Many at the same time, each of which finds it old.
    let counting = (0..20).map(|number| site.kv.increment(format!("n{number}"), 1));
    for sum in join_all(counting).await {
        assert_eq!(sum.unwrap(), 1);
    }
    root.role_add("a third").await.unwrap();
    site.kv.set_for("timed", "v", secs(60)).await.unwrap();
    root.role_add("a fourth").await.unwrap();
    assert!(site.kv.delete("timed").await.unwrap());
    root.role_add("a fifth").await.unwrap();
    site.kv.set("old", "2").await.unwrap();
    is_told(&mut old, "old", "2").await;
    let mut new = site.watch("new").await;
    site.kv.set("new", "1").await.unwrap();
    is_told(&mut new, "new", "1").await;
}

#[tokio::test]
async fn a_stream_that_is_lost_behind_it_is_restored() {
    let mut site = Site::start().await;
    let mut events = site.watch("k").await;
    site.kv.set("k", "1").await.unwrap();
    is_told(&mut events, "k", "1").await;
    pause(EXPIRED).await;
    site.server.kill();
    site.server.restart();
    until("it writes again", async || {
        site.kv.set("k", "2").await.is_ok()
    })
    .await;
    is_told(&mut events, "k", "2").await;
}

#[tokio::test]
async fn who_may_not_watch_is_refused_all_the_same() {
    let site = Site::start().await;
    let mut mine = site.watch("mine").await;
    let stranger = format!("etcd://app:s3cret@{}/", site.server.address());
    let stranger = open(&stranger).await;
    let mut theirs = stranger.watch(Watch::Keys(vec![key("app/mine")])).await;
    for round in 0..2 {
        // Whatever the age of the stream is.
        let watch = Stopwatch::start();
        let refused = stranger.watch(Watch::Keys(vec![key("others")])).await;
        let Err(error) = refused else {
            panic!("it watches what is not its own");
        };
        assert_eq!(error.kind(), ErrorKind::Denied, "{round}: {error:?}");
        assert!(watch.elapsed() < PATIENCE, "{:?}", watch.elapsed());
        pause(EXPIRED).await;
    }
    site.kv.set("mine", "1").await.unwrap();
    is_told(&mut mine, "mine", "1").await;
    if let Ok(theirs) = &mut theirs {
        is_told(theirs, "app/mine", "1").await;
    }
}
