//! What is asked of the server on a connection that watches.

use super::{
    board::{Board, Cause, Cover, Reading, Work},
    line::{Line, Role},
    look::{self, Ask, Look},
    poll::Seen,
    rounds,
    sweep::Sweep,
};
use crate::{
    decode, encode,
    error::{Answer, Failure},
    handshake::{self, Opened, Settings},
};
use bytes::Bytes;
use kv_core::{ErrorKind, Stopwatch};
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
    pub(super) started: Stopwatch,
    pub(super) source: Source,
}

/// How changes become known.
pub(super) enum Source {
    /// The server pushes them.
    Pushes,
    /// Keys are looked at every now and then: what was seen of each.
    Looks(Seen),
    /// So are all keys of ranges.
    Sweeps(Box<Sweep>),
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
            started: line.started,
            source: Source::Pushes,
        };
        let pushes = match server.role {
            Role::Names => tracks && server.track().await?,
            Role::Ranges => tracks,
        };
        server.source = match server.role {
            _ if pushes => Source::Pushes,
            Role::Names => Source::Looks(Seen::default()),
            Role::Ranges => Source::Sweeps(Box::default()),
        };
        Ok(server)
    }

    /// Whether changes are pushed; else the keys are to be looked at every now and then.
    pub(super) fn pushes(&self) -> bool {
        matches!(self.source, Source::Pushes)
    }

    /// Has all keys looked at, on a server that pushes nothing.
    pub(super) fn begin_round(&mut self, board: &mut Board, now: Duration) {
        match &mut self.source {
            Source::Pushes => {}
            Source::Looks(seen) => {
                board.touch_all();
                seen.retain(|key| board.is_watched(key));
            }
            Source::Sweeps(sweep) => sweep.begin(now),
        }
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
            (Role::Names, Cause::Pushed(_), _) | (_, _, false) => Ask::Content,
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
        match &mut self.source {
            Source::Pushes => board.found(reading, looks, now),
            Source::Looks(seen) => {
                for ((key, _), look) in reading.items.into_iter().zip(looks) {
                    seen.tell(board, &key, look, now);
                }
            }
            Source::Sweeps(sweep) => {
                let keys = reading.items.into_iter().map(|(key, _)| key);
                rounds::tell(sweep, Sweep::compare_due, board, keys.zip(looks), now);
            }
        }
    }

    /// Remembers what the looks that armed the keys found, and tells those who watched before.
    pub(super) fn remember(&mut self, board: &mut Board, work: &Work, now: Duration) {
        if let Source::Looks(seen) = &mut self.source {
            for ((key, _), look) in work.arm.iter().zip(&work.found) {
                seen.tell(board, key, look.clone(), now);
            }
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
            match self.cover(cover).await {
                // Who may not list keys learns of no ranges; those of before stay.
                Err(failure) if failure.kind() == ErrorKind::Denied && !self.pushes() => {
                    work.cover = None;
                    work.shut = Some(failure);
                }
                covered => covered?,
            }
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
    async fn cover(&mut self, cover: &Cover) -> Answer<()> {
        if !self.pushes() {
            return self.cover_by_rounds(cover).await;
        }
        let Cover { before, after } = cover;
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
        all_done(self.judge(sent)?)
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

    pub(super) async fn look_at(&mut self, items: &[(Bytes, Ask)]) -> Answer<Vec<Look>> {
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

    pub(super) async fn command(&mut self, command: &Cmd) -> Answer<Reply> {
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

/// Whether a transaction was executed, and each of its commands well.
fn all_done(replies: Vec<Reply>) -> Answer<()> {
    for reply in replies {
        let answers = decode::list(decode::single(reply)?)?;
        answers
            .into_iter()
            .try_for_each(|it| decode::single(it).map(drop))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::all_done;
    use redis::parse_redis_value;

    #[test]
    fn a_command_that_fails_within_a_transaction_is_a_failure() {
        let ask = |text: &str| all_done(vec![parse_redis_value(text.as_bytes()).unwrap()]);
        assert!(ask("*2\r\n+OK\r\n+OK\r\n").is_ok());
        for failed in [
            "*2\r\n+OK\r\n-ERR Prefix overlaps\r\n",
            "-EXECABORT Transaction discarded\r\n",
            "_\r\n",
        ] {
            assert!(ask(failed).is_err(), "{failed}");
        }
    }
}
