//! `cluster`: how a node is one of several.

use super::Error;
use crate::node::Cluster;
use crate::peer::Tls;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCluster {
    listen: Option<String>,
    advertise: Option<String>,
    peers: Vec<String>,
    role: Role,
    tls: Option<RawTls>,
    insecure: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    #[default]
    Voter,
    ReadReplica,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl RawCluster {
    /// None where the node is alone in its group.
    pub(super) fn check(self) -> Result<Option<Cluster>, Error> {
        let Some(listen) = self.listen else {
            if self.advertise.is_some() || !self.peers.is_empty() || self.tls.is_some() {
                let message =
                    "is missing: without an address for the other nodes this one is alone in its group";
                return Err(Error::value("cluster.listen", message));
            }
            return Ok(None);
        };
        let listen: SocketAddr = listen.parse().map_err(|error| {
            Error::value(
                "cluster.listen",
                format!("{listen:?} is not address:port: {error}"),
            )
        })?;
        let advertise = match self.advertise {
            Some(address) => address,
            None if listen.ip().is_unspecified() => {
                let message = format!("is missing: other nodes cannot reach this one at {listen}");
                return Err(Error::value("cluster.advertise", message));
            }
            None => listen.to_string(),
        };
        check_address("cluster.advertise", &advertise)?;
        self.peers
            .iter()
            .try_for_each(|peer| check_address("cluster.peers", peer))?;
        // Whoever reaches the address could read and write everything.
        if self.tls.is_none() && !listen.ip().is_loopback() && !self.insecure {
            let message = format!(
                "is missing, and others than this machine reach {listen}: give certificates, or say `insecure: true` where only the group's nodes can reach it"
            );
            return Err(Error::value("cluster.tls", message));
        }
        let tls = self
            .tls
            .map(|tls| Tls::read(&tls.authority, &tls.certificate, &tls.key));
        Ok(Some(Cluster {
            listen,
            advertise,
            seeds: self.peers,
            votes: self.role == Role::Voter,
            tls: tls
                .transpose()
                .map_err(|error| Error::value("cluster.tls", crate::causes::text(&error)))?,
        }))
    }
}

fn check_address(key: &'static str, address: &str) -> Result<(), Error> {
    let port = address
        .rsplit_once(':')
        .map(|(host, port)| (!host.is_empty(), port.parse::<u16>()));
    match port {
        Some((true, Ok(1..))) => Ok(()),
        _ => Err(Error::value(key, format!("{address:?} is not host:port"))),
    }
}
