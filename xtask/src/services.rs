//! `services`: servers for as long as somebody needs them.

use crate::{
    cargo, flags, interrupt,
    server::{EtcdCluster, EtcdOptions, EtcdServer, RedisCluster, RedisOptions, RedisServer},
    tools,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

/// How often we look whether a server has ended by itself.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) fn run(flags: &flags::Services) -> Result<ExitCode> {
    let mut services = Services::default();
    services.start_redis()?;
    if flags.cluster {
        services.start_redis_cluster()?;
    }
    if flags.etcd {
        services.start_etcd()?;
    }
    if flags.etcd_cluster {
        services.start_etcd_cluster()?;
    }
    if let Some((program, arguments)) = flags.command.split_first() {
        let mut command = Command::new(program);
        return cargo::run_for_code(command.args(arguments).envs(services.variables()));
    }
    for (name, value) in services.variables() {
        println!("export {name}={}", quoted(&value.to_string_lossy()));
    }
    eprintln!("(running until Ctrl-C or the end of the input)");
    services.wait()?;
    Ok(ExitCode::SUCCESS)
}

/// Running servers, and the variables by which others find them.
#[derive(Debug, Default)]
pub(crate) struct Services {
    redis: Option<RedisServer>,
    redis_cluster: Option<RedisCluster>,
    etcd: Option<EtcdServer>,
    etcd_cluster: Option<EtcdCluster>,
    variables: BTreeMap<&'static str, OsString>,
}

impl Services {
    /// One server of each kind: those that `KV_REDIS_URL` and `KV_ETCD_URL` name, else our own.
    pub(crate) fn all() -> Result<Self> {
        let mut services = Self::default();
        services.find_redis()?;
        services.find_etcd()?;
        Ok(services)
    }

    /// The Redis server that `KV_REDIS_URL` names if it is set, else one of our own.
    pub(crate) fn find_redis(&mut self) -> Result<()> {
        match given("KV_REDIS_URL") {
            Some(url) => {
                self.variables.insert("KV_REDIS_URL", url);
                self.variables.extend([redis_binary()?]);
                Ok(())
            }
            None => self.start_redis(),
        }
    }

    /// The etcd that `KV_ETCD_URL` names if it is set, else one of our own.
    pub(crate) fn find_etcd(&mut self) -> Result<()> {
        match given("KV_ETCD_URL") {
            Some(url) => {
                self.variables.insert("KV_ETCD_URL", url);
                self.variables.extend(etcd_binaries()?);
                Ok(())
            }
            None => self.start_etcd(),
        }
    }

    /// What to set for a command that uses the servers.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.clone()))
    }

    fn start_redis(&mut self) -> Result<()> {
        let binary = redis_binary()?;
        let redis = RedisServer::start(binary.1.as_ref(), RedisOptions::default())
            .context("cannot start redis-server")?;
        self.variables
            .extend([binary, ("KV_REDIS_URL", redis.url().into())]);
        self.redis = Some(redis);
        Ok(())
    }

    /// A Redis Cluster of two primaries.
    fn start_redis_cluster(&mut self) -> Result<()> {
        let binary = redis_binary()?.1;
        let cluster = RedisCluster::start(binary.as_ref());
        let cluster = cluster.context("cannot start a Redis Cluster")?;
        self.variables
            .insert("KV_REDIS_CLUSTER_URL", cluster.url().into());
        self.redis_cluster = Some(cluster);
        Ok(())
    }

    /// An etcd of one node.
    fn start_etcd(&mut self) -> Result<()> {
        let binaries = etcd_binaries()?;
        let etcd = EtcdServer::start(binaries[0].1.as_ref(), &EtcdOptions::default())
            .context("cannot start etcd")?;
        self.variables.extend(binaries);
        self.variables.insert("KV_ETCD_URL", etcd.url().into());
        self.etcd = Some(etcd);
        Ok(())
    }

    /// An etcd cluster of three nodes.
    fn start_etcd_cluster(&mut self) -> Result<()> {
        let binaries = etcd_binaries()?;
        let cluster = EtcdCluster::start(binaries[0].1.as_ref(), &EtcdOptions::default())
            .context("cannot start an etcd cluster")?;
        self.variables.extend(binaries);
        self.variables
            .insert("KV_ETCD_CLUSTER_URL", cluster.url().into());
        self.etcd_cluster = Some(cluster);
        Ok(())
    }

    /// Until Ctrl-C, the end of the input, or the end of a server.
    fn wait(&self) -> Result<()> {
        thread::spawn(|| {
            // An input that cannot be read has ended as well.
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            interrupt::set();
        });
        while !interrupt::wait(LOOK) {
            if self.redis.as_ref().is_some_and(|redis| !redis.is_running()) {
                bail!("redis-server has ended by itself");
            }
            let mut nodes = self.redis_cluster.iter().flat_map(RedisCluster::nodes);
            if nodes.any(|node| !node.is_running()) {
                bail!("a node of the Redis Cluster has ended by itself");
            }
            let cluster = self.etcd_cluster.iter().flat_map(EtcdCluster::nodes);
            if self
                .etcd
                .iter()
                .chain(cluster)
                .any(|node| !node.is_running())
            {
                bail!("an etcd has ended by itself");
            }
        }
        Ok(())
    }
}

/// Where `etcd` and `etcdctl` are, in this order.
pub(crate) fn etcd_binaries() -> Result<[(&'static str, OsString); 2]> {
    let find = |tool| Ok::<_, anyhow::Error>(tools::ensure(&tools::ETCD, tool)?.path.into());
    Ok([
        ("KV_ETCD", find(&tools::ETCD_SERVER)?),
        ("KV_ETCDCTL", find(&tools::ETCD_CTL)?),
    ])
}

/// A server that somebody else has started.
fn given(variable: &str) -> Option<OsString> {
    let url = env::var_os(variable).filter(|url| !url.is_empty())?;
    eprintln!("using the server of {variable}");
    Some(url)
}

/// Where `redis-server` is, for us and for tests that start their own.
pub(crate) fn redis_binary() -> Result<(&'static str, OsString)> {
    let found = tools::ensure(&tools::REDIS, &tools::REDIS_SERVER)?;
    Ok(("KV_REDIS_SERVER", found.path.into()))
}

/// Where `promtool` is, for those who have queries to check.
pub(crate) fn promtool_binary() -> Result<(&'static str, OsString)> {
    let found = tools::ensure(&tools::PROMETHEUS, &tools::PROMTOOL)?;
    Ok(("KV_PROMTOOL", found.path.into()))
}

/// As a shell reads it back.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:.@%_-+=".contains(c);
    if value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_quoted_where_a_shell_needs_it() {
        assert_eq!(
            quoted("redis://127.0.0.1:7000/0"),
            "redis://127.0.0.1:7000/0"
        );
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
