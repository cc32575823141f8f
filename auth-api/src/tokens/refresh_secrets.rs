//! The file of refresh secrets, which replicas share: one secret per line, the newest last.
//!
//! A line is a secret, or its creation time in Unix seconds, a space and the secret. A secret without a time, as an operator
//! writes the first one, counts as the oldest. A rotation replaces the file as a whole.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use shared::clock::Clock;
use shared::random::Random;

use super::key::{HMAC_SECRET_BYTES_MIN, Key, KeyError};
use super::key_files::{creation_time, lock, replace};
use super::key_set::{KeySet, KeyState, KeyTimes};
use super::key_store::Rotated;

/// Reads every secret; fails if one is too short.
pub(super) fn read(path: &Path) -> Result<Vec<Arc<Key>>, KeyError> {
    Ok(parse(path, &text(path)?)?.into_iter().map(|(_, key)| key).collect())
}

/// Appends a secret and removes the retired ones.
pub(super) fn rotate(path: &Path, times: KeyTimes, clock: &Clock, random: &Random) -> Result<Rotated, KeyError> {
    // The file itself, where `path` is a symbolic link.
    let path = &path.canonicalize().map_err(|error| KeyError::RefreshSecretUnreadable(path.to_owned(), error))?;
    let failed = |error| KeyError::RefreshSecretNotReplaced(path.clone(), error);
    let _lock = lock(path.parent().unwrap_or(path)).map_err(failed)?;
    let current = text(path)?;
    let existing: Vec<u64> = parse(path, &current)?.iter().map(|(_, key)| key.created_at()).collect();
    let text = format!("{current}\n{} {}", creation_time(clock, &existing), hex::encode(random.bytes::<32>()));
    let lines = parse(path, &text)?;
    let keys = |lines: &[(&str, Arc<Key>)]| KeySet::new(lines.iter().map(|(_, key)| Arc::clone(key)).collect(), times);
    let all = keys(&lines);
    let is_retired = |(key, state): (&Key, _)| (state == KeyState::Retired).then(|| key.kid().to_owned());
    let removed: Vec<String> = all.states(clock.unix_seconds()).filter_map(is_retired).collect();
    let kept: Vec<_> = lines.into_iter().filter(|(_, key)| !removed.iter().any(|kid| kid == key.kid())).collect();
    let content: String = kept.iter().flat_map(|(line, _)| [*line, "\n"]).collect();
    let write = || {
        let metadata = fs::metadata(path)?;
        replace(path, content.as_bytes(), &metadata, metadata.permissions().mode() & 0o777, random)
    };
    write().map_err(failed)?;
    let kid = kept.last().map(|(_, key)| key.kid().to_owned()).ok_or(KeyError::NoKey)?;
    Ok(Rotated { kid, removed, keys: keys(&kept) })
}

fn text(path: &Path) -> Result<String, KeyError> {
    fs::read_to_string(path).map_err(|error| KeyError::RefreshSecretUnreadable(path.to_owned(), error))
}

/// Returns each line with its key.
fn parse<'a>(path: &Path, text: &'a str) -> Result<Vec<(&'a str, Arc<Key>)>, KeyError> {
    let key = |line: &str| {
        let timed = line.split_once(' ').and_then(|(time, secret)| Some((time.parse().ok()?, secret.trim())));
        let (created_at, secret) = timed.unwrap_or((0, line));
        Some(secret.as_bytes())
            .filter(|secret| secret.len() >= HMAC_SECRET_BYTES_MIN)
            .and_then(|secret| Key::refresh(secret, created_at))
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Option<Vec<_>> = lines.map(|line| Some((line, Arc::new(key(line)?)))).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| KeyError::RefreshSecretTooShort(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tokens::key_store::tests::Directory;

    const TIMES: KeyTimes =
        KeyTimes { activation: Duration::from_secs(100), token_lifetime: Duration::from_secs(1000) };

    #[test]
    fn secret_may_have_a_creation_time() {
        let directory = Directory::new();
        let path = directory.path().join("secret");
        let [a, b, c] = ["a", "b", "c"].map(|letter| letter.repeat(32));
        fs::write(&path, format!("  {a}\r\n\n1000000000  {b}\n{c} {c}")).unwrap();
        let keys = read(&path).unwrap();
        let times: Vec<_> = keys.iter().map(|key| key.created_at()).collect();
        assert_eq!(times, [0, 1_000_000_000, 0]);
        for (key, secret) in keys.iter().zip([a, b, format!("{c} {c}")]) {
            assert_eq!(key.kid(), Key::refresh(secret.as_bytes(), 0).unwrap().kid());
        }
    }

    #[test]
    fn concurrent_rotations_lose_no_secret_and_keep_the_mode() {
        let directory = Directory::new();
        let path = directory.path().join("secret");
        fs::write(&path, "x".repeat(32)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let clock = Clock::manual(1_000_000_000_000);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| rotate(&path, TIMES, &clock, &Random::system()).unwrap());
            }
        });
        let keys = KeySet::new(read(&path).unwrap(), TIMES);
        let times: Vec<_> = keys.ids().map(|(_, time)| time).collect();
        assert_eq!(times, [&[0][..], &(1_000_000_000..1_000_000_008).collect::<Vec<_>>()].concat());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        clock.advance(Duration::from_secs(1207));
        let last = rotate(&path, TIMES, &clock, &Random::system()).unwrap();
        assert_eq!((last.removed.len(), read(&path).unwrap().len()), (8, 2), "the active one and the new one stay");
    }
}
