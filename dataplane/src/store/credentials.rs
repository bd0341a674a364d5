//! Credentials from files that are read again when they change, so that rotating a Secret needs no restart.
//!
//! A file counts as changed when its modification time or length does. That costs one `stat` a file and
//! request, next to a request over the network.

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::azure::{AzureAccessKey, AzureCredential, AzureCredentialProvider};
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Credentials that cannot be had from their files.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is missing or cannot be read.
    #[error("credentials file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The content is not a credential.
    #[error("credentials in {directory} are malformed")]
    Malformed {
        /// Where they were read.
        directory: PathBuf,
        /// What the client said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

pub(super) fn s3(directory: &Path) -> Result<AwsCredentialProvider, CredentialsError> {
    Ok(Arc::new(Reloading::new(directory, |directory| {
        Ok(AwsCredential {
            key_id: read(directory, "AWS_ACCESS_KEY_ID")?,
            secret_key: read(directory, "AWS_SECRET_ACCESS_KEY")?,
            token: read_optional(directory, "AWS_SESSION_TOKEN")?,
        })
    })?))
}

/// The account's name and the provider of its key.
pub(super) fn azure(directory: &Path) -> Result<(String, AzureCredentialProvider), CredentialsError> {
    let account = read(directory, "AZURE_STORAGE_ACCOUNT_NAME")?;
    let provider = Reloading::new(directory, |directory| {
        let key = read(directory, "AZURE_STORAGE_ACCOUNT_KEY")?;
        let key = AzureAccessKey::try_new(&key).map_err(|error| malformed(directory, error.into()))?;
        Ok(AzureCredential::AccessKey(key))
    })?;
    Ok((account, Arc::new(provider)))
}

pub(super) fn google(directory: &Path) -> Result<GcpCredentialProvider, CredentialsError> {
    Ok(Arc::new(GoogleTokens(Reloading::new(directory, |directory| {
        let key = read(directory, "GOOGLE_SERVICE_ACCOUNT_KEY")?;
        let client = GoogleCloudStorageBuilder::new()
            .with_bucket_name("token-exchange-only")
            .with_service_account_key(key)
            .build()
            .map_err(|error| malformed(directory, error))?;
        Ok(client.credentials().clone())
    })?)))
}

type Load<T> = fn(&Path) -> Result<T, CredentialsError>;

/// What was loaded from a directory, and what the directory looked like then.
struct Reloading<T> {
    directory: PathBuf,
    load: Load<T>,
    loaded: Mutex<(Stamp, Arc<T>)>,
}

/// Modification time and length of each file, in the order of their names.
type Stamp = Vec<(PathBuf, SystemTime, u64)>;

impl<T> Reloading<T> {
    fn new(directory: &Path, load: Load<T>) -> Result<Reloading<T>, CredentialsError> {
        let loaded = (stamp(directory)?, Arc::new(load(directory)?));
        Ok(Reloading {
            directory: directory.to_owned(),
            load,
            loaded: Mutex::new(loaded),
        })
    }

    /// A Secret that is half way through a change, or gone for a moment, must not fail requests that the old
    /// credentials still serve: the old ones stay until new ones load.
    fn current(&self) -> Arc<T> {
        let mut loaded = self.loaded.lock();
        let fresh = stamp(&self.directory).and_then(|now| match now == loaded.0 {
            true => Ok(None),
            false => (self.load)(&self.directory).map(|value| Some((now, Arc::new(value)))),
        });
        match fresh {
            Ok(Some(fresh)) => *loaded = fresh,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "object store credentials stay as they were"),
        }
        loaded.1.clone()
    }
}

impl<T> fmt::Debug for Reloading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credentials from {}", self.directory.display())
    }
}

#[async_trait]
impl<T: fmt::Debug + Send + Sync> CredentialProvider for Reloading<T> {
    type Credential = T;

    async fn get_credential(&self) -> object_store::Result<Arc<T>> {
        Ok(self.current())
    }
}

/// Google's credentials are tokens that the key buys; the key's own provider keeps and renews them.
#[derive(Debug)]
struct GoogleTokens(Reloading<GcpCredentialProvider>);

#[async_trait]
impl CredentialProvider for GoogleTokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        self.0.current().get_credential().await
    }
}

fn stamp(directory: &Path) -> Result<Stamp, CredentialsError> {
    let failed = |source| CredentialsError::File {
        path: directory.to_owned(),
        source,
    };
    let mut stamp = Stamp::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // Not the entry's own metadata: files of a mounted Secret are links, and the link does not change.
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        stamp.push((path, metadata.modified().map_err(failed)?, metadata.len()));
    }
    stamp.sort();
    Ok(stamp)
}

fn read(directory: &Path, name: &str) -> Result<String, CredentialsError> {
    let path = directory.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(CredentialsError::File { path, source }),
    }
}

fn read_optional(directory: &Path, name: &str) -> Result<Option<String>, CredentialsError> {
    match read(directory, name) {
        Ok(text) => Ok(Some(text)),
        Err(CredentialsError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn malformed(directory: &Path, source: object_store::Error) -> CredentialsError {
    CredentialsError::Malformed {
        directory: directory.to_owned(),
        source: Box::new(source),
    }
}
