//! A media-server of a test's own, without the rest of a stack.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Duration;

use reqwest::RequestBuilder;

use super::{Answer, Api, Scratch, send, until};

/// How long it may take to start.
const READY_WITHIN: Duration = Duration::from_secs(20);

const SECRET: &str = "the secret of the two services";

/// A running media-server; it ends when dropped.
pub struct MediaServer {
    process: Child,
    pub delivering: Api,
    writing: Api,
    directory: Scratch,
}

impl MediaServer {
    pub async fn start(settings: &[(String, String)]) -> Self {
        let directory = Scratch::new();
        let log = File::create(directory.path().join("log")).unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        let [listen, write_listen] = [(); 2].map(|()| format!("127.0.0.1:{}", deploy::ports::free().unwrap()));
        let process = command("serve", &secret, settings)
            .envs([("LISTEN", &listen), ("WRITE_LISTEN", &write_listen)])
            .stdout(log)
            .spawn()
            .unwrap();
        let [delivering, writing] = [listen, write_listen].map(|address| Api::at(&format!("http://{address}")));
        let server = Self { process, delivering, writing, directory };
        until("media-server starts", READY_WITHIN, async || {
            let answer = server.delivering.request("GET", "/readyz").send().await;
            matches!(answer, Ok(answer) if answer.status() == 200)
        })
        .await;
        server
    }

    /// Runs `media-server check` with these settings to its end.
    pub fn check(settings: &[(String, String)]) -> Output {
        let directory = Scratch::new();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        command("check", &secret, settings).output().unwrap()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    pub async fn put(&self, id: &str, picture: &[u8]) -> Answer {
        send(self.write("PUT", &format!("/images/{id}")).body(picture.to_vec())).await
    }

    pub async fn delete(&self, id: &str) -> Answer {
        send(self.write("DELETE", &format!("/images/{id}"))).await
    }

    /// A page of what is stored.
    pub async fn list(&self, query: &str) -> Answer {
        send(self.write("GET", &format!("/images?{query}"))).await
    }

    pub async fn get(&self, name: &str) -> Answer {
        self.delivering.get(&format!("/api/user/media/{name}")).await
    }

    fn write(&self, method: &str, path: &str) -> RequestBuilder {
        self.writing.request(method, path).header("authorization", format!("Bearer {SECRET}"))
    }
}

fn command(verb: &str, secret: &Path, settings: &[(String, String)]) -> Command {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().skip(1).find(|directory| !directory.ends_with("deps")).unwrap();
    let mut command = Command::new(binary.join("media-server"));
    command.arg(verb).envs([("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]).env("MEDIA_SECRET_FILE", secret);
    command.envs(settings.iter().cloned());
    command
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
