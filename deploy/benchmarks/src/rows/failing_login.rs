//! Response times of failing logins: unknown account, wrong password and disabled account must be indistinguishable by
//! timing. Measured on auth-api without nginx, one connection, interleaved.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::http_client::HttpClient;
use crate::harness::population::{self, PASSWORD, email};
use crate::harness::row::{Measure, Row, Trial, Trials};

/// Tolerance of the equivalence tests.
const WITHIN: f64 = 0.03;

/// Wrong password against unknown account.
pub const WRONG: Row = Row {
    name: "failing-wrong",
    what: "time of a login with a wrong password : to an unknown account",
    measure: Measure::Equivalent {
        within: WITHIN,
        trials: |bench| trials(bench, credentials(&email(ENABLED_USER), "another passphrase of it")),
    },
};

/// Disabled account against unknown account.
pub const DISABLED: Row = Row {
    name: "failing-disabled",
    what: "time of a login to a disabled account : to an unknown account",
    measure: Measure::Equivalent {
        within: WITHIN,
        trials: |bench| {
            let large = bench.large()?;
            bench.runtime.block_on(population::disable(&large.config, DISABLED_USER))?;
            trials(bench, credentials(&email(DISABLED_USER), PASSWORD))
        },
    },
};

/// Users that no other row signs in.
const ENABLED_USER: u32 = 1_003;
const DISABLED_USER: u32 = 1_001;

const TRIALS: usize = 200;

/// Unmeasured trials at the start.
const WARM_UP: usize = 10;

/// Orders of a trial's three requests, rotated so that none always follows another.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0]];

fn credentials(email: &str, password: &str) -> String {
    format!(r#"{{"email":"{email}","password":"{password}"}}"#)
}

fn trials(bench: &Bench, candidate: String) -> Result<Trials, Error> {
    let base = bench.large()?.stack()?.env().auth_api.clone();
    let unknown = credentials("bench-nobody@example.com", PASSWORD);
    let bodies = [candidate, unknown.clone(), unknown];
    bench.runtime.block_on(async {
        let mut client = HttpClient::connect(&base).await?;
        let mut trials = Trials::default();
        let mut address = Ipv4Addr::new(10, 0, 0, 0);
        for (number, order) in ORDERS.into_iter().cycle().take(WARM_UP + TRIALS).enumerate() {
            let mut took = [Duration::ZERO; 3];
            for index in order {
                // A new address each time, because of the login throttle.
                address = Ipv4Addr::from_bits(address.to_bits() + 1);
                let (Some(body), Some(took)) = (bodies.get(index), took.get_mut(index)) else { continue };
                let sent = Instant::now();
                let (status, _) = client.post_from("/api/user/login/", body.clone(), address).await?;
                *took = sent.elapsed();
                trials.refused += u64::from(status != StatusCode::BAD_REQUEST);
            }
            if number >= WARM_UP {
                let [candidate, baseline, control] = took.map(|took| took.as_secs_f64() * 1000.0);
                trials.all.push(Trial { candidate, baseline, control });
            }
        }
        Ok(trials)
    })
}
