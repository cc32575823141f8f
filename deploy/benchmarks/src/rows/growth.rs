//! What a thousand times the users costs: the same at 1 M users as at 1 k, each stack with a database of its own.

use super::{login, me, refresh};
use crate::row::{Measure, Pair, Reach, Row, Unit};

const REACH: Reach = Reach::AtLeast(0.90);

/// `GET me`, on auth-api.
pub const ME: Row = Row {
    name: "growth-me",
    what: "GET me on auth-api at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: REACH,
        pair: |bench| {
            let side = |deployment: &crate::Deployment| {
                Ok::<_, crate::Error>(me::rate(me::client(bench, deployment, &deployment.stack()?.env().auth_api)?))
            };
            Ok(Pair { ours: side(bench.large()?)?, limit: side(bench.small()?)? })
        },
    },
};

/// `POST login`, through nginx.
pub const LOGIN: Row = Row {
    name: "growth-login",
    what: "POST login through nginx at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: REACH,
        pair: |bench| {
            let side = |deployment| Ok::<_, crate::Error>(me::rate(login::client(bench, deployment)?));
            Ok(Pair { ours: side(bench.large()?)?, limit: side(bench.small()?)? })
        },
    },
};

/// `POST refresh`, on auth-api.
pub const REFRESH: Row = Row {
    name: "growth-refresh",
    what: "POST refresh on auth-api at 1 M users : at 1 k",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: REACH,
        pair: |bench| {
            let side = |deployment| refresh::refreshes(bench, deployment);
            Ok(Pair { ours: side(bench.large()?)?, limit: side(bench.small()?)? })
        },
    },
};
