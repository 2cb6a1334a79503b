//! An etcd of one's own, with the same manners as the Redis server.

use super::{
    directory::Directory, on_a_free_port, on_the_same_port, probe, signals::Process,
    supervised::Supervised, wait_until_ready,
};
use std::{
    ffi::OsString,
    io,
    net::TcpListener,
    path::{Path, PathBuf},
};

/// Settings of an [`EtcdServer`].
#[derive(Clone, Debug, Default)]
pub(crate) struct EtcdOptions {
    storage: Storage,
    tls: Option<TlsFiles>,
    extra: Vec<OsString>,
}

/// PEM files with which a server proves who it is, and by which it knows its clients.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Who must have signed the certificates of clients.
    pub(crate) authority: PathBuf,
}

/// Where the data are.
#[derive(Clone, Copy, Debug, Default)]
enum Storage {
    /// In memory where the system has files there: etcd syncs every write.
    #[default]
    Memory,
    Disk,
}

impl EtcdOptions {
    /// The data are on the disk, for those who measure what it costs.
    pub(crate) fn on_disk(mut self) -> Self {
        self.storage = Storage::Disk;
        self
    }

    /// Listens on a second port, [`EtcdServer::secure_port`], for clients with a certificate.
    pub(crate) fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    /// Any flag of `etcd`: `setting("quota-backend-bytes", "16777216")`.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.extra.push(format!("--{name}={value}").into());
        self
    }
}

/// A running `etcd`, alone or a member of a cluster; dropping it ends the process and removes its
/// directory.
///
/// It also ends, and the directory goes, when the process that started it is killed.
#[derive(Debug)]
pub(crate) struct EtcdServer {
    binary: PathBuf,
    arguments: Vec<OsString>,
    name: String,
    ports: Ports,
    tls: Option<(TlsFiles, u16)>,
    // Fields are dropped in order: the process must be gone before its directory is.
    process: Option<Supervised>,
    directory: Directory,
}

/// Where a member listens, on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) peer: u16,
    /// Where the others find it: its peer port, or a proxy before it.
    pub(super) advertised: u16,
}

impl EtcdServer {
    /// Starts a server of one node and returns when it answers.
    pub(crate) fn start(binary: &Path, options: &EtcdOptions) -> io::Result<Self> {
        on_a_free_port(|client| {
            // A lone node needs a port for peers, too.
            let peer = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            let ports = Ports {
                client,
                peer,
                advertised: peer,
            };
            let mut server = Self::prepare(binary, options, ports)?;
            let name = server.name.clone();
            server.launch(&[(name, peer)])?;
            server.wait()?;
            Ok(server)
        })
    }

    /// A member that is not running yet.
    pub(super) fn prepare(binary: &Path, options: &EtcdOptions, ports: Ports) -> io::Result<Self> {
        let directory = match options.storage {
            Storage::Memory => Directory::create_in_memory("kv-etcd")?,
            Storage::Disk => Directory::create("kv-etcd")?,
        };
        // Nobody else's, so that a stranger who was faster at taking a port is noticed.
        let name = directory.path().file_name().unwrap_or_default();
        let tls = options.tls.clone().map(|files| {
            let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            Ok::<_, io::Error>((files, port))
        });
        Ok(Self {
            binary: binary.to_owned(),
            arguments: options.extra.clone(),
            name: name.to_string_lossy().into_owned(),
            ports,
            tls: tls.transpose()?,
            process: None,
            directory,
        })
    }

