//! A server of one's own, a store that watches, and a client that does not.

use kv_core::Kv;
use kv_redis::{RedisConfig, RedisStore};
use kv_tests::{patience, server::Redis};
use redis::{FromRedisValue, aio::MultiplexedConnection};

pub(crate) struct Site {
    pub(crate) server: Redis,
    /// Watches.
    pub(crate) kv: Kv,
    /// A store of another process, so to speak.
    pub(crate) other: Kv,
    /// The driver alone.
    pub(crate) raw: MultiplexedConnection,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let server = Redis::start();
        let kv = open(&server.url()).await;
        let other = Kv::builder(patience::redis(&server.url()));
        let other = other.connect().await.unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let raw = client.get_multiplexed_async_connection().await.unwrap();
        Self {
            server,
            kv,
            other,
            raw,
        }
    }

    /// Sends a command of the server's own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.raw.clone()).await.unwrap()
    }

    /// A store of a user of these permissions.
    pub(crate) async fn user(&self, rules: &str) -> Kv {
        let () = self.ask(&format!("ACL SETUSER ann on >pw {rules}")).await;
        open(&self.server.url().replace("redis://", "redis://ann:pw@")).await
    }

    /// A store of database 1 of the same server.
    pub(crate) async fn another_database(&self) -> Kv {
        let url = self.server.url();
        let address = url.strip_suffix("/0").unwrap();
        open(&format!("{address}/1")).await
    }

    /// The numbers of the connections that watch.
    pub(crate) async fn watching(&self) -> Vec<String> {
        let list: String = self.ask("CLIENT LIST").await;
        let field = |line: &str, name: &str| {
            let mut fields = line.split(' ');
            fields.find_map(|it| Some(it.strip_prefix(name)?.to_owned()))
        };
        let lines = list.lines();
        lines
            .filter(|line| {
                let flags = field(line, "flags=").unwrap();
                flags.contains('t') || field(line, "sub=").unwrap() != "0"
            })
            .map(|line| field(line, "id=").unwrap())
            .collect()
    }

    /// Ends the connections that watch, as a network does.
    pub(crate) async fn kill_watching(&self) {
        let ids = self.watching().await;
        assert!(!ids.is_empty(), "nobody watches");
        for id in ids {
            let killed: u64 = self.ask(&format!("CLIENT KILL ID {id}")).await;
            assert_eq!(killed, 1);
        }
    }

    /// How many commands the server has executed.
    pub(crate) async fn commands(&self) -> u64 {
        let count = self.info("stats", "total_commands_processed:").await;
        count.parse().unwrap()
    }

    /// How many seconds of processor time the server has spent.
    pub(crate) async fn cpu(&self) -> f64 {
        let user: f64 = self.info("cpu", "used_cpu_user:").await.parse().unwrap();
        let system: f64 = self.info("cpu", "used_cpu_sys:").await.parse().unwrap();
        user + system
    }

    /// How many keys the server's tracking table holds.
    pub(crate) async fn tracked(&self) -> u64 {
        let count = self.info("stats", "tracking_total_keys:").await;
        count.parse().unwrap()
    }

    async fn info(&self, section: &str, field: &str) -> String {
        let info: String = self.ask(&format!("INFO {section}")).await;
        let value = info.lines().find_map(|it| it.strip_prefix(field));
        value.unwrap().trim().to_owned()
    }
}

pub(crate) async fn open(url: &str) -> Kv {
    let store = RedisStore::new(RedisConfig::from_url(url)).unwrap();
    Kv::builder(store).connect().await.unwrap()
}
