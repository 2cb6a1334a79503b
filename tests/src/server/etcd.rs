//! etcd, alone and as a cluster.

use super::{Authority, done, from_variable, manners, process};
use kv_conformance::proxy::FaultProxy;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub use self::peers::Peers;

mod peers;

/// A running etcd of one node. Dropping it ends the process.
///
/// # Panics
/// All methods do if the system does not do what they ask for: a test cannot go on then.
#[derive(Debug)]
pub struct Etcd(process::EtcdServer);

impl Etcd {
    /// A fresh server. Its data outlive a kill; they are in memory, where nothing waits for a disk.
    ///
    /// # Panics
    /// If `KV_ETCD` does not say where the binary is, or it does not start: a test that needs a server
    /// fails without one, it is never skipped.
    pub fn start() -> Self {
        Self::with(&process::EtcdOptions::default())
    }

    /// The same with its data on the disk, so that every write waits for it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_on_disk() -> Self {
        Self::with(&process::EtcdOptions::default().on_disk())
    }

    /// The same with these flags, such as `("quota-backend-bytes", "16777216")`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(flags: &[(&str, &str)]) -> Self {
        Self::with(&options(flags))
    }

    /// One that also listens for clients with a certificate of this authority, and has itself one for
    /// this name.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with_tls(authority: &Authority, name: &str) -> Self {
        let (certificate, key) = authority.certify(name);
        let authority = authority.file().to_owned();
        let files = process::TlsFiles {
            certificate,
            key,
            authority,
        };
        Self::with(&process::EtcdOptions::default().tls(files))
    }

    /// Where it listens for clients with a certificate.
    ///
    /// # Panics
    /// If it was started without TLS.
    pub fn secure_address(&self) -> SocketAddr {
        match self.0.secure_port() {
            Some(port) => (Ipv4Addr::LOCALHOST, port).into(),
            None => panic!("this etcd has no TLS"),
        }
    }

    /// Ends the process in an orderly way.
    pub fn stop(&self) {
        done("stop", self.0.stop());
    }

    fn with(options: &process::EtcdOptions) -> Self {
        match process::EtcdServer::start(&binary(), options) {
            Ok(server) => Self(server),
            Err(error) => panic!("no etcd for this test: {error}"),
        }
    }
}

// All its data outlive a kill.
manners!(Etcd, Etcd::start);

/// A running etcd cluster of three members. Dropping it ends them.
///
/// # Panics
/// As [`Etcd`].
#[derive(Debug)]
pub struct EtcdCluster {
    members: process::EtcdCluster,
    clients: Option<[FaultProxy; 3]>,
    peers: Option<Peers>,
}

impl EtcdCluster {
    /// A fresh cluster; every member knows the leader. Its data outlive a kill.
    ///
    /// # Panics
    /// As [`Etcd::start`].
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with these flags.
    ///
    /// # Panics
    /// As [`Etcd::start`].
    pub fn start_with(flags: &[(&str, &str)]) -> Self {
        match process::EtcdCluster::start(&binary(), &options(flags)) {
            Ok(members) => Self {
                members,
                clients: None,
                peers: None,
            },
            Err(error) => panic!("no etcd cluster for this test: {error}"),
        }
    }

    /// The same with a proxy before each member's clients, [`client_proxy`](Self::client_proxy), and
    /// one on each way from a member to another, [`peers`](Self::peers).
    ///
    /// # Panics
    /// As [`Etcd::start`], and outside a tokio runtime with I/O and time.
    pub async fn start_behind_proxies() -> Self {
        const ATTEMPTS: usize = 10;
        for _ in 0..ATTEMPTS {
            match Self::try_behind_proxies().await {
                Ok(cluster) => return cluster,
                // Somebody else was faster at taking a port.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => panic!("no etcd cluster for this test: {error}"),
            }
        }
        panic!("no etcd cluster for this test: its ports were taken {ATTEMPTS} times");
    }

