//! The schema: later migrations, and updates by operators.

use std::process::Command;

use crate::support::{
    PASSWORD, PostgresNode, Replica, TestUser, auth_api_command, postgres, register, stack, unique_email,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_runs_on_the_schema_of_a_later_one() {
    let server = PostgresNode::start(None).await;
    server.run(
        "alter table users add later text not null default 'x';
         insert into refinery_schema_history values (999, 'later', '2030-01-01T00:00:00Z', '1')",
    );
    let url = server.url();
    let migrated = auth_api_command(&["migrate"], &[("DATABASE_URL", &url)]);
    let output = String::from_utf8_lossy(&migrated.stderr).into_owned() + &String::from_utf8_lossy(&migrated.stdout);
    assert!(migrated.status.success() && output.contains("migrations of a later release"), "{output}");
    let replica = Replica::start(&[("DATABASE_URL", &url)]).await;
    let user = TestUser::at(&replica.api).await;
    user.update(&serde_json::json!({ "full_name": "Ann Other" })).await.expect_status(200);
    user.me().await.expect_status(200);
    register(&replica.api).await.expect_status(201);
    // A migration that was changed after it was applied, or left out, is an error.
    for (fault, part) in [
        ("update refinery_schema_history set checksum = '1' where version = 1", "different"),
        ("delete from refinery_schema_history where version = 2", "not applied"),
    ] {
        let server = PostgresNode::start(None).await;
        server.run(&format!(
            "{fault}; insert into refinery_schema_history values (999, 'later', '2030-01-01T00:00:00Z', '1')"
        ));
        let migrated = auth_api_command(&["migrate"], &[("DATABASE_URL", &server.url())]);
        let output = String::from_utf8_lossy(&migrated.stderr);
        assert!(!migrated.status.success() && output.contains(part), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_updated_in_sql_is_the_one_to_sign_in_with() {
    let (user, email) = (TestUser::new().await, unique_email());
    let update = |set: &str| format!("update users set {set} where id = '{}'", user.id);
    postgres(stack(), &update(&format!("email = 'X{email}'")));
    TestUser::login(&user.api, &format!("x{email}"), PASSWORD).await.expect_status(200);
    assert_eq!(TestUser::login(&user.api, &user.email, PASSWORD).await.status, 400);
    // The other address is that of another account: refused by the constraint.
    let other = TestUser::new().await;
    assert!(refused(&update(&format!("email = '{}'", other.email))).contains("users_email_key"));
    for email in ["x@bücher.example", "\"x\"@example.com"] {
        let error = refused(&update(&format!("email = '{email}'")));
        assert!(error.contains("canonical form") && error.contains("Set email_canonical"), "{error}");
    }
    // Both columns pass unchanged, also where only the display form changes.
    for (email, canonical) in
        [("x@bücher.example", "x@xn--bcher-kva.example"), ("x@BÜCHER.example", "x@xn--bcher-kva.example")]
    {
        postgres(stack(), &update(&format!("email = '{email}', email_canonical = '{canonical}-{}'", user.id)));
        let stored = postgres(stack(), &format!("select email, email_canonical from users where id = '{}'", user.id));
        assert_eq!(stored, format!("{email}|{canonical}-{}", user.id));
    }
    postgres(stack(), &update("full_name = 'Ann'"));
}

/// Returns the error of a statement that fails.
fn refused(sql: &str) -> String {
    let output = Command::new("psql").arg(&stack().postgres).args(["-qAtXc", sql]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("ERROR"), "{sql}: {error}");
    error
}
