//! Asks a server whether it is ready, in the plainest words it understands.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

/// A server that is starting may accept a connection and not answer it yet.
const PATIENCE: Duration = Duration::from_millis(500);

/// The process id of the Redis server at `port`, if it is ready and is the one that wrote
/// `pid_file`: another one may have been faster at taking the port.
pub(super) fn redis(port: u16, password: Option<&str>, pid_file: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    let mut request = Vec::new();
    if let Some(password) = password {
        encode(&mut request, &["AUTH", password]);
    }
    for command in [&["PING"][..], &["INFO", "server"], &["QUIT"]] {
        encode(&mut request, command);
    }
    let reply = exchange(port, &request).ok()?;
    // A server with users of its own lets nobody look inside, but it is ready.
    let is_ours = reply.contains(&format!("\nprocess_id:{pid}\r")) || reply.contains("-NOAUTH");
    let is_ready = reply.contains("+PONG") || reply.contains("-NOAUTH");
    (is_ours && is_ready).then_some(pid)
}

/// What the Redis server at `port`, which has no password, answers.
pub(super) fn ask(port: u16, command: &[&str]) -> io::Result<String> {
    let mut request = Vec::new();
    encode(&mut request, command);
    encode(&mut request, &["QUIT"]);
    exchange(port, &request)
}

/// Whether the etcd at `port` has a leader.
pub(super) fn etcd(port: u16) -> bool {
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    exchange(port, request.as_bytes()).is_ok_and(|reply| {
        let body: String = reply.chars().filter(|c| !c.is_whitespace()).collect();
        body.contains(r#""health":"true""#) || body.contains(r#""health":true"#)
    })
}

/// Whether the etcd that listens for peers at `port` belongs to a cluster with a member of this name:
/// another one may have been faster at taking the port.
pub(super) fn etcd_is(port: u16, name: &str) -> bool {
    let request = "GET /members HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    exchange(port, request.as_bytes()).is_ok_and(|reply| reply.contains(&format!("\"{name}\"")))
}

/// Whether the etcd at `port` takes itself for the leader.
pub(super) fn etcd_leads(port: u16) -> bool {
    let request = "POST /v3/maintenance/status HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Type: application/json\r\nContent-Length: 2\r\n\
                   Connection: close\r\n\r\n{}";
    let Ok(reply) = exchange(port, request.as_bytes()) else {
        return false;
    };
    let field = |name: &str| {
        let (_, rest) = reply.split_once(&format!("\"{name}\":\""))?;
        rest.split('"').next()
    };
    // Without a leader there is no such field.
    field("leader").is_some_and(|leader| Some(leader) == field("member_id"))
}

/// Sends all of the request and reads until the server closes the connection.
fn exchange(port: u16, request: &[u8]) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// RESP: an array of bulk strings.
fn encode(request: &mut Vec<u8>, words: &[&str]) {
    request.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        request.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
}
