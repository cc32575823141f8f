//! A response, read whole.

use reqwest::header::HeaderMap;
use serde_json::Value;

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Response {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("the body arrives").to_vec();
        Self { status, headers, bytes }
    }

    /// A header's value; empty if there is no such header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is ASCII"))
    }

    /// The body as JSON. Fails unless its content type is `application/json`.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Asserts status and JSON body.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &Value) -> &Self {
        assert_eq!((self.status, &self.json()), (status, body));
        self
    }

    /// Asserts the status, and that the body is JSON, and so no error page of nginx or hyper.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        if status != 204 {
            self.json();
        }
        self
    }

    /// Asserts a 400 with exactly these messages on one field.
    #[track_caller]
    pub fn expect_field(&self, field: &str, messages: &[&str]) -> &Self {
        self.expect(400, &serde_json::json!({ field: messages }))
    }

    /// Asserts a 401 for a missing or invalid token.
    #[track_caller]
    pub fn expect_unauthorized(&self) -> &Self {
        self.expect_status(401);
        assert_eq!(self.json()["code"], "token_not_valid");
        assert_eq!(self.header("www-authenticate"), r#"JWT realm="api""#);
        self
    }
}
