//! What the server is asked for.

/// What the server is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::watch) enum Request {
    Watch(Wanted),
    Cancel(i64),
    Progress,
}

/// A watch to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::watch) struct Wanted {
    pub(in crate::watch) id: i64,
    pub(in crate::watch) key: Vec<u8>,
    pub(in crate::watch) end: Vec<u8>,
    /// Where it begins; none for the next change.
    pub(in crate::watch) revision: Option<i64>,
    pub(in crate::watch) puts_only: bool,
}

/// Where the watches begin on a new stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::watch) enum From {
    /// At what was told last.
    Told,
    /// Now; what came in between may be missed.
    Now,
}
