//! Watches of what goes to another server, or nowhere.

use crate::{
    ask, open, server, tell,
    watching::{is_live, next_is, reads},
};
use kv_core::{Capability, ErrorKind, Event, Kv, Watch};
use kv_tests::{
    patience::{self, PATIENCE, pause, until},
    server::Cluster,
    watching::{channels, keys, message, next, put, ranges},
};
use redis::Connection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::timeout};

/// A slot on its way from one server to the other, step by step.
struct Move {
    servers: [Connection; 2],
    ids: [String; 2],
    ports: [String; 2],
    slot: String,
    /// Which server has it.
    from: usize,
}

impl Move {
    /// Of a slot of the first server.
    fn new(cluster: &Cluster, name: &str) -> Self {
        let mut servers = [server(cluster, 0), server(cluster, 1)];
        let ids = servers
            .each_mut()
            .map(|it| ask::<String>(it, &["CLUSTER", "MYID"]));
        let slot: u16 = ask(&mut servers[0], &["CLUSTER", "KEYSLOT", name]);
        Self {
            servers,
            ids,
            ports: cluster.addresses().map(|it| it.port().to_string()),
            slot: slot.to_string(),
            from: 0,
        }
    }

    fn begin(&mut self) {
        let to = 1 - self.from;
        let [set, state] = [("IMPORTING", self.from), ("MIGRATING", to)]
            .map(|(state, other)| ["CLUSTER", "SETSLOT", &self.slot, state, &self.ids[other]]);
        tell(&mut self.servers[to], &set);
        tell(&mut self.servers[self.from], &state);
    }

    fn key(&mut self, name: &str) {
        let port = &self.ports[1 - self.from];
        let words = ["MIGRATE", "127.0.0.1", port, name, "0", "5000"];
        tell(&mut self.servers[self.from], &words);
    }

    /// The keys that have not gone yet, at most so many.
    fn left(&mut self, most: &str) -> Vec<String> {
        let words = ["CLUSTER", "GETKEYSINSLOT", &self.slot, most];
        ask(&mut self.servers[self.from], &words)
    }

    fn end(&mut self) {
        let to = 1 - self.from;
        for server in [to, self.from] {
            let words = ["CLUSTER", "SETSLOT", &self.slot, "NODE", &self.ids[to]];
            tell(&mut self.servers[server], &words);
        }
        self.from = to;
    }
}

/// The store that writes is another one: the watcher learns of the move by itself.
async fn pair(cluster: &Cluster) -> (Kv, Kv) {
    (open(cluster).await, open(cluster).await)
}

#[tokio::test]
async fn a_key_is_watched_where_its_slot_goes() {
    let cluster = Cluster::start();
    let (kv, other) = pair(&cluster).await;
    let mut slot = Move::new(&cluster, "{bar}");
    // One that is there and is moved, one that is not, one elsewhere, and a channel.
    other.set("{bar}:here", "1").await.unwrap();
    let mut here = kv.watch(keys(["{bar}:here", "foo"])).await.unwrap();
    let mut missing = kv.watch(keys(["{bar}:missing"])).await.unwrap();
    let mut channel = kv.watch(channels(["{bar}:news", "foo"])).await.unwrap();
    slot.begin();
    slot.key("{bar}:here");
    // The slot is on its way: the key is on the second server, and the slot still the first one's.
    for value in ["2", "3"] {
        other.set("{bar}:here", value).await.unwrap();
        reads(&kv, &mut here, "{bar}:here", value).await;
    }
    other.set("foo", "1").await.unwrap();
    next_is(&mut here, &put("foo", Some("1"))).await;
    // Who comes now is told as well.
    let mut late = kv.watch(keys(["{bar}:here"])).await.unwrap();
    other.set("{bar}:here", "4").await.unwrap();
    reads(&kv, &mut late, "{bar}:here", "4").await;
    slot.end();
    other.set("{bar}:missing", "1").await.unwrap();
    reads(&other, &mut missing, "{bar}:missing", "1").await;
    for (events, name) in [
        (&mut here, "{bar}:here"),
        (&mut late, "{bar}:here"),
        (&mut missing, "{bar}:missing"),
    ] {
        is_live(&other, events, name).await;
    }
    is_live(&other, &mut here, "foo").await;
    assert_eq!(next(&mut channel).await, Event::Resync);
    for name in ["{bar}:news", "foo"] {
        other.notify(name, "m").await.unwrap();
        assert_eq!(next(&mut channel).await, message(name, "m"));
    }
    // The server that gave the slot away is asked for nothing more.
    drop((late, missing));
    let left = || ask::<Vec<String>>(&mut slot.servers[0], &["PUBSUB", "CHANNELS", "*news"]);
    let mut left = left;
    until("the channel is left there", async || left().is_empty()).await;
}

