//! What is needed to open an object store, and the opening of each kind by its URL.
//!
//! | URL | store |
//! |---|---|
//! | `file:///path` | a local directory, made when absent; every write is fsynced, with its directory |
//! | `memory://` | in memory |
//! | `s3://bucket/prefix` | S3 and what speaks its protocol (endpoint, region, path style) |
//! | `gs://bucket/prefix` | Google Cloud Storage |
//! | `az://container/prefix` | Azure Blob Storage (`az://account@container/prefix` is not read: the account is a credential) |

use super::credentials::{self, CredentialsError};
use super::directory::Directory;
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Where the objects are and how to get at them. Fields that a kind of store does not know are ignored by it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Kind, place and prefix; see the head of this file.
    pub url: Url,
    /// Another server than the provider's own, as `http(s)://host:port`.
    pub endpoint: Option<String>,
    /// S3's region. `us-east-1` where nothing names one: other servers of that protocol do not care.
    pub region: Option<String>,
    /// S3: the bucket in the path and not in the host name, as most other servers want it.
    pub path_style: bool,
    /// Speak without TLS if the endpoint says `http://`.
    pub allow_http: bool,
    /// More certificates to trust: a PEM bundle, read once.
    pub ca_bundle: Option<PathBuf>,
    /// Who we are.
    pub credentials: Credentials,
    /// How often and how long to try.
    pub retry: Retry,
}

/// Who we are to the object store.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// What the provider's environment offers: variables, workload identity, the instance's metadata service.
    Environment,
    /// Files in this directory, named like the variables they stand for, read again when they change
    /// (a mounted Secret). S3: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, optional `AWS_SESSION_TOKEN`.
    /// Azure: `AZURE_STORAGE_ACCOUNT_NAME` (read once), `AZURE_STORAGE_ACCOUNT_KEY`.
    /// Google: `GOOGLE_SERVICE_ACCOUNT_KEY`, the key's JSON.
    Directory(PathBuf),
    /// S3 keys or an Azure account and its key, given outright.
    Keys {
        /// Access key id or account.
        id: String,
        /// Secret access key or access key.
        secret: Secret,
    },
}

/// A text that Debug does not show.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// Limits on trying. The defaults ride out a short hiccup and then say that the store is unavailable: the
/// overlay can hold writes for minutes, but must know.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Attempts after the first.
    pub attempts: usize,
    /// Wait before the second attempt; doubles each time, with jitter.
    pub pause: Duration,
    /// Bound on one attempt: connecting, sending, receiving.
    pub attempt: Duration,
    /// Bound on one operation with all its attempts.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 5,
            pause: Duration::from_millis(50),
            attempt: Duration::from_secs(10),
            total: Duration::from_secs(30),
        }
    }
}

/// A store that cannot be opened as configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No store has this scheme.
    #[error("object store {url}: the scheme must be file, memory, s3, gs or az")]
    Scheme {
        /// As configured.
        url: Url,
    },
    /// The URL lacks its bucket, container or path.
    #[error("object store {url}: {what} is missing")]
    Incomplete {
        /// As configured.
        url: Url,
        /// Which part.
        what: &'static str,
    },
    /// The directory of a `file://` store cannot be made.
    #[error("object store directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A certificate bundle cannot be read.
    #[error("certificate bundle {path}")]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Credentials are missing or malformed.
    #[error("object store credentials")]
    Credentials(#[from] CredentialsError),
    /// The client refused the settings.
    #[error("object store settings")]
    Client(#[from] object_store::Error),
}

impl Config {
    /// Defaults for `url`: the provider's own server and credentials from the environment.
    pub fn new(url: Url) -> Config {
        Config {
            url,
            endpoint: None,
            region: None,
            path_style: false,
            allow_http: false,
            ca_bundle: None,
            credentials: Credentials::Environment,
            retry: Retry::default(),
        }
    }

    fn host(&self, what: &'static str) -> Result<&str, ConfigError> {
        self.url.host_str().ok_or_else(|| self.incomplete(what))
    }

    fn incomplete(&self, what: &'static str) -> ConfigError {
        ConfigError::Incomplete {
            url: self.url.clone(),
            what,
        }
    }

    fn client(&self) -> Result<ClientOptions, ConfigError> {
        let mut options = ClientOptions::new()
            .with_timeout(self.retry.attempt)
            .with_connect_timeout(self.retry.attempt.min(Duration::from_secs(5)))
            .with_allow_http(self.allow_http);
        if let Some(path) = &self.ca_bundle {
            let failed = |source| ConfigError::CaBundle {
                path: path.clone(),
                source,
            };
            let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
            for certificate in Certificate::from_pem_bundle(&pem).map_err(|error| failed(error.into()))? {
                options = options.with_root_certificate(certificate);
            }
        }
        Ok(options)
    }

    fn retries(&self) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig {
                init_backoff: self.retry.pause,
                max_backoff: self.retry.total / 4,
                base: 2.0,
            },
            max_retries: self.retry.attempts,
            retry_timeout: self.retry.total,
        }
    }
}

