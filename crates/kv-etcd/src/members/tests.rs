use super::exchange::{Effect, Ended, Exchange, Request, Response, Why};
use bytes::Bytes;
use etcd_client::{Channel, Client, Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
};
use tonic::{body::Body, transport::Endpoint};
use tower::{BoxError, ServiceExt, service_fn, util::BoxCloneSyncService};

/// What the driver makes of a call, and what we make of that.
async fn effect(call: impl AsyncFnOnce(Client)) -> Option<Effect> {
    let seen = Arc::new(Mutex::new(None));
    let seeing = Arc::clone(&seen);
    let channel = service_fn(move |request: Request| {
        let seeing = Arc::clone(&seeing);
        async move {
            let exchange = Exchange::of(request).await?;
            let effect = exchange.ok().map(|it| it.effect);
            *seeing.lock().unwrap() = Some(effect);
            Err::<Response, BoxError>("nobody is there".into())
        }
    });
    let channel = Channel::Custom(BoxCloneSyncService::new(channel));
    call(Client::from_channel(channel, None).await.unwrap()).await;
    let seen = seen.lock().unwrap().take();
    seen.expect("nothing was sent")
}

#[tokio::test]
async fn what_only_reads_is_told_from_what_writes() {
    let get = |key: &str| TxnOp::get(key, Some(GetOptions::new().with_prefix()));
    // Long enough for lengths of more than one byte.
    let long = "k".repeat(5_000);
    let same = || Compare::version("a", CompareOp::Equal, 1);
    let txns = [
        (Txn::new(), Effect::Reads),
        (Txn::new().and_then([get("a"), get(&long)]), Effect::Reads),
        (
            Txn::new().when([same()]).and_then([]).or_else([get("a")]),
            Effect::Reads,
        ),
        (
            Txn::new().and_then([get(&long), TxnOp::put("a", "v", None)]),
            Effect::Writes,
        ),
        (
            Txn::new().and_then([TxnOp::delete("a", None)]),
            Effect::Writes,
        ),
        (
            Txn::new()
                .when([same()])
                .and_then([get("a")])
                .or_else([TxnOp::delete(&*long, None)]),
            Effect::Writes,
        ),
        (
            Txn::new().and_then([TxnOp::txn(Txn::new().and_then([get("a")]))]),
            Effect::Writes,
        ),
    ];
    for (txn, wanted) in txns {
        let shown = format!("{txn:?}");
        let found = effect(async |mut it| drop(it.txn(txn).await)).await;
        assert_eq!(found, Some(wanted), "{shown:.200}");
    }
    let options = PutOptions::new().with_prev_key();
    let put = effect(async |mut it| drop(it.put("a", "v", Some(options)).await)).await;
    assert_eq!(put, Some(Effect::Writes));
    let get = effect(async |mut it| drop(it.get("a", None).await)).await;
    assert_eq!(get, Some(Effect::Reads));
    let grant = effect(async |mut it| drop(it.lease_grant(5, None).await)).await;
    assert_eq!(grant, Some(Effect::Writes));
    // These are left as they are.
    let status = effect(async |mut it| drop(it.status().await)).await;
    assert_eq!(status, None);
    let watch = effect(async |mut it| drop(it.watch("a", None).await)).await;
    assert_eq!(watch, None);
}

#[tokio::test]
async fn a_request_is_the_same_each_time() {
    let request = || {
        http::Request::builder()
            .uri("/etcdserverpb.KV/Put")
            .header("token", "t")
            .body(Body::new(http_body_util::Full::new(Bytes::from(
                "12345678",
            ))))
            .unwrap()
    };
    let exchange = Exchange::of(request()).await.unwrap().ok().unwrap();
    for _ in 0..2 {
        let again = exchange.request();
        assert_eq!(again.uri(), "/etcdserverpb.KV/Put");
        assert_eq!(again.headers()["token"], "t");
        let body = http_body_util::BodyExt::collect(again.into_body()).await;
        assert_eq!(body.unwrap().to_bytes(), "12345678");
    }
}

#[test]
fn only_what_was_surely_not_taken_is_refused() {
    let told = |code: u8, text: &str| {
        let response = http::Response::builder().header("grpc-status", code.to_string());
        let response = response.header("grpc-message", text.replace(' ', "%20"));
        of(Ok(response.body(Body::empty()).unwrap()))
    };
    let answered = of(Ok(http::Response::new(Body::empty())));
    assert_eq!(answered, "answered");
    assert_eq!(told(14, "etcdserver: no leader"), "refused: Leader");
    let learner = "etcdserver: rpc not supported for learner";
    assert_eq!(told(14, learner), "refused: Member");
    assert_eq!(told(14, "etcdserver: leader changed"), "lost: Leader");
    assert_eq!(told(14, "etcdserver: request timed out"), "lost: Member");
    let failed = "etcdserver: request timed out, possibly due to previous leader failure";
    assert_eq!(told(14, failed), "lost: Member");
    assert_eq!(told(14, "etcdserver: server stopped"), "lost: Member");
    // All members would say so.
    assert_eq!(told(16, "etcdserver: invalid auth token"), "answered");
    assert_eq!(told(8, "etcdserver: too many requests"), "answered");
    assert_eq!(told(5, "etcdserver: no leader"), "answered");
    assert_eq!(of(Err("connection reset".into())), "lost: Member");
}

#[tokio::test]
async fn what_found_no_connection_was_not_taken() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let request = http::Request::new(Body::empty());
    let result = endpoint.connect_lazy().oneshot(request).await;
    assert_eq!(of(result.map_err(Into::into)), "refused: Member");
}

fn of(result: Result<Response, BoxError>) -> String {
    let why = |why: Why| format!("{why:?}");
    match Ended::of(result) {
        Ended::Answered(_) => "answered".into(),
        Ended::Refused(_, it) => format!("refused: {}", why(it)),
        Ended::Lost(_, it) => format!("lost: {}", why(it)),
    }
}
