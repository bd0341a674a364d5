//! The tools over HTTPS: a proxy that ends TLS before a server, as people run one.

use super::running::{PATIENCE, Running, config};
use orion_api::client::{Client, Error, Trust};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// An authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// TLS in front of `server`, for a certificate with this name; answers the address.
    async fn proxy(&self, name: &str, server: &str) -> String {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = server.replace("http://", "");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(mut outer) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut inner = TcpStream::connect(server).await.expect("it listens");
                    let _ = tokio::io::copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
        format!("https://{address}")
    }
}

async fn orion(url: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion"));
    command.args(["db", "list", "--url", url]).args(more);
    let run = tokio::task::spawn_blocking(move || command.output().expect("it runs"));
    tokio::time::timeout(PATIENCE, run)
        .await
        .expect("it ends")
        .expect("no panic")
}

fn written(dir: &Path, authority: &Authority) -> String {
    let path = dir.join("ca.pem");
    std::fs::write(&path, authority.pem()).expect("written");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_speak_https_to_whom_they_believe() {
    let dir = tempfile::tempdir().expect("a folder");
    let running = Running::start(config(dir.path(), "")).await.expect("starts");
    running.create("appdb").await;
    let authority = Authority::new();
    let url = authority.proxy("127.0.0.1", running.client.root()).await;
    let trust = Trust::with_pem(authority.pem().as_bytes()).expect("a certificate");
    let client = Client::trusting(&url, None, &trust).expect("a URL");
    let databases = client.all_databases(false).await.expect("listed");
    assert_eq!(databases.len(), 1);
    // Nobody else's roots are of this authority.
    let stranger = Client::new(&url, None).expect("a URL");
    let refused = stranger.all_databases(false).await.expect_err("not believed");
    assert!(
        matches!(refused, Error::Connect { .. }) && refused.is_of_tls(),
        "{refused:?}"
    );
    // Nor is a certificate good for another name.
    let elsewhere = authority.proxy("elsewhere.example", running.client.root()).await;
    let client = Client::trusting(&elsewhere, None, &trust).expect("a URL");
    let refused = client.all_databases(false).await.expect_err("another name");
    assert!(refused.is_of_tls(), "{refused:?}");
    let ca = written(dir.path(), &authority);
    let listed = orion(&url, &["--ca-cert", &ca]).await;
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("appdb"));
    let refused = orion(&url, &[]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("--ca-cert"),
        "{refused:?}"
    );
    let missing = orion(&url, &["--ca-cert", "/no/such"]).await;
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("/no/such"),
        "{missing:?}"
    );
    running.stop().await;
}
