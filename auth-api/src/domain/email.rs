//! E-mail addresses: validation and one canonical form per mailbox.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::text::{ValidationErrors, is_ignorable, ok_or_errors, validate_common};

/// Longest text that is parsed, in bytes: above it there are more than [`Email::CHARS_MAX`] characters.
const BYTES_MAX: usize = 4 * Email::CHARS_MAX;

/// An address in its canonical form: in lower case, with the domain in ASCII (UTS 46). It is unique among accounts.
///
/// Has neither `Display` nor `Debug`, so that it can't be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// The longest address, in characters (RFC 5321, section 4.5.3.1.3, less the angle brackets).
    pub const CHARS_MAX: usize = 254;

    /// Parses a trimmed address by the rules of Django's `EmailValidator`: a local part in ASCII, and a domain (also an
    /// internationalized one) or an address literal. Unnecessary quotes of the local part are removed; a local part that
    /// needs them is rejected. The length is checked first.
    ///
    /// The local part is ASCII because Unicode case folding maps different letters to one, and a look-alike address must not
    /// become another user's (CVE-2019-19844).
    pub fn parse(text: &str) -> Result<Self, ValidationErrors> {
        let mut errors = validate_common(text, Self::CHARS_MAX);
        if text.len() > BYTES_MAX {
            return Err(errors);
        }
        let parsed = canonical(text);
        if parsed.is_none() {
            errors.push("Enter a valid email address.".to_owned());
        }
        let canonical = parsed.unwrap_or_default();
        if errors.is_empty() {
            errors = validate_common(&canonical, Self::CHARS_MAX);
        }
        ok_or_errors(errors, || Self(canonical))
    }

    /// Returns the canonical form to look an account up. Unlike [`Email::parse`] it accepts a local part that needs quotes,
    /// which earlier releases stored.
    pub fn lookup_form(text: &str) -> Option<String> {
        if text.len() > BYTES_MAX {
            return None;
        }
        canonical(text).or_else(|| {
            let (local, domain) = text.rsplit_once('@')?;
            unquoted(local)?;
            Some(format!("{}@{}", local.to_ascii_lowercase(), canonical_domain(domain)?))
        })
    }

    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn canonical(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    let local = unquoted(local).unwrap_or_else(|| local.to_owned());
    if !is_dot_atom(&local) {
        return None;
    }
    Some(format!("{}@{}", local.to_ascii_lowercase(), canonical_domain(domain)?))
}

fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    })
}

/// Returns the content of a quoted string (RFC 5322, section 3.2.4) in printable ASCII.
fn unquoted(local: &str) -> Option<String> {
    let inside = local.strip_prefix('"')?.strip_suffix('"')?;
    let mut content = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(letter) = chars.next() {
        let letter = match letter {
            '"' => return None,
            '\\' => chars.next()?,
            _ => letter,
        };
        if !matches!(letter, ' '..='~') {
            return None;
        }
        content.push(letter);
    }
    Some(content)
}

fn canonical_domain(domain: &str) -> Option<String> {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return canonical_literal(literal);
    }
    // UTS 46 would drop them.
    if domain.chars().any(is_ignorable) {
        return None;
    }
    let ascii = idna::domain_to_ascii(domain).ok()?;
    if ascii == "localhost" {
        return Some(ascii);
    }
    let labels: Vec<&str> = ascii.split('.').collect();
    let top = labels.last()?;
    let is_host = labels.len() >= 2 && labels.iter().all(|label| is_label(label));
    // A top-level domain is not numeric (RFC 3696, section 2).
    (is_host && !top.bytes().all(|byte| byte.is_ascii_digit())).then_some(ascii)
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn canonical_literal(literal: &str) -> Option<String> {
    if let Ok(v4) = literal.parse::<Ipv4Addr>() {
        return Some(format!("[{v4}]"));
    }
    let v6: Ipv6Addr = literal.strip_prefix("IPv6:").unwrap_or(literal).parse().ok()?;
    Some(format!("[{v6}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_has_one_canonical_form() {
        for (text, expected) in [
            ("Ann@Example.COM", "ann@example.com"),
            ("ann@BÜCHER.example", "ann@xn--bcher-kva.example"),
            ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
            ("ann@ex\u{ff41}mple.com", "ann@example.com"),
            ("ann+tag@example.com", "ann+tag@example.com"),
            ("\"O'Brien\"@example.com", "o'brien@example.com"),
            ("\"a\\.b\"@example.com", "a.b@example.com"),
            ("ann@[127.0.0.1]", "ann@[127.0.0.1]"),
            ("ann@localhost", "ann@localhost"),
        ] {
            assert_eq!(Email::parse(text).ok().unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for text in [
            "",
            "ann",
            "@example.com",
            "ann@",
            "ann@example",
            "ann@-example.com",
            "ann@example-.com",
            "ann@exa mple.com",
            "ann..b@example.com",
            ".ann@example.com",
            "ann@example..com",
            "a@b@example.com",
            "ann@[999.0.0.1]",
            "ann@example.com\n",
            "\u{212a}ann@example.com",
            "ann\u{200b}@example.com",
            "\u{ff41}nn@example.com",
            "ann@exa\u{ad}mple.com",
            "ann@exa\u{200b}mple.com",
            "ann@ex\u{2060}ample.com",
            "ann@example.123",
            "ann@\u{0}example.com",
            "änn@example.com",
            "ann@.com",
            "ann@example.com.",
            "\"a b\"@example.com",
            "\"\"@example.com",
            "\"a\"b\"@example.com",
            "\"a\\\"@example.com",
            "\"a..b\"@example.com",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn unnecessary_quotes_are_removed() {
        assert_eq!(Email::parse("\"O'Brien\"@Example.com").ok().unwrap().as_str(), "o'brien@example.com");
    }

    #[test]
    fn lookup_accepts_quoted_addresses_of_earlier_releases() {
        for (text, expected) in [
            ("\"A b\"@Example.com", Some("\"a b\"@example.com")),
            ("\"o'brien\"@example.com", Some("o'brien@example.com")),
            ("Ann@BÜCHER.example", Some("ann@xn--bcher-kva.example")),
            ("a b@example.com", None),
            ("\"a b\"@", None),
        ] {
            assert_eq!(Email::lookup_form(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn oversized_text_is_not_parsed() {
        // As an address it would be valid, and of labels that IDNA would have to look at.
        let long = format!("ann@{}com", "例え.".repeat(1 << 20));
        let errors = Email::parse(&long).err().unwrap();
        assert_eq!(errors, ["Ensure this field has no more than 254 characters."]);
        assert_eq!(Email::lookup_form(&long), None);
    }

    #[test]
    fn the_limit_counts_the_canonical_form() {
        // The labels are longer in ASCII.
        let labels: Vec<_> = (0..15).map(|at| format!("ä{at}öüßéèê")).collect();
        let text = format!("{}@{}.example.com", "a".repeat(64), labels.join("."));
        assert!(text.chars().count() <= Email::CHARS_MAX);
        let errors = Email::parse(&text).err().unwrap();
        assert_eq!(errors, ["Ensure this field has no more than 254 characters."]);
    }

    #[test]
    fn all_errors_are_reported() {
        let errors = Email::parse(&format!("{}\0", "a".repeat(255))).err().unwrap();
        assert_eq!(
            errors,
            [
                "Ensure this field has no more than 254 characters.",
                "Null characters are not allowed.",
                "Enter a valid email address."
            ]
        );
    }
}
