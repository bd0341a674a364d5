//! What a person can do about an error, printed below it.

use orion_api::Kind;
use orion_api::client::Error;

/// The hint for an error that a client call ended with, on a line of its own; empty if there is none.
pub(super) fn of(error: &anyhow::Error) -> String {
    error
        .downcast_ref::<Error>()
        .and_then(for_client)
        .map_or_else(String::new, |hint| format!("\n  {hint}"))
}

/// The hint for a client's error.
pub(super) fn for_client(error: &Error) -> Option<&'static str> {
    if error.is_of_tls() {
        return Some(
            "The server's certificate is not believed here: --ca-cert (ORION_CA_CERT) names the authority that signed it.",
        );
    }
    if let Error::Connect { .. } = error {
        return Some(
            "Is a server running there? Start one with `orion server`, or say where it is with ORION_URL.",
        );
    }
    match error.kind() {
        Kind::Unauthenticated => Some("Set ORION_AUTH_TOKEN to a token; `orion token create` makes one."),
        Kind::Forbidden => Some("The token is good but does not allow this."),
        Kind::NotFound => {
            Some("`orion db list` shows what is there, `orion db create <name>` makes a database.")
        }
        Kind::CommitUnknown => {
            Some("It may or may not have been done: look before you do it again, or use an idempotency key.")
        }
        Kind::Overloaded | Kind::Retry | Kind::NotLeader | Kind::Fenced => {
            Some("Nothing was done; try again.")
        }
        Kind::Corrupt => Some("Data failed its checksum and was not served; look at the server's log."),
        _ => None,
    }
}
