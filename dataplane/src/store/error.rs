//! What can go wrong with an object, as a kind that says what the caller may do.

use crate::causes;
use object_store::path::Path;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no such object.
    NotFound,
    /// The object exists already, or is not the one that the condition named.
    Conflict,
    /// The store does not answer, throttles, or failed on its side. Asking again may help.
    Unavailable,
    /// The credentials are missing, wrong, or do not suffice. A person must look.
    Denied,
    /// The object is there and its content is not what was written.
    Corrupt,
    /// The store or its configuration cannot do this.
    Unsupported,
}

/// A request to the object store failed.
#[derive(Debug, thiserror::Error)]
#[error("object {path}: {}", describe(.kind))]
pub struct Error {
    /// The object, or the prefix of a list.
    pub path: Path,
    kind: Kind,
    #[source]
    source: Option<Arc<object_store::Error>>,
}

/// Content that is not what was written. Travels as the source of other errors, so that whoever gets one can
/// find it by type through any number of layers.
#[derive(Clone, Debug, thiserror::Error)]
#[error("object {path} is damaged: {what}")]
pub struct Corruption {
    /// The object.
    pub path: Path,
    /// How it was noticed.
    pub what: &'static str,
}

impl Error {
    pub(crate) fn new(path: &Path, source: object_store::Error) -> Error {
        Error {
            path: path.clone(),
            kind: Kind::of(&source),
            source: Some(Arc::new(source)),
        }
    }

    pub(crate) fn timed_out(path: &Path, after: Duration) -> Error {
        tracing::debug!(%path, ?after, "object store request timed out");
        Error {
            path: path.clone(),
            kind: Kind::Unavailable,
            source: None,
        }
    }

    /// The same failure, which turned out to be of another kind.
    pub(super) fn of_kind(self, kind: Kind) -> Error {
        Error { kind, ..self }
    }

    /// The same failure where the conflict itself is not decided yet.
    pub(super) fn into_unavailable(self) -> Error {
        Error {
            kind: Kind::Unavailable,
            ..self
        }
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Kind {
    /// The kind of an error of the `object_store` crate, from its type and the types of its sources.
    pub fn of(error: &object_store::Error) -> Kind {
        use object_store::Error as E;
        if Corruption::find(error).is_some() {
            return Kind::Corrupt;
        }
        match error {
            E::NotFound { .. } => Kind::NotFound,
            E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. } => Kind::Conflict,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => Kind::Denied,
            E::NotSupported { .. } | E::NotImplemented { .. } | E::InvalidPath { .. } => Kind::Unsupported,
            E::UnknownConfigurationKey { .. } => Kind::Unsupported,
            _ => Kind::of_source(error),
        }
    }

    /// Where only a generic error came, the operating system's error kind tells more (a local directory without
    /// permission). Throttling (503, 429) and failures of the server come here too and are unavailable.
    fn of_source(error: &object_store::Error) -> Kind {
        let io = causes::of(error).find_map(|error| error.downcast_ref::<std::io::Error>());
        match io.map(std::io::Error::kind) {
            Some(std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem) => {
                Kind::Denied
            }
            _ => Kind::Unavailable,
        }
    }
}

impl Corruption {
    /// The corruption that caused `error`, if one did.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Corruption> {
        causes::of(error).find_map(|error| error.downcast_ref::<Corruption>())
    }

    /// As an error of the `object_store` crate, for layers that must speak its language: one that nobody takes for a
    /// passing failure and tries again for ever.
    pub(crate) fn into_object_store(self) -> object_store::Error {
        object_store::Error::NotSupported {
            source: Box::new(self),
        }
    }
}

fn describe(kind: &Kind) -> &'static str {
    match kind {
        Kind::NotFound => "not found",
        Kind::Conflict => "exists already or has changed",
        Kind::Unavailable => "the object store does not answer",
        Kind::Denied => "access denied",
        Kind::Corrupt => "damaged",
        Kind::Unsupported => "not supported by this object store",
    }
}
