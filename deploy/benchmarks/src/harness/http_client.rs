//! An HTTP client for requests that wrk can't replay.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use crate::error::Error;

/// A connection with one request in flight.
#[derive(Debug)]
pub struct HttpClient(SendRequest<Full<Bytes>>);

impl HttpClient {
    /// Connects to `base`, as in `http://127.0.0.1:8010`.
    pub async fn connect(base: &str) -> Result<Self, Error> {
        Self::connect_from(Ipv4Addr::LOCALHOST, base).await
    }

    /// Connects from `source`, an address of the loopback network.
    pub async fn connect_from(source: Ipv4Addr, base: &str) -> Result<Self, Error> {
        let stream = connect(source, base).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Error::client)?;
        // It ends with the sender.
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends `POST path` with a JSON body.
    pub async fn post(&mut self, path: &str, json: String) -> Result<(StatusCode, Bytes), Error> {
        let request = request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(json.into());
        let response = self.send(request).await?;
        Ok((response.status(), response.into_body()))
    }

    /// Like [`HttpClient::post`], with `X-Forwarded-For: address`, which auth-api trusts from the loopback interface.
    pub async fn post_from(
        &mut self,
        path: &str,
        json: String,
        address: Ipv4Addr,
    ) -> Result<(StatusCode, Bytes), Error> {
        let request = request(Method::POST, path).header(CONTENT_TYPE, "application/json");
        let response = self.send(request.header("x-forwarded-for", address.to_string()).body(json.into())).await?;
        Ok((response.status(), response.into_body()))
    }

    /// Sends `GET path` with an access token.
    pub async fn get(&mut self, path: &str, access: &str) -> Result<Response<Bytes>, Error> {
        let request = request(Method::GET, path).header(AUTHORIZATION, format!("JWT {access}")).body(Full::default());
        self.send(request).await
    }

    /// Sends `PUT path`, authenticated with media-server's secret.
    pub async fn put(&mut self, path: &str, secret: &str, body: Bytes) -> Result<StatusCode, Error> {
        let request = request(Method::PUT, path).header(AUTHORIZATION, format!("Bearer {secret}"));
        Ok(self.send(request.body(body.into())).await?.status())
    }

    /// Sends `DELETE path`, authenticated with media-server's secret.
    pub async fn delete(&mut self, path: &str, secret: &str) -> Result<StatusCode, Error> {
        let request = request(Method::DELETE, path).header(AUTHORIZATION, format!("Bearer {secret}"));
        Ok(self.send(request.body(Full::default())).await?.status())
    }

    /// Sends a request and receives the complete response.
    pub async fn send(&mut self, request: http::Result<Request<Full<Bytes>>>) -> Result<Response<Bytes>, Error> {
        self.0.ready().await.map_err(Error::client)?;
        let response = self.0.send_request(request.map_err(Error::client)?).await.map_err(Error::client)?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await.map_err(Error::client)?.to_bytes()))
    }
}

/// Connects from `source`, an address of the loopback network, to `base`.
pub async fn connect(source: Ipv4Addr, base: &str) -> Result<TcpStream, Error> {
    let socket = TcpSocket::new_v4().map_err(Error::client)?;
    socket.bind((source, 0).into()).map_err(Error::client)?;
    let stream = socket.connect(address(base)?).await.map_err(Error::client)?;
    stream.set_nodelay(true).map_err(Error::client)?;
    Ok(stream)
}

/// Returns the address in `http://ADDRESS`.
pub fn address(base: &str) -> Result<SocketAddr, Error> {
    base.trim_start_matches("http://").parse().map_err(|_| Error::Client(format!("{base} is not http://ADDRESS:PORT")))
}

/// Returns a request builder with method, path and `Host`.
pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header(HOST, "127.0.0.1")
}
