//! As little as a client can do: where it is measured along with the service, its work must not be the measurement.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::connect;
use crate::error::Error;

/// One connection, with one request under way at a time.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    /// Connects to `base`, as in `http://127.0.0.1:8010`.
    pub async fn connect(base: &str) -> Result<Self, Error> {
        Self::connect_from(Ipv4Addr::LOCALHOST, base).await
    }

    /// The same, from an address of this machine's loopback network.
    pub async fn connect_from(source: Ipv4Addr, base: &str) -> Result<Self, Error> {
        Ok(Self { stream: connect(source, base).await?, received: Vec::with_capacity(4096) })
    }

    /// Sends a whole request. The body of a 200; `None` for any other answer.
    pub async fn ask(&mut self, request: &str) -> Result<Option<&str>, Error> {
        self.stream.write_all(request.as_bytes()).await.map_err(Error::client)?;
        self.received.clear();
        while self.answer().is_none() {
            if self.stream.read_buf(&mut self.received).await.map_err(Error::client)? == 0 {
                return Err(Error::Client("the connection was closed".to_owned()));
            }
        }
        let is_ok = self.received.starts_with(b"HTTP/1.1 200");
        Ok(self.answer().filter(|_| is_ok))
    }

    /// The body, once it is here whole. The services give each answer a `Content-Length`.
    fn answer(&self) -> Option<&str> {
        let (head, body) = std::str::from_utf8(&self.received).ok()?.split_once("\r\n\r\n")?;
        // nginx writes it in another case than the services.
        let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
        let length = head.lines().find_map(|line| Some(line.split_once(": ").filter(|(name, _)| is_length(name))?.1))?;
        (body.len() >= length.parse().ok()?).then_some(body)
    }
}
