//! Range requests (RFC 9110, section 14).

use std::ops::Range;

use http::header::{HeaderMap, RANGE};

/// The requested byte range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestedRange {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

impl RequestedRange {
    /// Parses `Range`. Multiple ranges, other units and malformed ones get the whole, as the RFC allows: clients that resume a
    /// download send one range.
    pub(crate) fn parse(headers: &HeaderMap, size_bytes: u64) -> Self {
        let mut lines = headers.get_all(RANGE).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return Self::Whole };
        line.to_str().ok().and_then(|line| parse(line, size_bytes)).unwrap_or(Self::Whole)
    }
}

fn parse(line: &str, size_bytes: u64) -> Option<RequestedRange> {
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
    Some(if start < end { RequestedRange::Part(start..end) } else { RequestedRange::Unsatisfiable })
}

/// Parses digits; an overflow is larger than any picture.
fn number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn requested(line: &'static str) -> RequestedRange {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(line))]);
        RequestedRange::parse(&headers, 1000)
    }

    #[test]
    fn a_single_range_is_a_part() {
        for (line, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-499", 0..500),
            ("Bytes=500-", 500..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=990-5000", 990..1000),
            ("bytes=0-99999999999999999999999", 0..1000),
        ] {
            assert_eq!(requested(line), RequestedRange::Part(range), "{line}");
        }
    }

    #[test]
    fn a_range_past_the_end_is_unsatisfiable() {
        for line in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(requested(line), RequestedRange::Unsatisfiable, "{line}");
        }
    }

    #[test]
    fn anything_else_is_the_whole() {
        for line in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,5-6", "pages=1-2", "bytes=+1-2"]
        {
            assert_eq!(requested(line), RequestedRange::Whole, "{line}");
        }
    }
}
