//! What is wrong with a connection from its beginning: its encryption, more often than not.

use super::{Cause, Failure};
use crate::config::Target;
use etcd_client::Error as Driver;
use kv_core::{ErrorKind, Outcome};
use std::error::Error;

/// How rustls begins to say what is wrong with the server's certificate.
pub(super) const REFUSED: &str = "invalid peer certificate: ";

/// The code of gRPC.
const CANCELLED: i32 = 1;

impl Failure {
    /// An error of the first exchange. Nothing was applied.
    pub(crate) fn opening(error: &Driver, target: &Target) -> Self {
        let told = told(error);
        let config = |message| Self::new(ErrorKind::Config, Outcome::Final, message);
        // These speak of addresses, names and certificates.
        if let Some((_, why)) = told.split_once(REFUSED) {
            return config(format!(
                "the server's certificate is refused ({why}); `tls.ca_file` names who must have signed it, `tls.domain` for whom"
            ));
        }
        let failure = Self::connecting(error);
        // What the driver calls cancelled was not by us.
        let is_cancelled =
            matches!(error, Driver::GRpcStatus(it) if i32::from(it.code()) == CANCELLED);
        if failure.cause() != Cause::Cut && !is_cancelled {
            return failure;
        }
        let advice = match target.tls {
            true => {
                "it may want a certificate of its clients, see `tls.cert_file` and `tls.key_file`, or not speak TLS there: then the uri begins with etcd://"
            }
            false => "if it speaks TLS there, the uri begins with etcds://",
        };
        let message = format!("the server closed the connection before it answered; {advice}");
        Self::new(ErrorKind::Unavailable, Outcome::NotApplied, message)
    }
}

/// What the driver and those below it say, each once.
fn told(error: &Driver) -> String {
    match error {
        Driver::GRpcStatus(status) => status.message().to_owned(),
        Driver::TransportError(error) => with_causes(error),
        error => with_causes(error),
    }
}

/// What an error says, and those below it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        told.push_str(": ");
        told.push_str(&error.to_string());
        source = error.source();
    }
    told
}
