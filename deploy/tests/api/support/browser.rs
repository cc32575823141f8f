//! Headless Chromium, driven by `WebDriver`.

use std::process::Command;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use super::{Process, Scratch, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Timeout of waiting for an element, in milliseconds.
const ELEMENT_MILLIS: u32 = 20_000;

/// Key of an element's id (W3C `WebDriver`, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. Dropping it kills it.
pub struct Browser {
    client: Client,
    session: String,
    _driver: Process,
}

impl Browser {
    /// Starts Chromium; returns `None` where `chromedriver` is not installed.
    pub async fn start() -> Option<Self> {
        let directory = Scratch::new();
        let profile = directory.path().join("profile");
        Command::new("chromedriver").arg("--version").output().ok()?;
        let mut command = Command::new("setpriv");
        let driver = Process::start(command.args(["--pdeathsig", "TERM", "chromedriver", "--port=0"]), directory);
        let port = || {
            driver
                .log()
                .split_once("started successfully on port ")
                .map(|(_, rest)| rest.split('.').next().unwrap().to_owned())
        };
        wait_until("chromedriver listens", READY_WITHIN, async || port().is_some()).await;
        let client = Client::builder().tls_certs_only([]).no_proxy().timeout(Duration::from_mins(2)).build().unwrap();
        let base = format!("http://127.0.0.1:{}/session", port().unwrap());
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--window-size=1200,1600".to_owned(),
            format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "implicit": ELEMENT_MILLIS },
        });
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let created = client.post(&base).json(&body).send().await.unwrap().json::<Value>().await.unwrap();
        let id = created["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {created}")).to_owned();
        Some(Self { client, session: format!("{base}/{id}"), _driver: driver })
    }

    async fn command(&self, path: &str, body: &Value) -> Value {
        let response = self.client.post(format!("{}{path}", self.session)).json(body).send().await.unwrap();
        let mut response = response.json::<Value>().await.unwrap();
        assert!(response["value"]["error"].is_null(), "{path} {body}: {response}");
        response["value"].take()
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url })).await;
    }

    /// Waits for the element of a CSS selector, and returns its id.
    async fn find(&self, selector: &str) -> String {
        let element = self.command("/element", &json!({ "using": "css selector", "value": selector })).await;
        element[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks an element; scrolls to it first.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.command(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Replaces the text of an input. A path is typed into a file input.
    pub async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        let select_all = if selector.contains("file") { "" } else { "\u{e009}a\u{e009}" };
        self.command(&format!("/element/{element}/value"), &json!({ "text": format!("{select_all}{text}") })).await;
    }

    /// Runs JavaScript and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until JavaScript returns true.
    pub async fn wait_for(&self, condition: &str) {
        let script = format!("return Boolean({condition})");
        wait_until(condition, READY_WITHIN, async || self.run(&script).await == json!(true)).await;
    }

    /// Returns the messages of the console since the last call.
    pub async fn console(&self) -> Vec<String> {
        let messages = self.command("/se/log", &json!({ "type": "browser" })).await;
        messages.as_array().unwrap().iter().map(|message| message["message"].to_string()).collect()
    }
}
