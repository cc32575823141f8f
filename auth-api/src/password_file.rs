//! The password of a store: in its URL, or in a file that is read at each new connection, so that it can be rotated.

use std::io;
use std::path::PathBuf;

/// A password; `Debug` does not show it.
#[derive(Clone, Default)]
pub struct Password {
    /// That of the URL, or the file's content at the start.
    initial: Option<String>,
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// A password that never changes.
    pub fn fixed(password: Option<String>) -> Self {
        Self { initial: password, file: None }
    }

    /// The password in a file, which must be readable now.
    pub fn in_file(file: PathBuf) -> io::Result<Self> {
        let initial = Some(trimmed(&std::fs::read_to_string(&file)?));
        Ok(Self { initial, file: Some(file) })
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.initial.is_none()
    }

    /// Returns the password for a new connection. While the file can't be read, or is empty because it is being rewritten,
    /// it is the password at the start.
    pub async fn current(&self) -> Option<String> {
        let Some(file) = &self.file else { return self.initial.clone() };
        match tokio::fs::read_to_string(file).await {
            Ok(text) if !text.trim().is_empty() => Some(trimmed(&text)),
            Ok(_) => self.initial.clone(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "can't read a password file; using the password it had at the start");
                self.initial.clone()
            }
        }
    }
}

fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}
