//! TLS to Redis.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::{authorities, client_trusting};

/// TLS with the certificate authorities it trusts.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Trusts the certificate authorities in a PEM file only, or without a file those of the system.
    pub fn trusting(path: Option<&Path>) -> io::Result<Self> {
        Ok(Self(Arc::new(client_trusting(authorities(path)?)?.with_no_client_auth())))
    }

    /// Performs the handshake. The server's certificate must be for `host`, a name or an IP address.
    pub(super) async fn handshake(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await
    }
}
