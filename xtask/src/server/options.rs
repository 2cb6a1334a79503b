//! What a test may ask of its Redis server.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// Settings of a [`RedisServer`](super::RedisServer); the default keeps nothing on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisOptions {
    password: Option<String>,
    listen: Listen,
    extra: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Listen {
    #[default]
    Tcp,
    TcpAndUnixSocket,
}

impl RedisOptions {
    /// Clients must present this password (`requirepass`).
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Every write reaches the append-only file, so that it survives `kill` and `restart`.
    pub(crate) fn append_only(self) -> Self {
        self.setting("appendonly", "yes")
            .setting("appendfsync", "always")
    }

    /// Listens on a Unix socket too: [`RedisServer::unix_socket`](super::RedisServer::unix_socket).
    pub(crate) fn unix_socket(mut self) -> Self {
        self.listen = Listen::TcpAndUnixSocket;
        self
    }

    /// Any line of `redis.conf`: `setting("maxmemory", "4mb")`. The last one of a name counts.
    pub(crate) fn setting(mut self, name: &str, value: &str) -> Self {
        self.extra.push(format!("--{name}").into());
        self.extra.push(value.into());
        self
    }

    pub(super) fn password_text(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// `:PASSWORD@`, escaped for a URL.
    pub(super) fn credentials(&self) -> String {
        let Some(password) = &self.password else {
            return String::new();
        };
        let mut escaped = String::from(":");
        for byte in password.bytes() {
            if byte.is_ascii_alphanumeric() {
                escaped.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
        escaped.push('@');
        escaped
    }

    pub(super) fn unix_socket_in(&self, directory: &Path) -> Option<PathBuf> {
        match self.listen {
            Listen::Tcp => None,
            Listen::TcpAndUnixSocket => Some(directory.join("redis.sock")),
        }
    }

    pub(super) fn arguments(&self, port: u16, directory: &Path, pid_file: &Path) -> Vec<OsString> {
        let port = port.to_string();
        let mut arguments: Vec<OsString> = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--loglevel",
            "notice",
        ]
        .map(OsString::from)
        .to_vec();
        arguments.extend([
            "--dir".into(),
            directory.into(),
            "--pidfile".into(),
            pid_file.into(),
        ]);
        if let Some(socket) = self.unix_socket_in(directory) {
            arguments.extend(["--unixsocket".into(), socket.into_os_string()]);
        }
        if let Some(password) = &self.password {
            arguments.extend(["--requirepass".into(), password.into()]);
        }
        arguments.extend(self.extra.iter().cloned());
        arguments
    }
}
