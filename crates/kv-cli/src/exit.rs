//! How a command ends.

use kv_core::{Error, ErrorKind};
use std::{
    error,
    io::{self, Write},
    process::ExitCode,
};

/// What the shell is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: found, done, or true.
    Found,
    /// 1: absent, refused, or not within the time.
    Absent,
    /// 2: wrong usage, or an error.
    Failed,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Found => 0,
            Self::Absent => 1,
            Self::Failed => 2,
        }
    }

    pub(crate) fn found(found: bool) -> Self {
        match found {
            true => Self::Found,
            false => Self::Absent,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a command could not go on.
#[derive(Debug)]
pub(crate) enum Failure {
    Store(Error),
    /// What was waited for did not come.
    NotInTime(Error),
    Usage(String),
    Stream(io::Error),
}

impl Failure {
    /// Says what went wrong and what to do about it.
    pub(crate) fn tell(self, err: &mut dyn Write) -> Exit {
        match self {
            // Whoever read our output has enough.
            Self::Stream(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Found,
            Self::Stream(error) => say(err, format_args!("error: {error}"), Exit::Failed),
            Self::Usage(message) => say(err, format_args!("error: {message}"), Exit::Failed),
            Self::NotInTime(error) => say(err, format_args!("{error}"), Exit::Absent),
            Self::Store(error) => tell_store(&error, err),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

fn tell_store(error: &Error, err: &mut dyn Write) -> Exit {
    say(err, format_args!("error: {error}"), Exit::Failed);
    let mut cause = error::Error::source(error);
    while let Some(it) = cause {
        say(err, format_args!("  caused by: {it}"), Exit::Failed);
        cause = it.source();
    }
    if let Some(remedy) = remedy(error) {
        say(err, format_args!("  hint: {remedy}"), Exit::Failed);
    }
    Exit::Failed
}

/// What helps at a command line, where the error itself speaks to programmers.
fn remedy(error: &Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::Unavailable => {
            "is the server running, and are --url, or --config, --env and --store, those of the right one?"
        }
        ErrorKind::WrongType => {
            "another command reads that: get for strings, hgetall for hashes, zrange for sorted sets"
        }
        ErrorKind::InvalidArgument if error.to_string().contains("tenant") => {
            "this store keeps tenants apart; name one with --tenant"
        }
        ErrorKind::Unsupported => "this store, or a wrapper on it, lacks what the command needs",
        _ => return None,
    })
}

fn say(err: &mut dyn Write, line: std::fmt::Arguments<'_>, exit: Exit) -> Exit {
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(err, "{line}");
    exit
}