#[tokio::test]
async fn a_user_without_tracking_is_told_of_keys_that_move() {
    let cluster = Cluster::start();
    let other = open(&cluster).await;
    let mut slot = Move::new(&cluster, "{bar}");
    for server in &mut slot.servers {
        let rules = ["on", ">pw", "~*", "&*", "+@all", "-client|tracking"];
        let mut words = vec!["ACL", "SETUSER", "ann"];
        words.extend(rules);
        tell(server, &words);
    }
    let url = cluster.url().replace("://", "://ann:pw@");
    let kv = Kv::builder(patience::redis(&url));
    let kv = kv.connect().await.unwrap();
    assert!(!kv.capabilities().has(Capability::PushedChanges));
    let mut events = kv.watch(keys(["{bar}:k", "foo"])).await.unwrap();
    for name in ["{bar}:k", "foo"] {
        is_live(&other, &mut events, name).await;
    }
    slot.begin();
    slot.key("{bar}:k");
    other.set("{bar}:k", "on its way").await.unwrap();
    reads(&kv, &mut events, "{bar}:k", "on its way").await;
    slot.end();
    for name in ["{bar}:k", "foo"] {
        is_live(&other, &mut events, name).await;
    }
}

#[tokio::test]
async fn a_range_is_told_of_a_slot_on_its_way() {
    let cluster = Cluster::start();
    let (kv, other) = pair(&cluster).await;
    let mut slot = Move::new(&cluster, "{bar}");
    other.set("{bar}:1", "0").await.unwrap();
    let mut events = kv.watch(ranges(["{bar}:"])).await.unwrap();
    slot.begin();
    slot.key("{bar}:1");
    for name in ["{bar}:1", "{bar}:new"] {
        for value in ["1", "2"] {
            other.set(name, value).await.unwrap();
            reads(&kv, &mut events, name, value).await;
        }
    }
    slot.end();
    other.set("{bar}:new", "3").await.unwrap();
    next_is(&mut events, &put("{bar}:new", None)).await;
    other.set("{bar}:1", "3").await.unwrap();
    next_is(&mut events, &put("{bar}:1", None)).await;
}

