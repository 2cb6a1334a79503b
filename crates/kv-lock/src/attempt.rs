//! Asks the store for a lock, under one name, until it is clear whether it was granted.

use crate::{
    Fence, SizeMismatch,
    claim::{Acquired, Claim},
    hold::Hold,
    keeper::Keeper,
    standing::Standing,
    store::Store,
    terms::Terms,
};
use kv_core::{Error, ErrorKind, Outcome, Result, TimeToLive, TxnReply};
use std::{future::pending, sync::Arc, time::Duration};

/// What the store may have granted without our knowing is given back when this is dropped.
pub(crate) struct Attempt {
    store: Store,
    claim: Arc<dyn Claim>,
    terms: Terms,
    keeper: Arc<Keeper>,
    /// Something was sent whose outcome is unknown.
    is_in_doubt: bool,
    /// It must wait.
    was_refused: bool,
    /// Where it waits on the store, if it does.
    standing: Option<Standing>,
}

pub(crate) enum Answer {
    Held(Arc<Hold>),
    Busy {
        left: TimeToLive,
    },
    /// It was granted to this name in vain; another name is needed.
    Spoiled,
    OtherSize(SizeMismatch),
}

impl Attempt {
    /// The claim must never have been asked for before.
    pub(crate) fn new(
        store: Store,
        claim: Arc<dyn Claim>,
        terms: Terms,
        keeper: Arc<Keeper>,
    ) -> Self {
        Self {
            store,
            claim,
            terms,
            keeper,
            is_in_doubt: false,
            was_refused: false,
            standing: None,
        }
    }

    /// From the second time on it asks from a place on the store, where the kind of lock is one for that.
    pub(crate) fn waiting(mut self) -> Result<Self> {
        let Some(claim) = self.claim.standing() else {
            return Ok(self);
        };
        let terms = Terms::of_waiter(self.store.skew())?;
        self.standing = Some(Standing::new(claim, terms, self.keeper.clone()));
        Ok(self)
    }

    /// Whether nothing is to be asked again before it is told, or its time has come.
    pub(crate) fn may_sleep(&self) -> bool {
        self.standing.as_ref().is_none_or(Standing::is_held)
    }

    /// Ends when its place on the store is lost: it must ask again.
    pub(crate) async fn displaced(&self) {
        match &self.standing {
            Some(standing) => standing.lost().await,
            None => pending().await,
        }
    }

    /// May be called again, whatever the answer or the error was.
    pub(crate) async fn ask(&mut self) -> Result<Answer> {
        for _ in 0..3 {
            if let Some(answer) = self.ask_once().await? {
                return Ok(answer);
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "what a lock needs on the store was deleted again and again",
        ))
    }

    async fn ask_once(&mut self) -> Result<Option<Answer>> {
        let was_in_doubt = self.is_in_doubt;
        // Also if this future is dropped.
        self.is_in_doubt = true;
        let sent = self.store.now();
        let (place, own) = match self.send(sent).await {
            Ok(answers) => answers,
            Err(error) => {
                self.is_in_doubt = was_in_doubt || error.outcome() == Outcome::Unknown;
                return Err(error);
            }
        };
        // A part may have been done, if this fails.
        match self
            .claim
            .acquired(own.into_iter().collect::<Result<_>>()?)?
        {
            Acquired::Now(fence) => Ok(Some(self.held(fence, sent))),
            Acquired::Before(fence) => self.confirm(Some(fence)).await.map(Some),
            Acquired::Unnumbered => self.confirm(None).await.map(Some),
            Acquired::Again => {
                self.is_in_doubt = was_in_doubt;
                Ok(None)
            }
            Acquired::OtherSize(mismatch) => {
                self.is_in_doubt = was_in_doubt;
                Ok(Some(Answer::OtherSize(mismatch)))
            }
            Acquired::Busy { left } => {
                self.is_in_doubt = was_in_doubt;
                self.was_refused = true;
                place.map(|()| Some(Answer::Busy { left }))
            }
        }
    }

