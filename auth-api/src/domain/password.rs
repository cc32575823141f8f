//! Passwords: what may become one.
//!
//! The rules are those of Django's `AUTH_PASSWORD_VALIDATORS` and of NIST SP 800-63B, section 5.1.1.2: a least length, no
//! composition rules, nothing from the list of the commonest.

use std::collections::HashMap;

use super::text::{common_faults, is_too_long, unless_faulty};
use super::{Email, Refusal};

/// The shortest new password, in characters.
const PASSWORD_CHARS_MIN: usize = 8;

/// From this likeness on a password is refused, as in Django (`max_similarity`).
const SIMILARITY_MAX: f64 = 0.7;

/// The 10,000 commonest passwords in lower case, sorted by bytes, one a line. Source: the first 10,000 lines of Django's
/// `common-passwords.txt.gz` (BSD licence), which is Royce Williams's list of leaked passwords by frequency
/// (<https://gist.github.com/roycewilliams/226886fd01572964e1431ac8afc999ce>).
const COMMON: &str = include_str!("common_passwords.txt");

/// A password, as it came, to the last byte. It has neither `Display` nor `Debug`.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// The longest password, in characters: long enough for any passphrase, short enough to bound the work.
    pub const CHARS_MAX: usize = 1024;

    /// A password that is to be compared with the one on file: any text is one.
    pub fn to_compare(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A new password. `email` is the text of the address that the account has or shall have; one above its length limit is
    /// not compared.
    pub fn parse_new(text: &str, email: Option<&str>) -> Result<Self, Refusal> {
        let mut faults = common_faults(text, Self::CHARS_MAX);
        // A text past the longest is not looked at further: what follows is for people.
        if faults.is_empty() {
            if email
                .filter(|email| !is_too_long(email, Email::CHARS_MAX))
                .is_some_and(|email| is_too_similar(text, email))
            {
                faults.push("The password is too similar to the email.".to_owned());
            }
            if text.chars().count() < PASSWORD_CHARS_MIN {
                let sentence = "This password is too short. It must contain at least 8 characters.";
                faults.push(sentence.to_owned());
            }
            if is_common(text) {
                faults.push("This password is too common.".to_owned());
            }
            if text.chars().all(char::is_numeric) {
                faults.push("This password is entirely numeric.".to_owned());
            }
        }
        unless_faulty(faults, || Self(text.to_owned()))
    }

    /// The bytes to hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether `password` is among the commonest, whatever its case.
fn is_common(password: &str) -> bool {
    let wanted = password.trim().to_lowercase();
    let mut lines = COMMON.as_bytes();
    // Binary search over the lines of the text, in place: of what is left, the line in the middle.
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

/// Whether a password is too like an e-mail address or a part of it, as Django's `UserAttributeSimilarityValidator`
/// judges: by the letters they share (`SequenceMatcher.quick_ratio`). Linear in the length of both.
pub fn is_too_similar(password: &str, email: &str) -> bool {
    let (password, email) = (Letters::of(&password.to_lowercase()), email.to_lowercase());
    let parts = email.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    parts.chain([email.as_str()]).filter(|part| !part.is_empty()).any(|part| password.is_similar(part))
}

/// The letters of a text, each with its count.
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

    /// Looks at the letters of `part` only.
    #[expect(clippy::cast_precision_loss, reason = "both are a thousand characters at most")]
    fn is_similar(&self, part: &str) -> bool {
        let part = Self::of(part);
        // Django's shortcut: a part that is tiny compared with the password can't be like it.
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

    fn faults(text: &str) -> Refusal {
        Password::parse_new(text, Some("maria.lopez@example.com")).err().unwrap_or_default()
    }

    #[test]
    fn every_line_of_the_list_is_found_and_the_list_is_sorted() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert_eq!(lines.len(), 10_000);
        assert!(lines.is_sorted());
        assert!(lines.iter().all(|line| is_common(line)), "a line is not found");
        assert!(is_common("PassWord") && !is_common("correct horse battery staple") && !is_common(""));
    }

    #[test]
    fn each_rule_has_its_sentence_and_all_are_told() {
        assert_eq!(faults("correct horse battery"), Refusal::new());
        assert_eq!(faults("Maria.Lopez@example"), ["The password is too similar to the email."]);
        assert_eq!(
            faults("1234567"),
            [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric."
            ]
        );
        assert_eq!(faults(&"x".repeat(1025)), ["Ensure this field has no more than 1024 characters."]);
        assert_eq!(faults("with\0null characters"), ["Null characters are not allowed."]);
    }

    #[test]
    fn white_space_is_part_of_it() {
        assert_eq!(Password::parse_new("  two spaces  ", None).ok().unwrap().as_bytes(), b"  two spaces  ");
    }
}
