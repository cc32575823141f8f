//! The shared stack, and stacks of one test.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::LazyLock;

use deploy::{Env, Options, Stack};
use shared::settings::Settings;

use super::Api;

/// The file that `STACK` names.
pub fn env_file() -> PathBuf {
    let path = Settings::from_environment().path("STACK", "", "the env file of a running stack");
    assert!(
        path.is_file(),
        "STACK={} is no file: run deploy/test, or STACK=.data/env while deploy/up runs",
        path.display()
    );
    path
}

/// The running stack that most tests share.
pub fn stack() -> &'static Env {
    static STACK: LazyLock<Env> = LazyLock::new(|| Env::read(env_file()).expect("STACK is the env file of a stack"));
    &STACK
}

/// A stack of one test. Dropping it stops it in order; if the test has failed, it is killed.
pub struct OwnStack {
    stack: Option<Stack>,
    /// The stack through nginx.
    pub api: Api,
    /// The directory with its state.
    pub data: PathBuf,
}

impl OwnStack {
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(Options::scratch().unwrap(), settings)
    }

    pub fn start_with(options: Options, settings: &[(&str, &str)]) -> Self {
        let options = settings.iter().fold(options, |options, (name, value)| options.with(name, value));
        let data = options.data.clone();
        let stack = Stack::start(options).unwrap();
        Self { api: Api::at(&stack.env().base), stack: Some(stack), data }
    }
}

impl Deref for OwnStack {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.stack.as_ref().expect("taken only when dropped")
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        if let Some(stack) = self.stack.take().filter(|_| !std::thread::panicking()) {
            stack.shutdown();
        }
    }
}
