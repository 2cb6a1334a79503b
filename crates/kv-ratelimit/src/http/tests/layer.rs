//! The service around another one.

use crate::{
    LimitError, OnError, Policy, RateLimiter,
    http::{Headers, NoKey, RateLimitLayer, Refusal, header},
};
use http::{HeaderName, Method, Request, Response, request::Parts};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::{Context, Kv, KvBuilder};
use kv_memory::MemoryStore;
use kv_wrappers::{KeyResolver, KeySettings};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{self, Poll},
};
use tower::{Layer, Service, ServiceExt};

/// A service that is ready once, as some are that have a place for each request. It answers with the task's tenant.
#[derive(Debug, Default)]
struct Once {
    is_ready: bool,
}

impl Clone for Once {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<()>> for Once {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        assert!(self.is_ready, "called without having said that it is ready");
        self.is_ready = false;
        ready(Ok(Response::new("served".to_owned())))
    }
}

async fn limiter(builder: KvBuilder, policy: Policy) -> RateLimiter {
    let kv = builder.connect().await.unwrap();
    let builder = RateLimiter::builder(&kv).policy("api", policy);
    builder.build().unwrap()
}

fn memory() -> KvBuilder {
    Kv::builder(MemoryStore::default())
}

fn policy() -> Policy {
    Policy::new("2/h".parse().unwrap())
}

fn layer(limiter: &RateLimiter) -> RateLimitLayer {
    RateLimitLayer::new(limiter, "api", header(HeaderName::from_static("x-user"))).unwrap()
}

fn by(user: &str) -> Request<()> {
    let request = Request::builder().header("x-user", user);
    request.body(()).unwrap()
}

async fn ask<S>(service: &mut S, request: Request<()>) -> Response<String>
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible>,
{
    service.ready().await.unwrap().call(request).await.unwrap()
}

