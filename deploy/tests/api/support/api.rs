//! A client of the API.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, stack};

/// Who sends requests to one address.
#[derive(Clone, Debug)]
pub struct Api {
    /// As in `http://127.0.0.1:8010`.
    pub base: String,
    client: Client,
}

/// No request of a test takes longer.
const TIMEOUT: Duration = Duration::from_mins(1);

impl Api {
    /// The front of the shared stack.
    pub fn new() -> Self {
        Self::at(&stack().base)
    }

    /// Another address.
    pub fn at(base: &str) -> Self {
        let client = Client::builder().timeout(TIMEOUT).no_proxy().tls_certs_only([]).build().expect("a client");
        Self { base: base.to_owned(), client }
    }

    /// A request to be filled in; `path` may be a whole link.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.client.request(method, url)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub async fn get_as(&self, path: &str, access: &str) -> Answer {
        send(self.request("GET", path).header("authorization", format!("JWT {access}"))).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.request("POST", path).header("content-type", content_type).body(body)).await
    }

    pub async fn post_form(&self, path: &str, form: Form) -> Answer {
        let (content_type, body) = form.finish();
        self.post(path, &content_type, body).await
    }

    pub async fn put_json(&self, path: &str, access: &str, body: &Value) -> Answer {
        send(self.request("PUT", path).header("authorization", format!("JWT {access}")).json(body)).await
    }

    pub async fn put_form(&self, path: &str, access: &str, form: Form) -> Answer {
        let (content_type, body) = form.finish();
        let request = self.request("PUT", path).header("authorization", format!("JWT {access}"));
        send(request.header("content-type", content_type).body(body)).await
    }

    /// Sends bytes as they are and reads until the other end closes; what came back as text.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let address = self.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        // The other end may answer and close before all is sent.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
        read.expect("the other end answers or closes").ok();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Sends a request that was filled in.
pub async fn send(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.expect("an answer")).await
}

/// A multipart form, byte by byte as a browser sends it.
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
    pub fn part(mut self, head: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// The content type and the body.
    pub fn finish(mut self) -> (String, Vec<u8>) {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={BOUNDARY}"), self.0)
    }
}
