//! Scaling with the number of users: 1 million against 1 thousand, each in a stack of its own.

use super::{login, me, refresh};
use crate::harness::row::{Measure, Pair, Row, Target, Unit};

const TARGET: Target = Target::AtLeast(0.90);

/// `GET me` on auth-api.
pub const ME: Row = Row {
    name: "growth-me",
    what: "GET me on auth-api at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: TARGET,
        pair: |bench| {
            let side = |deployment: &crate::harness::Deployment| {
                Ok::<_, crate::Error>(me::rate(me::client(bench, deployment, &deployment.stack()?.env().auth_api)?))
            };
            Ok(Pair { candidate: side(bench.large()?)?, baseline: side(bench.small()?)? })
        },
    },
};

/// `POST login` through nginx.
pub const LOGIN: Row = Row {
    name: "growth-login",
    what: "POST login through nginx at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: TARGET,
        pair: |bench| {
            let side = |deployment| Ok::<_, crate::Error>(me::rate(login::client(bench, deployment)?));
            Ok(Pair { candidate: side(bench.large()?)?, baseline: side(bench.small()?)? })
        },
    },
};

/// `POST refresh` on auth-api.
pub const REFRESH: Row = Row {
    name: "growth-refresh",
    what: "POST refresh on auth-api at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: TARGET,
        pair: |bench| {
            let side = |deployment| refresh::refreshes(bench, deployment);
            Ok(Pair { candidate: side(bench.large()?)?, baseline: side(bench.small()?)? })
        },
    },
};
