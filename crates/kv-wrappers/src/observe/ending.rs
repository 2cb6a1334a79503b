//! How a call ended, in the few words that metrics have for it.

use kv_core::{ErrorKind, Reply, TimeToLive};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Answered,
    Hit,
    Miss,
    Refused,
    Partial,
    Cancelled,
    Failed(ErrorKind),
}

impl Ending {
    /// One more than the largest [`index`](Self::index).
    pub(super) const COUNT: usize = 6 + ErrorKind::ALL.len();

    pub(super) fn index(self) -> usize {
        match self {
            Self::Answered => 0,
            Self::Hit => 1,
            Self::Miss => 2,
            Self::Refused => 3,
            Self::Partial => 4,
            Self::Cancelled => 5,
            Self::Failed(kind) => 6 + kind as usize,
        }
    }

    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Answered => "ok",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Refused => "refused",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
            Self::Failed(kind) => kind.name(),
        }
    }

    pub(super) fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Cancelled | Self::Failed(_) => Some(self.outcome()),
            _ => None,
        }
    }

    pub(super) fn of(reply: &Reply) -> Self {
        let of_one = |is_there: bool| if is_there { Self::Hit } else { Self::Miss };
        let of_condition = |held: bool| if held { Self::Answered } else { Self::Refused };
        match reply {
            Reply::Get(it) | Reply::HGet(it) => of_one(it.is_some()),
            Reply::ZScore(it) => of_one(it.is_some()),
            Reply::TimeToLive(it) => of_one(*it != TimeToLive::Missing),
            Reply::Expire(is_there) => of_one(*is_there),
            Reply::Set(it) => of_condition(it.applied),
            Reply::Throttle(it) => of_condition(it.allowed),
            // Of one that was applied single bodies may not be readable.
            Reply::ZMove(it) if !it.applied => Self::Refused,
            Reply::Commit(replies) => match replies.as_slice() {
                [Ok(reply)] => of_condition(reply.applied),
                _ => Self::of_items(reply),
            },
            _ => Self::of_items(reply),
        }
    }

    fn of_items(reply: &Reply) -> Self {
        let mut ending = Self::Answered;
        reply.failures(|_| ending = Self::Partial);
        ending
    }
}

/// How many of the things asked for one by one were there and were not, if the answer is of that
/// kind.
pub(super) fn lookups(reply: &Reply) -> Option<[u64; 2]> {
    let of_one = |is_there: bool| [u64::from(is_there), u64::from(!is_there)];
    Some(match reply {
        Reply::Get(it) | Reply::HGet(it) => of_one(it.is_some()),
        Reply::ZScore(it) => of_one(it.is_some()),
        Reply::GetMany(all) | Reply::HGetMany(all) => {
            let hits = all.iter().flatten().count() as u64;
            [hits, all.len() as u64 - hits]
        }
        _ => return None,
    })
}
