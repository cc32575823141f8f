//! `DIR/env`: the addresses of a ready stack, as shell assignments.

use std::fs;
use std::path::Path;

use crate::data_dir::write_private;
use crate::error::Error;

/// The addresses of a running stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Env {
    /// Base URL of nginx, as in `http://127.0.0.1:8010`.
    pub base: String,
    /// Arguments of redis-cli, with the password.
    pub redis: String,
    /// URL for psql, with the password.
    pub postgres: String,
    /// Base URL of auth-api, bypassing nginx.
    pub auth_api: String,
    /// Base URL of media-server's public listener, bypassing nginx.
    pub media_server: String,
}

impl Env {
    /// Reads the file of a ready stack.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        let value = |name| assigned(&text, name).ok_or_else(|| Error::NoSuchVariable { path: path.to_owned(), name });
        Ok(Self {
            base: value("BASE")?,
            redis: value("REDIS")?,
            postgres: value("POSTGRES")?,
            auth_api: value("AUTH_API")?,
            media_server: value("MEDIA_SERVER")?,
        })
    }

    /// Returns the words of [`Env::redis`], for a `Command`.
    pub fn redis_args(&self) -> impl Iterator<Item = &str> {
        self.redis.split_whitespace()
    }

    /// Returns the `REDIS_URL`, with the password.
    pub fn redis_url(&self) -> String {
        let after = |flag: &str| self.redis_args().skip_while(|word| *word != flag).nth(1).unwrap_or_default();
        format!("redis://:{}@{}:{}/0", after("-a"), after("-h"), after("-p"))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        write_private(path, &self.to_shell(), None)
    }

    /// Double quotes suffice: no value holds a character that is special in them.
    fn to_shell(&self) -> String {
        let Self { base, redis, postgres, auth_api, media_server } = self;
        format!(
            "BASE={base}\nREDIS=\"{redis}\"\nPOSTGRES=\"{postgres}\"\nAUTH_API={auth_api}\nMEDIA_SERVER={media_server}\n"
        )
    }
}

fn assigned(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_env_file_round_trips() {
        let env = Env {
            base: "http://127.0.0.1:8010".to_owned(),
            redis: "-h 127.0.0.1 -p 1 -a x --no-auth-warning".to_owned(),
            postgres: "postgres://users:x@127.0.0.1:2/users".to_owned(),
            auth_api: "http://127.0.0.1:3".to_owned(),
            media_server: "http://127.0.0.1:4".to_owned(),
        };
        let path = std::env::temp_dir().join(format!("deploy-env-{}", std::process::id()));
        env.write(&path).unwrap();
        let read = Env::read(&path);
        fs::remove_file(&path).unwrap();
        assert_eq!(read.unwrap(), env);
    }
}
