use std::fmt;

/// What a proxy did to connections and to pieces of traffic (one piece is what one read brought).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyCounts {
    /// Connections accepted and connected to the server.
    pub accepted: u64,
    /// Connections reset at once, by the mode.
    pub refused: u64,
    /// Connections reset at once because the server was not there.
    pub unreachable: u64,
    /// Connections reset while in use.
    pub reset: u64,
    /// Connections closed by `close_all`.
    pub closed: u64,
    /// Pieces forwarded.
    pub forwarded: u64,
    /// Pieces held back.
    pub delayed: u64,
    /// Pieces from a client that were dropped.
    pub lost_requests: u64,
    /// Pieces from the server that were dropped.
    pub lost_replies: u64,
}

impl fmt::Display for ProxyCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections: {} accepted, {} refused, {} unreachable, {} reset, {} closed; pieces: {} \
             forwarded, {} delayed, {} requests and {} replies lost",
            self.accepted,
            self.refused,
            self.unreachable,
            self.reset,
            self.closed,
            self.forwarded,
            self.delayed,
            self.lost_requests,
            self.lost_replies
        )
    }
}
