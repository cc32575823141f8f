//! Postgres responds and refuses statements: each such state is 503, never 500, and recovery needs no restart.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    Api, OwnStack, PASSWORD, TestUser, assert_unavailable, postgres, register, wait_until, wait_until_recovered,
};

/// Terminates all connections of the services.
const DISCONNECT: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()";

/// Asserts that writes are unavailable, and reads too unless `can_read`.
async fn assert_refusing(what: &str, stack: &OwnStack, user: &TestUser, can_read: bool) {
    let api = &stack.api;
    assert_unavailable(what, &register(api).await);
    assert_unavailable(what, &user.update(&json!({ "full_name": "X" })).await);
    if !can_read {
        assert_unavailable(what, &TestUser::login(api, &user.email, PASSWORD).await);
        let ready = Api::at(&stack.env().auth_api).get("/readyz").await;
        assert_unavailable(&format!("{what}: readyz"), &ready);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_statements_are_503_and_recover_without_a_restart() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::at(&stack.api).await;
    for (what, can_read, fault, repair) in [
        (
            "25006, read only",
            true,
            "alter role users set default_transaction_read_only = on",
            "alter role users reset default_transaction_read_only",
        ),
        ("42501, no privileges", false, "revoke all on users from users", "grant all on users to users"),
        ("42P01, no table", false, "alter table users rename to restoring", "alter table restoring rename to users"),
        (
            "42703, no column",
            true,
            "alter table users rename full_name to name",
            "alter table users rename name to full_name",
        ),
    ] {
        postgres(stack.env(), fault);
        postgres(stack.env(), DISCONNECT);
        assert_refusing(what, &stack, &user, can_read).await;
        let is_read_only = what.starts_with("25006");
        if is_read_only {
            assert_unavailable("readyz", &Api::at(&stack.env().auth_api).get("/readyz").await);
        }
        postgres(stack.env(), &format!("begin read write; {repair}; commit"));
        // A connection that can only read is replaced by itself, as after a failover.
        if !is_read_only {
            postgres(stack.env(), DISCONNECT);
        }
        wait_until_recovered(&user).await;
        wait_until(what, Duration::from_secs(5), async || register(&stack.api).await.status == 201).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_503_and_recovers_without_a_restart() {
    let stack = OwnStack::start(&[]);
    let user = TestUser::at(&stack.api).await;
    let mut other = stack.env().clone();
    let password = other.postgres.split([':', '@']).nth(2).unwrap().to_owned();
    other.postgres = other.postgres.replace(&password, "another");
    postgres(stack.env(), &format!("alter role users password 'another'; {DISCONNECT}"));
    assert_refusing("28P01", &stack, &user, false).await;
    postgres(&other, &format!("alter role users password '{password}'; {DISCONNECT}"));
    wait_until_recovered(&user).await;
}
