//! `Range` (RFC 9110, section 14).

use std::ops::Range;

use http::header::{HeaderMap, RANGE};

/// What a client wants of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: nothing else is asked for, or nothing that we know.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// None that it has.
    Unsatisfiable,
}

/// Reads `Range`. Several ranges at once, other units and what is malformed are answered with the whole, as the RFC
/// allows: nobody asks for a picture in pieces, but for who resumes a download, in one.
pub(super) fn asked(headers: &HeaderMap, size_bytes: u64) -> Asked {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return Asked::Whole };
    line.to_str().ok().and_then(|line| parse(line, size_bytes)).unwrap_or(Asked::Whole)
}

fn parse(line: &str, size_bytes: u64) -> Option<Asked> {
    let (unit, range) = line.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let (start, end) = match (first, last) {
        ("", suffix) => (size_bytes.saturating_sub(number(suffix)?), size_bytes),
        (first, "") => (number(first)?, size_bytes),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(size_bytes))
        }
    };
    Some(if start < end { Asked::Part(start..end) } else { Asked::Unsatisfiable })
}

/// Digits only; what is too large for a number is larger than any picture.
fn number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn asked_by(line: &'static str) -> Asked {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(line))]);
        asked(&headers, 1000)
    }

    #[test]
    fn one_range_is_a_part() {
        for (line, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-499", 0..500),
            ("Bytes=500-", 500..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=990-5000", 990..1000),
            ("bytes=0-99999999999999999999999", 0..1000),
        ] {
            assert_eq!(asked_by(line), Asked::Part(range), "{line}");
        }
    }

    #[test]
    fn a_range_past_the_end_can_not_be_had() {
        for line in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(asked_by(line), Asked::Unsatisfiable, "{line}");
        }
    }

    #[test]
    fn all_else_is_the_whole() {
        for line in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,5-6", "pages=1-2", "bytes=+1-2"]
        {
            assert_eq!(asked_by(line), Asked::Whole, "{line}");
        }
    }
}
