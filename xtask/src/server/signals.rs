//! What tests do to a server's process: kill it, stop it, let it go on.

use super::{
    PATIENCE, give_up_after,
    supervised::{self, Supervised},
};
use std::{
    io,
    time::{Duration, Instant},
};

/// A process of a server: what watches over it, and which one is the server's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process<'a> {
    pub(super) supervised: Option<&'a Supervised>,
    pub(super) pid: u32,
    /// The program, for errors.
    pub(super) name: &'static str,
}

impl Process<'_> {
    /// Whether it is there; a paused one is.
    pub(super) fn is_running(self) -> bool {
        self.supervised.is_some_and(|process| !process.has_ended())
    }

    /// Ends it at once (SIGKILL), and returns when it is gone. Does nothing if it is gone already.
    pub(super) fn kill(self) -> io::Result<()> {
        self.signal("KILL")?;
        self.wait_for_end(PATIENCE)
    }

    /// Ends it in an orderly way (SIGTERM), and by force if that takes too long.
    pub(super) fn end(self) -> io::Result<()> {
        self.resume()?;
        self.signal("TERM")?;
        match self.wait_for_end(PATIENCE / 4) {
            Ok(()) => Ok(()),
            Err(_) => self.kill(),
        }
    }

    /// Stops it without closing anything (SIGSTOP): its connections hang.
    pub(super) fn pause(self) -> io::Result<()> {
        self.signal("STOP")?;
        // The signal is on its way when `kill` returns; a command sent now might still be answered.
        let deadline = Instant::now() + PATIENCE;
        while supervised::is_paused(self.pid) == Some(false) {
            give_up_after(deadline, &format!("{} did not stop on SIGSTOP", self.name))?;
        }
        Ok(())
    }

    /// Lets a paused one go on (SIGCONT).
    pub(super) fn resume(self) -> io::Result<()> {
        self.signal("CONT")
    }

    /// Nothing is sent to a process that has ended: its id may be another's by now.
    fn signal(self, name: &str) -> io::Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        match supervised::signal(self.pid, name) {
            Err(_) if !self.is_running() => Ok(()),
            sent => sent,
        }
    }

    fn wait_for_end(self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while self.is_running() {
            give_up_after(deadline, &format!("{} does not end", self.name))?;
        }
        Ok(())
    }
}
