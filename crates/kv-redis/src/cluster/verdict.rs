//! What a server's answer says about where a command belongs.

use super::Address;
use crate::error::Failure;
use redis::{ServerError, Value};

/// Whether a server did what it was asked. All but `Served` prove that nothing was applied.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Served,
    /// The slot is another server's, for good.
    Moved(u16, Address),
    /// The slot is on its way to another server, and this key is there already or not anywhere.
    Ask(Address),
    /// The keys of the slot are on two servers just now, or the cluster does not serve.
    NotNow,
}

impl Verdict {
    /// What the answer of the server at this address says.
    pub(super) fn of(reply: &Value, asked: &Address) -> Self {
        match reply {
            Value::ServerError(error) => Self::parse(error, asked).unwrap_or(Self::Served),
            _ => Self::Served,
        }
    }

    fn parse(error: &ServerError, asked: &Address) -> Option<Self> {
        let target = || {
            let mut words = error.details()?.split_ascii_whitespace();
            let slot = words.next()?.parse().ok()?;
            Some((slot, Address::parse(words.next()?, asked)?))
        };
        Some(match error.code() {
            "MOVED" => target().map(|(slot, address)| Self::Moved(slot, address))?,
            "ASK" => Self::Ask(target()?.1),
            "TRYAGAIN" | "CLUSTERDOWN" => Self::NotNow,
            _ => return None,
        })
    }
}

/// Whether a server of a cluster answered that the key, or all of them, are not its to look at now.
pub(crate) fn is_sent_back(reply: &Value) -> bool {
    let Value::ServerError(error) = reply else {
        return false;
    };
    matches!(error.code(), "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN")
}

/// The failure of a command that was sent back until its time, or our patience, was over.
pub(super) fn refused(reply: &Value) -> Failure {
    use kv_core::{ErrorKind::Unavailable, Outcome::NotApplied};
    match reply {
        Value::ServerError(error) if !matches!(error.code(), "MOVED" | "ASK") => {
            Failure::server(error)
        }
        _ => {
            let message = "the servers of the cluster do not agree yet on where the key is";
            Failure::new(Unavailable, NotApplied, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_core::{Error, ErrorKind, Outcome};
    use redis::parse_redis_value;

    fn reply(line: &str) -> Value {
        parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn redirections_are_told_from_answers() {
        let asked = Address::new("10.0.0.9", 7000);
        let cases = [
            (
                "-MOVED 3999 10.0.0.1:6381",
                Verdict::Moved(3999, Address::new("10.0.0.1", 6381)),
            ),
            // The server does not know its own name: it is where we asked.
            (
                "-MOVED 3999 :6381",
                Verdict::Moved(3999, Address::new("10.0.0.9", 6381)),
            ),
            ("-ASK 1 ::1:6381", Verdict::Ask(Address::new("::1", 6381))),
            ("-TRYAGAIN Multiple keys request", Verdict::NotNow),
            ("-CLUSTERDOWN Hash slot not served", Verdict::NotNow),
            ("-MOVED nonsense", Verdict::Served),
            ("-ERR MOVED 1 a:1", Verdict::Served),
            ("+OK", Verdict::Served),
        ];
        for (line, verdict) in cases {
            assert_eq!(Verdict::of(&reply(line), &asked), verdict, "{line}");
        }
    }

    #[test]
    fn what_was_sent_back_was_not_applied() {
        for line in [
            "-MOVED 1 a:1",
            "-ASK 1 a:1",
            "-TRYAGAIN x",
            "-CLUSTERDOWN x",
        ] {
            let error = Error::from(refused(&reply(line)));
            let told = (error.kind(), error.outcome());
            assert_eq!(
                told,
                (ErrorKind::Unavailable, Outcome::NotApplied),
                "{line}"
            );
        }
    }
}
