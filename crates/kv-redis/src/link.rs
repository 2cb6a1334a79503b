//! The one way to the server: a command, a pipeline, a transaction or a script goes through here.

use crate::{
    cluster::{Address, Cluster, Visit},
    connect::{Lease, Single},
    decode,
    encode::By,
    error::{Answer, Failure},
    handshake::Settings,
    watch::{Kind, Watches},
};
use bytes::Bytes;
use kv_core::Events;
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
    /// The connections that watch a server alone; there once the route is.
    watches: OnceLock<Watches>,
}

/// How a connection is found for a command.
enum Route {
    /// One server.
    Single(Single),
    /// The one that has the command's key.
    Cluster(Cluster),
}

/// One of the servers that hold the keys.
pub(crate) enum Server {
    /// There is no other.
    Only,
    /// A primary of a cluster.
    Primary(Visit),
}

impl Link {
    /// Connects to one server.
    pub(crate) async fn connect(&self, client: Client, settings: Settings) -> Answer<()> {
        let watches = Watches::new(&client, &settings);
        let single = Single::connect(client, settings).await?;
        let _ = self.watches.set(watches);
        // Called once; should it be called twice all the same, the first connection stays.
        let _ = self.route.set(Route::Single(single));
        Ok(())
    }

    /// Takes the connections to a cluster.
    pub(crate) fn connected(&self, cluster: Cluster) {
        let _ = self.route.set(Route::Cluster(cluster));
    }

    /// Whether `connect` has succeeded.
    pub(crate) fn is_connected(&self) -> bool {
        self.route.get().is_some()
    }

    /// Sends one command; an error that the server answers with is a failure.
    pub(crate) async fn command(&self, command: &Cmd) -> Answer<Value> {
        let single = match self.route()? {
            Route::Single(single) => single,
            Route::Cluster(cluster) => return cluster.command(command).await,
        };
        let Lease {
            mut connection,
            call,
        } = single.lease().await?;
        let sent = connection.send_packed_command(command).await;
        decode::single(call.judge(sent)?)
    }

    /// Sends one command to every server.
    pub(crate) async fn everywhere(&self, command: &Cmd) -> Answer<()> {
        match self.route()? {
            Route::Single(_) => self.command(command).await.map(drop),
            Route::Cluster(cluster) => cluster.everywhere(command).await,
        }
    }

    /// Sends commands in one go, each atomic for itself; answers each, errors included as replies.
    /// Some may reach their server and others not.
    pub(crate) async fn each(&self, commands: &Pipeline) -> Vec<Answer<Value>> {
        let replies = match self.route() {
            Ok(Route::Cluster(cluster)) => return cluster.each(commands).await,
            Ok(Route::Single(single)) => batch(single, commands, 0, commands.len()).await,
            Err(failure) => Err(failure),
        };
        match replies {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(failure) => vec![Err(failure); commands.len()],
        }
    }

    /// Whether a command can be about keys of one group only.
    pub(crate) fn is_divided(&self) -> bool {
        matches!(self.route.get(), Some(Route::Cluster(_)))
    }

    /// Sends commands in one go as one atomic step; answers each, errors included.
    pub(crate) async fn transaction(&self, commands: &mut Pipeline) -> Answer<Vec<Value>> {
        let single = match self.route()? {
            Route::Single(single) => single,
            Route::Cluster(cluster) => return cluster.transaction(commands).await,
        };
        commands.atomic();
        // MULTI and each command are only acknowledged; the answers come with EXEC.
        let acknowledged = commands.len() + 1;
        let mut replies = batch(single, commands, acknowledged, 1).await?;
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

    /// Watches distinct names; live when this ends well.
    pub(crate) async fn watch(&self, kind: Kind, names: Vec<Bytes>) -> Answer<Events> {
        if let Route::Cluster(cluster) = self.route()? {
            return cluster.watch(kind, names).await;
        }
        let watches = self.watches.get().ok_or_else(Failure::closed)?;
        Ok(Box::pin(watches.subscribe(kind, names).await?))
    }

    /// Whether the server pushes changes to this user, as far as is known.
    pub(crate) fn tracks(&self) -> bool {
        match self.route.get() {
            Some(Route::Single(single)) => single.tracks(),
            Some(Route::Cluster(cluster)) => cluster.tracks(),
            None => true,
        }
    }

    /// How long one exchange may take.
    pub(crate) fn response_timeout(&self) -> Answer<Duration> {
        Ok(match self.route()? {
            Route::Single(single) => single.response_timeout(),
            Route::Cluster(cluster) => cluster.response_timeout(),
        })
    }

    /// A handle on the driver.
    pub(crate) fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        match self.route.get()? {
            Route::Single(single) => single.native(wanted),
            Route::Cluster(cluster) => cluster.native(wanted),
        }
    }

    /// Lets go of the connection; exchanges under way end by themselves.
    pub(crate) fn close(&self) {
        if let Some(watches) = self.watches.get() {
            watches.close();
        }
        match self.route.get() {
            Some(Route::Single(single)) => single.close(),
            Some(Route::Cluster(cluster)) => cluster.close(),
            None => {}
        }
    }

    /// The first of the servers, as they are now.
    pub(crate) async fn first_server(&self) -> Answer<Server> {
        Ok(match self.route()? {
            Route::Single(_) => Server::Only,
            Route::Cluster(cluster) => Server::Primary(cluster.first().await?),
        })
    }

    /// Fails if there are keys that no server has.
    pub(crate) fn all_served(&self) -> Answer<()> {
        match self.route()? {
            Route::Single(_) => Ok(()),
            Route::Cluster(cluster) => cluster.all_served(),
        }
    }

    /// The server that follows another one.
    pub(crate) fn server_behind(&self, server: &Server) -> Option<Server> {
        match (self.route.get()?, server) {
            (Route::Cluster(cluster), Server::Primary(visit)) => {
                cluster.behind(Some(visit.name().0)).map(Server::Primary)
            }
            _ => None,
        }
    }

    /// The server of this name; where it is another one by now, that.
    pub(crate) fn server_named(&self, name: Option<(u16, &Address)>) -> Answer<Option<Server>> {
        Ok(match (self.route()?, name) {
            (Route::Single(_), None) => Some(Server::Only),
            (Route::Cluster(cluster), Some((lowest, _))) => {
                Some(Server::Primary(cluster.at(lowest)?))
            }
            _ => None,
        })
    }

    /// Sends one command to one of the servers.
    pub(crate) async fn command_at(&self, server: &Server, command: &Cmd) -> Answer<Value> {
        match (self.route()?, server) {
            (Route::Cluster(cluster), Server::Primary(visit)) => {
                cluster.command_at(visit, command).await
            }
            _ => self.command(command).await,
        }
    }

    fn route(&self) -> Answer<&Route> {
        self.route.get().ok_or_else(Failure::closed)
    }
}

async fn batch(
    single: &Single,
    commands: &Pipeline,
    skip: usize,
    count: usize,
) -> Answer<Vec<Value>> {
    let Lease {
        mut connection,
        call,
    } = single.lease().await?;
    let sent = connection.send_packed_commands(commands, skip, count).await;
    call.judge(sent)
}
