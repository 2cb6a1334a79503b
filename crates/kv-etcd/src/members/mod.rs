//! Which member a call goes to.
//!
//! The driver's own balancing sends every call to any member it has a connection to, also to one that
//! is frozen, or cut off from the others: a third of the calls would wait for their whole deadline.
//! So there is a channel for each member, and this one in front of them, which the driver takes for
//! the only one there is.
//!
//! - Calls go to one of the members, each store's own choice, while it is good. It comes in doubt when
//!   it answers nobody for a while, or a connection fails, or it says that it has no leader, which it
//!   is asked to say. Then calls go to the next one, and it is probed with a read that takes a
//!   majority; once it answers, it is used again.
//! - What was surely not taken is sent to another member, whatever it is. What only reads is sent
//!   again whatever happened. A write that may have been taken never is.
//! - While there is no leader at all, calls try again until little is left of their deadline.

mod exchange;
mod member;
mod route;
#[cfg(test)]
mod tests;

use self::{
    exchange::{Effect, Ended, Exchange, Request, Response, Why},
    member::{Member, Waiting},
    route::Route,
};
use crate::error::Answer;
use kv_core::{Stopwatch, SystemClock, Timers};
use std::{future::pending, pin::pin, sync::Arc, time::Duration};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tower::{BoxError, util::BoxCloneSyncService};

/// How long to wait for a leader at first, once all members were asked; up to twice as long, ...
const PAUSE: Duration = Duration::from_millis(25);
/// ... and so many times twice as long again at most.
const LONGEST_PAUSE: usize = 3;

/// All members of a cluster.
pub(crate) struct Members {
    all: Vec<Arc<Member>>,
    /// The one that calls go to while it is good.
    home: usize,
    /// A member that answers nobody for so long is in doubt.
    stall: Timers,
    /// How long a member that is in doubt may take to answer.
    probe: Duration,
    /// For how long a call is tried again; less than it may take, so that it ends with what is known.
    budget: Duration,
}

impl Members {
    /// Nothing is sent.
    pub(crate) async fn new(
        endpoints: Vec<Endpoint>,
        response_timeout: Duration,
    ) -> Answer<Arc<Self>> {
        let probe = response_timeout / 4;
        let mut all = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            all.push(Arc::new(Member::new(endpoint, probe).await?));
        }
        Ok(Arc::new(Self {
            // The clients share the members among them.
            home: fastrand::usize(..all.len().max(1)),
            all,
            stall: Timers::new(Arc::new(SystemClock), response_timeout / 8),
            probe,
            budget: response_timeout * 9 / 10,
        }))
    }

    /// All of them as one channel of the driver.
    pub(crate) fn channel(self: &Arc<Self>) -> etcd_client::Channel {
        let route = Route(Arc::clone(self));
        etcd_client::Channel::Custom(BoxCloneSyncService::new(route))
    }

    /// The member to open a connection to, one that answers if there is any; the turn tells whom to
    /// try first, 0 the one that calls go to.
    pub(crate) async fn dial(self: &Arc<Self>, turn: usize) -> Dialed {
        let at = |it: usize| &self.all[(self.home + turn + it) % self.all.len()];
        let order = || (0..self.all.len()).map(at);
        let good = order().filter(|it| it.is_good());
        let others = order().filter(|it| !it.is_good());
        // It is better to ask one that may be slow than nobody.
        let mut chosen = at(0);
        for member in good.chain(others).filter(|_| self.all.len() > 1) {
            if member.answers_a_probe().await {
                if !member.is_good() {
                    member.recover();
                }
                chosen = member;
                break;
            }
            member.doubt();
        }
        Dialed {
            member: Arc::clone(chosen),
            members: Arc::clone(self),
        }
    }

    /// Sends a request and does what can be done to have it answered.
    async fn send(self: Arc<Self>, request: Request) -> Result<Response, BoxError> {
        let exchange = match Exchange::of(request).await? {
            Ok(exchange) => exchange,
            Err(request) => return self.all[self.pick(None)].call(request).await,
        };
        let began = Stopwatch::start();
        let mut last = None;
        let mut tries = 0;
        let mut told = None;
        loop {
            let at = self.pick(last);
            let member = &self.all[at];
            let (result, why) = match self.attempt(member, &exchange).await {
                Some(Ended::Answered(response)) => {
                    if !member.is_good() {
                        member.recover();
                    }
                    return Ok(response);
                }
                Some(Ended::Lost(result, why)) if exchange.effect == Effect::Writes => {
                    if why == Why::Member {
                        member.doubt();
                    }
                    return result;
                }
                Some(Ended::Refused(result, why) | Ended::Lost(result, why)) => (result, why),
                // It only reads, and another member is better.
                None => {
                    last = Some(at);
                    continue;
                }
            };
            member.doubt();
            last = Some(at);
            tries += 1;
            // That there is no leader says more than that a member is not there.
            let (result, why) = match told.take() {
                Some(before @ (_, Why::Leader)) => before,
                _ => (result, why),
            };
            if tries >= self.all.len() {
                // Nobody took it.
                let pause = PAUSE * (1 << LONGEST_PAUSE.min(tries - self.all.len()));
                let pause = pause + pause.mul_f64(fastrand::f64());
                if why == Why::Member || began.elapsed() + pause > self.budget {
                    return result;
                }
                let _ = timeout(pause, pending::<()>()).await;
            }
            told = Some((result, why));
        }
    }

    /// Sends a request to one member; nothing if it is better sent to another one.
    async fn attempt(&self, member: &Arc<Member>, exchange: &Exchange) -> Option<Ended> {
        if self.all.len() == 1 {
            // There is nobody else to ask, so nobody need watch it.
            return Some(Ended::of(member.call(exchange.request()).await));
        }
        let waiting = Waiting::new(member, self.stall.limit() / 8);
        let mut call = pin!(member.call(exchange.request()));
        if let Some(result) = self.stall.timeout(call.as_mut()).await {
            return Some(Ended::of(result));
        }
        loop {
            // Others may be quicker than this one.
            if waiting.in_vain() {
                member.doubt();
            }
            if let Ok(result) = timeout(self.probe, call.as_mut()).await {
                return Some(Ended::of(result));
            }
            let elsewhere = !member.is_good() && self.all.iter().any(|it| it.is_good());
            if elsewhere && exchange.effect == Effect::Reads {
                return None;
            }
        }
    }

    /// The member to send to: a good one, if there is any; else not the one that was last.
    fn pick(&self, last: Option<usize>) -> usize {
        let count = self.all.len();
        let from = last.map_or(self.home, |it| it + 1);
        let good = (0..count).map(|it| (self.home + it) % count);
        let mut good = good.filter(|it| self.all[*it].is_good());
        good.next().unwrap_or(from % count)
    }
}

/// A member that somebody keeps to.
pub(crate) struct Dialed {
    member: Arc<Member>,
    members: Arc<Members>,
}

impl Dialed {
    /// A new connection.
    pub(crate) fn channel(&self) -> etcd_client::Channel {
        etcd_client::Channel::Tonic(self.member.endpoint.connect_lazy())
    }

    /// Ends once the member is lost and another one is not.
    pub(crate) async fn outdone(&self) {
        loop {
            self.member.gone().await;
            if self.members.all.iter().any(|it| it.is_good()) {
                return;
            }
            let _ = timeout(self.members.probe, pending::<()>()).await;
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &self.all {
            member.forget();
        }
    }
}
