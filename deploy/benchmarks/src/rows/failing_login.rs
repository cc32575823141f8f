//! How long a login takes that fails: an account that nobody has, a wrong password and a disabled account are not to be
//! told apart by a clock. auth-api itself, one connection, in turn.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::client::Client;
use crate::error::Error;
use crate::population::{self, PASSWORD, email};
use crate::row::{Measure, Row, Tries, Try};

/// How far the medians may be apart.
const WITHIN: f64 = 0.03;

/// A wrong password.
pub const WRONG: Row = Row {
    name: "failing-wrong",
    what: "time of a login with a wrong password : of one to an account that nobody has",
    measure: Measure::Alike {
        within: WITHIN,
        tries: |bench| tries(bench, credentials(&email(SOMEBODY), "another passphrase of it")),
    },
};

/// A disabled account.
pub const DISABLED: Row = Row {
    name: "failing-disabled",
    what: "time of a login to a disabled account : to one that nobody has",
    measure: Measure::Alike {
        within: WITHIN,
        tries: |bench| {
            let large = bench.large()?;
            bench.runtime.block_on(population::disable(&large.config, DISABLED_ONE))?;
            tries(bench, credentials(&email(DISABLED_ONE), PASSWORD))
        },
    },
};

/// Two who sign in in no other row.
const SOMEBODY: u32 = 1_003;
const DISABLED_ONE: u32 = 1_001;

const TRIES: usize = 200;

/// Tries before those that count.
const WARM_UP: usize = 10;

/// The orders of the three requests of a try, in turn: none always comes after another.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]];

fn credentials(email: &str, password: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{password}"}}"#)
}

fn tries(bench: &Bench, ours: String) -> Result<Tries, Error> {
    let base = bench.large()?.stack()?.env().auth_api.clone();
    let unknown = credentials("bench-nobody@example.com", PASSWORD);
    let bodies = [ours, unknown.clone(), unknown];
    bench.runtime.block_on(async {
        let mut client = Client::connect(&base).await?;
        let mut tries = Tries::default();
        let mut address = Ipv4Addr::new(10, 0, 0, 0);
        for (number, order) in ORDERS.into_iter().cycle().take(WARM_UP + TRIES).enumerate() {
            let mut took = [Duration::ZERO; 3];
            for which in order {
                // Each from an address of its own, or the throttle would answer.
                address = Ipv4Addr::from_bits(address.to_bits() + 1);
                let (Some(body), Some(took)) = (bodies.get(which), took.get_mut(which)) else { continue };
                let asked = Instant::now();
                let (status, _) = client.post_from("/api/user/login/", body.clone(), address).await?;
                *took = asked.elapsed();
                tries.refused += u64::from(status != StatusCode::BAD_REQUEST);
            }
            if number >= WARM_UP {
                let [ours, limit, again] = took.map(|took| took.as_secs_f64() * 1000.0);
                tries.all.push(Try { ours, limit, again });
            }
        }
        Ok(tries)
    })
}
