//! An etcd of one's own, with the same manners as the Redis server.

use super::{
    directory::Directory, on_a_free_port, probe, supervised::Supervised, wait_until_ready,
};
use std::{ffi::OsString, io, net::TcpListener, path::Path};

/// A running one-node `etcd`; dropping it ends the process and removes its directory.
#[derive(Debug)]
pub(crate) struct EtcdServer {
    port: u16,
    // Fields are dropped in order: the process must be gone before its directory is.
    process: Supervised,
    _directory: Directory,
}

impl EtcdServer {
    /// Starts a server and returns when it answers.
    pub(crate) fn start(binary: &Path) -> io::Result<Self> {
        on_a_free_port(|port| {
            let directory = Directory::create("kv-etcd")?;
            let arguments = arguments(port, directory.path())?;
            let process = Supervised::spawn(binary, &arguments, directory.path())?;
            wait_until_ready(&process, binary, || probe::etcd(port).then_some(()))?;
            Ok(Self {
                port,
                process,
                _directory: directory,
            })
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether the process is there.
    pub(crate) fn is_running(&self) -> bool {
        !self.process.has_ended()
    }
}

fn arguments(port: u16, directory: &Path) -> io::Result<Vec<OsString>> {
    // A lone node needs a port for peers, too.
    let peer = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer}");
    let cluster = format!("default={peer}");
    let mut arguments: Vec<OsString> = [
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &cluster,
        "--logger",
        "zap",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.extend(["--data-dir".into(), directory.join("data").into()]);
    Ok(arguments)
}
