//! The layer for HTTP and gRPC, behind real sockets.

use axum::{Router, extract::ConnectInfo, routing::get};
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, request::Parts};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::{Kv, Reply, layer_fn};
use kv_ratelimit::{
    Policy, RateLimiter, Tier,
    http::{ClientIp, GrpcStatus, IpNet, RateLimitLayer, TrustedProxies, header},
};
use kv_tests::{patience::PATIENCE, stores};
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tonic::{
    Code, Status,
    transport::{
        Channel, Endpoint, Server,
        server::{TcpConnectInfo, TcpIncoming},
    },
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_http::cors::{Any, CorsLayer};

/// A server, as long as it is needed, and a client of it.
struct Site {
    address: SocketAddr,
    client: Client<HttpConnector, String>,
    _serving: JoinSet<()>,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Site {
    async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            address,
            client: Client::builder(TokioExecutor::new()).build_http(),
            _serving: serving,
        }
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, headers).await
    }

    async fn ask(&self, method: Method, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.uri(format!("http://{}/", self.address));
        let request = request.body(String::new()).unwrap();
        let answer = timeout(PATIENCE, self.client.request(request)).await;
        let (parts, body) = answer.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |it| it.to_str().unwrap())
    }
}

/// Every limit is of the store, however long it takes: the machine may be busy.
fn policy(quota: &str) -> Policy {
    let policy = Policy::new(quota.parse().unwrap());
    policy.tier(Tier::Strict).deadline(PATIENCE)
}

fn limiter(kv: &Kv, policies: &[(&str, &str)]) -> RateLimiter {
    let mut builder = RateLimiter::builder(kv);
    for (name, quota) in policies {
        builder = builder.policy(*name, policy(quota));
    }
    builder.build().unwrap()
}

fn client_ip(proxies: TrustedProxies) -> ClientIp {
    ClientIp::new(proxies)
        .peer(|request| Some(request.extensions.get::<ConnectInfo<SocketAddr>>()?.0))
}

fn service() -> Router {
    Router::new().route("/", get(|| async { "served" }))
}

/// What passes, what does not, and what is told of it; a browser sees all of it.
async fn a_client_is_limited_and_told(site: stores::Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, &[("api", "3/h")]);
    let key = client_ip(TrustedProxies::none());
    let limit = RateLimitLayer::new(&limiter, "api", key).unwrap();
    let cors = CorsLayer::new().allow_origin(Any).expose_headers(Any);
    let site = Site::serve(service().layer(limit).layer(cors)).await;
    let page = ("origin", "http://page.example");
    for remaining in [2, 1, 0] {
        let answer = site.get(&[page]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, "served");
        assert_eq!(answer.header("ratelimit-policy"), "\"api\";q=3;w=3600");
        let standing = format!("\"api\";r={remaining};t=");
        assert!(
            answer.header("ratelimit").starts_with(&standing),
            "{answer:?}"
        );
    }
    // Nobody believes a stranger.
    let made_up = [
        page,
        ("x-forwarded-for", "192.0.2.1"),
        ("forwarded", "for=192.0.2.2"),
    ];
    for headers in [&made_up[..1], &made_up] {
        let answer = site.get(headers).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=1200).contains(&after), "{after}");
        assert_eq!(answer.header("ratelimit"), format!("\"api\";r=0;t={after}"));
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["policy"], "api");
        assert_eq!(problem["retry_after"], after);
        // The page is told as well.
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    // It may still ask what it may ask.
    let preflight = [page, ("access-control-request-method", "GET")];
    let answer = site.ask(Method::OPTIONS, &preflight).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Behind a proxy each client has its own limit.