    /// Its address as the provider takes it; through the proxies, if there are any.
    pub fn url(&self) -> String {
        let addresses = self.addresses().map(|it| it.to_string());
        format!("etcd://{}", addresses.join(","))
    }

    /// Its address past the proxies: what is said there is true.
    pub fn direct_url(&self) -> String {
        self.members.url()
    }

    /// Where clients reach the members; through the proxies, if there are any.
    pub fn addresses(&self) -> [SocketAddr; 3] {
        match &self.clients {
            Some(proxies) => proxies.each_ref().map(FaultProxy::address),
            None => self.direct_addresses(),
        }
    }

    /// Where the members listen for clients.
    pub fn direct_addresses(&self) -> [SocketAddr; 3] {
        let nodes = self.members.nodes().each_ref();
        nodes.map(|node| (Ipv4Addr::LOCALHOST, node.port()).into())
    }

    /// What stands between clients and a member.
    ///
    /// # Panics
    /// If the cluster was started without proxies.
    pub fn client_proxy(&self, node: usize) -> &FaultProxy {
        match &self.clients {
            Some(proxies) => &proxies[node],
            None => panic!("this cluster has no proxies"),
        }
    }

    /// What stands between the members.
    ///
    /// # Panics
    /// If the cluster was started without proxies.
    pub fn peers(&self) -> &Peers {
        match &self.peers {
            Some(peers) => peers,
            None => panic!("this cluster has no proxies"),
        }
    }

    /// The member that says of itself that it leads; `None` while there is none. One that was cut off
    /// may say so for a while, too.
    pub fn leader(&self) -> Option<usize> {
        self.members.leader()
    }

    /// A member's process, another one after each restart.
    pub fn pid(&self, node: usize) -> u32 {
        self.members.nodes()[node].pid()
    }

    /// Ends a member at once, as a crash does.
    pub fn kill(&self, node: usize) {
        done("kill", self.members.nodes()[node].kill());
    }

    /// Ends a member in an orderly way.
    pub fn stop(&self, node: usize) {
        done("stop", self.members.nodes()[node].stop());
    }

    /// Starts a member again, at the same address and with its data; it may take a moment to find the
    /// others.
    pub fn restart(&mut self, node: usize) {
        done("start again", self.members.restart(node));
    }

    /// Stops a member; its connections stay and are silent.
    pub fn pause(&self, node: usize) {
        done("pause", self.members.nodes()[node].pause());
    }

    /// Lets a paused member go on.
    pub fn resume(&self, node: usize) {
        done("resume", self.members.nodes()[node].resume());
    }

    async fn try_behind_proxies() -> io::Result<Self> {
        let routes = process::PeerRoute::direct()?;
        let listening = routes.map(|it| SocketAddr::from((Ipv4Addr::LOCALHOST, it.listen)));
        let peers = Peers::start(listening).await?;
        let advertised = peers.addresses().map(|it| it.port());
        let mut routes = routes;
        for (route, port) in routes.iter_mut().zip(advertised) {
            route.advertised = port;
        }
        // The members reach each other through tasks of this runtime.
        let starting = tokio::task::spawn_blocking(move || {
            process::EtcdCluster::start_on(&binary(), &process::EtcdOptions::default(), routes)
        });
        let members = starting.await.map_err(io::Error::other)??;
        let client = async |node: usize| {
            let port = members.nodes()[node].port();
            FaultProxy::start((Ipv4Addr::LOCALHOST, port).into()).await
        };
        let clients = [client(0).await?, client(1).await?, client(2).await?];
        Ok(Self {
            members,
            clients: Some(clients),
            peers: Some(peers),
        })
    }
}

fn options(flags: &[(&str, &str)]) -> process::EtcdOptions {
    let options = process::EtcdOptions::default();
    flags.iter().fold(options, |options, (name, value)| {
        options.setting(name, value)
    })
}

fn binary() -> PathBuf {
    from_variable("KV_ETCD", "etcd")
}
