//! The service: a handler, and two limits around it.

use crate::Failure;
use axum::{Router, routing::get};
use http::{HeaderName, request::Parts};
use kv_core::{DeadlineClock, Kv};
use kv_ratelimit::{
    Policy, Quota, RateLimiter, Tier,
    http::{Headers, RateLimitLayer, header},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};

pub(crate) const TENANT: &str = "x-tenant";

/// The name of the limit that all share.
pub(crate) const ALL: &str = "all";

/// For how long units are good that a process takes in advance, where it does.
const LEASE: Duration = Duration::from_millis(100);

/// The policies: how much passes in a second, and at once.
pub(crate) const POLICIES: [(&str, u32); 3] = [("free", 5), ("pro", 50), (ALL, 80)];

/// Who asks.
pub(crate) const TENANTS: [Tenant; 4] = [
    Tenant {
        name: "ann",
        plan: "free",
        clients: 2,
    },
    Tenant {
        name: "bob",
        plan: "free",
        clients: 1,
    },
    Tenant {
        name: "cyd",
        plan: "pro",
        clients: 8,
    },
    Tenant {
        name: "dan",
        plan: "pro",
        clients: 4,
    },
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) plan: &'static str,
    pub(crate) clients: u32,
}

pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// What a quota allows in this time may pass besides.
    pub(crate) grace: Duration,
    _serving: JoinSet<()>,
}

impl Service {
    pub(crate) async fn serve(kv: &Kv) -> Result<Self, Failure> {
        // Where each client judges deadlines a single key bears few writes: units are taken in advance.
        let (tier, grace) = match kv.capabilities().deadline_clock {
            DeadlineClock::Client { .. } => (
                Tier::Leased {
                    max_batch: None,
                    age: LEASE,
                },
                LEASE,
            ),
            _ => (Tier::Mirrored, Duration::ZERO),
        };
        let mut limiter = RateLimiter::builder(kv);
        for (name, count) in POLICIES {
            let policy = Policy::new(Quota::per_second(count.into())?);
            // More than a service would wait: a laptop may be busy with other things.
            let policy = policy.tier(tier).deadline(Duration::from_secs(1));
            limiter = limiter.policy(name, policy);
        }
        let limiter = limiter.build()?;

        let tenant = header(HeaderName::from_static(TENANT));
        let own = RateLimitLayer::new(&limiter, plan, tenant)?.headers(Headers::DraftAndLegacy);
        let all = RateLimitLayer::new(&limiter, ALL, |_: &Parts| Some(""))?;
        // The one for all inside: what a tenant's own denies takes nothing from the others.
        let router = Router::new().route("/", get(|| async { "done" }));
        let router = router.layer(all).layer(own);

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                eprintln!("the service ended: {error}");
            }
        });
        Ok(Self {
            address,
            grace,
            _serving: serving,
        })
    }
}

impl Tenant {
    /// How often it asks in a second at most.
    pub(crate) fn rate(&self) -> u32 {
        self.clients * crate::load::RATE
    }
}

/// What a tenant pays for; a service would have it from its own tables.
fn plan(request: &Parts) -> &'static str {
    let name = request.headers.get(TENANT);
    let tenant = TENANTS
        .iter()
        .find(|it| name.is_some_and(|name| name == it.name));
    tenant.map_or("free", |it| it.plan)
}
