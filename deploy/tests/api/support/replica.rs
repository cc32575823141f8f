//! One more auth-api on the shared stack's stores, with settings of its own.

use std::process::{Command, Output};
use std::time::Duration;

use super::{Api, Process, Scratch, keys_directory, service, stack, wait_until};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// A running auth-api, killed when dropped.
#[derive(Debug)]
pub struct Replica {
    process: Process,
    pub api: Api,
}

impl Replica {
    /// Starts a replica; `settings` override those of the stack. It can't upload pictures.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let directory = Scratch::new();
        let listen = format!("127.0.0.1:{}", deploy::ports::free().unwrap());
        let mut command = auth_api(settings);
        command.arg("serve").env("LISTEN", &listen);
        command.env("MEDIA_SECRET_FILE", directory.write("media-secret", "not the secret of the stack"));
        let process = Process::start(&mut command, directory);
        let api = Api::at(&format!("http://{listen}"));
        wait_until("auth-api is ready", READY_WITHIN, async || api.is_ready().await).await;
        Self { process, api }
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Runs a command of auth-api with these settings until it exits.
pub fn auth_api_command(words: &[&str], settings: &[(&str, &str)]) -> Output {
    auth_api(settings).args(words).output().unwrap()
}

fn auth_api(settings: &[(&str, &str)]) -> Command {
    let mut command = service("auth-api");
    command
        .env("DATABASE_URL", &stack().postgres)
        .env("REDIS_URL", stack().redis_url())
        .env("TOKEN_KEYS_DIR", keys_directory())
        .env("REFRESH_SECRET_FILE", keys_directory().join("refresh-secret"))
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied());
    command
}
