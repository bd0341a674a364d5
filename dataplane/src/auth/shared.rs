//! The keys and tokens that are good now, shared by all who check them.

use super::{Auth, AuthError, Grant};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// [`Auth`] that may be exchanged while requests are checked.
#[derive(Clone, Debug)]
pub struct SharedAuth(Arc<ArcSwap<Auth>>);

/// Whether tokens are needed at all may not change while a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("whether tokens are needed changes only by a restart")]
pub struct NeedsRestart;

impl SharedAuth {
    /// These, until others take their place.
    pub fn new(auth: Auth) -> SharedAuth {
        SharedAuth(Arc::new(ArcSwap::from_pointee(auth)))
    }

    /// Checks a token, as [`Auth::verify`].
    pub fn verify(&self, token: Option<&str>) -> Result<Grant, AuthError> {
        self.0.load().verify(token)
    }

    /// These from now on; true if they are others than before.
    ///
    /// INVARIANT: authentication is never switched off by a file that is empty for a moment. Tested by
    /// `keys_change_but_authentication_stays`.
    pub fn replace(&self, auth: Auth) -> Result<bool, NeedsRestart> {
        let before = self.0.load();
        match (&**before, &auth) {
            (Auth::Enabled(old), Auth::Enabled(new)) if old == new => Ok(false),
            (Auth::Disabled, Auth::Disabled) => Ok(false),
            (Auth::Enabled(_), Auth::Enabled(_)) => {
                self.0.store(Arc::new(auth));
                Ok(true)
            }
            _ => Err(NeedsRestart),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{StaticToken, Verifier};

    fn with(token: &str) -> Auth {
        Auth::Enabled(Verifier {
            keys: Vec::new(),
            tokens: vec![StaticToken::new(token, Grant::all())],
        })
    }

    #[test]
    fn keys_change_but_authentication_stays() {
        let shared = SharedAuth::new(with("an older token"));
        assert_eq!(shared.replace(with("an older token")), Ok(false));
        assert_eq!(shared.replace(with("a newer token")), Ok(true));
        assert!(shared.verify(Some("an older token")).is_err());
        assert!(shared.verify(Some("a newer token")).is_ok());
        assert_eq!(shared.replace(Auth::Disabled), Err(NeedsRestart));
        assert_eq!(shared.verify(None), Err(AuthError::Missing));
        let open = SharedAuth::new(Auth::Disabled);
        assert_eq!(open.replace(with("a token")), Err(NeedsRestart));
        assert!(open.verify(None).is_ok());
    }
}