async fn a_trusted_proxy_names_the_client(site: stores::Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, &[("api", "1/h")]);
    let networks = ["127.0.0.0/8", "10.0.0.0/8"].map(|it| it.parse::<IpNet>().unwrap());
    let key = client_ip(TrustedProxies::networks(networks));
    let limit = RateLimitLayer::new(&limiter, "api", key).unwrap();
    let site = Site::serve(service().layer(limit)).await;
    for (told, expected) in [
        ("192.0.2.1", 200),
        ("192.0.2.1, 10.0.0.1", 429),
        ("192.0.2.9, 192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::ffff:2", 429),
    ] {
        let answer = site.get(&[("x-forwarded-for", told)]).await;
        assert_eq!(answer.status, expected, "{told}");
    }
}

/// Each tenant by its plan, and all by another limit, for which what a tenant's own denies does not count.
async fn plans_and_a_limit_for_all(site: stores::Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, &[("free", "1/h"), ("pro", "5/h"), ("all", "4/h")]);
    let plan = |request: &Parts| match request.headers.get("x-plan") {
        Some(plan) if plan == "pro" => "pro",
        _ => "free",
    };
    let tenant = header(HeaderName::from_static("x-tenant"));
    let own = RateLimitLayer::new(&limiter, plan, tenant).unwrap();
    let all = RateLimitLayer::new(&limiter, "all", |_: &Parts| Some("")).unwrap();
    let site = Site::serve(service().layer(all).layer(own)).await;
    let free = [("x-tenant", "ann"), ("x-plan", "free")];
    let pro = [("x-tenant", "bob"), ("x-plan", "pro")];
    let mut answers = Vec::new();
    for headers in [free, free, free, pro, pro, pro, pro] {
        answers.push(site.get(&headers).await);
    }
    let statuses: Vec<u16> = answers.iter().map(|it| it.status.as_u16()).collect();
    assert_eq!(statuses, [200, 429, 429, 200, 200, 200, 429]);
    let told = |answer: &Answer| -> Vec<String> {
        let all = answer.headers.get_all("ratelimit-policy").iter();
        all.map(|it| it.to_str().unwrap().to_owned()).collect()
    };
    let all = "\"all\";q=4;w=3600";
    assert_eq!(told(&answers[0]), [all, "\"free\";q=1;w=3600"]);
    assert_eq!(told(&answers[1]), ["\"free\";q=1;w=3600"]);
    assert_eq!(told(&answers[6]), [all, "\"pro\";q=5;w=3600"]);
    assert!(answers[6].body.contains("`all`"), "{}", answers[6].body);
}

/// However many ask at once.
async fn a_crowd_gets_what_there_is(site: stores::Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, &[("api", "7/h")]);
    let limit = RateLimitLayer::new(&limiter, "api", client_ip(TrustedProxies::none())).unwrap();
    let site = Site::serve(service().layer(limit)).await;
    let answers = join_all((0..24).map(|_| site.get(&[]))).await;
    let count = |status: u16| answers.iter().filter(|it| it.status == status).count();
    assert_eq!((count(200), count(429)), (7, 17), "{answers:?}");
}

/// A gRPC server whose service a layer limits.
struct Grpc {
    health: HealthClient<Channel>,
    _serving: JoinSet<()>,
}

impl Grpc {
    async fn serve(limit: RateLimitLayer<GrpcStatus>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (_, health) = tonic_health::server::health_reporter();
        let server = Server::builder().layer(limit).add_service(health);
        let mut serving = JoinSet::new();
        let serve = server.serve_with_incoming(TcpIncoming::from(listener));
        serving.spawn(async move { serve.await.unwrap() });
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        Self {
            health: HealthClient::new(channel),
            _serving: serving,
        }
    }

    async fn ask(&mut self) -> Result<(), Status> {
        let asked = self.health.check(HealthCheckRequest::default());
        timeout(PATIENCE, asked).await.unwrap().map(|_| ())
    }
}

