//! A minimal HTTP client, for rows whose measurement includes the client's own work.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::Error;
use crate::harness::http_client::connect;

/// A connection with one request in flight.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawClient {
    /// Connects to `base`, as in `http://127.0.0.1:8010`.
    pub async fn connect(base: &str) -> Result<Self, Error> {
        Self::connect_from(Ipv4Addr::LOCALHOST, base).await
    }

    /// Connects from `source`, an address of the loopback network.
    pub async fn connect_from(source: Ipv4Addr, base: &str) -> Result<Self, Error> {
        Ok(Self { stream: connect(source, base).await?, received: Vec::with_capacity(4096) })
    }

    /// Sends a complete request; returns the body of a 200, or none for any other status.
    pub async fn send(&mut self, request: &str) -> Result<Option<&str>, Error> {
        self.stream.write_all(request.as_bytes()).await.map_err(Error::client)?;
        self.received.clear();
        while self.body().is_none() {
            if self.stream.read_buf(&mut self.received).await.map_err(Error::client)? == 0 {
                return Err(Error::Client("the connection was closed".to_owned()));
            }
        }
        let is_ok = self.received.starts_with(b"HTTP/1.1 200");
        Ok(self.body().filter(|_| is_ok))
    }

    /// Returns the body once it is complete. Every response of the services has a `Content-Length`.
    fn body(&self) -> Option<&str> {
        let (head, body) = std::str::from_utf8(&self.received).ok()?.split_once("\r\n\r\n")?;
        // nginx writes it in another case than the services.
        let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
        let length =
            head.lines().find_map(|line| Some(line.split_once(": ").filter(|(name, _)| is_length(name))?.1))?;
        (body.len() >= length.parse().ok()?).then_some(body)
    }
}
