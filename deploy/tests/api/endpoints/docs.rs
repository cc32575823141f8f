//! `GET /api/user/docs/`: the documentation page, also in a browser.

use serde_json::json;

use crate::support::{Api, Browser, PASSWORD, Scratch, jpeg, send, stack, unique_email};

const PATH: &str = "/api/user/docs/";

#[tokio::test]
async fn the_page_runs_no_inline_script_and_cannot_be_framed() {
    let api = Api::new();
    let page = api.get(PATH).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!(api.get(PATH.trim_end_matches('/')).await.bytes, page.bytes);
    let policy = page.header("content-security-policy");
    assert!(
        !policy.contains("unsafe")
            && policy.contains("frame-ancestors 'none'")
            && policy.starts_with("default-src 'none'")
    );
    assert_eq!((page.header("x-frame-options"), page.header("x-content-type-options")), ("DENY", "nosniff"));
    let html = page.text();
    assert!(!html.contains("<style") && !html.contains("style=") && !html.contains("http"), "{html}");
    for script in html.split("<script").skip(1) {
        assert!(script.contains("></script>"), "{script}");
    }
}

#[tokio::test]
async fn the_files_of_the_page_are_served_compressed_and_revalidated() {
    let api = Api::new();
    for (name, is_compressed) in
        [("console.js", false), ("console.css", false), ("swagger-ui-bundle.js", true), ("swagger-ui.css", true)]
    {
        let file = send(api.request("GET", &format!("{PATH}{name}")).header("accept-encoding", "gzip")).await;
        assert_eq!((file.status, file.header("cache-control")), (200, "public, no-cache"), "{name}");
        assert_eq!(file.headers.contains_key("content-encoding"), is_compressed, "{name}");
        assert!(page_loads(&api, name).await, "{name}");
        let unchanged = api.get_with(&format!("{PATH}{name}"), &[("if-none-match", file.header("etag"))]).await;
        assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0));
    }
    for name in ["index.html", "LICENSE", "..%2Fconsole.js"] {
        api.get(&format!("{PATH}{name}")).await.expect(404, &json!({ "detail": "Not found." }));
    }
}

async fn page_loads(api: &Api, name: &str) -> bool {
    api.get(PATH).await.text().contains(&format!("\"{PATH}{name}\""))
}

/// An operation of the page.
struct Operation<'a> {
    browser: &'a Browser,
    block: String,
}

impl<'a> Operation<'a> {
    /// Opens the operation.
    async fn open(browser: &'a Browser, tag: &str, id: &str) -> Self {
        let block = format!("#operations-{tag}-{id}");
        browser.click(&format!("{block} .opblock-summary-control")).await;
        Self { browser, block }
    }

    async fn fill(&self, selector: &str, text: &str) {
        self.browser.fill(&format!("{} {selector}", self.block), text).await;
    }

    async fn select_media_type(&self, media_type: &str) {
        let option = format!("{} .opblock-section-request-body option[value='{media_type}']", self.block);
        self.browser.click(&option).await;
    }

    /// Sends the request, and waits for a response of this status that contains a text.
    async fn execute(&self, status: u16, text: &str) {
        self.browser.click(&format!("{} .execute", self.block)).await;
        let response = format!("document.querySelector('{} .live-responses-table .response", self.block);
        self.browser.wait_for(&format!("{response} .response-col_status')?.innerText.trim() == '{status}'")).await;
        self.browser.wait_for(&format!("{response}').innerText.includes(`{text}`)")).await;
    }
}

#[tokio::test]
async fn the_page_registers_signs_in_uploads_and_lists_sessions_in_a_browser() {
    let Some(browser) = Browser::start().await else {
        println!("skipped: chromedriver is not installed (Debian's chromium-driver)");
        return;
    };
    let (email, directory) = (unique_email(), Scratch::new());
    let picture = directory.path().join("ann.jpg");
    std::fs::write(&picture, jpeg()).unwrap();
    browser.open(&format!("{}{PATH}", stack().base)).await;

    let register = Operation::open(&browser, "account", "register").await;
    register.select_media_type("multipart/form-data").await;
    for (field, text) in [("email", email.as_str()), ("full_name", "Ann Example"), ("password", PASSWORD)] {
        register.fill(&format!("[data-property-name='{field}'] input"), text).await;
    }
    register.fill("input[type=file]", picture.to_str().unwrap()).await;
    browser.wait_for("document.querySelector('.preview')?.naturalWidth > 0").await;
    register.execute(201, &email).await;

    let login = Operation::open(&browser, "session", "login").await;
    login.fill("textarea", &json!({ "email": email, "password": PASSWORD }).to_string()).await;
    login.execute(200, "access").await;

    Operation::open(&browser, "account", "me").await.execute(200, &email).await;
    Operation::open(&browser, "session", "listSessions").await.execute(200, "\"current\": true").await;
    let update = Operation::open(&browser, "account", "updatePartially").await;
    update.fill("textarea", r#"{ "full_name": "Ann Lee" }"#).await;
    update.execute(200, "Ann Lee").await;

    let script = "return /media.([0-9a-f]{32}.jpg)/.exec(document.querySelector('.live-responses-table').innerText)[1]";
    let link = browser.run(script).await;
    let read = Operation::open(&browser, "picture", "picture").await;
    read.fill("[data-param-name=name] input", link.as_str().unwrap()).await;
    read.execute(200, "").await;
    browser.wait_for("document.querySelector('#operations-picture-picture .response img')?.naturalWidth > 0").await;

    assert_eq!(
        browser.run("return localStorage.length + sessionStorage.length + document.cookie.length").await,
        json!(0)
    );
    let complaints = browser.console().await;
    assert!(complaints.iter().all(|message| !message.contains("Content Security Policy")), "{complaints:?}");
    // The token is in memory only.
    browser.open(&format!("{}{PATH}", stack().base)).await;
    Operation::open(&browser, "account", "me").await.execute(401, "token_not_valid").await;
}
