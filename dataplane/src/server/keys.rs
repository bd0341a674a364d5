//! Keys of tokens, read again while the server runs: they are rotated without a restart.

use crate::auth::SharedAuth;
use crate::causes;
use crate::config::{self, Config};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How soon a change is seen.
const LOOK: Duration = Duration::from_secs(5);

/// Reads the configuration and the files that it names again and again, until `stop`. Nothing of it but the keys and tokens is
/// taken, and of a configuration with a mistake nothing at all.
pub(super) async fn keep<L>(auth: SharedAuth, load: L, stop: CancellationToken)
where
    L: Fn() -> Result<Config, config::Error> + Clone + Send + 'static,
{
    // Said once, as long as it stays the same.
    let mut said = String::new();
    let mut looks = tokio::time::interval(LOOK);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        let trouble = match tokio::task::spawn_blocking(load.clone()).await {
            Ok(Ok(config)) => match auth.replace(config.auth) {
                Ok(true) => {
                    tracing::info!("the keys of tokens have changed");
                    String::new()
                }
                Ok(false) => String::new(),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => causes::text(&error),
            // The runtime ends.
            Err(_) => return,
        };
        if trouble != said && !trouble.is_empty() {
            tracing::warn!(
                error = trouble,
                "the configuration was not read again; the keys stay as they were"
            );
        }
        said = trouble;
    }
}
