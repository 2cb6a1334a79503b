//! A place on the store where somebody waits: kept as a lock is, until what is waited for is granted or
//! given up.

use crate::{
    Fence,
    claim::Claim,
    hold::{End, Hold},
    keeper::Keeper,
    store::Store,
    terms::Terms,
};
use kv_core::{Result, Txn};
use std::{future::pending, sync::Arc, time::Duration};

#[derive(Debug)]
pub(crate) struct Standing {
    claim: Arc<dyn Claim>,
    terms: Terms,
    keeper: Arc<Keeper>,
    hold: Option<Arc<Hold>>,
    /// It was asked for, and there was no answer.
    is_in_doubt: bool,
}

impl Standing {
    pub(crate) fn new(claim: Arc<dyn Claim>, terms: Terms, keeper: Arc<Keeper>) -> Self {
        Self {
            claim,
            terms,
            keeper,
            hold: None,
            is_in_doubt: false,
        }
    }

    /// What is to be sent to have the place: nothing if it is held.
    pub(crate) fn take(&mut self) -> Result<Vec<Txn>> {
        if self.is_held() {
            return Ok(Vec::new());
        }
        self.end();
        self.is_in_doubt = true;
        self.claim.acquire(self.terms.on_store)
    }

    /// It was sent then, and done.
    pub(crate) fn taken(&mut self, store: &Store, sent: Duration) {
        let nothing = Fence::from_number(0);
        let (claim, terms) = (self.claim.clone(), self.terms);
        let hold = Arc::new(Hold::new(store.clone(), claim, nothing, terms, sent));
        self.keeper.keep(hold.clone());
        self.hold = Some(hold);
        self.is_in_doubt = false;
    }

    /// The place went with what it was for.
    pub(crate) fn granted(mut self) {
        self.end();
    }

    /// Gives the place up; what is to be sent for that, if anything.
    pub(crate) fn leave(mut self) -> Option<Txn> {
        let may_be_there = self.is_in_doubt || self.hold.is_some();
        self.end();
        may_be_there.then(|| self.claim.release())
    }

    /// Ends when the place that was held is lost: it must be taken anew.
    pub(crate) async fn lost(&self) {
        match &self.hold {
            Some(hold) => hold.over.cancelled().await,
            None => pending().await,
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.hold.as_ref().is_some_and(|it| it.remaining().is_ok())
    }

    fn end(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.end(End::Released);
            self.keeper.leave(&hold);
        }
    }
}
