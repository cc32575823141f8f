//! An HTTP client of the API.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Response, stack};

/// A client of one base URL.
#[derive(Clone, Debug)]
pub struct Api {
    /// Without a path, as in `http://127.0.0.1:8010`.
    pub base: String,
    client: Client,
}

const TIMEOUT: Duration = Duration::from_mins(1);

impl Api {
    /// The shared stack, through nginx.
    pub fn new() -> Self {
        Self::at(&stack().base)
    }

    pub fn at(base: &str) -> Self {
        Self::with(base, Client::builder().tls_certs_only([]))
    }

    /// A client with this address.
    pub fn from_address(base: &str, address: Ipv4Addr) -> Self {
        Self::with(base, Client::builder().tls_certs_only([]).local_address(Some(address.into())))
    }

    /// A client with this address that trusts the certificate authority in the file `ca`.
    pub fn over_tls(base: &str, address: Ipv4Addr, ca: &str) -> Self {
        let ca = Certificate::from_pem(&std::fs::read(ca).expect("a file")).expect("a certificate");
        Self::with(base, Client::builder().tls_certs_only([ca]).local_address(Some(address.into())))
    }

    fn with(base: &str, client: ClientBuilder) -> Self {
        let client = client.timeout(TIMEOUT).no_proxy().build().expect("a client");
        Self { base: base.to_owned(), client }
    }

    /// Builds a request; `path` may be a whole URL.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.request(method, url)
    }

    /// Builds a request with an access token.
    pub fn request_as(&self, access: &str, method: &str, path: &str) -> RequestBuilder {
        self.request(method, path).header("authorization", format!("JWT {access}"))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.request("GET", path);
        send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    pub async fn get_as(&self, path: &str, access: &str) -> Response {
        send(self.request_as(access, "GET", path)).await
    }

    pub async fn head(&self, path: &str) -> Response {
        send(self.request("HEAD", path)).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Response {
        send(self.request("POST", path).json(body)).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        send(self.request("POST", path).header("content-type", content_type).body(body)).await
    }

    pub async fn post_form(&self, path: &str, form: Form) -> Response {
        send(form.attach(self.request("POST", path))).await
    }

    /// Whether `/readyz` is 200.
    pub async fn is_ready(&self) -> bool {
        self.request("GET", "/readyz").send().await.is_ok_and(|response| response.status() == 200)
    }

    /// Sends raw bytes and returns all that is received until the server closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let address = self.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        // The server may respond and close before all is sent.
        let _ = stream.write_all(bytes).await;
        let mut response = Vec::new();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut response)).await;
        read.expect("the server responds or closes").ok();
        String::from_utf8_lossy(&response).into_owned()
    }
}

pub async fn send(request: RequestBuilder) -> Response {
    Response::of(request.send().await.expect("a response")).await
}

/// A multipart form, encoded as a browser does.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<u8>);

const BOUNDARY: &str = "----form-boundary-7MA4YWxkTrZu0gW";

impl Form {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    #[must_use]
    pub fn file(self, name: &str, file_name: &str, content_type: &str, bytes: &[u8]) -> Self {
        let disposition = format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file_name}\"");
        self.part(&format!("{disposition}\r\nContent-Type: {content_type}"), bytes)
    }

    #[must_use]
    pub fn part(mut self, headers: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(format!("--{BOUNDARY}\r\n{headers}\r\n\r\n").as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// Returns the content type and the body.
    pub fn finish(mut self) -> (String, Vec<u8>) {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={BOUNDARY}"), self.0)
    }

    /// Makes this form the body of a request.
    pub fn attach(self, request: RequestBuilder) -> RequestBuilder {
        let (content_type, body) = self.finish();
        request.header("content-type", content_type).body(body)
    }
}
