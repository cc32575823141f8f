//! Expiry of nginx's micro-cache (`X-Accel-Expires`): the end of the current second. Only pictures of up to 64 KiB are cached.
//!
//! Staleness bound: a deleted picture is gone everywhere 2 s after its deletion was acknowledged. `proxy_cache_valid 1s` would
//! break it: nginx counts in whole seconds and caches until the end of the next one, up to 2 s. So nginx sends its time, and
//! the entry expires at the end of that second by nginx's own clock. The object existed at most 0.5 s before the request
//! (`storage::cache`).

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// nginx's `$msec`: Unix seconds, with milliseconds after a dot.
const X_NOW: HeaderName = HeaderName::from_static("x-now");

/// Expiry of nginx's cache entry; nginx does not forward it.
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// Longest accepted number of seconds.
const DIGITS_MAX: usize = 12;

/// Sets the expiry if the request has nginx's time.
pub(crate) fn set_accel_expires(request: &HeaderMap, response: &mut HeaderMap) {
    if let Some(expires) = request.get(X_NOW).and_then(|now| end_of_second(now.to_str().ok()?)) {
        response.insert(X_ACCEL_EXPIRES, expires);
    }
}

fn end_of_second(now: &str) -> Option<HeaderValue> {
    let (second, _) = now.split_once('.')?;
    let is_time = (1..=DIGITS_MAX).contains(&second.len()) && second.bytes().all(|byte| byte.is_ascii_digit());
    if is_time { HeaderValue::from_str(&format!("@{second}")).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_entry_expires_at_the_end_of_nginxs_second() {
        assert_eq!(end_of_second("1790000000.999").unwrap(), "@1790000000");
        for other in ["", ".", "1790000000", ".5", "-1.5", "1e9.0", "@1.0", "1234567890123.0"] {
            assert_eq!(end_of_second(other), None, "{other}");
        }
    }
}