async fn statuses<S>(service: &mut S, requests: [Request<()>; 4]) -> Vec<u16>
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible>,
{
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(ask(service, request).await.status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn each_subject_passes_as_often_as_it_may() {
    let mut service = layer(&limiter(memory(), policy()).await).layer(Once::default());
    let first = ask(&mut service, by("ann")).await;
    assert_eq!(first.body(), "served");
    assert_eq!(first.headers()["ratelimit-policy"], "\"api\";q=2;w=3600");
    assert_eq!(first.headers()["ratelimit"], "\"api\";r=1;t=1800");
    let requests = [by("ann"), by("ann"), by("bob"), by("ann")];
    assert_eq!(statuses(&mut service, requests).await, [200, 429, 200, 429]);
    let denied = ask(&mut service, by("ann")).await;
    let after = denied.headers()["retry-after"].to_str().unwrap();
    let told = format!("\"api\";r=0;t={after}");
    assert_eq!(denied.headers()["ratelimit"], told.as_str());
}

#[tokio::test]
async fn nobody_gets_around_it_by_having_no_key() {
    let limiter = limiter(memory(), policy()).await;
    let none = || [(); 4].map(|()| Request::new(()));
    let mut shared = layer(&limiter).layer(Once::default());
    assert_eq!(statuses(&mut shared, none()).await, [200, 200, 429, 429]);
    let refuse = layer(&limiter).no_key(NoKey::Refuse);
    let mut refuse = refuse.layer(Once::default());
    assert_eq!(statuses(&mut refuse, none()).await, [400; 4]);
    let mut pass = layer(&limiter).no_key(NoKey::Pass).layer(Once::default());
    assert_eq!(statuses(&mut pass, none()).await, [200; 4]);
}

#[tokio::test]
async fn preflights_do_not_count_unless_it_is_said() {
    let limiter = limiter(memory(), policy()).await;
    let preflight = || {
        let mut request = by("ann");
        *request.method_mut() = Method::OPTIONS;
        request
    };
    let requests = || [preflight(), preflight(), preflight(), by("ann")];
    let mut skips = layer(&limiter).layer(Once::default());
    assert_eq!(statuses(&mut skips, requests()).await, [200; 4]);
    let mut counts = layer(&limiter).skip(|_| false).layer(Once::default());
    assert_eq!(
        statuses(&mut counts, requests()).await,
        [200, 429, 429, 429]
    );
}

#[tokio::test]
async fn requests_cost_what_the_function_says() {
    let limiter = limiter(memory(), policy()).await;
    let cost = |request: &Parts| request.uri.path().len() as u64 - 1;
    let mut service = layer(&limiter).cost(cost).layer(Once::default());
    let of = |path| {
        let mut request = by("ann");
        *request.uri_mut() = http::Uri::from_static(path);
        request
    };
    // Nothing, more than ever passes, all there is, and one too many.
    let requests = [of("/"), of("/abc"), of("/ab"), of("/a")];
    assert_eq!(statuses(&mut service, requests).await, [200, 400, 200, 429]);
}

#[tokio::test]
async fn a_function_chooses_the_policy_and_a_wrong_one_refuses() {
    let kv = memory().connect().await.unwrap();
    let limiter = RateLimiter::builder(&kv)
        .policy("free", Policy::new("1/h".parse().unwrap()))
        .policy("pro", Policy::new("2/h".parse().unwrap()))
        .build()
        .unwrap();
    let plan = |request: &Parts| request.headers["x-user"].to_str().unwrap().to_owned();
    let key = |_: &Parts| Some("one");
    let layer = RateLimitLayer::new(&limiter, plan, key).unwrap();
    let mut service = layer.layer(Once::default());
    let requests = [by("free"), by("free"), by("pro"), by("gold")];
    assert_eq!(statuses(&mut service, requests).await, [200, 429, 200, 500]);
}

#[tokio::test]
async fn what_could_never_work_is_refused_at_once() {
    let kv = memory().connect().await.unwrap();
    let limiter = RateLimiter::builder(&kv)
        .policy("größe", policy())
        .policy("slots", Policy::new("2 concurrent".parse().unwrap()))
        .build()
        .unwrap();
    let new = |name: &'static str| RateLimitLayer::new(&limiter, name, |_: &Parts| Some("one"));
    assert!(matches!(new("other"), Err(LimitError::UnknownPolicy(_))));
    assert!(matches!(new("slots"), Err(LimitError::NotPossible(_))));
    assert!(matches!(new("größe"), Err(LimitError::Policy(_))));
}

#[tokio::test]
async fn who_has_no_limit_is_not_told_of_one() {
    for (policy, user) in [
        (policy().shadow(), "ann"),
        (policy().allow(["free"]), "free"),
    ] {
        let limiter = limiter(memory(), policy).await;
        let mut service = layer(&limiter).layer(Once::default());
        for _ in 0..3 {
            let response = ask(&mut service, by(user)).await;
            assert_eq!(response.status(), 200);
            assert!(response.headers().is_empty(), "{response:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_never_a_429() {
    let away = || {
        let always = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
        memory().layer(FaultsLayer::new(Plan::random(7, always)))
    };
    let requests = || [by("ann"), by("ann"), by("ann"), by("ann")];
    for (on_error, expected) in [
        (OnError::Fail, [503; 4]),
        (OnError::Deny, [503; 4]),
        (OnError::Allow, [200; 4]),
        (OnError::Local { share: 1.0 }, [200, 200, 503, 503]),
    ] {
        let limiter = limiter(away(), policy().on_error(on_error)).await;
        let mut service = layer(&limiter).layer(Once::default());
        assert_eq!(statuses(&mut service, requests()).await, expected);
        // Nobody knows how the limit stands.
        let response = ask(&mut service, by("ann")).await;
        assert!(!response.headers().contains_key("ratelimit"));
    }
}

#[tokio::test]
async fn closures_answer_as_they_like() {
    let limiter = limiter(memory(), policy()).await;
    let answer = |request: &Parts, refusal: Refusal<'_>| {
        assert!(matches!(refusal, Refusal::Limited(_)));
        Response::new(format!(
            "not now, {}",
            request.headers["x-user"].to_str().unwrap()
        ))
    };
    let layer = layer(&limiter).responder(answer).headers(Headers::None);
    let mut service = layer.layer(Once::default());
    statuses(&mut service, [(); 4].map(|()| by("ann"))).await;
    let response = ask(&mut service, by("ann")).await;
    assert_eq!(response.body(), "not now, ann");
    assert!(response.headers().is_empty());
}

#[tokio::test]
async fn the_tenant_of_the_callers_task_is_the_limits() {
    let tenants = KeyResolver::new(KeySettings {
        namespace: "app".to_owned(),
        multi_tenancy_enabled: Some(true),
        ..KeySettings::default()
    });
    let limiter = limiter(memory().layer(tenants.unwrap()), policy()).await;
    let mut service = layer(&limiter).layer(Once::default());
    for (tenant, expected) in [("a", [200, 200, 429, 429]), ("b", [200, 200, 429, 429])] {
        let asked = statuses(&mut service, [(); 4].map(|()| by("ann")));
        assert_eq!(Context::tenant(tenant).scope(asked).await, expected);
    }
    // A layer outside gives the tenant to the future that it was handed, as the docs show.
    let answer = service.ready().await.unwrap().call(by("ann"));
    let answer = Context::tenant("c").scope(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    // Without one it is not decided.
    assert_eq!(ask(&mut service, by("ann")).await.status(), 503);
}
