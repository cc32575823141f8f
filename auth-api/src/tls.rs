//! TLS of the clients of Redis and Postgres: PEM files, certificate authorities.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// The cryptography of every connection.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Starts the configuration of a client, which has TLS 1.2 and 1.3.
pub fn client() -> io::Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().map_err(io::Error::other)
}

/// Starts the configuration of a client that accepts certificates for the server's name by `roots`.
pub fn client_trusting(roots: RootCertStore) -> io::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    Ok(client()?.with_root_certificates(roots))
}

/// Returns the certificates in a PEM file.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path)?;
    CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(io::Error::other)
}

/// Returns the certificate authorities in a PEM file, or without a file those of the system. Fails if there are none.
pub fn authorities(path: Option<&Path>) -> io::Result<RootCertStore> {
    let certificates = match path {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (known, _) = roots.add_parsable_certificates(certificates);
    if known == 0 {
        return Err(io::Error::other("it holds no certificate authority"));
    }
    Ok(roots)
}
