//! Randomness as an argument.

use std::fmt;
use std::sync::Arc;

/// Fills buffers with random bytes. Cheap to clone.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// The operating system's cryptographically secure generator.
    ///
    /// # Panics
    ///
    /// If the operating system has no entropy source.
    #[expect(
        clippy::disallowed_methods,
        clippy::expect_used,
        reason = "the only use of the system's generator; without it every secret would be predictable"
    )]
    pub fn system() -> Self {
        Self(Arc::new(|buffer| getrandom::fill(buffer).expect("the operating system has an entropy source")))
    }

    /// A deterministic generator, for reproducible tests.
    pub fn from_fn(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
