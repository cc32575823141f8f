//! An S3 server of a test: moto, which `deploy/test` installs.

use std::process::Command;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};

use super::{Process, Scratch, wait_until};

/// A large Python program.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// moto requires the header and does not verify it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request";

const BUCKET: &str = "pictures";

/// A running server with one empty bucket, in memory. Killed when dropped.
pub struct S3Server {
    _process: Process,
    pub port: u16,
    access_key: String,
    secret_key: String,
}

impl S3Server {
    pub async fn start() -> Self {
        let directory = Scratch::new();
        let [access_key, secret_key] = [("access-key", "tests"), ("secret-key", "a secret of the tests")]
            .map(|(name, key)| directory.write(name, key));
        let test = std::env::current_exe().unwrap();
        let mut programs = test.ancestors().map(|directory| directory.join("s3-server/bin/moto_server"));
        let program = programs.find(|program| program.exists()).expect("deploy/test installs moto");
        let process = Process::start(Command::new(program).args(["-H", "127.0.0.1", "-p", "0"]), directory);
        let mut port = None;
        wait_until("moto listens", READY_WITHIN, async || {
            port = logged_port(&process.log());
            port.is_some()
        })
        .await;
        let server = Self { _process: process, port: port.unwrap(), access_key, secret_key };
        assert!(server.request(Method::PUT, "").send().await.unwrap().status().is_success());
        server
    }

    /// The settings of a media-server that stores here.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        self.settings_via(self.port)
    }

    /// The same through a proxy on `port`.
    pub fn settings_via(&self, port: u16) -> Vec<(&'static str, String)> {
        vec![
            ("STORAGE_URL", format!("s3://{BUCKET}/all/of/them")),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("S3_ACCESS_KEY_FILE", self.access_key.clone()),
            ("S3_SECRET_KEY_FILE", self.secret_key.clone()),
        ]
    }

    /// The last path segments of all keys.
    pub async fn names(&self) -> Vec<String> {
        let response = self.request(Method::GET, "?list-type=2").send().await.unwrap();
        let text = response.text().await.unwrap();
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
        keys.map(|key| key.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let url = format!("http://127.0.0.1:{}/{BUCKET}{rest}", self.port);
        client.request(method, url).header("authorization", AUTHORIZATION)
    }
}

/// Reads the port from `Running on http://127.0.0.1:12345`.
fn logged_port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("http://127.0.0.1:")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    // The line may be half written.
    if rest.len() > digits.len() { digits.parse().ok() } else { None }
}