pub(super) fn open(config: &Config) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let objects = match config.url.scheme() {
        "file" => return open_directory(config),
        "memory" => Arc::new(InMemory::new()),
        "s3" => open_s3(config)?,
        "gs" => open_google(config)?,
        "az" => open_azure(config)?,
        _ => {
            let url = config.url.clone();
            return Err(ConfigError::Scheme { url });
        }
    };
    below_prefix(objects, &config.url)
}

fn open_directory(config: &Config) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let path = config
        .url
        .to_file_path()
        .map_err(|()| config.incomplete("an absolute path"))?;
    std::fs::create_dir_all(&path).map_err(|source| ConfigError::Directory {
        path: path.clone(),
        source,
    })?;
    Ok(Arc::new(Directory::new(path)?))
}

fn open_s3(config: &Config) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let mut builder = match config.credentials {
        Credentials::Environment => AmazonS3Builder::from_env(),
        _ => AmazonS3Builder::new().with_region("us-east-1"),
    }
    .with_bucket_name(config.host("the bucket")?)
    .with_virtual_hosted_style_request(!config.path_style)
    .with_conditional_put(S3ConditionalPut::ETagMatch)
    .with_client_options(config.client()?)
    .with_retry(config.retries());
    if config.allow_http {
        builder = builder.with_allow_http(true);
    }
    if let Some(region) = &config.region {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = match &config.credentials {
        Credentials::Environment => builder,
        Credentials::Directory(directory) => builder.with_credentials(credentials::s3(directory)?),
        Credentials::Keys { id, secret } => builder.with_access_key_id(id).with_secret_access_key(&secret.0),
    };
    Ok(Arc::new(builder.build()?))
}

fn open_google(config: &Config) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let mut builder = match config.credentials {
        Credentials::Environment => GoogleCloudStorageBuilder::from_env(),
        _ => GoogleCloudStorageBuilder::new(),
    }
    .with_bucket_name(config.host("the bucket")?)
    .with_client_options(config.client()?)
    .with_retry(config.retries());
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder = match &config.credentials {
        Credentials::Environment => builder,
        Credentials::Directory(directory) => builder.with_credentials(credentials::google(directory)?),
        Credentials::Keys { .. } => return Err(config.incomplete("a service account's key (as a file)")),
    };
    Ok(Arc::new(builder.build()?))
}

fn open_azure(config: &Config) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let mut builder = match config.credentials {
        Credentials::Environment => MicrosoftAzureBuilder::from_env(),
        _ => MicrosoftAzureBuilder::new(),
    }
    .with_container_name(config.host("the container")?)
    .with_client_options(config.client()?)
    .with_retry(config.retries());
    if config.allow_http {
        builder = builder.with_allow_http(true);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder = match &config.credentials {
        Credentials::Environment => builder,
        Credentials::Directory(directory) => {
            let (account, provider) = credentials::azure(directory)?;
            builder.with_account(account).with_credentials(provider)
        }
        Credentials::Keys { id, secret } => builder.with_account(id).with_access_key(&secret.0),
    };
    Ok(Arc::new(builder.build()?))
}

fn below_prefix(objects: Arc<dyn ObjectStore>, url: &Url) -> Result<Arc<dyn ObjectStore>, ConfigError> {
    let prefix = object_store::path::Path::from_url_path(url.path()).map_err(object_store::Error::from)?;
    if prefix.as_ref().is_empty() {
        return Ok(objects);
    }
    Ok(Arc::new(PrefixStore::new(objects, prefix)))
}
