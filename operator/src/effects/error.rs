//! Why a reconciliation did not get to its end. All are tried again.

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// A node refused or did not answer.
    #[error("a node: {0}")]
    Node(#[from] orion_api::client::Error),
    /// An object is not JSON as it must be.
    #[error("an object cannot be read or written: {0}")]
    Json(#[from] serde_json::Error),
    /// No key or certificate could be made or read.
    #[error("keys and certificates: {0}")]
    Keys(String),
    /// A plan was made that must not be: a fault of ours, nothing of it is done.
    #[error("the plan is not carried out: {0}")]
    Plan(String),
    /// It does not lead any more, or a test ended it.
    #[error("it was stopped: nothing more is written")]
    Stopped,
}

impl Error {
    /// The API server's refusal for good: what was sent is wrong, and why.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Error::Kube(kube::Error::Api(status)) if status.is_invalid() || status.is_forbidden() => {
                Some(status.message.clone())
            }
            _ => None,
        }
    }
}