    /// Starts a prepared member as one of these, each with its name and advertised port.
    pub(super) fn launch(&mut self, members: &[(String, u16)]) -> io::Result<()> {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let members: Vec<String> = members
            .iter()
            .map(|(name, port)| format!("{name}={}", url(*port)))
            .collect();
        let client = url(self.ports.client);
        let mut listening = client.clone();
        if let Some((files, port)) = &self.tls {
            listening.push_str(&format!(",https://127.0.0.1:{port}"));
            self.arguments.push("--client-cert-auth".into());
            for (name, file) in [
                ("--cert-file", &files.certificate),
                ("--key-file", &files.key),
                ("--trusted-ca-file", &files.authority),
            ] {
                self.arguments.extend([name.into(), file.into()]);
            }
        }
        let flags = [
            ("name", self.name.clone()),
            ("listen-client-urls", listening),
            ("advertise-client-urls", client),
            ("listen-peer-urls", url(self.ports.peer)),
            ("initial-advertise-peer-urls", url(self.ports.advertised)),
            ("initial-cluster", members.join(",")),
            ("logger", "zap".to_owned()),
        ];
        let flags = flags.map(|(name, value)| format!("--{name}={value}").into());
        self.arguments.extend(flags);
        self.arguments.push("--data-dir".into());
        self.arguments
            .push(self.directory.path().join("data").into());
        self.spawn()
    }

    /// Waits until it answers, and there is a leader.
    pub(super) fn wait(&self) -> io::Result<()> {
        let Some(process) = &self.process else {
            return Err(io::Error::other("etcd was not started"));
        };
        wait_until_ready(process, &self.binary, || {
            probe::etcd_is(self.ports.peer, &self.name).then_some(())?;
            probe::etcd(self.ports.client).then_some(())
        })
    }

    /// The TCP port for clients on 127.0.0.1, the same for the server's whole life.
    pub(crate) fn port(&self) -> u16 {
        self.ports.client
    }

    /// The port for clients with a certificate, if one was asked for.
    pub(crate) fn secure_port(&self) -> Option<u16> {
        self.tls.as_ref().map(|(_, port)| *port)
    }

    /// `etcd://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("etcd://127.0.0.1:{}", self.port())
    }

    /// Where the server keeps its files until it is dropped.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of `etcd`, if no script stands before it. Another one after
    /// [`restart`](Self::restart).
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Supervised::id)
    }

    /// Whether the process is there; a paused one is.
    pub(crate) fn is_running(&self) -> bool {
        self.signals().is_running()
    }

    /// Ends the server at once, as a crash would (SIGKILL), and returns when it is gone.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.signals().kill()
    }

    /// Ends the server in an orderly way; a member hands its leadership to another one first.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.signals().end()
    }

    /// Stops the process without closing anything (SIGSTOP): its connections hang.
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.signals().pause()
    }

    /// Lets a paused process go on (SIGCONT).
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.signals().resume()
    }

    /// Ends the server in an orderly way if it is still there, and starts it again on the same
    /// ports and data; returns when it answers.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.begin_again()?;
        self.wait()
    }

    /// The same without waiting: alone, a member of a cluster has no leader.
    pub(super) fn begin_again(&mut self) -> io::Result<()> {
        self.stop()?;
        if let Some(process) = self.process.take() {
            process.make_way()?;
        }
        on_the_same_port(|| {
            self.spawn()?;
            self.wait_for_listeners()
        })
    }

    /// Whether it leads its cluster.
    pub(super) fn leads(&self) -> bool {
        probe::etcd_leads(self.ports.client)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    fn spawn(&mut self) -> io::Result<()> {
        let directory = self.directory.path();
        self.process = Some(Supervised::spawn(&self.binary, &self.arguments, directory)?);
        Ok(())
    }

    fn wait_for_listeners(&mut self) -> io::Result<()> {
        let Some(process) = &self.process else {
            return Ok(());
        };
        let ready = wait_until_ready(process, &self.binary, || {
            probe::etcd_is(self.ports.peer, &self.name).then_some(())
        });
        // The data outlive a failed start.
        if ready.is_err()
            && let Some(process) = self.process.take()
        {
            process.make_way()?;
        }
        ready
    }

    fn signals(&self) -> Process<'_> {
        Process {
            supervised: self.process.as_ref(),
            pid: self.pid(),
            name: "etcd",
        }
    }
}
