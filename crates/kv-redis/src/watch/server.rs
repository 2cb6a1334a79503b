//! What is asked of the server on a connection that watches.

use super::{
    board::{Board, Cause, Cover, Reading, Work},
    line::{Line, Role},
    look::{self, Ask, Look},
    poll::Seen,
};
use crate::{
    decode, encode,
    error::{Answer, Failure},
    handshake::{self, Opened, Settings},
};
use bytes::Bytes;
use kv_core::ErrorKind;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, PushInfo, Value as Reply, aio::MultiplexedConnection,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How many commands go in one round trip.
const CHUNK: usize = 256;

pub(super) struct Server {
    connection: MultiplexedConnection,
    role: Role,
    settings: Settings,
    /// What was seen of each key, on a server that pushes no changes.
    seen: Option<Seen>,
}

impl Server {
    /// Connects; what is pushed goes to the line under this number.
    pub(super) async fn connect(line: &Arc<Line>, epoch: u64) -> Answer<Self> {
        let settings = line.settings.clone();
        let target = Arc::downgrade(line);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(settings.response_timeout))
            .set_push_sender(move |push: PushInfo| {
                if let Some(line) = target.upgrade() {
                    line.push(epoch, push);
                }
                Ok::<_, ()>(())
            });
        let limit = settings.connect_timeout;
        let opening = handshake::open(&line.client, &config, &settings);
        let opened = timeout(limit, opening).await;
        let opened = opened.unwrap_or_else(|_| Err(Failure::no_connection_within(limit)));
        let Opened { connection, tracks } = opened.map_err(|it| it.at(&settings.address))?;
        let mut server = Self {
            connection,
            role: line.role,
            settings,
            seen: None,
        };
        if server.role == Role::Names {
            let pushes = tracks && server.track().await?;
            server.seen = (!pushes).then(Seen::default);
        }
        Ok(server)
    }

    /// Whether changes are pushed; else the keys are to be looked at every now and then.
    pub(super) fn pushes(&self) -> bool {
        self.seen.is_none()
    }

    pub(super) async fn ping(&mut self) -> Answer<()> {
        self.command(&encode::with("PING", [])).await.map(drop)
    }

    /// Asks for what is to be watched. Those who wait for work that fails are told.
    pub(super) async fn settle(&mut self, mut work: Work) -> Answer<Work> {
        match self.ask_for(&mut work).await {
            Ok(()) => Ok(work),
            Err(failure) => {
                work.fail(&failure.clone().at(&self.settings.address));
                Err(failure)
            }
        }
    }

    /// Looks at keys; in the mode for names this arms the next push for each.
    pub(super) async fn look(&mut self, items: &[(Bytes, Cause)]) -> Answer<Vec<Look>> {
        let wanted = |cause: &Cause| match (self.role, cause, self.pushes()) {
            (Role::Names, Cause::Pushed(_), _) | (Role::Names, _, false) => Ask::Content,
            _ => Ask::Presence,
        };
        let items: Vec<_> = items
            .iter()
            .map(|(key, cause)| (key.clone(), wanted(cause)))
            .collect();
        self.look_at(&items).await
    }

    /// Tells what was found.
    pub(super) fn tell(
        &mut self,
        board: &mut Board,
        reading: Reading,
        looks: Vec<Look>,
        now: Duration,
    ) {
        let Some(seen) = &mut self.seen else {
            board.found(reading, looks, now);
            return;
        };
        for ((key, _), look) in reading.items.into_iter().zip(looks) {
            board.expect_end(&key, &look, now);
            if let Some(change) = seen.compare(&key, look, now) {
                board.tell(&key, change);
            }
        }
    }

    /// Remembers what the looks that armed the keys found.
    pub(super) fn remember(&mut self, work: &Work, now: Duration) {
        if let Some(seen) = &mut self.seen {
            for ((key, _), look) in work.arm.iter().zip(&work.found) {
                seen.compare(key, look.clone(), now);
            }
        }
    }

    /// Drops what was seen of keys that nobody watches any more.
    pub(super) fn forget_unwatched(&mut self, board: &Board) {
        if let Some(seen) = &mut self.seen {
            seen.retain(|key| board.is_watched(key));
        }
    }

    async fn track(&mut self) -> Answer<bool> {
        let on = encode::with("CLIENT", [b"TRACKING", b"ON"]);
        match self.command(&on).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.kind() == ErrorKind::Timeout => Err(failure),
            Err(failure) if failure.kind() == ErrorKind::Unavailable => Err(failure),
            Err(_) => Ok(false),
        }
    }

    async fn ask_for(&mut self, work: &mut Work) -> Answer<()> {
        if let Some(cover) = &work.cover {
            self.cover(cover).await?;
        }
        self.switch("UNSUBSCRIBE", &work.unsubscribe).await?;
        let refused = self.switch("SUBSCRIBE", &work.subscribe).await?;
        work.refused.extend(refused);
        let ask = match self.pushes() {
            true => Ask::Presence,
            false => Ask::Content,
        };
        for names in work.arm.chunks(CHUNK) {
            let items: Vec<_> = names.iter().map(|(key, _)| (key.clone(), ask)).collect();
            let looks = self.look_at(&items).await?;
            for ((key, _), look) in items.iter().zip(&looks) {
                if let Look::Refused(failure) = look {
                    work.refused.insert(key.clone(), failure.clone());
                }
            }
            work.found.extend(looks);
        }
        Ok(())
    }

    /// Changes the ranges. They can be added to, but not taken from.
    async fn cover(&mut self, Cover { before, after }: &Cover) -> Answer<()> {
        let shrinks = before.iter().any(|range| !after.contains(range));
        let added: Vec<_> = match shrinks {
            true => after.iter().collect(),
            false => after.iter().filter(|it| !before.contains(it)).collect(),
        };
        let mut on = encode::command("CLIENT", 3 + 2 * added.len(), 64);
        for word in ["TRACKING", "ON", "BCAST"] {
            on.arg(word);
        }
        for range in &added {
            on.arg("PREFIX").arg(&***range);
        }
        let off = encode::with("CLIENT", [b"TRACKING", b"OFF"]);
        if !shrinks {
            return self.command(&on).await.map(drop);
        }
        if added.is_empty() {
            return self.command(&off).await.map(drop);
        }
        let mut both = Pipeline::with_capacity(2);
        both.atomic().add_command(off).add_command(on);
        let sent = self.connection.send_packed_commands(&both, 3, 1).await;
        let answers = self.judge(sent)?;
        answers
            .into_iter()
            .map(decode::single)
            .try_for_each(|it| it.map(drop))
    }

    /// Subscribes to channels or unsubscribes; answers which ones the server does not permit.
    async fn switch(
        &mut self,
        how: &'static str,
        channels: &[Bytes],
    ) -> Answer<HashMap<Bytes, Failure>> {
        let mut refused = HashMap::new();
        for channels in channels.chunks(CHUNK) {
            let commands = channels.iter().map(|it| encode::with(how, [it]));
            for (reply, channel) in self.pipeline(commands).await?.into_iter().zip(channels) {
                match decode::single(reply) {
                    Ok(_) => {}
                    Err(failure) if failure.kind() == ErrorKind::Denied => {
                        refused.insert(channel.clone(), failure);
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(refused)
    }

    async fn look_at(&mut self, items: &[(Bytes, Ask)]) -> Answer<Vec<Look>> {
        let mut commands = Vec::with_capacity(2 * items.len());
        items
            .iter()
            .for_each(|(key, ask)| commands.extend(look::ask(key, *ask)));
        let mut replies = self.pipeline(commands).await?.into_iter();
        let looks: Answer<Vec<_>> = items
            .iter()
            .map(|(_, ask)| look::read(&mut replies, *ask))
            .collect();
        let mut looks = looks?;
        if !self.pushes() {
            self.measure_structures(items, &mut looks).await?;
        }
        Ok(looks)
    }

    /// A structure is compared by all it holds: in place of its value its look gets that.
    async fn measure_structures(
        &mut self,
        items: &[(Bytes, Ask)],
        looks: &mut [Look],
    ) -> Answer<()> {
        let mut structures: Vec<_> = items
            .iter()
            .zip(looks)
            .filter_map(|((key, _), look)| match look {
                Look::Present {
                    value: None, dump, ..
                } => Some((key, dump)),
                _ => None,
            })
            .collect();
        if structures.is_empty() {
            return Ok(());
        }
        let commands = structures
            .iter()
            .map(|(key, _)| encode::with("DUMP", [key]));
        let replies = self.pipeline(commands.collect::<Vec<_>>()).await?;
        for (reply, (_, dump)) in replies.into_iter().zip(&mut structures) {
            // Where it is refused, a structure is told to change when it comes and goes.
            **dump = decode::single(reply)
                .and_then(decode::string)
                .unwrap_or_default();
        }
        Ok(())
    }

    async fn command(&mut self, command: &Cmd) -> Answer<Reply> {
        let sent = self.connection.send_packed_command(command).await;
        decode::single(self.judge(sent)?)
    }

    async fn pipeline(&mut self, commands: impl IntoIterator<Item = Cmd>) -> Answer<Vec<Reply>> {
        let mut pipeline = Pipeline::new();
        for command in commands {
            pipeline.add_command(command);
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let count = pipeline.len();
        let sent = self
            .connection
            .send_packed_commands(&pipeline, 0, count)
            .await;
        self.judge(sent)
    }

    fn judge<T>(&self, sent: redis::RedisResult<T>) -> Answer<T> {
        sent.map_err(|error| match error.is_timeout() {
            true => Failure::timeout(self.settings.response_timeout),
            false => Failure::sending(&error),
        })
    }
}