/// Statuses of gRPC in place of those of HTTP.
async fn grpc_is_limited_as_grpc_does(site: stores::Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, &[("api", "2/h")]);
    let peer = |request: &Parts| request.extensions.get::<TcpConnectInfo>()?.remote_addr();
    let key = ClientIp::new(TrustedProxies::none()).peer(peer);
    let limit = RateLimitLayer::new(&limiter, "api", key).unwrap();
    let mut site = Grpc::serve(limit.responder(GrpcStatus)).await;
    site.ask().await.unwrap();
    site.ask().await.unwrap();
    let status = site.ask().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.message(), "the limit `api` is used up");
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap();
    let pushback: u64 = pushback.to_str().unwrap().parse().unwrap();
    assert!((1..=1_800_000).contains(&pushback), "{pushback}");
    // It was counted for the peer, not for the unknown.
    let peeked = limiter.limit("api", "127.0.0.1").unwrap().peek().await;
    assert!(!peeked.unwrap().is_allowed());
}

/// No trouble of the store is told as if the client had asked too often; afterwards all is well.
async fn a_store_in_trouble_is_never_a_429(site: stores::Site) {
    let store = || site.builder();
    for fault in [Fault::FailBefore, Fault::ApplyThenFail, Fault::Hang] {
        let always = Odds::none().and(fault, 1.0).unwrap();
        let faults = FaultsLayer::new(Plan::random(7, always));
        let trouble = faults.switch();
        let kv = store().layer(faults).connect().await.unwrap();
        // One that hangs is waited for; a store that is well again has ample time.
        let deadline = match fault {
            Fault::Hang => Duration::from_millis(20),
            _ => PATIENCE,
        };
        in_trouble(&kv, deadline).await;
        trouble.off();
        let site = Site::serve(limited(&kv, PATIENCE)).await;
        assert_eq!(site.get(&[]).await.status, 200, "{fault:?}");
    }
}

/// The same of a store that answers what it was not asked.
async fn a_store_that_lies_is_never_a_429(site: stores::Site) {
    let store = || site.builder();
    let nothing = layer_fn("nothing", |request, next| {
        Box::pin(async move {
            let mut reply = next.call(request).await;
            if let Ok(Reply::Throttle(answer)) = &mut reply {
                answer.allowed = false;
                answer.limits.clear();
            }
            reply
        })
    });
    let another = layer_fn("another", |request, next| {
        Box::pin(async move {
            let is_throttle = request.command.spec().name == "throttle";
            let reply = next.call(request).await;
            match is_throttle {
                true => reply.map(|_| Reply::Exists(0)),
                false => reply,
            }
        })
    });
    in_trouble(&store().layer(nothing).connect().await.unwrap(), PATIENCE).await;
    in_trouble(&store().layer(another).connect().await.unwrap(), PATIENCE).await;
}

/// Asks a few times over both protocols.
async fn in_trouble(kv: &Kv, deadline: Duration) {
    let site = Site::serve(limited(kv, deadline)).await;
    for _ in 0..3 {
        let answer = site.get(&[]).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(!answer.headers.contains_key("ratelimit"));
    }
    let mut site = Grpc::serve(limit(kv, deadline).responder(GrpcStatus)).await;
    for _ in 0..3 {
        let status = site.ask().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
}

fn limited(kv: &Kv, deadline: Duration) -> Router {
    service().layer(limit(kv, deadline))
}

/// One that nobody uses up.
fn limit(kv: &Kv, deadline: Duration) -> RateLimitLayer {
    let policy = policy("1000000/s").deadline(deadline);
    let limiter = RateLimiter::builder(kv).policy("api", policy);
    RateLimitLayer::new(&limiter.build().unwrap(), "api", |_: &Parts| Some("")).unwrap()
}

kv_tests::on_each_store_there_is! {
    a_client_is_limited_and_told
    a_trusted_proxy_names_the_client
    plans_and_a_limit_for_all
    a_crowd_gets_what_there_is
    grpc_is_limited_as_grpc_does
    a_store_in_trouble_is_never_a_429
    a_store_that_lies_is_never_a_429
}
