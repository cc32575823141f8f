//! Processes of a test, and the directories that they use.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::unique;

/// A server process that logs to a file in a directory of its own. Dropping it kills it and removes the directory; if the
/// test has failed, the log is printed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    directory: Scratch,
}

impl Process {
    pub fn start(command: &mut Command, directory: Scratch) -> Self {
        let log = File::create(directory.path().join("log")).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, directory }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log"));
            println!("{}", log.unwrap_or_default());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of auth-api or media-server, as built along with this test.
pub fn service(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let directory = test.ancestors().skip(1).find(|directory| !directory.ends_with("deps")).unwrap();
    Command::new(directory.join(name))
}

/// A temporary directory, removed when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("users-test-{}", unique()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Writes a file and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All files in a directory and below; none if it does not exist.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
