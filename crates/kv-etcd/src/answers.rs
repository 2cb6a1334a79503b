//! The answers to the operations of a transaction.

use crate::error::{Answer, Failure};
use etcd_client::{
    DeleteResponse, GetResponse, PutResponse, TxnOpResponse, TxnResponse, proto::PbTxnOpResponse,
};
use std::{mem, vec};

/// Takes them out of a response, of which the driver itself only makes copies: one for each of so many
/// operations. If one is left out, the others may be those of other operations.
pub(crate) fn take(
    response: &mut TxnResponse,
    operations: usize,
) -> Answer<vec::IntoIter<TxnOpResponse>> {
    let answers = mem::take(&mut response.0.responses).into_iter();
    let answers = answers.map(|answer| answer.response.map(of));
    let answers: Option<Vec<_>> = answers.collect();
    let answers = answers.filter(|it| it.len() == operations);
    Ok(answers.ok_or_else(Failure::unexpected_reply)?.into_iter())
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

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_client::proto::{PbRangeResponse, PbResponseOp, PbTxnResponse};

    fn response(answers: &[bool]) -> TxnResponse {
        let get = || PbTxnOpResponse::ResponseRange(PbRangeResponse::default());
        let answer = |there: &bool| PbResponseOp {
            response: there.then(get),
        };
        TxnResponse(PbTxnResponse {
            responses: answers.iter().map(answer).collect(),
            ..PbTxnResponse::default()
        })
    }

    #[test]
    fn an_answer_that_is_left_out_is_an_error() {
        let taken = |answers: &[bool]| take(&mut response(answers), 2).map(|it| it.len());
        assert_eq!(taken(&[true, true]).unwrap(), 2);
        for short in [&[][..], &[true], &[true, false], &[true, true, true]] {
            let failure = taken(short).unwrap_err();
            assert_eq!(failure.kind(), kv_core::ErrorKind::Unexpected, "{short:?}");
        }
    }
}
