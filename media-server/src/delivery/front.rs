//! How long nginx may keep a picture of up to 64 kB: until its clock's next second. Larger ones it does not keep.
//!
//! A picture that is deleted is to be gone everywhere 2 s after that was acknowledged. `proxy_cache_valid 1s` would not do:
//! nginx counts in whole seconds, and keeps until the end of the second after this one, 2 s at worst, before anything else
//! has taken its time. So nginx sends the time, and is told to keep until the end of that very second: 1 s at most after it
//! asked, by its own clock, whatever ours says. What it got was there 0.5 s before it asked at most (`storage::cache`).

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// nginx's time when it asked, in Unix seconds, with milliseconds after a dot.
const X_NOW: HeaderName = HeaderName::from_static("x-now");

/// Until when nginx may keep an answer; it passes this on to nobody.
const X_ACCEL_EXPIRES: HeaderName = HeaderName::from_static("x-accel-expires");

/// A time of more digits is none.
const DIGITS_MAX: usize = 12;

/// Answers nginx; who tells no time is told nothing.
pub(super) fn say_how_long(asked: &HeaderMap, answer: &mut HeaderMap) {
    if let Some(expires) = asked.get(X_NOW).and_then(|now| end_of_second(now.to_str().ok()?)) {
        answer.insert(X_ACCEL_EXPIRES, expires);
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
    fn nginx_keeps_until_the_end_of_its_second_and_nothing_else_is_a_time() {
        assert_eq!(end_of_second("1790000000.999").unwrap(), "@1790000000");
        for other in ["", ".", "1790000000", ".5", "-1.5", "1e9.0", "@1.0", "1234567890123.0"] {
            assert_eq!(end_of_second(other), None, "{other}");
        }
    }
}
