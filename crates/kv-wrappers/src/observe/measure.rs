//! How much a call carries.

use kv_core::{Command, Field, Key, Mark, Member, Place, Places, Reply, Result, Value, Visitor};

/// What was found in a command or a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) keys: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn of_command(command: &mut Command) -> Self {
        let mut load = Self::default();
        // Nothing below fails.
        let _ = command.visit(&mut load);
        load
    }

    pub(super) fn of_reply(reply: &mut Reply) -> Self {
        let mut load = Self::default();
        // By far the most frequent, and not worth a walk.
        if let Reply::Get(value) = reply {
            load.bytes = value.as_ref().map_or(0, |it| it.as_bytes().len());
            return load;
        }
        let _ = reply.visit(&Places::default(), &mut load);
        load
    }
}

impl Visitor for Load {
    fn key(&mut self, _: &mut Key) -> Result<()> {
        self.keys += 1;
        Ok(())
    }

    fn value(&mut self, _: Place<'_>, value: &mut Value) -> Result<()> {
        self.bytes += value.as_bytes().len();
        Ok(())
    }

    fn mark(&mut self, _: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.bytes += mark.as_bytes().len();
        Ok(())
    }

    fn field(&mut self, field: &mut Field) -> Result<()> {
        self.bytes += field.as_bytes().len();
        Ok(())
    }

    fn member(&mut self, member: &mut Member) -> Result<()> {
        self.bytes += member.as_bytes().len();
        Ok(())
    }
}
