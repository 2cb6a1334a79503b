//! Servers of one's own, Redis and etcd: on a free loopback port, in a temporary directory, gone with its owner.
//!
//! Only std is used here, because the `tests` package includes this very file by its path; for the
//! same reason the modules below name their files.

#[path = "server/cluster.rs"]
mod cluster;
#[path = "server/directory.rs"]
mod directory;
#[path = "server/etcd.rs"]
mod etcd;
#[path = "server/etcd_cluster.rs"]
mod etcd_cluster;
#[path = "server/options.rs"]
mod options;
#[path = "server/probe.rs"]
mod probe;
#[path = "server/signals.rs"]
mod signals;
#[path = "server/supervised.rs"]
mod supervised;

pub(crate) use cluster::RedisCluster;
pub(crate) use etcd::{EtcdOptions, EtcdServer, TlsFiles};
pub(crate) use etcd_cluster::{EtcdCluster, PeerRoute};
pub(crate) use options::RedisOptions;

use directory::Directory;
use signals::Process;
use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use supervised::Supervised;

/// How long a server may take to start or to end, on a machine however busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often we look while waiting for it.
const POLL: Duration = Duration::from_millis(5);
/// Between our finding a free port and the server's binding it, anyone may take it.
const PORT_ATTEMPTS: usize = 10;

/// A running `redis-server`; dropping it ends the process and removes its directory.
///
/// It also ends, and the directory goes, when the process that started it is killed.
#[derive(Debug)]
pub(crate) struct RedisServer {
    binary: PathBuf,
    options: RedisOptions,
    port: u16,
    pid: u32,
    // Fields are dropped in order: the process must be gone before its directory is.
    process: Option<Supervised>,
    directory: Directory,
}

impl RedisServer {
    /// Starts a server and returns when it answers.
    pub(crate) fn start(binary: &Path, options: RedisOptions) -> io::Result<Self> {
        on_a_free_port(|port| {
            // One per attempt: a failed one takes its directory along.
            let directory = Directory::create("kv-redis")?;
            let (process, pid) = launch(binary, &options, port, directory.path())?;
            Ok(Self {
                binary: binary.to_owned(),
                options: options.clone(),
                port,
                pid,
                process: Some(process),
                directory,
            })
        })
    }

    /// The TCP port on 127.0.0.1, the same for the server's whole life.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT/0`, with the password if there is one.
    pub(crate) fn url(&self) -> String {
        format!(
            "redis://{}127.0.0.1:{}/0",
            self.options.credentials(),
            self.port
        )
    }

    /// The Unix socket, if one was asked for.
    pub(crate) fn unix_socket(&self) -> Option<PathBuf> {
        self.options.unix_socket_in(self.directory.path())
    }

    /// Where the server keeps its files (append-only file, snapshots) until it is dropped.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of `redis-server` itself, not of a shell or wrapper around it.
    /// Another one after [`restart`](Self::restart).
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process is there; a paused one is.
    pub(crate) fn is_running(&self) -> bool {
        self.signals().is_running()
    }

    /// What the server logged since it was first started.
    pub(crate) fn log(&self) -> io::Result<String> {
        fs::read(supervised::log_path(self.directory.path()))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Ends the server at once, as a crash would (SIGKILL), and returns when it is gone.
    /// Does nothing if it is gone already.
    pub(crate) fn kill(&self) -> io::Result<()> {
        self.signals().kill()
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
    /// port and directory: what an append-only file holds is there again, all else is not.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.signals().end()?;
        if let Some(process) = self.process.take() {
            process.make_way()?;
        }
        let (process, pid) = on_the_same_port(|| {
            launch(
                &self.binary,
                &self.options,
                self.port,
                self.directory.path(),
            )
        })?;
        self.process = Some(process);
        self.pid = pid;
        Ok(())
    }

    fn signals(&self) -> Process<'_> {
        Process {
            supervised: self.process.as_ref(),
            pid: self.pid,
            name: "redis-server",
        }
    }
}

/// Starts the process and waits until it answers. `AddrInUse` says that another port may do.
fn launch(
    binary: &Path,
    options: &RedisOptions,
    port: u16,
    directory: &Path,
) -> io::Result<(Supervised, u32)> {
    let pid_file = directory.join("redis.pid");
    // One left behind by a killed predecessor would be read as the new server's.
    if let Err(error) = fs::remove_file(&pid_file)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let arguments = options.arguments(port, directory, &pid_file);
    let process = Supervised::spawn(binary, &arguments, directory)?;
    let mut pid = 0;
    let ready = wait_until_ready(&process, binary, || {
        pid = probe::redis(port, options.password_text(), &pid_file)?;
        Some(())
    });
    if let Err(error) = ready {
        // What a predecessor left in the directory outlives a failed start.
        process.make_way()?;
        return Err(error);
    }
    Ok((process, pid))
}

/// Polls `is_ready` until it is, the process has ended, or patience has.
fn wait_until_ready(
    process: &Supervised,
    binary: &Path,
    mut is_ready: impl FnMut() -> Option<()>,
) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if process.has_ended() {
            return Err(process.failure(binary, "ended while starting"));
        }
        if is_ready().is_some() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(process.failure(binary, "did not answer in time"));
        }
        thread::sleep(POLL);
    }
}

/// Calls `start` with a free port, and with another one as long as somebody else was faster.
fn on_a_free_port<T>(mut start: impl FnMut(u16) -> io::Result<T>) -> io::Result<T> {
    let mut attempt = 1;
    loop {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        match start(port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < PORT_ATTEMPTS => {
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// Calls `start` until nobody else is on the port that a server had before.
fn on_the_same_port<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                give_up_after(deadline, &error.to_string())?;
            }
            result => return result,
        }
    }
}

/// One turn of a waiting loop: an error after the deadline, a short sleep before it.
fn give_up_after(deadline: Instant, what: &str) -> io::Result<()> {
    if Instant::now() >= deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, what.to_owned()));
    }
    thread::sleep(POLL);
    Ok(())
}
