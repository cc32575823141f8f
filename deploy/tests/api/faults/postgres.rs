//! Postgres answers, but refuses what is asked: each state is 503, never 500, and passes without a restart.

use deploy::{Options, Stack};
use serde_json::json;

use crate::support::{Answer, Api, PASSWORD, Person, is_in_order, is_unavailable, postgres, unique, until};

/// Makes every replica connect again.
const DISCONNECT: &str =
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()";

async fn register(api: &Api) -> Answer {
    let body = json!({ "email": format!("{}@example.com", unique()), "full_name": "Ann", "password": PASSWORD });
    api.post_json("/api/user/register/", &body).await
}

/// Checks that writes are unavailable, and reads too unless `can_read`.
async fn assert_refusing(what: &str, stack: &Stack, user: &Person, can_read: bool) {
    let api = &user.api;
    is_unavailable(what, &register(api).await);
    is_unavailable(what, &user.update(&json!({ "full_name": "X" })).await);
    if !can_read {
        is_unavailable(what, &Person::login(api, &user.email, PASSWORD).await);
        let ready = Api::at(&stack.env().auth_api).get("/readyz").await;
        is_unavailable(&format!("{what}: readyz"), &ready);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_refuses_statements_is_503_and_recovers_without_a_restart() {
    let stack = Stack::start(Options::scratch().unwrap()).unwrap();
    let user = Person::at(&Api::at(&stack.env().base)).await;
    for (what, breaks, mends) in [
        (
            "25006, read only",
            "alter role users set default_transaction_read_only = on",
            "alter role users reset default_transaction_read_only",
        ),
        ("42501, no rights", "revoke all on users from users", "grant all on users to users"),
        ("42P01, no table", "alter table users rename to restoring", "alter table restoring rename to users"),
        (
            "42703, no column",
            "alter table users rename full_name to name",
            "alter table users rename name to full_name",
        ),
    ] {
        postgres(stack.env(), breaks);
        postgres(stack.env(), DISCONNECT);
        assert_refusing(what, &stack, &user, !what.starts_with("42501") && !what.starts_with("42P01")).await;
        postgres(stack.env(), &format!("begin read write; {mends}; commit"));
        postgres(stack.env(), DISCONNECT);
        is_in_order(&user).await;
        until(what, std::time::Duration::from_secs(5), async || register(&user.api).await.status == 201).await;
    }
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_refuses_the_password_is_503_and_recovers_without_a_restart() {
    let stack = Stack::start(Options::scratch().unwrap()).unwrap();
    let user = Person::at(&Api::at(&stack.env().base)).await;
    let mut other = stack.env().clone();
    let password = other.postgres.split([':', '@']).nth(2).unwrap().to_owned();
    other.postgres = other.postgres.replace(&password, "another");
    postgres(stack.env(), &format!("alter role users password 'another'; {DISCONNECT}"));
    assert_refusing("28P01", &stack, &user, false).await;
    postgres(&other, &format!("alter role users password '{password}'; {DISCONNECT}"));
    is_in_order(&user).await;
    stack.shutdown();
}
