//! Passwords and their rules.
//!
//! The rules of Django's `AUTH_PASSWORD_VALIDATORS` and NIST SP 800-63B, section 5.1.1.2: a minimum length, no composition
//! rules, no common password.

use std::collections::HashMap;

use icu_normalizer::ComposingNormalizerBorrowed;

use super::email::Email;
use super::text::{ValidationErrors, is_too_long, validate_common};

/// Similarity from which a password is rejected (Django's `max_similarity`).
const SIMILARITY_MAX: f64 = 0.7;

/// The 10,000 most common passwords in lower case, one per line, sorted by bytes. Source: the first 10,000 lines of Django's
/// `common-passwords.txt.gz` (BSD licence), which is Royce Williams's list of leaked passwords by frequency
/// (<https://gist.github.com/roycewilliams/226886fd01572964e1431ac8afc999ce>).
const COMMON: &str = include_str!("common_passwords.txt");

/// A password in NFC, so that it is the same on every keyboard (RFC 8265, section 4, `OpaqueString`). Has neither `Display` nor
/// `Debug`.
#[derive(Clone)]
pub struct Password {
    normalized: String,
    /// As sent, if that is another text.
    raw: Option<String>,
}

impl Password {
    /// Shortest new password, in characters.
    pub const CHARS_MIN: usize = 8;

    /// Long enough for any passphrase, short enough to bound the work.
    pub const CHARS_MAX: usize = 1024;

    /// Returns a password to check against a stored hash; any text is valid.
    pub fn to_compare(text: &str) -> Self {
        let normalized = ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned();
        let raw = (normalized != text).then(|| text.to_owned());
        Self { normalized, raw }
    }

    /// Returns the password byte by byte as sent, if that is not NFC: an earlier release hashed it like that.
    pub fn raw(&self) -> Option<Self> {
        self.raw.as_ref().map(|raw| Self { normalized: raw.clone(), raw: None })
    }

    /// Validates a new password. `email` is the text of the account's address; one above its length limit is not compared.
    pub fn parse_new(text: &str, email: Option<&str>) -> Result<Self, ValidationErrors> {
        let password = Self::to_compare(text);
        let text = password.normalized.as_str();
        let mut errors = validate_common(text, Self::CHARS_MAX);
        // An oversized text gets no further checks, which bounds the work.
        if errors.is_empty() {
            if email
                .filter(|email| !is_too_long(email, Email::CHARS_MAX))
                .is_some_and(|email| is_too_similar(text, email))
            {
                errors.push("The password is too similar to the email.".to_owned());
            }
            if text.chars().count() < Self::CHARS_MIN {
                let message = "This password is too short. It must contain at least 8 characters.";
                errors.push(message.to_owned());
            }
            if is_common(text) {
                errors.push("This password is too common.".to_owned());
            }
            if text.chars().all(char::is_numeric) {
                errors.push("This password is entirely numeric.".to_owned());
            }
        }
        if errors.is_empty() { Ok(password) } else { Err(errors) }
    }

    /// Returns the bytes to hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.normalized.as_bytes()
    }
}

/// Whether the password is on the list of common passwords, ignoring case.
fn is_common(password: &str) -> bool {
    let wanted = password.trim().to_lowercase();
    let mut lines = COMMON.as_bytes();
    // Binary search on the lines of the text, in place: compares the line in the middle of the remaining range.
    while !lines.is_empty() {
        let (before, after) = lines.split_at(lines.len() / 2);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let end = before.len() + after.iter().position(|byte| *byte == b'\n').unwrap_or(after.len());
        match lines.get(start..end).unwrap_or_default().cmp(wanted.as_bytes()) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => lines = lines.get(end + 1..).unwrap_or_default(),
            std::cmp::Ordering::Greater => lines = lines.get(..start).unwrap_or_default(),
        }
    }
    false
}

/// Whether a password is too similar to an e-mail address or a part of it, by the letters that they share: Django's
/// `UserAttributeSimilarityValidator` (`SequenceMatcher.quick_ratio`). Linear in the length of both.
pub fn is_too_similar(password: &str, email: &str) -> bool {
    let (password, email) = (Letters::of(&password.to_lowercase()), email.to_lowercase());
    let parts = email.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    parts.chain([email.as_str()]).filter(|part| !part.is_empty()).any(|part| password.is_similar(part))
}

/// The letter counts of a text.
struct Letters {
    counts: HashMap<char, usize>,
    length: usize,
}

impl Letters {
    fn of(text: &str) -> Self {
        let mut counts = HashMap::new();
        for letter in text.chars() {
            *counts.entry(letter).or_default() += 1;
        }
        Self { counts, length: text.chars().count() }
    }

    #[expect(clippy::cast_precision_loss, reason = "both are a thousand characters at most")]
    fn is_similar(&self, part: &str) -> bool {
        let part = Self::of(part);
        // Django's shortcut: a part much shorter than the password can't be similar.
        let bound = SIMILARITY_MAX / 2.0 * self.length as f64;
        if self.length >= 10 * part.length && (part.length as f64) < bound {
            return false;
        }
        let shared =
            |(letter, count): (&char, &usize)| self.counts.get(letter).copied().unwrap_or_default().min(*count);
        let shared: usize = part.counts.iter().map(shared).sum();
        2.0 * shared as f64 / (self.length + part.length) as f64 >= SIMILARITY_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> ValidationErrors {
        Password::parse_new(text, Some("maria.lopez@example.com")).err().unwrap_or_default()
    }

    #[test]
    fn list_is_sorted_and_every_line_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert_eq!(lines.len(), 10_000);
        assert!(lines.is_sorted());
        assert!(lines.iter().all(|line| is_common(line)), "every line is found");
        assert!(is_common("PassWord") && !is_common("correct horse battery staple") && !is_common(""));
    }

    #[test]
    fn all_violated_rules_are_reported() {
        assert_eq!(errors("correct horse battery"), ValidationErrors::new());
        assert_eq!(errors("Maria.Lopez@example"), ["The password is too similar to the email."]);
        assert_eq!(
            errors("1234567"),
            [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric."
            ]
        );
        assert_eq!(errors(&"x".repeat(1025)), ["Ensure this field has no more than 1024 characters."]);
        assert_eq!(errors("with\0null characters"), ["Null characters are not allowed."]);
    }

    #[test]
    fn surrounding_white_space_is_kept() {
        assert_eq!(Password::parse_new("  two spaces  ", None).ok().unwrap().as_bytes(), b"  two spaces  ");
    }
}
