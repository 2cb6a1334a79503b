//! What happens on a new connection before anybody uses it.

use crate::{
    decode::single,
    encode,
    error::{Answer, Failure},
};
use kv_core::{ErrorKind, Outcome};
use redis::{AsyncConnectionConfig, Client, Pipeline, Value, aio::MultiplexedConnection};
use std::{sync::Arc, time::Duration};

/// `SET` with both `NX` and `GET` came with this version.
const OLDEST: u64 = 7;
/// Which question is whether the server pushes changes.
const TRACKING: usize = 2;

/// What every connection of a store has in common.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) address: Arc<str>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) client_name: Option<String>,
}

/// A connection that can be used.
pub(crate) struct Opened {
    pub(crate) connection: MultiplexedConnection,
    /// Whether this user may have the server push changes.
    pub(crate) tracks: bool,
}

/// Connects, logs in, names the connection and looks whether the server can serve.
pub(crate) async fn open(
    client: &Client,
    config: &AsyncConnectionConfig,
    settings: &Settings,
) -> Answer<Opened> {
    let opened = client.get_multiplexed_async_connection_with_config(config);
    let mut connection = opened.await.map_err(|error| Failure::connecting(&error))?;
    let mut questions = Pipeline::with_capacity(4);
    // HELLO tells the version to every user; INFO is often forbidden.
    questions.add_command(encode::with("HELLO", []));
    // A server that is still loading accepts connections, but would refuse the first command.
    questions.add_command(encode::with("PING", []));
    // It is off already: what counts is whether the command is permitted.
    questions.add_command(encode::with("CLIENT", [b"TRACKING", b"OFF"]));
    if let Some(name) = &settings.client_name {
        questions.add_command(encode::with("CLIENT", [b"SETNAME", name.as_bytes()]));
    }
    let count = questions.len();
    let replies = connection.send_packed_commands(&questions, 0, count).await;
    let replies = replies.map_err(|error| Failure::connecting(&error))?;
    let mut replies: Vec<_> = replies.into_iter().map(single).collect();
    let tracks = replies.len() > TRACKING && replies.swap_remove(TRACKING).is_ok();
    let replies: Vec<_> = replies.into_iter().collect::<Answer<_>>()?;
    let hello = replies.into_iter().next();
    check(
        &hello
            .and_then(version)
            .ok_or_else(Failure::unexpected_reply)?,
    )?;
    Ok(Opened { connection, tracks })
}

fn check(version: &str) -> Answer<()> {
    let major = version
        .split('.')
        .next()
        .and_then(|it| it.parse::<u64>().ok());
    if major.is_some_and(|major| major >= OLDEST) {
        return Ok(());
    }
    let message = format!(
        "the server has version {}; Redis {OLDEST}.0 or Valkey is needed",
        version.escape_default()
    );
    Err(Failure::new(ErrorKind::Config, Outcome::Final, message))
}

fn version(reply: Value) -> Option<String> {
    let Value::Map(facts) = reply else {
        return None;
    };
    facts.into_iter().find_map(|fact| match fact {
        (Value::BulkString(name), Value::BulkString(value)) if name == b"version" => {
            String::from_utf8(value).ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use kv_core::ErrorKind;

    #[test]
    fn old_servers_are_told_apart() {
        for version in ["7.0.15", "7.0", "8.1.2", "255.255.255"] {
            assert!(check(version).is_ok(), "{version}");
        }
        for version in ["6.2.14", "x", ""] {
            assert_eq!(check(version).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
