//! One more auth-api on the shared stack's stores, with settings of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::Duration;

use shared::random::Random;
use tokio::time::Instant;

use super::{Api, keys_directory, stack};

/// A running auth-api; it ends when dropped.
#[derive(Debug)]
pub struct Replica {
    process: Child,
    pub api: Api,
    directory: Scratch,
}

/// How long it may take to start.
const READY_WITHIN: Duration = Duration::from_secs(20);

impl Replica {
    /// Starts one with these settings, over those of the stack.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let directory = Scratch::new();
        let log = File::create(directory.path().join("log")).unwrap();
        let port = deploy::ports::free().unwrap();
        let listen = format!("127.0.0.1:{port}");
        let secret = directory.path().join("media-secret");
        // It uploads no pictures.
        std::fs::write(&secret, "not the one of the stack").unwrap();
        let mut command = auth_api(settings);
        let process =
            command.env("MEDIA_SECRET_FILE", secret).env("LISTEN", &listen).arg("serve").stdout(log).spawn().unwrap();
        let replica = Self { process, api: Api::at(&format!("http://{listen}")), directory };
        let since = Instant::now();
        while !matches!(replica.api.request("GET", "/readyz").send().await, Ok(answer) if answer.status() == 200) {
            assert!(since.elapsed() < READY_WITHIN, "it does not start: {}", replica.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        replica
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a command of auth-api with these settings to its end.
pub fn auth_api_command(words: &[&str], settings: &[(&str, &str)]) -> Output {
    auth_api(settings).args(words).output().unwrap()
}

fn auth_api(settings: &[(&str, &str)]) -> Command {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().skip(1).find(|directory| !directory.ends_with("deps")).unwrap().join("auth-api");
    let mut command = Command::new(binary);
    command
        .env("DATABASE_URL", &stack().postgres)
        .env("REDIS_URL", stack().redis_url())
        .env("TOKEN_KEYS_DIR", keys_directory())
        .env("LOG_FORMAT", "json")
        .envs(settings.iter().copied());
    command
}

/// A directory that goes with its test.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("replica-{}", hex::encode(Random::system().bytes::<8>())));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
