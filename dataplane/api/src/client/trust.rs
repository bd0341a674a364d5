//! Whose certificates are believed.

use super::Error;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;
use std::sync::Arc;

/// The platform's roots, and what is added to them.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    more: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// The platform's roots and these certificates. An error if there is none in the text.
    pub fn with_pem(pem: &[u8]) -> Result<Trust, Error> {
        let more: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match more {
            Ok(more) if !more.is_empty() => Ok(Trust { more }),
            Ok(_) => Err(Error::Protocol("it holds no certificate in PEM".into())),
            Err(error) => Err(Error::Protocol(format!("it is not PEM: {error}"))),
        }
    }

    /// What TLS is spoken with. Where none is, nobody is believed, and no file of the platform is read.
    pub(super) fn config(&self, is_secure: bool) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = match is_secure {
            false => {
                let none = builder(provider)?.with_root_certificates(RootCertStore::empty());
                return Ok(none.with_no_client_auth());
            }
            true => Verifier::new_with_extra_roots(self.more.clone(), Arc::clone(&provider))?,
        };
        Ok(builder(provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(Trust::with_pem(b"").is_err());
        assert!(Trust::with_pem(b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n").is_err());
    }
}
