//! `services`: servers for as long as somebody needs them.

use crate::{
    cargo, flags, interrupt,
    server::{RedisCluster, RedisOptions, RedisServer, etcd::EtcdServer},
    tools,
};
use anyhow::{Context as _, Result, bail};
use std::{
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
    let mut services = Services::fresh_redis()?;
    if flags.cluster {
        services.add_cluster()?;
    }
    if flags.etcd {
        services.add_etcd()?;
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
#[derive(Debug)]
pub(crate) struct Services {
    redis: Option<RedisServer>,
    cluster: Option<RedisCluster>,
    etcd: Option<EtcdServer>,
    variables: Vec<(&'static str, OsString)>,
}

impl Services {
    /// The server that `KV_REDIS_URL` names if it is set, else one of our own.
    pub(crate) fn redis() -> Result<Self> {
        match env::var_os("KV_REDIS_URL").filter(|url| !url.is_empty()) {
            Some(url) => {
                eprintln!("using the Redis server of KV_REDIS_URL");
                let variables = vec![redis_binary()?, ("KV_REDIS_URL", url)];
                Ok(Self {
                    redis: None,
                    cluster: None,
                    etcd: None,
                    variables,
                })
            }
            None => Self::fresh_redis(),
        }
    }

    /// A Redis server of our own.
    pub(crate) fn fresh_redis() -> Result<Self> {
        let binary = redis_binary()?;
        let redis = RedisServer::start(binary.1.as_ref(), RedisOptions::default())
            .context("cannot start redis-server")?;
        let url = ("KV_REDIS_URL", redis.url().into());
        Ok(Self {
            redis: Some(redis),
            cluster: None,
            etcd: None,
            variables: vec![binary, url],
        })
    }

    /// What to set for a command that uses the servers.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, OsString)> {
        self.variables.iter().cloned()
    }

    /// A Redis Cluster of two primaries.
    fn add_cluster(&mut self) -> Result<()> {
        let binary = redis_binary()?.1;
        let cluster = RedisCluster::start(binary.as_ref());
        let cluster = cluster.context("cannot start a Redis Cluster")?;
        self.variables
            .push(("KV_REDIS_CLUSTER_URL", cluster.url().into()));
        self.cluster = Some(cluster);
        Ok(())
    }

    fn add_etcd(&mut self) -> Result<()> {
        let binary = tools::ensure(&tools::ETCD, &tools::ETCD_SERVER)?.path;
        let etcd = EtcdServer::start(&binary).context("cannot start etcd")?;
        self.variables.push(("KV_ETCD", binary.into()));
        self.variables.push(("KV_ETCD_URL", etcd.url().into()));
        self.etcd = Some(etcd);
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
            let nodes = self.cluster.iter().flat_map(RedisCluster::nodes);
            if nodes.into_iter().any(|node| !node.is_running()) {
                bail!("a node of the Redis Cluster has ended by itself");
            }
            if self.etcd.as_ref().is_some_and(|etcd| !etcd.is_running()) {
                bail!("etcd has ended by itself");
            }
        }
        Ok(())
    }
}

/// Where `redis-server` is, for us and for tests that start their own.
pub(crate) fn redis_binary() -> Result<(&'static str, OsString)> {
    let found = tools::ensure(&tools::REDIS, &tools::REDIS_SERVER)?;
    Ok(("KV_REDIS_SERVER", found.path.into()))
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
