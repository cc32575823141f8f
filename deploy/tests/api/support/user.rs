//! A user of the API, signed in.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Api, Form, Response, send, unique};

/// A password that satisfies every rule.
pub const PASSWORD: &str = "correct horse battery staple";

/// A registered user with one session.
#[derive(Clone, Debug)]
pub struct TestUser {
    pub api: Api,
    pub id: String,
    pub email: String,
    pub access: String,
    pub refresh: String,
}

pub fn unique_email() -> String {
    format!("{}@example.com", unique())
}

/// A valid body of `POST /api/user/register/`, for a new account.
pub fn registration() -> Value {
    json!({ "email": unique_email(), "full_name": "Ann Example", "password": PASSWORD })
}

/// Registers a new account.
pub async fn register(api: &Api) -> Response {
    api.post_json("/api/user/register/", &registration()).await
}

/// A valid form of `POST /api/user/register/`, without a picture.
pub fn registration_form(email: &str) -> Form {
    Form::new().text("email", email).text("full_name", "Ann Example").text("password", PASSWORD)
}

impl TestUser {
    /// Registers a new user at the shared stack and signs them in.
    pub async fn new() -> Self {
        Self::at(&Api::new()).await
    }

    /// Registers a new user at `api` and signs them in.
    pub async fn at(api: &Api) -> Self {
        let body = registration();
        api.post_json("/api/user/register/", &body).await.expect_status(201);
        Self::sign_in(api, body["email"].as_str().expect("an address")).await
    }

    /// Registers a new user with a picture and signs them in.
    pub async fn with_picture(api: &Api, picture: &[u8]) -> Self {
        let email = unique_email();
        let form = registration_form(&email).file("profile_pic", "me.jpg", "image/jpeg", picture);
        api.post_form("/api/user/register/", form).await.expect_status(201);
        Self::sign_in(api, &email).await
    }

    /// Opens a session of an account.
    pub async fn sign_in(api: &Api, email: &str) -> Self {
        let response = Self::login(api, email, PASSWORD).await;
        let body = response.expect_status(200).json();
        let id = body["data"]["id"].as_str().expect("an id").to_owned();
        let user =
            Self { api: api.clone(), id, email: email.to_owned(), access: String::new(), refresh: String::new() };
        user.with_tokens(&body["tokens"])
    }

    /// Opens another session of the same account.
    pub async fn sign_in_again(&self) -> Self {
        Self::sign_in(&self.api, &self.email).await
    }

    /// The same session, used at another base URL.
    #[must_use]
    pub fn via(&self, api: &Api) -> Self {
        Self { api: api.clone(), ..self.clone() }
    }

    /// The same session with another pair of tokens.
    #[must_use]
    pub fn with_tokens(&self, pair: &Value) -> Self {
        let [access, refresh] = ["access", "refresh"].map(|name| pair[name].as_str().expect("a token").to_owned());
        Self { access, refresh, ..self.clone() }
    }

    pub async fn login(api: &Api, email: &str, password: &str) -> Response {
        api.post_json("/api/user/login/", &json!({ "email": email, "password": password })).await
    }

    /// Builds a request with the access token.
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.api.request_as(&self.access, method, path)
    }

    pub async fn me(&self) -> Response {
        send(self.request("GET", "/api/user/me/")).await
    }

    /// The link to the profile picture.
    pub async fn picture(&self) -> Option<String> {
        self.me().await.expect_status(200).json()["profile_pic"].as_str().map(ToOwned::to_owned)
    }

    pub async fn update(&self, body: &Value) -> Response {
        send(self.request("PUT", "/api/user/update/").json(body)).await
    }

    pub async fn update_form(&self, form: Form) -> Response {
        send(form.attach(self.request("PUT", "/api/user/update/"))).await
    }

    /// Replaces the profile picture.
    pub async fn upload(&self, picture: &[u8]) -> Response {
        self.update_form(Form::new().file("profile_pic", "a", "application/octet-stream", picture)).await
    }

    pub async fn refresh(&self) -> Response {
        self.api.post_json("/api/user/refresh/", &json!({ "refresh": self.refresh })).await
    }

    /// Rotates the refresh token, which must succeed: the session with its new tokens.
    pub async fn refreshed(&self) -> Self {
        self.with_tokens(&self.refresh().await.expect_status(200).json())
    }

    pub fn sid(&self) -> String {
        claims(&self.access)["sid"].as_str().expect("a sid").to_owned()
    }

    /// The session's key in Redis.
    pub fn session_key(&self) -> String {
        format!("session:{{{}}}:{}", self.id, self.sid())
    }
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("a token has three parts");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}
