//! Content negotiation of renditions: `?size=N` and `Accept`.

use std::fmt::Write as _;
use std::str::FromStr;

use http::HeaderMap;
use http::header::ACCEPT;
use shared::http::Problem;

/// Configured sizes of renditions, in pixels; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionSizes {
    largest: u32,
    /// Sorted.
    all: Vec<u32>,
}

/// Most sizes: each is a file per picture.
const SIZES_MAX: usize = 16;

/// Largest size, in pixels: it is made at every upload.
const SIDE_MAX: u32 = 2048;

/// Not a list of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a list of sizes")]
pub struct InvalidSizes;

impl FromStr for RenditionSizes {
    type Err = InvalidSizes;

    /// Parses comma-separated numbers.
    fn from_str(text: &str) -> Result<Self, InvalidSizes> {
        let sizes: Result<Vec<u32>, _> = text.split(',').map(|size| size.trim().parse()).collect();
        let mut all = sizes.map_err(|_| InvalidSizes)?;
        all.sort_unstable();
        all.dedup();
        let largest = *all.last().ok_or(InvalidSizes)?;
        if all.len() > SIZES_MAX || all.contains(&0) || largest > SIDE_MAX {
            return Err(InvalidSizes);
        }
        Ok(Self { largest, all })
    }
}

impl RenditionSizes {
    /// Returns the largest size.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// Parses `size` of a query; `None` requests the original. Other keys are ignored. A repeated or unlisted size is a 400, and
    /// so is another spelling of a listed one, which would be one more cache key.
    pub fn parse_query(&self, query: &str) -> Result<Option<u32>, Problem> {
        let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "size");
        let Some((_, value)) = values.next() else { return Ok(None) };
        let size = self.all.iter().find(|size| size.to_string() == value);
        match (size, values.next()) {
            (Some(size), None) => Ok(Some(*size)),
            _ => Err(Problem::bad_request(format!("size must be given once, and be one of {}.", self.listed()))),
        }
    }

    fn listed(&self) -> String {
        let mut list = String::new();
        for size in &self.all {
            // Writing to a `String` can't fail.
            let _ = write!(list, "{}{size}", if list.is_empty() { "" } else { ", " });
        }
        list
    }
}

/// Whether `Accept` lists WebP with a weight above 0 (RFC 9110, section 12.5.1). `image/*` does not count: clients that predate
/// WebP send it.
pub fn accepts_webp(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_webp = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("image/webp"));
        is_webp && !parts.any(has_weight_zero)
    })
}

/// Matches `q=0`, `q=0.0`, …
fn has_weight_zero(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.eq_ignore_ascii_case("q") && value.starts_with('0') && value.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn sizes_are_sorted_numbers_within_bounds() {
        let sizes: RenditionSizes = "512, 64,128,64".parse().unwrap();
        assert_eq!((sizes.largest(), sizes.listed().as_str()), (512, "64, 128, 512"));
        let many = (1..=17).map(|size| size.to_string()).collect::<Vec<_>>().join(",");
        for wrong in ["", ",", "64,", "0", "64,0", "-1", "x", "2049", "64;128", &many] {
            assert_eq!(wrong.parse::<RenditionSizes>(), Err(InvalidSizes), "{wrong}");
        }
    }

    #[test]
    fn a_size_must_be_listed_and_given_once() {
        let sizes: RenditionSizes = "64,128".parse().unwrap();
        for (query, size) in [
            ("", None),
            ("x=1&sizes=3&Size=7", None),
            ("size=64", Some(64)),
            ("x=%&size=128&y", Some(128)),
            ("s%69ze=64", Some(64)),
        ] {
            assert_eq!(sizes.parse_query(query).map_err(|problem| problem.status()), Ok(size), "{query}");
        }
        for query in ["size", "size=", "size=65", "size=064", "size=+64", "size=64 ", "size=1e9", "size=64&size=64"] {
            assert_eq!(sizes.parse_query(query).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn webp_is_accepted_where_it_is_listed_with_a_weight() {
        let accepts =
            |accept: &'static str| accepts_webp(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        for accept in [
            "image/webp",
            "IMAGE/WebP",
            "image/avif,image/webp,image/apng,*/*;q=0.8",
            "text/html, image/webp ;q=0.001",
            "image/webp;q=1.0",
        ] {
            assert!(accepts(accept), "{accept}");
        }
        for accept in ["", "*/*", "image/*", "image/webpx", "image/webp;q=0", "image/webp; Q=0.000, image/png"] {
            assert!(!accepts(accept), "{accept}");
        }
        assert!(!accepts_webp(&HeaderMap::new()));
    }
}