/// Whoever reads again when told something knows the last value of each key in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_a_slot_that_moves_to_and_fro_miss_no_last_value() {
    const KEYS: usize = 20;
    let cluster = Cluster::start();
    let (kv, other) = pair(&cluster).await;
    let mut slot = Move::new(&cluster, "{bar}");
    let mut watchers = JoinSet::new();
    for number in 0..2 * KEYS {
        let name = format!("{{bar}}:{}", number % KEYS);
        let watch = match number < KEYS {
            true => keys([&name, "foo"]),
            false => ranges([&name]),
        };
        let (kv, mut events) = (kv.clone(), kv.watch(watch).await.unwrap());
        watchers.spawn(async move { reads(&kv, &mut events, &name, "last").await });
    }
    let writes = Arc::new(AtomicUsize::new(0));
    let writing = tokio::spawn({
        let (other, writes) = (other.clone(), Arc::clone(&writes));
        async move {
            loop {
                let turn = writes.fetch_add(1, Ordering::Relaxed);
                let name = format!("{{bar}}:{}", turn % KEYS);
                match turn % 3 {
                    0 => drop(other.delete(&name).await.unwrap()),
                    _ => other.set(&name, turn.to_string()).await.unwrap(),
                }
            }
        }
    });
    for _ in 0..6 {
        written(&writes, 20).await;
        slot.begin();
        while let Some(name) = slot.left("1").pop() {
            written(&writes, 5).await;
            slot.key(&name);
        }
        slot.end();
    }
    writing.abort();
    println!(
        "{} writes while the slot moved",
        writes.load(Ordering::Relaxed)
    );
    assert!(writing.await.unwrap_err().is_cancelled());
    for number in 0..KEYS {
        other
            .set(format!("{{bar}}:{number}"), "last")
            .await
            .unwrap();
    }
    while let Some(watcher) = timeout(PATIENCE, watchers.join_next()).await.unwrap() {
        watcher.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_restarts_is_watched_again() {
    let mut cluster = Cluster::start();
    for node in 0..2 {
        let words = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        tell(&mut server(&cluster, node), &words);
    }
    let (kv, other) = pair(&cluster).await;
    let mut both = kv.watch(keys(["bar", "foo"])).await.unwrap();
    let mut all = kv.watch(ranges([""])).await.unwrap();
    let mut channel = kv.watch(channels(["foo"])).await.unwrap();
    cluster.kill(1);
    // What the other server has is told meanwhile.
    for value in ["1", "2", "3"] {
        other.set("bar", value).await.unwrap();
        assert_eq!(next(&mut both).await, put("bar", Some(value)));
        assert_eq!(next(&mut all).await, put("bar", None));
    }
    until_refused(&kv, keys(["foo"])).await;
    cluster.restart(1);
    for events in [&mut both, &mut all, &mut channel] {
        assert_eq!(next(events).await, Event::Resync);
    }
    until_written(&other, "foo").await;
    for events in [&mut both, &mut all] {
        is_live(&other, events, "foo").await;
    }
    other.notify("foo", "m").await.unwrap();
    next_is(&mut channel, &message("foo", "m")).await;
}

/// Slots that nobody has, and then a server that takes them over from one that is lost for good.
#[tokio::test]
async fn slots_of_a_lost_server_are_watched_where_they_appear_again() {
    let cluster = Cluster::start();
    for node in 0..2 {
        let words = ["CONFIG", "SET", "cluster-require-full-coverage", "no"];
        tell(&mut server(&cluster, node), &words);
    }
    let (kv, other) = pair(&cluster).await;
    let mut both = kv.watch(keys(["bar", "foo"])).await.unwrap();
    let mut channel = kv.watch(channels(["foo"])).await.unwrap();
    let mut all = kv.watch(ranges(["f"])).await.unwrap();
    cluster.kill(1);
    let mut first = server(&cluster, 0);
    tell(&mut first, &["CLUSTER", "DELSLOTSRANGE", "8192", "16383"]);
    for watch in [keys(["foo"]), channels(["foo"]), ranges(["f"])] {
        until_refused(&kv, watch).await;
    }
    other.set("bar", "1").await.unwrap();
    next_is(&mut both, &put("bar", Some("1"))).await;
    tell(&mut first, &["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    until_written(&other, "foo").await;
    reads(&other, &mut both, "foo", "back").await;
    is_live(&other, &mut both, "foo").await;
    is_live(&other, &mut both, "bar").await;
    is_live(&other, &mut all, "foo").await;
    next_is(&mut channel, &Event::Resync).await;
    other.notify("foo", "m").await.unwrap();
    next_is(&mut channel, &message("foo", "m")).await;
    let mut late = kv.watch(keys(["foo"])).await.unwrap();
    is_live(&other, &mut late, "foo").await;
}

/// Waits for so many writes more.
async fn written(writes: &AtomicUsize, more: usize) {
    let goal = writes.load(Ordering::Relaxed) + more;
    until("writes go on", async || {
        writes.load(Ordering::Relaxed) >= goal
    })
    .await;
}

/// Writes until it is done.
async fn until_written(kv: &Kv, name: &str) {
    while let Err(error) = kv.set(name, "back").await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

/// A watch is live as long as the end of a connection is not known.
async fn until_refused(kv: &Kv, watch: Watch) {
    let refused = async {
        loop {
            match kv.watch(watch.clone()).await {
                Ok(_live) => pause(Duration::from_millis(10)).await,
                Err(error) => return error,
            }
        }
    };
    let error = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}
