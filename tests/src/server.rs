//! Real servers for the tests: each test has its own, on a free port, gone when it is dropped.

// The whole file of the tool that brings servers along; it uses the rest of it.
#[path = "../../xtask/src/server.rs"]
#[allow(dead_code, unused_imports)]
mod process;

mod certificates;
mod etcd;

pub use self::{
    certificates::Authority,
    etcd::{Etcd, EtcdCluster, Peers},
};

use self::process::{RedisCluster, RedisOptions, RedisServer};
use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// What all servers of one process have in common, for tests that run on each of them.
///
/// # Panics
/// All methods do if the system does not do what they ask for: a test cannot go on then.
pub trait Server: Send + Sync + Sized + 'static {
    /// A fresh server.
    fn start() -> Self;

    /// A fresh server whose acknowledged writes survive a kill and a restart.
    fn start_durable() -> Self;

    /// Where it listens for clients, the same after a restart.
    fn address(&self) -> SocketAddr;

    /// Its address as the provider takes it.
    fn url(&self) -> String;

    /// The process, another one after each restart.
    fn pid(&self) -> u32;

    /// Ends the process at once, as a crash does.
    fn kill(&self);

    /// Starts it again, at the same address.
    fn restart(&mut self);

    /// Stops the process; its connections stay and are silent.
    fn pause(&self);

    /// Lets a paused process go on.
    fn resume(&self);
}

/// Gives a server the manners of all, also to those who do not name the trait.
macro_rules! manners {
    ($server:ident, $durable:expr) => {
        impl $server {
            /// Where it listens for clients, the same after a restart.
            pub fn address(&self) -> std::net::SocketAddr {
                (std::net::Ipv4Addr::LOCALHOST, self.0.port()).into()
            }

            /// Its address as the provider takes it.
            pub fn url(&self) -> String {
                self.0.url()
            }

            /// The process, another one after each restart.
            pub fn pid(&self) -> u32 {
                self.0.pid()
            }

            /// Ends the process at once, as a crash does.
            pub fn kill(&self) {
                $crate::server::done("kill", self.0.kill());
            }

            /// Starts it again, at the same address.
            pub fn restart(&mut self) {
                $crate::server::done("start again", self.0.restart());
            }

            /// Stops the process; its connections stay and are silent.
            pub fn pause(&self) {
                $crate::server::done("pause", self.0.pause());
            }

            /// Lets a paused process go on.
            pub fn resume(&self) {
                $crate::server::done("resume", self.0.resume());
            }
        }

        impl $crate::server::Server for $server {
            fn start() -> Self {
                Self::start()
            }

            fn start_durable() -> Self {
                $durable()
            }

            fn address(&self) -> std::net::SocketAddr {
                self.address()
            }

            fn url(&self) -> String {
                self.url()
            }

            fn pid(&self) -> u32 {
                self.pid()
            }

            fn kill(&self) {
                self.kill();
            }

            fn restart(&mut self) {
                self.restart();
            }

            fn pause(&self) {
                self.pause();
            }

            fn resume(&self) {
                self.resume();
            }
        }
    };
}

use manners;

/// A running Redis server. Dropping it ends the process.
///
/// # Panics
/// All methods do if the system does not do what they ask for: a test cannot go on then.
#[derive(Debug)]
pub struct Redis(RedisServer);

impl Redis {
    /// A fresh server that keeps nothing on disk.
    ///
    /// # Panics
    /// If `KV_REDIS_SERVER` does not say where the binary is, or it does not start: a test that
    /// needs a server fails without one, it is never skipped.
    pub fn start() -> Self {
        Self::with(RedisOptions::default())
    }

    /// A fresh server whose acknowledged writes survive a kill and a restart.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_durable() -> Self {
        Self::with(RedisOptions::default().append_only())
    }

    /// The same, with the log synced to the disk every second only: the last acknowledged writes can
    /// be lost, what is left is whole.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_durable_every_second() -> Self {
        let options = RedisOptions::default().append_only();
        Self::with(options.setting("appendfsync", "everysec"))
    }

    fn with(options: RedisOptions) -> Self {
        match RedisServer::start(&binary(), options) {
            Ok(server) => Self(server),
            Err(error) => panic!("no Redis server for this test: {error}"),
        }
    }
}

manners!(Redis, Redis::start_durable);

/// A running Redis Cluster of two primaries, so that keys are on different servers. Dropping it ends
/// both processes.
///
/// # Panics
/// As [`Redis`].
#[derive(Debug)]
pub struct Cluster(RedisCluster);

impl Cluster {
    /// A fresh cluster that keeps nothing on disk.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn start() -> Self {
        match RedisCluster::start(&binary()) {
            Ok(cluster) => Self(cluster),
            Err(error) => panic!("no Redis Cluster for this test: {error}"),
        }
    }

    /// Its address as the provider takes it.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// Where the two primaries listen.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        let nodes = self.0.nodes().each_ref();
        nodes.map(|node| (Ipv4Addr::LOCALHOST, node.port()).into())
    }

    /// Ends one of the two at once, as a crash does.
    pub fn kill(&self, node: usize) {
        done("kill", self.0.nodes()[node].kill());
    }

    /// Starts it again, at the same address.
    pub fn restart(&mut self, node: usize) {
        done("start again", self.0.nodes_mut()[node].restart());
    }
}

fn binary() -> PathBuf {
    from_variable("KV_REDIS_SERVER", "redis-server")
}

fn from_variable(variable: &str, program: &str) -> PathBuf {
    let Some(binary) = env::var_os(variable).map(PathBuf::from) else {
        panic!(
            "{variable} is not set: this test needs the path of {program}; `cargo xtask test` finds \
             or downloads one"
        );
    };
    binary
}

fn done(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        panic!("cannot {what} the server: {error}");
    }
}
