//! Somebody with an account.

use serde_json::{Value, json};

use super::{Answer, Api, Form, unique};

/// A password that no rule refuses.
pub const PASSWORD: &str = "correct horse battery staple";

/// A person who has registered and signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub api: Api,
    pub id: String,
    pub email: String,
    pub access: String,
    pub refresh: String,
}

impl Person {
    /// Registers and signs in somebody new.
    pub async fn new() -> Self {
        Self::at(&Api::new()).await
    }

    /// The same on another stack.
    pub async fn at(api: &Api) -> Self {
        let email = format!("{}@example.com", unique());
        let body = json!({ "email": email, "full_name": "Ann Example", "password": PASSWORD });
        api.post_json("/api/user/register/", &body).await.expect_status(201);
        Self::sign_in(api, &email).await
    }

    /// Somebody new with a picture.
    pub async fn with_picture(api: &Api, picture: &[u8]) -> Self {
        let email = format!("{}@example.com", unique());
        let form = Form::new().text("email", &email).text("full_name", "Ann Example").text("password", PASSWORD);
        let form = form.file("profile_pic", "me.jpg", "image/jpeg", picture);
        api.post_form("/api/user/register/", form).await.expect_status(201);
        Self::sign_in(api, &email).await
    }

    /// Another session of an account.
    pub async fn sign_in(api: &Api, email: &str) -> Self {
        let answer = Self::login(api, email, PASSWORD).await;
        let body = answer.expect_status(200).json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            api: api.clone(),
            id: text(&body["data"]["id"]),
            email: email.to_owned(),
            access: text(&body["tokens"]["access"]),
            refresh: text(&body["tokens"]["refresh"]),
        }
    }

    /// The answer to a sign-in.
    pub async fn login(api: &Api, email: &str, password: &str) -> Answer {
        api.post_json("/api/user/login/", &json!({ "email": email, "password": password })).await
    }

    pub async fn me(&self) -> Answer {
        self.api.get_as("/api/user/me/", &self.access).await
    }

    /// The link to the picture, or nothing.
    pub async fn picture(&self) -> Option<String> {
        self.me().await.expect_status(200).json()["profile_pic"].as_str().map(ToOwned::to_owned)
    }

    pub async fn update(&self, body: &Value) -> Answer {
        self.api.put_json("/api/user/update/", &self.access, body).await
    }

    /// Uses the refresh token.
    pub async fn refresh(&self) -> Answer {
        self.api.post_json("/api/user/refresh/", &json!({ "refresh": self.refresh })).await
    }

    /// The `sid` of the session.
    pub fn sid(&self) -> String {
        claims(&self.access)["sid"].as_str().expect("a sid").to_owned()
    }

    /// The session's key in Redis.
    pub fn session_key(&self) -> String {
        format!("session:{{{}}}:{}", self.id, self.sid())
    }
}

/// What a token says, unverified.
pub fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).expect("a token has three parts");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}
