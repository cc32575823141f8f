//! E-mail addresses, in one form for each mailbox.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Refusal;
use super::text::{common_faults, unless_faulty};

/// The longest address, in characters (RFC 5321, section 4.5.3.1.3, less the angle brackets).
const EMAIL_CHARS_MAX: usize = 254;

/// An address in lower case.
///
/// It has neither `Display` nor `Debug`: an address must not get into a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    canonical: String,
}

impl Email {
    /// Parses an address without white space around it, as Django's `EmailValidator` does: a dot-atom or a quoted
    /// local part in ASCII, and a domain, internationalised or not, or an address literal.
    ///
    /// The local part is ASCII because Unicode folds different letters into one, and a mailbox that looks like
    /// another's must not become that other's (CVE-2019-19844).
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let mut faults = common_faults(text, EMAIL_CHARS_MAX);
        let canonical = canonical(text);
        if canonical.is_none() {
            faults.push("Enter a valid email address.".to_owned());
        }
        unless_faulty(faults, || Self { shown: text.to_lowercase(), canonical: canonical.unwrap_or_default() })
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

fn canonical(text: &str) -> Option<String> {
    let (local, domain) = text.rsplit_once('@')?;
    if !(is_dot_atom(local) || is_quoted(local)) {
        return None;
    }
    let local = local.to_ascii_lowercase();
    let domain = canonical_domain(domain)?;
    Some(format!("{local}@{domain}"))
}

fn is_dot_atom(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    })
}

fn is_quoted(local: &str) -> bool {
    let Some(inside) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut bytes = inside.bytes();
    while let Some(byte) = bytes.next() {
        let ok = match byte {
            b'\\' => bytes.next().is_some_and(|escaped| (0x20..0x7f).contains(&escaped)),
            b'"' => false,
            _ => (0x20..0x7f).contains(&byte),
        };
        if !ok {
            return false;
        }
    }
    true
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
            ("\"a b\"@example.com", "\"a b\"@example.com"),
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
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
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
