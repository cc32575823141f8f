//! E-mail addresses, in one form for each mailbox.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Refusal;
use super::text::{common_faults, unless_faulty};

/// The longest text that is checked for an address, in bytes: above it there are more than [`Email::CHARS_MAX`] characters.
const BYTES_MAX: usize = 4 * Email::CHARS_MAX;

/// An address in lower case.
///
/// It has neither `Display` nor `Debug`: an address must not get into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    canonical: String,
}

impl Email {
    /// The longest address, in characters (RFC 5321, section 4.5.3.1.3, less the angle brackets).
    pub const CHARS_MAX: usize = 254;

    /// Parses an address without white space around it, as Django's `EmailValidator` does: a local part in ASCII, and a
    /// domain, internationalised or not, or an address literal. A quoted local part that needs no quotes loses them; any
    /// other is refused. The length is checked before anything else.
    ///
    /// The local part is ASCII because Unicode folds different letters into one, and a mailbox that looks like
    /// another's must not become that other's (CVE-2019-19844).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut faults = common_faults(text, Self::CHARS_MAX);
        if text.len() > BYTES_MAX {
            return Err(faults);
        }
        let parsed = parts(text);
        if parsed.is_none() {
            faults.push("Enter a valid email address.".to_owned());
        }
        let (local, domain, ascii_domain) = parsed.unwrap_or_default();
        unless_faulty(faults, || Self {
            shown: format!("{local}@{domain}"),
            canonical: format!("{local}@{ascii_domain}"),
        })
    }

    /// The canonical form under which an account with this address may be stored: also one with a quoted local part that
    /// needs its quotes, which earlier releases accepted.
    pub fn lookup_form(text: &str) -> Option<String> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let (local, _, domain) = parts(text).or_else(|| {
            let (local, domain) = text.rsplit_once('@')?;
            unquoted(local)?;
            Some((local.to_ascii_lowercase(), String::new(), canonical_domain(domain)?))
        })?;
        Some(format!("{local}@{domain}"))
    }

    /// The address as the user is shown it: what was sent, in lower case.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The one form of this mailbox: the domain in ASCII (UTS 46). Two accounts never share one.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

/// The local part, the domain and the domain in ASCII, each in lower case.
fn parts(text: &str) -> Option<(String, String, String)> {
    let (local, domain) = text.rsplit_once('@')?;
    let local = unquoted(local).unwrap_or_else(|| local.to_owned());
    if !is_dot_atom(&local) {
        return None;
    }
    Some((local.to_ascii_lowercase(), domain.to_lowercase(), canonical_domain(domain)?))
}

fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    })
}

/// The content of a quoted string (RFC 5322, section 3.2.4) in printable ASCII.
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
    let ascii = idna::domain_to_ascii(domain).ok()?;
    if ascii == "localhost" {
        return Some(ascii);
    }
    let labels: Vec<&str> = ascii.split('.').collect();
    let top = labels.last()?;
    let is_host = labels.len() >= 2 && labels.iter().all(|label| is_label(label));
    // A top-level domain is no number (RFC 3696, section 2).
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
    fn one_mailbox_has_one_form() {
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
            assert_eq!(Email::parse(text).ok().unwrap().canonical(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
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
    fn quotes_that_are_not_needed_are_removed_from_what_is_shown() {
        assert_eq!(Email::parse("\"O'Brien\"@Example.com").ok().unwrap().shown(), "o'brien@example.com");
    }

    #[test]
    fn accounts_of_earlier_releases_are_looked_up_with_the_quotes_that_they_need() {
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
    fn a_text_past_the_limit_is_not_parsed() {
        // As an address it would be valid, and of labels that IDNA would have to look at.
        let long = format!("ann@{}com", "例え.".repeat(1 << 20));
        let faults = Email::parse(&long).err().unwrap();
        assert_eq!(faults, ["Ensure this field has no more than 254 characters."]);
        assert_eq!(Email::lookup_form(&long), None);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let faults = Email::parse(&format!("{}\0", "a".repeat(255))).err().unwrap();
        assert_eq!(
            faults,
            [
                "Ensure this field has no more than 254 characters.",
                "Null characters are not allowed.",
                "Enter a valid email address."
            ]
        );
    }
}
