//! TLS to Postgres, with the modes of libpq: `sslmode`, `sslrootcert`, `sslcert`, `sslkey`.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::server::UrlError;
use crate::tls;

/// `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    Disable,
    /// TLS if the server has it.
    #[default]
    Prefer,
    /// TLS, with any certificate unless there is a `sslrootcert`.
    Require,
    /// The certificate is signed by a trusted authority.
    VerifyCa,
    /// It is also for the host of the URL.
    VerifyFull,
}

impl SslMode {
    /// Parses the name that libpq gives it.
    pub fn parse(name: &str) -> Result<Self, UrlError> {
        Ok(match name {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(UrlError::parameter("sslmode", name, "disable, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// The parameters of a URL that concern TLS.
#[derive(Debug, Default)]
pub struct TlsParameters {
    pub mode: SslMode,
    pub root_certificates: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl TlsParameters {
    /// Reads the files. As with libpq, a `sslrootcert` is also checked in the modes below `verify-ca`.
    pub fn connector(&self) -> Result<MakeRustlsConnect, UrlError> {
        let has_roots = self.mode >= SslMode::VerifyCa || self.root_certificates.is_some();
        let verifier = Verifier {
            chain: if has_roots { Some(self.chain()?) } else { None },
            checks_name: self.mode == SslMode::VerifyFull,
            provider: tls::provider(),
        };
        let client = tls::client().map_err(|error| UrlError::parameter("sslmode", error, "disable"))?;
        let client = client.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let config = match (&self.certificate, &self.key) {
            (None, None) => client.with_no_client_auth(),
            (Some(certificate), Some(key)) => {
                let invalid = |name, path: &Path, error: &dyn Display| {
                    UrlError::parameter(name, at(path, error), "the path of a PEM file; sslkey belongs to sslcert")
                };
                let chain = tls::certificates(certificate).map_err(|error| invalid("sslcert", certificate, &error))?;
                let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid("sslkey", key, &error))?;
                client
                    .with_client_auth_cert(chain, private_key)
                    .map_err(|error| invalid("sslcert", certificate, &error))?
            }
            (Some(_), None) => return Err(UrlError::parameter("sslkey", "", "the path of the key of sslcert")),
            (None, Some(_)) => return Err(UrlError::parameter("sslcert", "", "the path of the certificate of sslkey")),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    fn chain(&self) -> Result<Chain, UrlError> {
        let path = self.root_certificates.as_deref();
        let read = || {
            let trusted = path.map_or(Ok(Vec::new()), tls::certificates)?;
            let roots = Arc::new(tls::authorities(path)?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, tls::provider()).build();
            Ok::<_, std::io::Error>(Chain { verifier: built.map_err(std::io::Error::other)?, trusted })
        };
        read().map_err(|error| {
            let was = path.map_or_else(|| format!("({error})"), |path| at(path, &error));
            UrlError::parameter("sslrootcert", was, "the path of a PEM file with certificate authorities")
        })
    }
}

fn at(path: &Path, error: &dyn Display) -> String {
    format!("{} ({error})", path.display())
}

/// Verifies the server's certificate as far as the mode asks. The signature of the handshake is verified in every mode:
/// channel binding relies on it.
#[derive(Debug)]
struct Verifier {
    chain: Option<Chain>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Chain {
    verifier: Arc<WebPkiServerVerifier>,
    /// The certificates of `sslrootcert`; a server's self-signed one may be among them.
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Chain { verifier, trusted }) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verified = if trusted.iter().any(|trusted| trusted == certificate) {
            verify_server_name(&ParsedCertificate::try_from(certificate)?, name)
        } else {
            verifier.verify_server_cert(certificate, intermediates, name, ocsp_response, now).map(drop)
        };
        match verified {
            // The name is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => {}
            verified => verified?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
