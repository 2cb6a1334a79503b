//! What the store says of a lock, as operators are told it.

use super::{
    HolderInfo, HolderName, LockInfo, LockKind, PermitsInfo, Role, WaiterInfo, transitions::Site,
};
use crate::{Fence, transitions::left};
use bytes::Bytes;
use kv_core::{
    MAX_MEMBERS, Mark, Member, Result, Score, ScoredMember, TimeToLive, Timestamp, TxnReply,
};
use std::{collections::HashMap, time::Duration};

/// A lock as it was looked at, and when.
pub(super) struct Seen {
    info: LockInfo,
    now: Option<Timestamp>,
}

impl Seen {
    /// What the answers to a [look](Site::look) mean.
    pub(super) fn of(site: &Site, name: &[u8], reply: TxnReply) -> Result<Self> {
        let now = reply.now;
        let info = LockInfo {
            name: Bytes::copy_from_slice(name),
            kind: site.kind(),
            holders: Vec::new(),
            left_out: 0,
            waiting: Vec::new(),
            permits: None,
            last_fence: None,
        };
        let mut seen = Self { info, now };
        match site {
            Site::Exclusive { .. } => seen.exclusive(reply)?,
            Site::ReadWrite(_) => seen.rw(reply)?,
            Site::Semaphore(_) => seen.semaphore(reply)?,
        }
        Ok(seen)
    }

    /// Whether there are more holders than one look tells.
    pub(super) fn is_cut(&self) -> bool {
        self.info.left_out > 0
    }

    /// With all members of the set of holders: as they were a little later.
    pub(super) fn complete(&mut self, mut members: Vec<ScoredMember>) {
        members.retain(|it| self.left(it.score) != Some(Duration::ZERO));
        self.info.left_out = 0;
        if let Some(permits) = &mut self.info.permits {
            permits.in_use = members.len() as u64;
        }
        self.info.holders.retain(|it| it.role == Role::Writer);
        self.share(members);
    }

    /// Nothing if nobody holds it.
    pub(super) fn held(self) -> Option<LockInfo> {
        (!self.info.holders.is_empty()).then_some(self.info)
    }

    fn exclusive(&mut self, mut reply: TxnReply) -> Result<()> {
        let (mark, ttl) = (reply.mark(0)?, reply.ttl(1)?);
        self.info.last_fence = fence(reply.token(2)?);
        let role = match reply.ttl(3)? {
            TimeToLive::Missing => Role::Owner,
            _ => Role::Leader,
        };
        self.alone(mark, ttl, role);
        let alive = reply.members(5)?.into_iter();
        let alive: HashMap<_, _> = alive.map(|it| (it.member, it.score)).collect();
        for waiter in reply.members(4)? {
            let left = match alive.get(&waiter.member) {
                Some(deadline) => self.left(*deadline),
                // Of more than are told it may be one of the others.
                None => (alive.len() < MAX_MEMBERS as usize).then_some(Duration::ZERO),
            };
            let waited = self.now.zip(waiter.score);
            self.info.waiting.push(WaiterInfo {
                waited: waited.map(|(now, since)| passed(now, since)),
                ..waiting(&waiter.member, left)
            });
        }
        Ok(())
    }

    fn rw(&mut self, mut reply: TxnReply) -> Result<()> {
        let (mark, ttl) = (reply.mark(0)?, reply.ttl(1)?);
        self.info.last_fence = fence(reply.token(2)?);
        self.alone(mark, ttl, Role::Writer);
        let readers = reply.members(3)?;
        self.info.left_out = reply.count(4)?.saturating_sub(readers.len() as u64);
        self.share(readers);
        for waiter in reply.members(5)? {
            let left = self.left(waiter.score);
            self.info.waiting.push(waiting(&waiter.member, left));
        }
        Ok(())
    }

    fn semaphore(&mut self, mut reply: TxnReply) -> Result<()> {
        let size = reply.mark(0)?;
        self.info.last_fence = fence(reply.token(1)?);
        let (held, in_use) = (reply.members(2)?, reply.count(3)?);
        self.info.permits = Some(PermitsInfo {
            in_use,
            size: size.and_then(|it| it.to_str().ok()?.parse().ok()),
        });
        self.info.left_out = in_use.saturating_sub(held.len() as u64);
        self.share(held);
        Ok(())
    }

    /// While one holds it alone, nobody else gets a fence.
    fn alone(&mut self, mark: Option<Mark>, left: TimeToLive, role: Role) {
        let Some(mark) = mark else {
            return;
        };
        let left = match left {
            TimeToLive::In(left) => Some(left),
            _ => None,
        };
        let fence = self.info.last_fence;
        self.info.holders.push(HolderInfo {
            fence,
            ..holder(mark.as_bytes(), role, left)
        });
    }

    /// Those with a part of it, each once.
    fn share(&mut self, members: Vec<ScoredMember>) {
        if self.info.kind == LockKind::ReadWrite {
            for reader in members {
                let left = self.left(reader.score);
                let reader = holder(reader.member.as_bytes(), Role::Reader, left);
                self.info.holders.push(reader);
            }
            return;
        }
        let mut places = HashMap::<Bytes, usize>::new();
        for permit in members {
            let record = record_of(&permit.member);
            let left = self.left(permit.score);
            let holders = &mut self.info.holders;
            let place = *places.entry(record.clone()).or_insert(holders.len());
            match holders.get_mut(place).map(|it| &mut it.role) {
                Some(Role::Permits(count)) => *count += 1,
                _ => holders.push(holder(&record, Role::Permits(1), left)),
            }
        }
    }

    fn left(&self, deadline: Option<Score>) -> Option<Duration> {
        Some(left(self.now?, deadline?))
    }
}

/// The record of an acquisition, without the number of the permit.
fn record_of(permit: &Member) -> Bytes {
    let bytes = permit.as_bytes();
    let number = bytes.iter().rposition(|&it| it == b'#');
    Bytes::copy_from_slice(&bytes[..number.unwrap_or(bytes.len())])
}

fn holder(record: &[u8], role: Role, left: Option<Duration>) -> HolderInfo {
    let (name, metadata) = HolderName::in_record(record).unzip();
    HolderInfo {
        holder: name,
        role,
        metadata: Bytes::copy_from_slice(metadata.unwrap_or_default()),
        fence: None,
        left,
    }
}

fn waiting(member: &Member, left: Option<Duration>) -> WaiterInfo {
    let (name, metadata) = HolderName::in_record(member.as_bytes()).unzip();
    WaiterInfo {
        holder: name,
        metadata: Bytes::copy_from_slice(metadata.unwrap_or_default()),
        waited: None,
        left,
    }
}

fn passed(now: Timestamp, since: Score) -> Duration {
    let micros = Score::from(now).get() - since.get();
    Duration::try_from_secs_f64(micros / 1e6).unwrap_or_default()
}

fn fence(token: u64) -> Option<Fence> {
    (token > 0).then(|| Fence::from_number(token))
}
