//! An S3 server of a test's own: moto, which `deploy/test` installs.

use std::fs::File;
use std::process::{Child, Command};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};

use super::{Scratch, until};

/// How long it may take to start: it is a large program in Python.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// It looks for one, and not into it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=tests/20260101/us-east-1/s3/aws4_request";

const BUCKET: &str = "pictures";

/// A running server with an empty bucket, in memory; it ends when dropped.
pub struct S3Server {
    process: Child,
    pub port: u16,
    directory: Scratch,
}

impl S3Server {
    pub async fn start() -> Self {
        let directory = Scratch::new();
        let log = directory.path().join("log");
        let file = File::create(&log).unwrap();
        let own = std::env::current_exe().unwrap();
        let program = own.ancestors().map(|directory| directory.join("s3-server/bin/moto_server"));
        let program = program.into_iter().find(|program| program.exists()).expect("deploy/test installs moto");
        let process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        for (name, key) in [("access-key", "tests"), ("secret-key", "a secret of the tests")] {
            std::fs::write(directory.path().join(name), key).unwrap();
        }
        let mut server = Self { process, port: 0, directory };
        until("moto starts", READY_WITHIN, async || {
            server.port = port(&std::fs::read_to_string(&log).unwrap()).unwrap_or(0);
            server.port != 0
        })
        .await;
        assert!(server.request(Method::PUT, "").send().await.unwrap().status().is_success());
        server
    }

    /// The settings of a media-server that stores here, by way of `port`.
    pub fn settings_by_way_of(&self, port: u16) -> Vec<(String, String)> {
        let file = |name| self.directory.path().join(name).to_str().unwrap().to_owned();
        let settings = [
            ("STORAGE_URL", format!("s3://{BUCKET}/all/of/them")),
            ("S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("S3_ACCESS_KEY_FILE", file("access-key")),
            ("S3_SECRET_KEY_FILE", file("secret-key")),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The last parts of the keys of all that is stored.
    pub async fn names(&self) -> Vec<String> {
        let answer = self.request(Method::GET, "?list-type=2").send().await.unwrap();
        let text = answer.text().await.unwrap();
        let keys = text.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
        keys.map(|key| key.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let url = format!("http://127.0.0.1:{}/{BUCKET}{rest}", self.port);
        client.request(method, url).header("authorization", AUTHORIZATION)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// From `Running on http://127.0.0.1:12345`.
fn port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("http://127.0.0.1:")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    // The line may be half written.
    if rest.len() > digits.len() { digits.parse().ok() } else { None }
}
