//! A media-server without the rest of a stack.

use std::process::{Command, Output};
use std::time::Duration;

use reqwest::RequestBuilder;

use super::{Api, Process, Response, Scratch, send, service, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(20);

const SECRET: &str = "the secret of the two services";

/// A running media-server, killed when dropped.
pub struct MediaServer {
    process: Process,
    pub public_api: Api,
    internal_api: Api,
}

impl MediaServer {
    pub async fn start(settings: &[(&str, impl AsRef<str>)]) -> Self {
        let directory = Scratch::new();
        let [listen, internal] = [(); 2].map(|()| format!("127.0.0.1:{}", deploy::ports::free().unwrap()));
        let mut command = command("serve", &directory, settings);
        command.envs([("LISTEN", &listen), ("WRITE_LISTEN", &internal)]);
        let process = Process::start(&mut command, directory);
        let [public_api, internal_api] = [listen, internal].map(|address| Api::at(&format!("http://{address}")));
        wait_until("media-server is ready", READY_WITHIN, async || public_api.is_ready().await).await;
        Self { process, public_api, internal_api }
    }

    /// Runs `media-server check` with these settings.
    pub fn check(settings: &[(&str, impl AsRef<str>)]) -> Output {
        let directory = Scratch::new();
        command("check", &directory, settings).output().unwrap()
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    pub async fn put(&self, id: &str, picture: &[u8]) -> Response {
        send(self.internal("PUT", &format!("/images/{id}")).body(picture.to_vec())).await
    }

    pub async fn delete(&self, id: &str) -> Response {
        send(self.internal("DELETE", &format!("/images/{id}"))).await
    }

    /// Lists a page of the stored pictures.
    pub async fn list(&self, query: &str) -> Response {
        send(self.internal("GET", &format!("/images?{query}"))).await
    }

    pub async fn get(&self, name: &str) -> Response {
        self.public_api.get(&format!("/api/user/media/{name}")).await
    }

    fn internal(&self, method: &str, path: &str) -> RequestBuilder {
        self.internal_api.request(method, path).header("authorization", format!("Bearer {SECRET}"))
    }
}

fn command(verb: &str, directory: &Scratch, settings: &[(&str, impl AsRef<str>)]) -> Command {
    let mut command = service("media-server");
    command.arg(verb).env("MEDIA_SECRET_FILE", directory.write("secret", SECRET));
    command.envs([("LOG_FORMAT", "json"), ("LOG_LEVEL", "debug")]);
    command.envs(settings.iter().map(|(name, value)| (name, value.as_ref())));
    command
}
