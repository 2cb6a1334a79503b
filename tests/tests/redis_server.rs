//! The Redis servers of the tests do what the fault tests ask of them.

#![allow(clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, unused_imports)] // xtask shares this file and uses other parts of it.
#[path = "../../xtask/src/server.rs"]
mod server;

use server::{RedisCluster, RedisOptions, RedisServer};
use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

fn binary() -> PathBuf {
    let path = env::var_os("KV_REDIS_SERVER").map(PathBuf::from);
    path.expect("KV_REDIS_SERVER; `cargo xtask test` finds or downloads a server")
}

fn start(options: RedisOptions) -> RedisServer {
    RedisServer::start(&binary(), options).expect("it starts")
}

fn talk(mut stream: impl Read + Write, words: &str) -> String {
    stream
        .write_all(format!("{words}\r\nQUIT\r\n").as_bytes())
        .expect("it listens");
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .map_or_else(|e| format!("{e:?}"), |_| reply)
}

fn ask(server: &RedisServer, words: &str) -> String {
    match TcpStream::connect(("127.0.0.1", server.port())) {
        Ok(stream) => {
            stream
                .set_read_timeout(Some(Duration::from_millis(300)))
                .expect("a timeout");
            talk(stream, words)
        }
        Err(error) => format!("{:?}", error.kind()),
    }
}

#[test]
fn crash_and_restart_keep_port_and_append_only_file() {
    let mut server = start(RedisOptions::default().append_only());
    let (pid, port) = (server.pid(), server.port());
    assert!(ask(&server, "INFO server").contains(&format!("process_id:{pid}\r")));
    assert!(ask(&server, "SET a 1").starts_with("+OK"));
    server.kill().unwrap();
    assert!(!server.is_running());
    server.kill().unwrap();
    assert_eq!(ask(&server, "GET a"), "ConnectionRefused");
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert!(ask(&server, "GET a").starts_with("$1\r\n1"));
    let pid = server.pid();
    server.restart().unwrap();
    assert_ne!(server.pid(), pid);
    assert!(ask(&server, "GET a").starts_with("$1\r\n1"));
    assert!(server.log().unwrap().matches("Ready to accept").count() == 3);
    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists());
}

#[test]
fn pause_and_resume() {
    let mut server = start(RedisOptions::default());
    server.pause().unwrap();
    assert!(server.is_running());
    assert_eq!(
        ask(&server, "PING"),
        "Os { code: 11, kind: WouldBlock, message: \"Resource temporarily unavailable\" }"
    );
    server.resume().unwrap();
    assert!(ask(&server, "PING").starts_with("+PONG"));
    server.pause().unwrap();
    server.restart().unwrap();
    assert!(ask(&server, "PING").starts_with("+PONG"));
    server.pause().unwrap();
    server.kill().unwrap();
    server.restart().unwrap();
    server.pause().unwrap();
}

#[test]
fn password_and_unix_socket() {
    let options = RedisOptions::default()
        .password("a b/\"ü")
        .unix_socket()
        .setting("maxmemory", "4mb");
    let server = start(options);
    assert!(
        server
            .url()
            .starts_with("redis://:a%20b%2F%22%C3%BC@127.0.0.1:"),
        "{}",
        server.url()
    );
    assert!(ask(&server, "PING").contains("NOAUTH"));
    let socket = server.unix_socket().unwrap();
    assert!(talk(UnixStream::connect(socket).unwrap(), "PING").contains("NOAUTH"));
}

#[test]
fn many_at_once() {
    std::thread::scope(|scope| {
        let servers: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| start(RedisOptions::default())))
            .collect();
        let servers: Vec<_> = servers.into_iter().map(|s| s.join().unwrap()).collect();
        let mut ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
        ports.sort();
        ports.dedup();
        assert_eq!(ports.len(), 20);
    });
}

#[test]
fn a_bad_setting_shows_the_log() {
    let error = RedisServer::start(&binary(), RedisOptions::default().setting("nonsense", "1"))
        .unwrap_err();
    assert!(error.to_string().contains("nonsense"));
    let error = RedisServer::start(
        &PathBuf::from("/bin/does-not-exist"),
        RedisOptions::default(),
    )
    .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("not found") || error.contains("No such file"));
}

/// Another process may take a port between our looking and the server's binding.
#[test]
fn a_taken_port_is_no_failure() {
    let real = binary();
    let place = env::temp_dir().join(format!("taken-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ -e '{0}/taken' ]; then rm '{0}/taken'; echo 'bind: Address already in use'; exit 1; fi\nexec '{1}' \"$@\"\n",
        place.display(),
        real.display()
    );
    let binary = place.join("redis");
    std::fs::write(&binary, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&binary, mode).unwrap();
    let take = || std::fs::write(place.join("taken"), "").unwrap();
    take();
    let mut server = RedisServer::start(&binary, RedisOptions::default().append_only()).unwrap();
    assert!(ask(&server, "SET a 1").starts_with("+OK"));
    take();
    server.restart().unwrap();
    assert!(ask(&server, "GET a").starts_with("$1\r\n1"));
    drop(server);
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn a_cluster_serves_every_slot_from_two_servers() {
    let cluster = RedisCluster::start(&binary()).expect("it starts");
    let [first, second] = cluster.nodes();
    // The slots of these two keys are known: 12182 and 5061.
    assert!(ask(first, "GET bar").contains("$-1"));
    assert!(ask(second, "GET foo").contains("$-1"));
    let moved = ask(first, "GET foo");
    assert!(moved.contains(&format!("-MOVED 12182 127.0.0.1:{}", second.port())));
    assert!(cluster.url().starts_with("redis-cluster://127.0.0.1:"));
    let pids = cluster.nodes().each_ref().map(RedisServer::pid);
    drop(cluster);
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    }
}
