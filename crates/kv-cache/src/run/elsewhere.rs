//! Waiting for what another process loads.

use crate::{
    far::FarEntry,
    shared::{CacheValue, Shared},
};
use futures_util::{
    StreamExt,
    future::{Either, select},
};
use kv_core::{Events, Result};
use std::time::Duration;

/// Waits for the end of a load in another process.
#[derive(Default)]
pub(super) struct Waiting {
    news: Option<Events>,
}

pub(super) enum Waited {
    AskAgain,
    InVain,
}

impl Waiting {
    pub(super) async fn wait<V: CacheValue>(
        &mut self,
        shared: &Shared<V>,
        far: &FarEntry,
        until: &mut Option<Duration>,
    ) -> Result<Waited> {
        let now = shared.now();
        let until = *until.get_or_insert_with(|| {
            shared.counts.waits.add();
            now.saturating_add(shared.policy.hard_timeout)
        });
        if now >= until {
            return Ok(Waited::InVain);
        }
        let Some(news) = &mut self.news else {
            // It may have ended before anybody listened.
            self.news = Some(far.listen().await?);
            return Ok(Waited::AskAgain);
        };
        let time = shared.clock.sleep(until.saturating_sub(now));
        match select(news.next(), time).await {
            Either::Left((Some(Ok(_)), _)) => {}
            Either::Left(_) => self.news = None,
            Either::Right(_) => return Ok(Waited::InVain),
        }
        Ok(Waited::AskAgain)
    }
}
