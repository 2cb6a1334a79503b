use super::{FaultProxy, Mode};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    time::timeout,
};

/// Long enough for a busy machine; only a broken test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

async fn client(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn ask(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut reply = vec![0; text.len()];
    let read = stream.read_exact(&mut reply);
    timeout(PATIENCE, read).await.expect("no reply")?;
    Ok(reply)
}

async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it does not come");
}

async fn hears_nothing(stream: &mut TcpStream) {
    let mut byte = [0];
    let heard = timeout(SILENCE, stream.read(&mut byte)).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// How the connection ended: the number of bytes (0 at a clean end) or the error.
async fn ending(stream: &mut TcpStream) -> io::Result<usize> {
    let mut byte = [0];
    let read = stream.read(&mut byte);
    timeout(PATIENCE, read).await.expect("the connection stays")
}

fn is_reset(ending: io::Result<usize>) -> bool {
    ending.is_err_and(|it| it.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn the_mode_changes_after_some_replies() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = client(&proxy).await;
    proxy.set_after(2, Mode::HalfOpen);
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");
    }
    until(|| proxy.mode() == Mode::HalfOpen).await;
    stream.write_all(b"lost").await.unwrap();
    hears_nothing(&mut stream).await;
    proxy.set_after(0, Mode::Refuse);
    assert_eq!(proxy.mode(), Mode::Refuse);
    // Another order takes the place of one that is due later.
    proxy.set_after(1, Mode::BlackHole);
    proxy.set(Mode::Pass);
    let mut stream = client(&proxy).await;
    assert_eq!(ask(&mut stream, b"again").await.unwrap(), b"again");
    assert_eq!(proxy.mode(), Mode::Pass);
}

#[tokio::test]
async fn it_passes_bytes_and_delays_them() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = client(&proxy).await;
    assert_eq!(ask(&mut stream, b"hello").await.unwrap(), b"hello");

    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let watch = kv_core::Stopwatch::start();
    assert_eq!(ask(&mut stream, b"again").await.unwrap(), b"again");
    assert!(watch.elapsed() >= Duration::from_millis(200));
    assert_eq!(proxy.counts().delayed, 2);
}

#[tokio::test]
async fn a_change_of_mode_ends_a_long_delay() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = client(&proxy).await;
    proxy.set(Mode::Delay(Duration::from_secs(3600)));
    stream.write_all(b"x").await.unwrap();
    hears_nothing(&mut stream).await;
    proxy.set(Mode::Pass);
    assert_eq!(ending(&mut stream).await.unwrap(), 1);
}

#[tokio::test]
async fn refuse_hits_new_connections_only() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut old = client(&proxy).await;
    ask(&mut old, b"x").await.unwrap();
    proxy.set(Mode::Refuse);
    assert!(is_reset(ending(&mut client(&proxy).await).await));
    assert_eq!(ask(&mut old, b"still").await.unwrap(), b"still");
    assert_eq!(proxy.counts().refused, 1);
}

#[tokio::test]
async fn reset_hits_all_connections_and_close_all_ends_them_cleanly() {
    let proxy = FaultProxy::start(echo().await).await.unwrap();
    let mut stream = client(&proxy).await;
    ask(&mut stream, b"x").await.unwrap();
    proxy.set(Mode::Reset);
    assert!(is_reset(ending(&mut stream).await));
    assert!(is_reset(ending(&mut client(&proxy).await).await));

    proxy.set(Mode::Pass);
    let mut stream = client(&proxy).await;
    ask(&mut stream, b"x").await.unwrap();
    proxy.close_all();
    assert_eq!(ending(&mut stream).await.unwrap(), 0);
    let counts = proxy.counts();
    assert_eq!((counts.reset, counts.refused, counts.closed), (1, 1, 1));
}

#[tokio::test]
async fn a_connection_that_lost_bytes_is_reset_and_never_resumed() {
    for mode in [Mode::HalfOpen, Mode::BlackHole] {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let mut stream = client(&proxy).await;
        ask(&mut stream, b"x").await.unwrap();
        proxy.set(mode);
        stream.write_all(b"lost").await.unwrap();
        until(|| proxy.counts().lost_replies + proxy.counts().lost_requests > 0).await;
        hears_nothing(&mut stream).await;
        let counts = proxy.counts();
        assert_eq!(counts.lost_replies > 0, mode == Mode::HalfOpen, "{counts}");
        assert_eq!(
            counts.lost_requests > 0,
            mode == Mode::BlackHole,
            "{counts}"
        );
        proxy.set(Mode::Pass);
        assert!(is_reset(ending(&mut stream).await));
        assert_eq!(
            ask(&mut client(&proxy).await, b"new").await.unwrap(),
            b"new"
        );
    }
}

#[tokio::test]
async fn without_a_server_a_connection_is_reset() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let proxy = FaultProxy::start(gone).await.unwrap();
    assert!(is_reset(ending(&mut client(&proxy).await).await));
    assert_eq!(proxy.counts().unreachable, 1);
}

#[tokio::test]
async fn dropping_it_ends_every_task_and_connection() {
    let upstream = echo().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let proxy = FaultProxy::start(upstream).await.unwrap();
    let mut stream = client(&proxy).await;
    ask(&mut stream, b"x").await.unwrap();
    assert!(tasks() > before);
    let address = proxy.address();
    drop(proxy);
    assert_eq!(ending(&mut stream).await.unwrap(), 0);
    // The echo server's task for the connection ends as well.
    until(|| tasks() <= before).await;
    TcpStream::connect(address).await.unwrap_err();
}
