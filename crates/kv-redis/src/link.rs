//! The one way to the server: a command, a pipeline, a transaction or a script goes through here.

use crate::{
    connect::{Lease, Single},
    decode,
    encode::By,
    error::{Answer, Failure},
};
use redis::{Cmd, Pipeline, RedisResult, Value};
use std::{any::Any, any::TypeId, time::Duration};

/// What the store talks to. The variants differ in how they find a connection for a command.
pub(crate) enum Link {
    /// One server.
    Single(Single),
}

impl Link {
    /// Sends one command; an error that the server answers with is a failure.
    pub(crate) async fn command(&self, command: &Cmd) -> Answer<Value> {
        let Self::Single(single) = self;
        let Lease {
            mut connection,
            epoch,
        } = single.lease().await?;
        let sent = connection.send_packed_command(command).await;
        decode::single(single.judge(epoch, sent)?)
    }

    /// Sends commands in one go, each atomic for itself; answers each, errors included.
    pub(crate) async fn pipeline(&self, commands: &Pipeline) -> Answer<Vec<Value>> {
        self.batch(commands, 0, commands.len()).await
    }

    /// Sends commands in one go as one atomic step; answers each, errors included.
    pub(crate) async fn transaction(&self, commands: &mut Pipeline) -> Answer<Vec<Value>> {
        commands.atomic();
        // MULTI and each command are only acknowledged; the answers come with EXEC.
        let acknowledged = commands.len() + 1;
        let mut replies = self.batch(commands, acknowledged, 1).await?;
        let answers = replies.pop().ok_or_else(Failure::unexpected_reply)?;
        decode::list(decode::single(answers)?)
    }

    /// Calls a script; where the server does not know it yet, once more with its text.
    pub(crate) async fn script(&self, call: impl Fn(By) -> Answer<Cmd>) -> Answer<Value> {
        match self.command(&call(By::Hash)?).await {
            Err(failure) if failure.is_unknown_script() => self.command(&call(By::Text)?).await,
            answer => answer,
        }
    }

    /// How long one exchange may take.
    pub(crate) fn response_timeout(&self) -> Duration {
        let Self::Single(single) = self;
        single.response_timeout()
    }

    /// A handle on the driver.
    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        let Self::Single(single) = self;
        single.native(wanted)
    }

    /// Lets go of the connection; exchanges under way end by themselves.
    pub(crate) fn close(&self) {
        let Self::Single(single) = self;
        single.close();
    }

    async fn batch(&self, commands: &Pipeline, skip: usize, count: usize) -> Answer<Vec<Value>> {
        let Self::Single(single) = self;
        let Lease {
            mut connection,
            epoch,
        } = single.lease().await?;
        let sent: RedisResult<_> = connection.send_packed_commands(commands, skip, count).await;
        single.judge(epoch, sent)
    }
}
