//! Servers that end, stop, forget, and networks that fail.

use crate::site::{Site, open, try_open};
use etcd_client::{CompactionOptions, Permission};
use futures_util::{FutureExt, StreamExt};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{ErrorKind, Event, Events, Kv, Stopwatch};
use kv_tests::server::{Etcd, EtcdCluster};
use kv_tests::{
    patience::{PATIENCE, pause, until},
    watching::{channels, delete, keys, message, next, next_is, nothing_but, put, ranges},
};
use std::time::Duration;

#[tokio::test]
async fn a_restarted_server_goes_on_where_it_ended() {
    let mut site = Site::start().await;
    let mut key = site.kv.watch(keys(["k", "l"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["k"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    for round in 0..3 {
        nothing_but(&mut key, &site.other, "k").await;
        next(&mut range).await;
        site.server.kill();
        site.server.restart();
        let value = round.to_string();
        until("the server takes writes", async || {
            site.other.set("k", &*value).await.is_ok()
        })
        .await;
        let telling = async || site.other.notify("c", &*value).await.is_ok();
        until("the server takes messages", telling).await;
        // Nothing was missed, so nobody reads again.
        let wanted = put("k", Some(&value));
        for events in [&mut key, &mut range] {
            assert_eq!(next_is(events, &wanted).await, []);
        }
        assert_eq!(next(&mut channel).await, message("c", &value));
    }
}

/// The server says more often than every ten minutes how far it is.
const SAYS_OFTEN: (&str, &str) = ("experimental-watch-progress-notify-interval", "100ms");

/// What reaches the store that watches by a proxy, and what the others do behind its back.
async fn behind_proxy(flags: &[(&str, &str)]) -> (Site, FaultProxy) {
    let server = Etcd::start_with(flags);
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let way = format!("http://{}", proxy.address());
    (Site::watching(server, |_| way).await, proxy)
}

#[tokio::test]
async fn what_happened_during_an_outage_is_told_behind_it() {
    let (site, proxy) = behind_proxy(&[]).await;
    site.other.set("gone", "v").await.unwrap();
    let mut key = site.kv.watch(keys(["k", "gone"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    proxy.set(Mode::Reset);
    site.other.set("k", "1").await.unwrap();
    site.other.set("k", "2").await.unwrap();
    site.other.delete("gone").await.unwrap();
    for number in 0..100 {
        site.other.notify("c", number.to_string()).await.unwrap();
    }
    proxy.set(Mode::Pass);
    let mut told = vec![next(&mut key).await, next(&mut key).await];
    if told[0] == put("k", Some("1")) && told[1] != delete("gone") {
        told = vec![told[1].clone(), next(&mut key).await];
    }
    let expected = [put("k", Some("2")), delete("gone")];
    assert!(expected.iter().all(|it| told.contains(it)), "{told:?}");
    for number in 0..100 {
        assert_eq!(next(&mut channel).await, message("c", &number.to_string()));
    }
}

#[tokio::test]
async fn what_was_compacted_during_an_outage_says_resync() {
    let (site, proxy) = behind_proxy(&[]).await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    proxy.set(Mode::Reset);
    site.other.set("k", "unseen").await.unwrap();
    compact(&site, "k").await;
    proxy.set(Mode::Pass);
    for events in [&mut key, &mut range, &mut channel] {
        assert_eq!(next_is(events, &Event::Resync).await, []);
    }
    nothing_but(&mut key, &site.other, "k").await;
    nothing_but(&mut range, &site.other, "r:1").await;
    site.other.notify("c", "m").await.unwrap();
    assert_eq!(next(&mut channel).await, message("c", "m"));
}

/// The server says every now and then how far it has told of quiet keys.
#[tokio::test]
async fn what_is_compacted_of_quiet_keys_was_told() {
    let (site, proxy) = behind_proxy(&[SAYS_OFTEN]).await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    let mut range = site.kv.watch(ranges(["r:"])).await.unwrap();
    let mut channel = site.kv.watch(channels(["c"])).await.unwrap();
    until("an outage costs nothing", async || {
        site.other.set("x", "v").await.unwrap();
        pause(Duration::from_millis(300)).await;
        compact(&site, "x").await;
        proxy.set(Mode::Reset);
        site.other.set("k", "v").await.unwrap();
        site.other.set("r:1", "v").await.unwrap();
        site.other.notify("c", "m").await.unwrap();
        proxy.set(Mode::Pass);
        let mut cost_nothing = true;
        for (events, wanted) in [
            (&mut key, put("k", Some("v"))),
            (&mut range, put("r:1", Some("v"))),
            (&mut channel, message("c", "m")),
        ] {
            let told = next(events).await;
            assert!(told == wanted || told == Event::Resync, "{told:?}");
            cost_nothing &= told == wanted;
        }
        // Nothing is left of a round in which somebody had to read again.
        for events in [&mut key, &mut range, &mut channel] {
            while events.next().now_or_never().is_some() {}
        }
        cost_nothing
    })
    .await;
}

/// etcd 3.4 forgets a deletion if a watch begins at its revision and that is the compacted one.
#[tokio::test]
async fn a_deletion_at_the_compacted_revision_is_not_lost() {
    let (site, proxy) = behind_proxy(&[SAYS_OFTEN]).await;
    let mut raw = site.raw.clone();
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    // So that all that is watched of the key goes on at this revision.
    pause(Duration::from_secs(1)).await;
    proxy.set(Mode::Reset);
    let deleted = raw.delete("k", None).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    raw.compact(revision, None).await.unwrap();
    proxy.set(Mode::Pass);
    let told = next(&mut key).await;
    assert!(told == Event::Resync || told == delete("k"), "{told:?}");
}

#[tokio::test]
async fn a_paused_server_is_noticed_and_nothing_is_lost() {
    let site = Site::start().await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    site.server.pause();
    // Longer than the silence after which we ask, and the answer's deadline.
    pause(Duration::from_secs(7)).await;
    site.server.resume();
    nothing_but(&mut key, &site.other, "k").await;
    until("the old stream is freed", async || {
        site.streams().await == 1
    })
    .await;
}

/// A connection that carries nothing any more is left for another, before the driver notices.
#[tokio::test]
async fn a_silent_network_is_noticed() {
    let (site, proxy) = behind_proxy(&[]).await;
    let mut key = site.kv.watch(keys(["k"])).await.unwrap();
    nothing_but(&mut key, &site.other, "k").await;
    let connections = proxy.counts().accepted;
    proxy.set(Mode::BlackHole);
    let began = Stopwatch::start();
    site.other.set("k", "unseen").await.unwrap();
    until("another connection", async || {
        proxy.counts().accepted > connections
    })
    .await;
    println!("noticed after {:?}", began.elapsed());
    proxy.set(Mode::Pass);
    assert_eq!(next_is(&mut key, &put("k", Some("unseen"))).await, []);
    nothing_but(&mut key, &site.other, "k").await;
}

#[tokio::test]
async fn an_unreachable_server_is_an_error_in_time() {
    let site = Site::start().await;
    site.server.kill();
    let began = Stopwatch::start();
    let error = site.kv.watch(keys(["k"])).await.err().unwrap();
    let kinds = [ErrorKind::Unavailable, ErrorKind::Timeout];
    assert!(kinds.contains(&error.kind()), "{error}");
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_change_costs_no_event() {
    let mut cluster = EtcdCluster::start();
    let kv = open(&cluster.url()).await;
    let other = open(&cluster.url()).await;
    let mut key = kv.watch(keys(["k"])).await.unwrap();
    let mut channel = kv.watch(channels(["c"])).await.unwrap();
    let mut sent = 0;
    for _ in 0..3 {
        let leader = leader(&cluster).await;
        send(&other, &mut sent).await;
        heard(&mut key, &mut channel, sent).await;
        cluster.kill(leader);
        send(&other, &mut sent).await;
        heard(&mut key, &mut channel, sent).await;
        cluster.restart(leader);
    }
}

/// The member that has the stream is cut off from the others, and from nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_leader_is_left() {
    let cluster = EtcdCluster::start_behind_proxies().await;
    let others = cluster.direct_addresses();
    let kv = open(&cluster.url()).await;
    let mut key = kv.watch(keys(["k"])).await.unwrap();
    for node in 0..3 {
        cluster.peers().isolate(node);
        let reachable = others.iter().enumerate().filter(|(it, _)| *it != node);
        let addresses: Vec<_> = reachable.map(|(_, it)| it.to_string()).collect();
        let url = format!("etcd://{}", addresses.join(","));
        let mut other = None;
        until("the others have a leader", async || {
            other = try_open(&url).await.ok();
            other.is_some()
        })
        .await;
        let other = other.unwrap();
        let value = format!("without {node}");
        until("a write", async || other.set("k", &*value).await.is_ok()).await;
        let began = Stopwatch::start();
        let before = next_is(&mut key, &put("k", Some(&value))).await;
        println!(
            "without {node}: told after {:?}, before it {before:?}",
            began.elapsed()
        );
        assert!(!before.contains(&Event::Resync), "{before:?}");
        cluster.peers().rejoin(node);
    }
}

async fn leader(cluster: &EtcdCluster) -> usize {
    let began = Stopwatch::start();
    loop {
        if let Some(leader) = cluster.leader() {
            return leader;
        }
        assert!(began.elapsed() < PATIENCE, "nobody leads");
        pause(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_refused_watch_is_an_error_and_disturbs_nobody() {
    let site = Site::start().await;
    let mut raw = site.raw.clone();
    raw.role_add("a").await.unwrap();
    for table in [&b"a"[..], b"\0\x01a", b"\0\x02a", b"\0\x03a"] {
        let permission = Permission::read_write(table).with_prefix();
        raw.role_grant_permission("a", permission).await.unwrap();
    }
    for (user, role) in [("ann", "a"), ("root", "root")] {
        raw.user_add(user, "pw", None).await.unwrap();
        raw.user_grant_role(user, role).await.unwrap();
    }
    raw.auth_enable().await.unwrap();
    let url = site.server.url().replace("://", "://ann:pw@");
    let kv = open(&url).await;
    let mut key = kv.watch(keys(["a1", "a2"])).await.unwrap();
    let mut channel = kv.watch(channels(["a"])).await.unwrap();
    for _ in 0..3 {
        for watch in [keys(["b"]), ranges([""]), channels(["b"])] {
            let error = kv.watch(watch).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
        nothing_but(&mut key, &kv, "a2").await;
        kv.notify("a", "m").await.unwrap();
        assert_eq!(next(&mut channel).await, message("a", "m"));
    }
}

/// Writes the next number until it is acknowledged.
async fn send(kv: &Kv, number: &mut u64) {
    *number += 1;
    let value = number.to_string();
    until("a write", async || kv.set("k", &*value).await.is_ok()).await;
    until("a message", async || kv.notify("c", &*value).await.is_ok()).await;
}

/// What was acknowledged is told, maybe more than once since the outcome of a try is not known, and
/// nobody is told to read again.
async fn heard(key: &mut Events, channel: &mut Events, number: u64) {
    let value = number.to_string();
    let before = next_is(key, &put("k", Some(&value))).await;
    assert!(!before.contains(&Event::Resync), "{before:?}");
    let before = next_is(channel, &message("c", &value)).await;
    assert!(!before.contains(&Event::Resync), "{before:?}");
}

/// Has the server forget what was before the last change of a key.
async fn compact(site: &Site, key: &str) {
    let mut raw = site.raw.clone();
    let found = raw.get(key, None).await.unwrap();
    let revision = found.kvs()[0].mod_revision();
    let options = CompactionOptions::new().with_physical();
    raw.compact(revision, Some(options)).await.unwrap();
}