    /// Asks for several by one call: for each as [`ask`](Self::ask), the first time.
    pub(crate) async fn ask_all(attempts: &mut [Self]) -> Result<Vec<Result<Answer>>> {
        let Some(first) = attempts.first() else {
            return Ok(Vec::new());
        };
        let (store, patience) = (first.store.clone(), first.patience());
        let asked = attempts
            .iter()
            .map(|it| it.claim.acquire(it.terms.on_store));
        let asked = asked.collect::<Result<Vec<_>>>()?;
        let counts: Vec<_> = asked.iter().map(Vec::len).collect();
        // Also if this future is dropped.
        attempts.iter_mut().for_each(|it| it.is_in_doubt = true);
        let sent = store.now();
        let txns = asked.into_iter().flatten().collect();
        let replies = match store.commit_all(txns, patience).await {
            Ok(replies) => replies,
            Err(error) => {
                let is_in_doubt = error.outcome() == Outcome::Unknown;
                attempts
                    .iter_mut()
                    .for_each(|it| it.is_in_doubt = is_in_doubt);
                return Err(error);
            }
        };
        let mut replies = replies.into_iter();
        let learn = |(it, count): (&mut Self, usize)| {
            let replies = replies.by_ref().take(count).collect::<Result<_>>();
            match replies.and_then(|replies| it.claim.acquired(replies)) {
                Ok(Acquired::Now(fence)) => Ok(it.held(fence, sent)),
                Ok(Acquired::Busy { left }) => {
                    it.is_in_doubt = false;
                    Ok(Answer::Busy { left })
                }
                // Something on the way has sent it twice.
                Ok(_) => Ok(Answer::Spoiled),
                Err(error) => {
                    it.is_in_doubt = error.outcome() == Outcome::Unknown;
                    Err(error)
                }
            }
        };
        Ok(attempts.iter_mut().zip(counts).map(learn).collect())
    }

    /// Whether it has a place to wait at, and the answers to the claim itself.
    async fn send(&mut self, sent: Duration) -> Result<(Result<()>, Vec<Result<TxnReply>>)> {
        let mut txns = match &mut self.standing {
            Some(standing) if self.was_refused => standing.take()?,
            _ => Vec::new(),
        };
        let places = txns.len();
        txns.extend(self.claim.acquire(self.terms.on_store)?);
        let mut replies = self.store.commit_all(txns, self.patience()).await?;
        let own = replies.split_off(places.min(replies.len()));
        let place = replies.into_iter().try_for_each(|it| it.map(|_| ()));
        if let (true, Ok(()), Some(standing)) = (places > 0, &place, &mut self.standing) {
            standing.taken(&self.store, sent);
        }
        Ok((place, own))
    }

    /// Nobody knows when an earlier send was granted, so the lease is counted anew.
    async fn confirm(&mut self, fence: Option<Fence>) -> Result<Answer> {
        // Its fence was forgotten; without one it is of no use.
        if fence.is_some_and(|it| it.get() == 0) {
            return Ok(Answer::Spoiled);
        }
        let sent = self.store.now();
        let txn = match fence {
            Some(_) => self.claim.renew(self.terms.on_store),
            None => self.claim.number(self.terms.on_store)?,
        };
        let mut reply = self.store.commit(txn, self.patience()).await?;
        if !reply.applied {
            return Ok(Answer::Spoiled);
        }
        let fence = match fence {
            Some(fence) => fence,
            None => Fence::from_number(reply.token(reply.answers.len().saturating_sub(1))?),
        };
        Ok(self.held(fence, sent))
    }

    fn held(&mut self, fence: Fence, sent: Duration) -> Answer {
        self.is_in_doubt = false;
        if let Some(standing) = self.standing.take() {
            standing.granted();
        }
        let (store, claim) = (self.store.clone(), self.claim.clone());
        let hold = Hold::new(store, claim, fence, self.terms, sent);
        Answer::Held(Arc::new(hold))
    }

    /// An answer that comes after the lease has ended is worth nothing.
    fn patience(&self) -> Duration {
        self.terms.lease / 2
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let place = self.standing.take().and_then(Standing::leave);
        let claim = self.is_in_doubt.then(|| self.claim.release());
        let txns: Vec<_> = place.into_iter().chain(claim).collect();
        if txns.is_empty() {
            return;
        }
        let (store, lasts) = (self.store.clone(), self.terms.on_store.as_duration());
        self.keeper
            .spawn(async move { store.give_back(txns, lasts).await });
    }
}
