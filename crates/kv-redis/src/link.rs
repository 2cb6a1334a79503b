//! The one way to the server: a command, a pipeline, a transaction or a script goes through here.

use crate::{
    connect::{Lease, Single},
    decode,
    encode::By,
    error::{Answer, Failure},
    handshake::Settings,
};
use redis::{Client, Cmd, Pipeline, Value};
use std::{
    any::{Any, TypeId},
    sync::OnceLock,
    time::Duration,
};

/// The way to the server, once it is connected.
#[derive(Default)]
pub(crate) struct Link {
    route: OnceLock<Route>,
}

/// How a connection is found for a command; a cluster would find it by the key.
enum Route {
    /// One server.
    Single(Single),
}

impl Link {
    /// Connects to one server.
    pub(crate) async fn connect(&self, client: Client, settings: Settings) -> Answer<()> {
        let single = Single::connect(client, settings).await?;
        // Called once; should it be called twice all the same, the first connection stays.
        let _ = self.route.set(Route::Single(single));
        Ok(())
    }

    /// Whether `connect` has succeeded.
    pub(crate) fn is_connected(&self) -> bool {
        self.route.get().is_some()
    }

    /// Sends one command; an error that the server answers with is a failure.
    pub(crate) async fn command(&self, command: &Cmd) -> Answer<Value> {
        let Route::Single(single) = self.route()?;
        let Lease {
            mut connection,
            call,
        } = single.lease().await?;
        let sent = connection.send_packed_command(command).await;
        decode::single(call.judge(sent)?)
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
            Err(failure) if failure.is_unknown_script() => {
                Box::pin(async { self.command(&call(By::Text)?).await }).await
            }
            answer => answer,
        }
    }

    /// How long one exchange may take.
    pub(crate) fn response_timeout(&self) -> Answer<Duration> {
        let Route::Single(single) = self.route()?;
        Ok(single.response_timeout())
    }

    /// A handle on the driver.
    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        let Route::Single(single) = self.route.get()?;
        single.native(wanted)
    }

    /// Lets go of the connection; exchanges under way end by themselves.
    pub(crate) fn close(&self) {
        if let Some(Route::Single(single)) = self.route.get() {
            single.close();
        }
    }

    fn route(&self) -> Answer<&Route> {
        self.route.get().ok_or_else(Failure::closed)
    }

    async fn batch(&self, commands: &Pipeline, skip: usize, count: usize) -> Answer<Vec<Value>> {
        let Route::Single(single) = self.route()?;
        let Lease {
            mut connection,
            call,
        } = single.lease().await?;
        let sent = connection.send_packed_commands(commands, skip, count).await;
        call.judge(sent)
    }
}
