//! What a request asks for: `?size=N`, and whether it takes WebP.

use std::fmt::Write as _;
use std::str::FromStr;

use http::HeaderMap;
use http::header::ACCEPT;
use shared::http::Problem;

/// The sides that may be asked for, in pixels, from small to large; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionSizes {
    largest: u32,
    /// In the order of their size, the largest included.
    all: Vec<u32>,
}

/// The most sizes that there may be: each is a file for each picture.
const SIZES_MAX: usize = 16;

/// The largest size that there may be, in pixels: it is made at every upload.
const SIDE_MAX: u32 = 2048;

/// What is no list of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSizes;

impl FromStr for RenditionSizes {
    type Err = NotSizes;

    /// Reads numbers with commas between them.
    fn from_str(text: &str) -> Result<Self, NotSizes> {
        let sizes: Result<Vec<u32>, _> = text.split(',').map(|size| size.trim().parse()).collect();
        let mut all = sizes.map_err(|_| NotSizes)?;
        all.sort_unstable();
        all.dedup();
        let largest = *all.last().ok_or(NotSizes)?;
        if all.len() > SIZES_MAX || all.contains(&0) || largest > SIDE_MAX {
            return Err(NotSizes);
        }
        Ok(Self { largest, all })
    }
}

impl RenditionSizes {
    /// The largest.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// The size that `query` asks for; none: the picture itself. Other keys mean nothing. A size that is asked for twice,
    /// or that is not of the list, digit by digit, is a 400: each way to write it would be one more address to cache.
    pub fn asked(&self, query: &str) -> Result<Option<u32>, Problem> {
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

/// Whether `Accept` names WebP (RFC 9110, section 12.5.1), and not to refuse it. `image/*` is no promise: every client
/// that predates WebP sends it.
pub fn takes_webp(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_webp = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("image/webp"));
        is_webp && !parts.any(is_weightless)
    })
}

/// `q=0`, `q=0.0`, …
fn is_weightless(parameter: &str) -> bool {
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
            assert_eq!(wrong.parse::<RenditionSizes>(), Err(NotSizes), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_one_of_the_list_given_once() {
        let sizes: RenditionSizes = "64,128".parse().unwrap();
        for (query, size) in [
            ("", None),
            ("x=1&sizes=3&Size=7", None),
            ("size=64", Some(64)),
            ("x=%&size=128&y", Some(128)),
            ("s%69ze=64", Some(64)),
        ] {
            assert_eq!(sizes.asked(query).map_err(|problem| problem.status()), Ok(size), "{query}");
        }
        for query in ["size", "size=", "size=65", "size=064", "size=+64", "size=64 ", "size=1e9", "size=64&size=64"] {
            assert_eq!(sizes.asked(query).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn webp_is_taken_where_it_is_named_and_not_refused() {
        let takes =
            |accept: &'static str| takes_webp(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        for accept in [
            "image/webp",
            "IMAGE/WebP",
            "image/avif,image/webp,image/apng,*/*;q=0.8",
            "text/html, image/webp ;q=0.001",
            "image/webp;q=1.0",
        ] {
            assert!(takes(accept), "{accept}");
        }
        for accept in ["", "*/*", "image/*", "image/webpx", "image/webp;q=0", "image/webp; Q=0.000, image/png"] {
            assert!(!takes(accept), "{accept}");
        }
        assert!(!takes_webp(&HeaderMap::new()));
    }
}
