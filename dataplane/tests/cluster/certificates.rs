//! Nodes that speak TLS with each other, and strangers, who are not heard.

use crate::ground::Ground;
use crate::laws::{ask, at, integer, surely};
use crate::nodes::{Cluster, PATIENCE};
use orion_api::client::SqlOptions;
use orion_api::hrana::Statement;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What all certificates are for.
const NAME: &str = "orion-peer";

/// Who makes certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn certify(&self) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("signed"), key)
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.certify();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (certificate.der().clone(), key)
    }

    /// The lines of a node's configuration that name its files, which are written.
    fn configure(&self, dir: &Path, node: usize) -> String {
        let (certificate, key) = self.certify();
        let write = |what: &str, pem: String| {
            let path = dir.join(format!("node{node}-{what}.pem"));
            std::fs::write(&path, pem).expect("written");
            format!("    {what}: {}\n", path.display())
        };
        let files = [
            write("authority", self.0.pem()),
            write("certificate", certificate.pem()),
            write("key", key.serialize_pem()),
        ];
        format!("  tls:\n{}", files.concat())
    }
}

/// True if whoever listens there speaks HTTP/2 with a client of this identity.
async fn is_heard(address: SocketAddr, theirs: &Authority, identity: Option<Identity>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(theirs.0.der().clone()).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(vec![certificate], key)
            .expect("a certificate and its key"),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = NAME.try_into().expect("a name");
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => speaks_http2(stream).await,
        Err(_) => false,
    }
}

/// In TLS 1.3 a client hears only with the first bytes that it was refused.
async fn speaks_http2(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const SETTINGS: u8 = 4;
    let exchange = async {
        stream.write_all(PREFACE).await.ok()?;
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        Some(head[3])
    };
    let first = tokio::time::timeout(PATIENCE, exchange).await;
    first.expect("an answer, or an end") == Some(SETTINGS)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_nodes_with_a_certificate_of_the_authority_are_heard() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (Authority::new(), Authority::new());
    let authorities = [&ours, &ours, &ours, &theirs];
    let cluster = authorities.iter().enumerate();
    let ground = Ground {
        cluster: cluster
            .map(|(node, authority)| authority.configure(dir.path(), node))
            .collect(),
        ..Ground::default()
    };
    let mut cluster = Cluster::prepare_on(ground, dir.path(), 4).await;
    cluster.nodes[..3].iter_mut().for_each(|node| node.start());
    cluster.wait_until_ready().await;
    for number in 0..3 {
        cluster
            .wait_for_group(number, "three vote", |group| {
                group.members.iter().filter(|member| member.votes).count() == 3
            })
            .await;
    }
    let url = cluster.nodes[0].url.clone();
    surely(
        std::slice::from_ref(&url),
        "CREATE TABLE t (id INTEGER PRIMARY KEY)",
    )
    .await;
    surely(std::slice::from_ref(&url), "INSERT INTO t DEFAULT VALUES").await;
    for node in &cluster.nodes[..3] {
        let count = Statement::new("SELECT count(*) FROM t");
        let told = ask(&at(&node.url), count, &SqlOptions::default()).await;
        let (result, _) = told.done().expect("every node answers strong reads");
        assert_eq!(integer(&result.rows[0], 0), 1);
        assert!(
            is_heard(node.peers_at, &ours, Some(ours.identity())).await,
            "ours"
        );
        assert!(
            !is_heard(node.peers_at, &ours, None).await,
            "without a certificate"
        );
        assert!(
            !is_heard(node.peers_at, &ours, Some(theirs.identity())).await,
            "of another authority"
        );
        let plain = TcpStream::connect(node.peers_at).await.expect("it listens");
        assert!(!speaks_http2(plain).await, "in the clear");
    }
    // A whole node of another authority asks again and again, and is not taken in.
    cluster.nodes[3].start();
    cluster.links.wait_for_calls(3, 10).await;
    let group = cluster.nodes[0].group().await.expect("the group");
    assert_eq!(group.members.len(), 3, "{group:?}");
    assert!(
        cluster.nodes[3].client().text("/readyz").await.is_err(),
        "it has no group"
    );
}
