//! The peers' authority and certificate. All nodes of a group show one certificate, for the name that the data plane asks
//! for; which node it is stands in each call.
//!
//! LIMIT: they are not renewed yet, because nodes read them at their start only; so they
//! do not expire.

use super::Error;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The name in the certificates of all nodes.
const PEER: &str = "orion-peer";

/// `ca.crt`, `tls.crt` and `tls.key`.
pub(crate) fn make(group: &str) -> Result<Vec<(&'static str, String)>, Error> {
    let failed = |error: rcgen::Error| Error::Keys(error.to_string());
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority
        .distinguished_name
        .push(DnType::CommonName, format!("orion peers of {group}"));
    let authority_key = KeyPair::generate().map_err(failed)?;
    let authority_certificate = authority.self_signed(&authority_key).map_err(failed)?;
    let leaf = CertificateParams::new(vec![PEER.to_owned()]).map_err(failed)?;
    let leaf_key = KeyPair::generate().map_err(failed)?;
    let issuer = Issuer::new(authority, authority_key);
    let certificate = leaf.signed_by(&leaf_key, &issuer).map_err(failed)?;
    Ok(vec![
        ("ca.crt", authority_certificate.pem()),
        ("tls.crt", certificate.pem()),
        ("tls.key", leaf_key.serialize_pem()),
    ])
}
