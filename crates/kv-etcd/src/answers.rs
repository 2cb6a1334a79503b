//! The answers to the operations of a transaction.

use etcd_client::{
    DeleteResponse, GetResponse, PutResponse, TxnOpResponse, TxnResponse, proto::PbTxnOpResponse,
};
use std::mem;

/// Takes them out of a response, of which the driver itself only makes copies. It ends before one
/// that is not there.
pub(crate) fn take(response: &mut TxnResponse) -> impl Iterator<Item = TxnOpResponse> + use<> {
    let answers = mem::take(&mut response.0.responses).into_iter();
    answers.map_while(|answer| Some(of(answer.response?)))
}

fn of(answer: PbTxnOpResponse) -> TxnOpResponse {
    match answer {
        PbTxnOpResponse::ResponseRange(get) => TxnOpResponse::Get(GetResponse(get)),
        PbTxnOpResponse::ResponsePut(put) => TxnOpResponse::Put(PutResponse(put)),
        PbTxnOpResponse::ResponseDeleteRange(delete) => {
            TxnOpResponse::Delete(DeleteResponse(delete))
        }
        PbTxnOpResponse::ResponseTxn(txn) => TxnOpResponse::Txn(TxnResponse(txn)),
    }
}
