//! An answer, read whole.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("an answer's body arrives").to_vec();
        Self { status, headers, bytes }
    }

    /// A header's value; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is ASCII"))
    }

    /// The body as JSON, which its type must say it is.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{}", self.text());
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Checks status and JSON body.
    #[track_caller]
    pub fn expect(&self, status: u16, body: &Value) -> &Self {
        assert_eq!((self.status, &self.json()), (status, body));
        self
    }

    /// Checks the status, and that the body is JSON: no error page of anybody's.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        if status != 204 {
            self.json();
        }
        self
    }

    /// Checks a 400 with just these sentences on one field.
    #[track_caller]
    pub fn expect_field(&self, field: &str, sentences: &[&str]) -> &Self {
        self.expect(400, &serde_json::json!({ field: sentences }))
    }

    /// Checks a 401 of an access token.
    #[track_caller]
    pub fn expect_unauthorized(&self) -> &Self {
        self.expect_status(401);
        assert_eq!(self.json()["code"], "token_not_valid");
        assert_eq!(self.header("www-authenticate"), r#"JWT realm="api""#);
        self
    }
}
