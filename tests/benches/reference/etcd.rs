//! What a competent user writes with the driver alone: one client, cloned into every task.

use crate::load::Share;
use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KvClient, LockClient, LockOptions, PutOptions, Txn,
    TxnOp, WatchStream,
};
use kv_tests::bench::Outcome;
use std::net::SocketAddr;

pub(crate) async fn connect(address: SocketAddr) -> Outcome<KvClient> {
    let client = Client::connect([address.to_string()], None).await?;
    Ok(client.kv_client())
}

pub(crate) async fn get(mut etcd: KvClient, share: Share) -> Outcome {
    for key in share.keys() {
        let mut told = etcd.get(key, None).await?;
        let value = told.take_kvs().pop();
        share.check_value(value.map(|it| it.into_key_value().1))?;
    }
    Ok(())
}

pub(crate) async fn set(mut etcd: KvClient, share: Share) -> Outcome {
    for key in share.keys() {
        etcd.put(key, share.bytes(), None).await?;
    }
    Ok(())
}

pub(crate) async fn delete(mut etcd: KvClient, share: Share) -> Outcome {
    for key in share.keys() {
        etcd.delete(key, None).await?;
    }
    Ok(())
}

/// Deletes a key on the condition that another one is not there, as a store must whose keys can hold
/// more than strings.
pub(crate) async fn delete_if_alone(mut etcd: KvClient, share: Share) -> Outcome {
    for key in share.keys() {
        let alone = Compare::create_revision(format!("\0\u{1}{key}"), CompareOp::Equal, 0);
        let delete = TxnOp::delete(key, None);
        etcd.txn(Txn::new().when([alone]).and_then([delete]))
            .await?;
    }
    Ok(())
}

pub(crate) async fn exists(mut etcd: KvClient, share: Share) -> Outcome {
    for key in share.keys() {
        let count_only = GetOptions::new().with_count_only();
        share.check_count(etcd.get(key, Some(count_only)).await?.count() as usize)?;
    }
    Ok(())
}

/// Writes a key as long as it holds what it was given last.
pub(crate) async fn guarded_set(mut etcd: KvClient, share: Share) -> Outcome {
    let key = share.own("guarded");
    let mut before = "0".to_owned();
    etcd.put(&*key, &*before, None).await?;
    for count in 1..=share.count() {
        let next = count.to_string();
        let same = Compare::value(&*key, CompareOp::Equal, &*before);
        let put = TxnOp::put(&*key, &*next, None);
        let done = etcd.txn(Txn::new().when([same]).and_then([put])).await?;
        check(done.succeeded())?;
        before = next;
    }
    Ok(())
}

/// Takes a lock whose lease is at hand, and gives it back.
pub(crate) async fn lock(mut etcd: KvClient, share: Share) -> Outcome {
    let key = share.own("lock");
    for nonce in 0..share.count() {
        let nonce = nonce.to_string();
        let free = Compare::create_revision(&*key, CompareOp::Equal, 0);
        let put = TxnOp::put(&*key, &*nonce, Some(PutOptions::new().with_lease(LEASE)));
        let read = TxnOp::get(&*key, None);
        let take = Txn::new().when([free]).and_then([put]).or_else([read]);
        check(etcd.txn(take).await?.succeeded())?;
        let ours = Compare::value(&*key, CompareOp::Equal, &*nonce);
        let delete = TxnOp::delete(&*key, None);
        let done = etcd.txn(Txn::new().when([ours]).and_then([delete])).await?;
        check(done.succeeded())?;
    }
    Ok(())
}

/// The lease of all locks.
const LEASE: i64 = 4711;

pub(crate) async fn grant(address: SocketAddr) -> Outcome {
    let mut client = Client::connect([address.to_string()], None).await?;
    let options = etcd_client::LeaseGrantOptions::new().with_id(LEASE);
    client.lease_grant(3600, Some(options)).await?;
    Ok(())
}

/// The client of etcd's own locks, and the lease of a session.
#[derive(Clone)]
pub(crate) struct LockRpc {
    client: LockClient,
    lease: i64,
}

pub(crate) async fn lock_client(address: SocketAddr) -> Outcome<LockRpc> {
    let mut client = Client::connect([address.to_string()], None).await?;
    let lease = client.lease_grant(3600, None).await?.id();
    Ok(LockRpc {
        client: client.lock_client(),
        lease,
    })
}

/// Takes a lock and gives it back by the server's own calls.
pub(crate) async fn lock_by_rpc(mut locks: LockRpc, share: Share) -> Outcome {
    let name = share.own("rpc");
    for _ in 0..share.count() {
        let options = LockOptions::new().with_lease(locks.lease);
        let held = locks.client.lock(&*name, Some(options)).await?;
        locks.client.unlock(held.key()).await?;
    }
    Ok(())
}

pub(crate) async fn watch(address: SocketAddr, key: &str) -> Outcome<WatchStream> {
    let mut client = Client::connect([address.to_string()], None).await?;
    let mut stream = client.watch(key, None).await?;
    stream.message().await?.ok_or("the watch ended")?;
    Ok(stream)
}

/// Reads so many keys in one exchange.
pub(crate) async fn get_many(etcd: &mut KvClient, keys: &[String]) -> Outcome<usize> {
    let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(&**key, None)).collect();
    let told = etcd.txn(Txn::new().and_then(gets)).await?;
    Ok(told.op_responses().len())
}

fn check(succeeded: bool) -> Outcome {
    match succeeded {
        true => Ok(()),
        false => Err("somebody else wrote the key".into()),
    }
}
