//! A server of our own, which we may stop and kill.

use crate::server::{EtcdOptions, EtcdServer, RedisOptions, RedisServer};
use clap::ValueEnum;
use std::{
    env, io,
    path::{Path, PathBuf},
};

/// Which store the example runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Redis,
    Etcd,
}

/// A running server whose acknowledged writes survive a kill. Dropping it ends the process.
#[derive(Debug)]
pub(crate) enum Server {
    Redis(RedisServer),
    Etcd(EtcdServer),
}

impl Server {
    /// Starts one.
    pub(crate) fn start(kind: StoreKind) -> io::Result<Self> {
        let binary = kind.binary()?;
        match kind {
            StoreKind::Redis => {
                let options = RedisOptions::default().append_only();
                Ok(Self::Redis(RedisServer::start(&binary, options)?))
            }
            StoreKind::Etcd => {
                let options = EtcdOptions::default();
                Ok(Self::Etcd(EtcdServer::start(&binary, &options)?))
            }
        }
    }

    /// Stops the process; its connections stay and are silent.
    pub(crate) fn pause(&self) -> io::Result<()> {
        match self {
            Self::Redis(server) => server.pause(),
            Self::Etcd(server) => server.pause(),
        }
    }

    /// Lets a paused process go on.
    pub(crate) fn resume(&self) -> io::Result<()> {
        match self {
            Self::Redis(server) => server.resume(),
            Self::Etcd(server) => server.resume(),
        }
    }

    /// Ends the process at once, as a crash does.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self {
            Self::Redis(server) => server.kill(),
            Self::Etcd(server) => server.kill(),
        }
    }

    /// Starts it again, at the same address and with its data.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        match self {
            Self::Redis(server) => server.restart(),
            Self::Etcd(server) => server.restart(),
        }
    }
}

impl StoreKind {
    /// Where the program is: where the variable says, on the `PATH`, or where `cargo xtask setup` has
    /// put it.
    fn binary(self) -> io::Result<PathBuf> {
        let (variable, program, bundle, name) = match self {
            Self::Redis => ("KV_REDIS_SERVER", "redis-server", "redis", "redis"),
            Self::Etcd => ("KV_ETCD", "etcd", "etcd", "etcd"),
        };
        if let Some(path) = env::var_os(variable).filter(|it| !it.is_empty()) {
            return Ok(path.into());
        }
        let on_path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&on_path).map(|it| it.join(program));
        let downloaded = env::current_exe()?;
        let downloaded = downloaded.ancestors().map(|it| {
            it.join("tools/debian")
                .join(bundle)
                .join("bin")
                .join(program)
        });
        let found = on_path.chain(downloaded).find(|it| Path::is_file(it));
        found.ok_or_else(|| {
            let message = format!(
                "no {program} is installed, and this example stops and kills one; `cargo xtask example \
                 resilient --store {name}` finds or downloads it, {variable} names one of your own"
            );
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }
}
