//! Random ids of users, sessions and tokens.

use shared::random::Random;
use uuid::Uuid;

/// Returns a random UUID (version 4).
pub fn new_uuid(random: &Random) -> Uuid {
    uuid::Builder::from_random_bytes(random.bytes()).into_uuid()
}
